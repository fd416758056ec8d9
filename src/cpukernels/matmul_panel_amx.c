/* fwd and bwd with AMX: x rounded to bf16, register tiles of 32 x 32 as 2 x 2 hardware tiles.
 * A block of panels is a row of B tiles as it stands (panel.h), rows of x are the A tiles. Tiles
 * 0..3 are sums (two rows of two), 4 and 5 A, 6 and 7 B. */
#include <immintrin.h>

#include "cpukernels/amx.h"
#include "cpukernels/matmul_bf16.h"

#define MAX_ROWS 32

/* Up to 16 rows of 32 columns. */
static void tile_16(const char *a, size_t stride, const char *b0, const char *b1, size_t depth,
                    struct dlm_tile_ahead *ahead, float *out)
{
    _tile_zero(0);
    _tile_zero(1);
    for (size_t d = 0; d < depth; d += 32, a += 64, b0 += 1024, b1 += 1024) {
        const char *next = dlm_tile_next(ahead, b0);
        _tile_loadd(6, b0, 64);
        _tile_loadd(7, b1, 64);
        _tile_loadd(4, a, stride);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        for (int line = 0; line < 16; line++)
            DLM_PREFETCH(next + 64 * line);
    }
    _tile_stored(0, out, DLM_MATMUL_TILE_COLS * sizeof(float));
    _tile_stored(1, out + 16, DLM_MATMUL_TILE_COLS * sizeof(float));
}

/* 17 to 32 rows. */
static void tile_32(const char *a, size_t stride, const char *b0, const char *b1, size_t depth,
                    struct dlm_tile_ahead *ahead, float *out)
{
    const char *low = a + 16 * stride;

    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (size_t d = 0; d < depth; d += 32, a += 64, low += 64, b0 += 1024, b1 += 1024) {
        const char *next = dlm_tile_next(ahead, b0);
        _tile_loadd(6, b0, 64);
        _tile_loadd(4, a, stride);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, b1, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, low, stride);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
        for (int line = 0; line < 16; line++)
            DLM_PREFETCH(next + 64 * line);
    }
    _tile_stored(0, out, DLM_MATMUL_TILE_COLS * sizeof(float));
    _tile_stored(1, out + 16, DLM_MATMUL_TILE_COLS * sizeof(float));
    _tile_stored(2, out + 16 * DLM_MATMUL_TILE_COLS, DLM_MATMUL_TILE_COLS * sizeof(float));
    _tile_stored(3, out + 16 * DLM_MATMUL_TILE_COLS + 16, DLM_MATMUL_TILE_COLS * sizeof(float));
}

/* Whole hardware tiles are read and written: x has room for 32 rows more than it holds. */
static void tile(uint32_t rows, const char *a, size_t stride, const char *b0, const char *b1,
                 size_t depth, struct dlm_tile_ahead *ahead, float *out)
{
    if (rows > 16)
        tile_32(a, stride, b0, b1, depth, ahead, out);
    else
        tile_16(a, stride, b0, b1, depth, ahead, out);
}

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
            .max_rows = MAX_ROWS, .a_bytes = 2, .b_bytes = 2, .dtype = (DTYPE), .is_bwd = (IS_BWD),\
            .repack = (REPACK), .tile = tile,                                                      \
        };                                                                                         \
        run_item(&engine, call, item);                                                             \
    }

BF16_KERNEL(matmul_panel_fwd_bf16_amx, DLM_DTYPE_BF16, false, NULL)
BF16_KERNEL(matmul_panel_bwd_bf16_amx, DLM_DTYPE_BF16, true, repack_transposed)
BF16_KERNEL(matmul_panel_fwd_q8_0_amx, DLM_DTYPE_Q8_0, false, repack_quant_fwd)
BF16_KERNEL(matmul_panel_bwd_q8_0_amx, DLM_DTYPE_Q8_0, true, repack_quant_bwd)
BF16_KERNEL(matmul_panel_fwd_nf4_amx, DLM_DTYPE_NF4, false, repack_quant_fwd)
BF16_KERNEL(matmul_panel_bwd_nf4_amx, DLM_DTYPE_NF4, true, repack_quant_bwd)
BF16_KERNEL(matmul_panel_fwd_nf4_dq_amx, DLM_DTYPE_NF4_DQ, false, repack_quant_fwd)
BF16_KERNEL(matmul_panel_bwd_nf4_dq_amx, DLM_DTYPE_NF4_DQ, true, repack_quant_bwd)
