/* matmul_dequant_<b>: a weight in 4 to 8 bits becomes numbers, 4096 a work-group, 8 a lane at once,
 * of the type that the product takes. */
//! matmul_dequant_q8_0 -DFORM=q8_0
//! matmul_dequant_nf4 -DFORM=nf4
//! matmul_dequant_nf4_dq -DFORM=nf4_dq
//! matmul_dequant_q4_0 -DFORM=q4_0
//! matmul_dequant_q4_k -DFORM=q4_k
//! matmul_dequant_q5_k -DFORM=q5_k
//! matmul_dequant_q6_k -DFORM=q6_k
#version 450
#extension GL_GOOGLE_include_directive : require
#include "prelude.glsl"

layout(local_size_x = 64) in;

DLM_IN(0, uint, w)
DLM_OUT(1, uvec4, outs)
DLM_PARAMS(dlm_matmul_dequant_params)

#define DLM_QUANT_WORD(i) w[i]
#include "quant.glsl"

void main()
{
    const uint begin = DLM_GROUP_ID() * DLM_GROUP_ELEMS;
    const uint end = min(begin + DLM_GROUP_ELEMS, p.num);
    for (uint at = begin + 8u * DLM_LOCAL_ID(); at < end; at += 512u) {
        vec4 low, high;
        dlm_load8(p.first + at, p.len, low, high);
        if (p.round == DLM_MATMUL_A_BF16) {
            outs[at >> 3] = uvec4(DLM_PACK_BF16(low.x, low.y), DLM_PACK_BF16(low.z, low.w),
                                  DLM_PACK_BF16(high.x, high.y), DLM_PACK_BF16(high.z, high.w));
        } else if (p.round == DLM_MATMUL_A_F16) {
            outs[at >> 3] = uvec4(DLM_PACK_F16(low.x, low.y), DLM_PACK_F16(low.z, low.w),
                                  DLM_PACK_F16(high.x, high.y), DLM_PACK_F16(high.z, high.w));
        } else {
            outs[at >> 2] = floatBitsToUint(low);
            outs[(at >> 2) + 1u] = floatBitsToUint(high);
        }
    }
}
