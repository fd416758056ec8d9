/* matmul_dequant: a weight in 4 or 8 bits becomes numbers, 4096 a work-group, 8 a lane at once. */
//! matmul_dequant_q8_0_f32 matmul_dequant_q8_0_f32
//! matmul_dequant_q8_0_f16 matmul_dequant_q8_0_f16
//! matmul_dequant_q8_0_bf16 matmul_dequant_q8_0_bf16
//! matmul_dequant_nf4_f32 matmul_dequant_nf4_f32
//! matmul_dequant_nf4_f16 matmul_dequant_nf4_f16
//! matmul_dequant_nf4_bf16 matmul_dequant_nf4_bf16
//! matmul_dequant_nf4_dq_f32 matmul_dequant_nf4_dq_f32
//! matmul_dequant_nf4_dq_f16 matmul_dequant_nf4_dq_f16
//! matmul_dequant_nf4_dq_bf16 matmul_dequant_nf4_dq_bf16
#include "matmul_quant_head.cl"

#define STORE8_F32(out, at, v) vstore8(v, 0, out + at)
#define STORE8_F16(out, at, v) vstore_half8_rte(v, 0, (__global half *)out + at)
#define STORE8_BF16(out, at, v) vstore8(to_bf16(v), 0, out + at)

/* As dlm_f32_to_bf16(), of numbers. */
static ushort8 to_bf16(float8 v)
{
    const uint8 u = as_uint8(v);
    return convert_ushort8((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

#define DEQUANT_KERNEL(name, LOAD8, Y, STORE8)                                                     \
    __kernel DLM_LOCAL(64) void name(__global const uint *w, __global Y *out,                      \
                                     const struct dlm_matmul_dequant_params p)                     \
    {                                                                                              \
        const uint begin = DLM_GROUP_ID() * DLM_GROUP_ELEMS;                                       \
        const uint end = min(begin + DLM_GROUP_ELEMS, p.num);                                      \
        for (uint at = begin + 8u * DLM_LOCAL_ID(); at < end; at += 512u) {                        \
            const float8 v = LOAD8(w, p.first + at, p.len);                                        \
            STORE8(out, at, v);                                                                    \
        }                                                                                          \
    }

DEQUANT_KERNEL(matmul_dequant_q8_0_f32, dlm_load8_q8_0, DLM_T_F32, STORE8_F32)
DEQUANT_KERNEL(matmul_dequant_q8_0_f16, dlm_load8_q8_0, DLM_T_F16, STORE8_F16)
DEQUANT_KERNEL(matmul_dequant_q8_0_bf16, dlm_load8_q8_0, DLM_T_BF16, STORE8_BF16)
DEQUANT_KERNEL(matmul_dequant_nf4_f32, dlm_load8_nf4, DLM_T_F32, STORE8_F32)
DEQUANT_KERNEL(matmul_dequant_nf4_f16, dlm_load8_nf4, DLM_T_F16, STORE8_F16)
DEQUANT_KERNEL(matmul_dequant_nf4_bf16, dlm_load8_nf4, DLM_T_BF16, STORE8_BF16)
DEQUANT_KERNEL(matmul_dequant_nf4_dq_f32, dlm_load8_nf4_dq, DLM_T_F32, STORE8_F32)
DEQUANT_KERNEL(matmul_dequant_nf4_dq_f16, dlm_load8_nf4_dq, DLM_T_F16, STORE8_F16)
DEQUANT_KERNEL(matmul_dequant_nf4_dq_bf16, dlm_load8_nf4_dq, DLM_T_BF16, STORE8_BF16)
