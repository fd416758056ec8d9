/* fwd and bwd with AMX: x rounded to bf16, which has room for 32 rows more than it holds. */
#include <immintrin.h>

#include "cpukernels/matmul_bf16.h"
#include "cpukernels/matmul_tile_amx.h"

static void run_item(const struct drive_engine *engine, const struct dlm_cpu_call *call,
                     int64_t item)
{
    dlm_amx_configure();
    drive_item(engine, call, item);
    _tile_release();
}

#define BF16_KERNEL(name, DTYPE, IS_BWD, REPACK)                                                   \
    void dlm_cpu_##name(const struct dlm_cpu_call *call, int64_t item)                             \
    {                                                                                              \
        static const struct drive_engine engine = {                                                \
            .max_rows = DLM_AMX_TILE_ROWS, .a_bytes = 2, .b_bytes = 2, .dtype = (DTYPE),           \
            .is_bwd = (IS_BWD), .repack = (REPACK), .tile = dlm_tile_amx,                          \
        };                                                                                         \
        run_item(&engine, call, item);                                                             \
    }

BF16_KERNEL(matmul_panel_fwd_bf16_amx, DLM_DTYPE_BF16, false, NULL)
BF16_KERNEL(matmul_panel_bwd_bf16_amx, DLM_DTYPE_BF16, true, repack_transposed)
BF16_KERNEL(matmul_panel_fwd_q8_0_amx, DLM_DTYPE_Q8_0, false, repack_quant)
BF16_KERNEL(matmul_panel_bwd_q8_0_amx, DLM_DTYPE_Q8_0, true, repack_quant)
BF16_KERNEL(matmul_panel_fwd_nf4_amx, DLM_DTYPE_NF4, false, repack_quant)
BF16_KERNEL(matmul_panel_bwd_nf4_amx, DLM_DTYPE_NF4, true, repack_quant)
BF16_KERNEL(matmul_panel_fwd_nf4_dq_amx, DLM_DTYPE_NF4_DQ, false, repack_quant)
BF16_KERNEL(matmul_panel_bwd_nf4_dq_amx, DLM_DTYPE_NF4_DQ, true, repack_quant)
BF16_KERNEL(matmul_panel_fwd_q4_0_amx, DLM_DTYPE_Q4_0, false, repack_quant)
BF16_KERNEL(matmul_panel_bwd_q4_0_amx, DLM_DTYPE_Q4_0, true, repack_quant)
BF16_KERNEL(matmul_panel_fwd_q4_k_amx, DLM_DTYPE_Q4_K, false, repack_quant)
BF16_KERNEL(matmul_panel_bwd_q4_k_amx, DLM_DTYPE_Q4_K, true, repack_quant)
BF16_KERNEL(matmul_panel_fwd_q5_k_amx, DLM_DTYPE_Q5_K, false, repack_quant)
BF16_KERNEL(matmul_panel_bwd_q5_k_amx, DLM_DTYPE_Q5_K, true, repack_quant)
BF16_KERNEL(matmul_panel_fwd_q6_k_amx, DLM_DTYPE_Q6_K, false, repack_quant)
BF16_KERNEL(matmul_panel_bwd_q6_k_amx, DLM_DTYPE_Q6_K, true, repack_quant)
