/* copy, for each pair of f32, f16 and bf16; a work-group does 4096 elements. A 16-bit result is
 * contiguous from an even element on, and each lane makes both halves of a word. Where both sides
 * are contiguous a lane does four elements at once. */
//! copy_f32_f32 -DX=F32 -DOUT=F32
//! copy_f32_f16 -DX=F32 -DOUT=F16 -DPACK=DLM_PACK_F16
//! copy_f32_bf16 -DX=F32 -DOUT=BF16 -DPACK=DLM_PACK_BF16
//! copy_f16_f32 -DX=F16 -DOUT=F32
//! copy_f16_f16 -DX=F16 -DOUT=F16 -DPACK=DLM_PACK_F16
//! copy_f16_bf16 -DX=F16 -DOUT=BF16 -DPACK=DLM_PACK_BF16
//! copy_bf16_f32 -DX=BF16 -DOUT=F32
//! copy_bf16_f16 -DX=BF16 -DOUT=F16 -DPACK=DLM_PACK_F16
//! copy_bf16_bf16 -DX=BF16 -DOUT=BF16 -DPACK=DLM_PACK_BF16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "prelude.glsl"

layout(local_size_x = 64) in;

#define PASTE_(x, y) x##y
#define PASTE(x, y) PASTE_(x, y)
#define LOAD PASTE(DLM_LOAD_, X)
#define WIDE_F32 vec4
#define WIDE_F16 uvec2
#define WIDE_BF16 uvec2

DLM_IN(0, PASTE(DLM_T_, X), xs)
layout(std430, set = 0, binding = 0) readonly buffer WideIn { PASTE(WIDE_, X) wide_x[]; };
layout(std430, set = 0, binding = 1) buffer WideOut { PASTE(WIDE_, OUT) wide_out[]; };
#ifdef PACK
DLM_OUT(1, uint, outs)
#else
DLM_OUT(1, float, outs)
#endif
DLM_PARAMS(dlm_copy_params)

vec4 widen_F32(vec4 x)
{
    return x;
}

vec4 widen_F16(uvec2 x)
{
    return vec4(unpackHalf2x16(x.x), unpackHalf2x16(x.y));
}

vec4 widen_BF16(uvec2 x)
{
    return uintBitsToFloat(uvec4(x.x << 16, x.x & 0xffff0000u, x.y << 16, x.y & 0xffff0000u));
}

bool is_wide()
{
    return p.shape[3] == p.total && p.x_stride[3] == 1u && p.out_stride[3] == 1u &&
           ((p.x_lead | p.out_lead | p.total) & 3u) == 0u;
}

/* Four elements from `at` on, of contiguous ones. */
void copy4(uint at)
{
    const vec4 x = PASTE(widen_, X)(wide_x[(p.x_lead + at) >> 2]);
#ifdef PACK
    wide_out[(p.out_lead + at) >> 2] = uvec2(PACK(x.x, x.y), PACK(x.z, x.w));
#else
    wide_out[(p.out_lead + at) >> 2] = x;
#endif
}

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
    const uint end = min(begin + DLM_GROUP_ELEMS, p.total);
    uint io, ignored;

    if (is_wide()) {
        for (uint at = begin + 4u * DLM_LOCAL_ID(); at < end; at += 256u)
            copy4(at);
        return;
    }
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
