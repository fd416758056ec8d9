/* The register tile of AMX: 32 x 32 sums as 2 x 2 hardware tiles. B panels [depth/2][16][2] are
 * rows of B tiles as they stand (panel.h), rows of x are the A tiles. Tiles 0..3 are sums (two rows
 * of two), 4 and 5 A, 6 and 7 B. */
#ifndef DLM_CPUKERNELS_MATMUL_TILE_AMX_H
#define DLM_CPUKERNELS_MATMUL_TILE_AMX_H

#include "cpukernels/amx.h"
#include "cpukernels/matmul_tile.h"

#define DLM_AMX_TILE_ROWS 32

/* Up to 16 rows of 32 columns. */
static void amx_tile_16(const char *a, size_t stride, const char *b0, const char *b1, size_t depth,
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
static void amx_tile_32(const char *a, size_t stride, const char *b0, const char *b1, size_t depth,
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

/* out[rows][32] of up to 32 rows; depth is a multiple of 32, stride in bytes. Whole hardware tiles
 * are read and written: `a` and `out` have room for as many rows. */
static void dlm_tile_amx(uint32_t rows, const char *a, size_t stride, const char *b0,
                         const char *b1, size_t depth, struct dlm_tile_ahead *ahead, float *out)
{
    if (rows > 16)
        amx_tile_32(a, stride, b0, b1, depth, ahead, out);
    else
        amx_tile_16(a, stride, b0, b1, depth, ahead, out);
}

#endif
