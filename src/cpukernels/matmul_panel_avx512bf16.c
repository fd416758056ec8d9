/* fwd and bwd with vdpbf16ps: x rounded to bf16, pairs of the sum multiplied and added in f32. One
 * instruction does the work of two f32 FMAs; denormal products and sums become zero. */
#include <immintrin.h>

#include "cpukernels/matmul_bf16.h"

#define DECLARE_ROW(r, base, offset) __m512 x##r = _mm512_setzero_ps(), y##r = _mm512_setzero_ps();
#define STEP_ROW(r, base, offset)                                                                  \
    {                                                                                              \
        const __m512bh v = (__m512bh)_mm512_set1_epi32(                                            \
            *(const int *)(const void *)((base) + (offset)*stride + 4 * s));                       \
        x##r = _mm512_dpbf16_ps(x##r, v, bx);                                                      \
        y##r = _mm512_dpbf16_ps(y##r, v, by);                                                      \
    }
#define STORE_ROW(r, base, offset)                                                                 \
    _mm512_store_ps(out + (r)*DLM_MATMUL_TILE_COLS, x##r);                                         \
    _mm512_store_ps(out + (r)*DLM_MATMUL_TILE_COLS + 16, y##r);

#define DEFINE_TILE(rows)                                                                          \
    static void tile_bf16_##rows(const char *a, size_t stride, const char *b0, const char *b1,     \
                                 size_t depth, struct dlm_tile_ahead *ahead, float *out)           \
    {                                                                                              \
        const char *a0 = a, *a1 = a + 3 * stride, *a2 = a + 6 * stride, *a3 = a + 9 * stride;      \
        DLM_TILE_ROWS_##rows(DECLARE_ROW)                                                          \
        for (size_t d = 0; d < depth; d += 2 * DLM_TILE_STEPS) {                                   \
            const char *next = dlm_tile_next(ahead, b0);                                           \
            for (size_t s = 0; s < DLM_TILE_STEPS; s++) {                                          \
                const __m512bh bx = (__m512bh)_mm512_loadu_si512(b0 + 64 * s);                     \
                const __m512bh by = (__m512bh)_mm512_loadu_si512(b1 + 64 * s);                     \
                DLM_PREFETCH(next + 64 * s);                                                       \
                DLM_TILE_ROWS_##rows(STEP_ROW)                                                     \
            }                                                                                      \
            a0 += 4 * DLM_TILE_STEPS, a1 += 4 * DLM_TILE_STEPS, a2 += 4 * DLM_TILE_STEPS;          \
            a3 += 4 * DLM_TILE_STEPS;                                                              \
            b0 += 64 * DLM_TILE_STEPS, b1 += 64 * DLM_TILE_STEPS;                                  \
        }                                                                                          \
        (void)a1, (void)a2, (void)a3;                                                              \
        DLM_TILE_ROWS_##rows(STORE_ROW)                                                            \
    }

DEFINE_TILE(1)
DEFINE_TILE(2)
DEFINE_TILE(3)
DEFINE_TILE(4)
DEFINE_TILE(5)
DEFINE_TILE(6)
DEFINE_TILE(7)
DEFINE_TILE(8)
DEFINE_TILE(9)
DEFINE_TILE(10)
DEFINE_TILE(11)
DEFINE_TILE(12)

#undef DECLARE_ROW
#undef STEP_ROW
#undef STORE_ROW
#undef DEFINE_TILE

typedef void (*tile_fn)(const char *a, size_t stride, const char *b0, const char *b1, size_t depth,
                        struct dlm_tile_ahead *ahead, float *out);

static const tile_fn tiles[] = {
    NULL,        tile_bf16_1, tile_bf16_2, tile_bf16_3,  tile_bf16_4,  tile_bf16_5,  tile_bf16_6,
    tile_bf16_7, tile_bf16_8, tile_bf16_9, tile_bf16_10, tile_bf16_11, tile_bf16_12,
};

static void tile(uint32_t rows, const char *a, size_t stride, const char *b0, const char *b1,
                 size_t depth, struct dlm_tile_ahead *ahead, float *out)
{
    tiles[rows](a, stride, b0, b1, depth, ahead, out);
}

#define BF16_KERNEL(name, DTYPE, IS_BWD, REPACK)                                                   \
    void dlm_cpu_##name(const struct dlm_cpu_call *call, int64_t item)                             \
    {                                                                                              \
        static const struct drive_engine engine = {                                                \
            .max_rows = 12, .a_bytes = 2, .b_bytes = 2, .dtype = (DTYPE), .is_bwd = (IS_BWD),      \
            .repack = (REPACK), .tile = tile,                                                      \
        };                                                                                         \
        drive_item(&engine, call, item);                                                           \
    }

BF16_KERNEL(matmul_panel_fwd_bf16_avx512bf16, DLM_DTYPE_BF16, false, NULL)
BF16_KERNEL(matmul_panel_bwd_bf16_avx512bf16, DLM_DTYPE_BF16, true, repack_transposed)
BF16_KERNEL(matmul_panel_fwd_q8_0_avx512bf16, DLM_DTYPE_Q8_0, false, repack_quant)
BF16_KERNEL(matmul_panel_bwd_q8_0_avx512bf16, DLM_DTYPE_Q8_0, true, repack_quant)
BF16_KERNEL(matmul_panel_fwd_nf4_avx512bf16, DLM_DTYPE_NF4, false, repack_quant)
BF16_KERNEL(matmul_panel_bwd_nf4_avx512bf16, DLM_DTYPE_NF4, true, repack_quant)
BF16_KERNEL(matmul_panel_fwd_nf4_dq_avx512bf16, DLM_DTYPE_NF4_DQ, false, repack_quant)
BF16_KERNEL(matmul_panel_bwd_nf4_dq_avx512bf16, DLM_DTYPE_NF4_DQ, true, repack_quant)
BF16_KERNEL(matmul_panel_fwd_q4_0_avx512bf16, DLM_DTYPE_Q4_0, false, repack_quant)
BF16_KERNEL(matmul_panel_bwd_q4_0_avx512bf16, DLM_DTYPE_Q4_0, true, repack_quant)
BF16_KERNEL(matmul_panel_fwd_q4_k_avx512bf16, DLM_DTYPE_Q4_K, false, repack_quant)
BF16_KERNEL(matmul_panel_bwd_q4_k_avx512bf16, DLM_DTYPE_Q4_K, true, repack_quant)
BF16_KERNEL(matmul_panel_fwd_q5_k_avx512bf16, DLM_DTYPE_Q5_K, false, repack_quant)
BF16_KERNEL(matmul_panel_bwd_q5_k_avx512bf16, DLM_DTYPE_Q5_K, true, repack_quant)
BF16_KERNEL(matmul_panel_fwd_q6_k_avx512bf16, DLM_DTYPE_Q6_K, false, repack_quant)
BF16_KERNEL(matmul_panel_bwd_q6_k_avx512bf16, DLM_DTYPE_Q6_K, true, repack_quant)
