/* matmul_dequant_<b>: a weight in 4 to 8 bits becomes numbers, 4096 a work-group, 8 a lane at once,
 * of the type that the product takes. */
//! matmul_dequant_q8_0 matmul_dequant -DFORM=q8_0
//! matmul_dequant_nf4 matmul_dequant -DFORM=nf4
//! matmul_dequant_nf4_dq matmul_dequant -DFORM=nf4_dq
//! matmul_dequant_q4_0 matmul_dequant -DFORM=q4_0
//! matmul_dequant_q4_k matmul_dequant -DFORM=q4_k
//! matmul_dequant_q5_k matmul_dequant -DFORM=q5_k
//! matmul_dequant_q6_k matmul_dequant -DFORM=q6_k
#include "matmul_quant_head.cl"

/* As dlm_f32_to_bf16(), of numbers. */
static ushort8 to_bf16(float8 v)
{
    const uint8 u = as_uint8(v);
    return convert_ushort8((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

__kernel DLM_LOCAL(64) void matmul_dequant(__global const uint *w, __global uint *out,
                                           const struct dlm_matmul_dequant_params p)
{
    const uint begin = DLM_GROUP_ID() * DLM_GROUP_ELEMS;
    const uint end = min(begin + DLM_GROUP_ELEMS, p.num);
    for (uint at = begin + 8u * DLM_LOCAL_ID(); at < end; at += 512u) {
        const float8 v = dlm_load8(w, p.first + at, p.len);
        if (p.round == DLM_MATMUL_A_BF16)
            vstore8(to_bf16(v), 0, (__global ushort *)out + at);
        else if (p.round == DLM_MATMUL_A_F16)
            vstore_half8_rte(v, 0, (__global half *)out + at);
        else
            vstore8(v, 0, (__global float *)out + at);
    }
}
