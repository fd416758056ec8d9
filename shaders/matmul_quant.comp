/* matmul_dequant: a weight in 4 or 8 bits becomes numbers, 4096 a work-group, 8 a lane at once. */
//! matmul_dequant_q8_0_f32 -DLOAD8=dlm_load8_q8_0
//! matmul_dequant_q8_0_f16 -DLOAD8=dlm_load8_q8_0 -DPACK=DLM_PACK_F16
//! matmul_dequant_q8_0_bf16 -DLOAD8=dlm_load8_q8_0 -DPACK=DLM_PACK_BF16
//! matmul_dequant_nf4_f32 -DLOAD8=dlm_load8_nf4
//! matmul_dequant_nf4_f16 -DLOAD8=dlm_load8_nf4 -DPACK=DLM_PACK_F16
//! matmul_dequant_nf4_bf16 -DLOAD8=dlm_load8_nf4 -DPACK=DLM_PACK_BF16
//! matmul_dequant_nf4_dq_f32 -DLOAD8=dlm_load8_nf4_dq
//! matmul_dequant_nf4_dq_f16 -DLOAD8=dlm_load8_nf4_dq -DPACK=DLM_PACK_F16
//! matmul_dequant_nf4_dq_bf16 -DLOAD8=dlm_load8_nf4_dq -DPACK=DLM_PACK_BF16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "prelude.glsl"

layout(local_size_x = 64) in;

DLM_IN(0, uint, w)
#ifdef PACK
DLM_OUT(1, uvec4, outs)
#else
DLM_OUT(1, vec4, outs)
#endif
DLM_PARAMS(dlm_matmul_dequant_params)

#define DLM_QUANT_WORD(i) w[i]
#include "quant.glsl"

void main()
{
    const uint begin = DLM_GROUP_ID() * DLM_GROUP_ELEMS;
    const uint end = min(begin + DLM_GROUP_ELEMS, p.num);
    for (uint at = begin + 8u * DLM_LOCAL_ID(); at < end; at += 512u) {
        vec4 low, high;
        LOAD8(p.first + at, p.len, low, high);
#ifdef PACK
        outs[at >> 3] = uvec4(PACK(low.x, low.y), PACK(low.z, low.w),
                              PACK(high.x, high.y), PACK(high.z, high.w));
#else
        outs[at >> 2] = low;
        outs[(at >> 2) + 1u] = high;
#endif
    }
}
