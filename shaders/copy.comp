/* copy, for each pair of f32, f16 and bf16; a work-group does 4096 elements. A 16-bit result is
 * contiguous from an even element on, and each lane makes both halves of a word. */
//! copy_f32_f32 -DTYPE=DLM_T_F32 -DLOAD=DLM_LOAD_F32
//! copy_f32_f16 -DTYPE=DLM_T_F32 -DLOAD=DLM_LOAD_F32 -DPACK=DLM_PACK_F16
//! copy_f32_bf16 -DTYPE=DLM_T_F32 -DLOAD=DLM_LOAD_F32 -DPACK=DLM_PACK_BF16
//! copy_f16_f32 -DTYPE=DLM_T_F16 -DLOAD=DLM_LOAD_F16
//! copy_f16_f16 -DTYPE=DLM_T_F16 -DLOAD=DLM_LOAD_F16 -DPACK=DLM_PACK_F16
//! copy_f16_bf16 -DTYPE=DLM_T_F16 -DLOAD=DLM_LOAD_F16 -DPACK=DLM_PACK_BF16
//! copy_bf16_f32 -DTYPE=DLM_T_BF16 -DLOAD=DLM_LOAD_BF16
//! copy_bf16_f16 -DTYPE=DLM_T_BF16 -DLOAD=DLM_LOAD_BF16 -DPACK=DLM_PACK_F16
//! copy_bf16_bf16 -DTYPE=DLM_T_BF16 -DLOAD=DLM_LOAD_BF16 -DPACK=DLM_PACK_BF16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "prelude.glsl"

layout(local_size_x = 64) in;

DLM_IN(0, TYPE, xs)
#ifdef PACK
DLM_OUT(1, uint, outs)
#else
DLM_OUT(1, float, outs)
#endif
DLM_PARAMS(dlm_copy_params)

/* Element `at` of x; where it goes to in io. */
float fetch(uint at, out uint io)
{
    uint rest = at, ix = p.x_lead;
    io = p.out_lead;
    for (int d = 3; d >= 0; d--) {
        const uint i = rest % p.shape[d];
        rest /= p.shape[d];
        ix += i * p.x_stride[d];
        io += i * p.out_stride[d];
    }
    return LOAD(xs, ix);
}

void main()
{
    const uint begin = DLM_GROUP_ID() * DLM_GROUP_ELEMS;
    uint io, ignored;
#ifdef PACK
    for (uint k = 2u * DLM_LOCAL_ID(); k < DLM_GROUP_ELEMS; k += 128u) {
        const uint at = begin + k;
        if (at >= p.total)
            return;
        const float low = fetch(at, io);
        if (at + 1u < p.total) {
            outs[io >> 1] = PACK(low, fetch(at + 1u, ignored));
        } else { /* the last of an odd number: the word's other half is not ours */
            outs[io >> 1] = (outs[io >> 1] & 0xffff0000u) | (PACK(low, 0.0) & 0xffffu);
        }
    }
#else
    for (uint k = DLM_LOCAL_ID(); k < DLM_GROUP_ELEMS; k += 64u) {
        if (begin + k >= p.total)
            return;
        const float value = fetch(begin + k, io);
        outs[io] = value;
    }
#endif
}
