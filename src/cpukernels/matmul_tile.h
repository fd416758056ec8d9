/* Register tiles, the innermost loops of all matmuls: what the engines share. A tile is a few rows
 * of A by 32 columns of two B panels ([depth][16] words each); the sum over `depth` is left in
 * out[rows][32], from where it is scaled and added to y.
 *
 * gcc keeps an array of vectors in memory however it is unrolled, so the accumulators are named
 * variables, written by the row lists below. All static: each instruction set has its own. */
#ifndef DLM_CPUKERNELS_MATMUL_TILE_H
#define DLM_CPUKERNELS_MATMUL_TILE_H

#include "base/attr.h"
#include "kernels/matmul_panel.h"

#define DLM_TILE_STEPS 16 /* steps of the sum in one turn of the loop */

/* Bytes of W that a turn asks for in advance. Tiles of NEON, 8 columns wide, make more turns. */
#if defined(__aarch64__)
#define DLM_TILE_AHEAD 512
#else
#define DLM_TILE_AHEAD 1024
#endif

/* X(row, base, offset): row = base + offset * stride, so that few registers hold addresses. */
#define DLM_TILE_ROWS_1(X) X(0, a0, 0)
#define DLM_TILE_ROWS_2(X) DLM_TILE_ROWS_1(X) X(1, a0, 1)
#define DLM_TILE_ROWS_3(X) DLM_TILE_ROWS_2(X) X(2, a0, 2)
#define DLM_TILE_ROWS_4(X) DLM_TILE_ROWS_3(X) X(3, a1, 0)
#define DLM_TILE_ROWS_5(X) DLM_TILE_ROWS_4(X) X(4, a1, 1)
#define DLM_TILE_ROWS_6(X) DLM_TILE_ROWS_5(X) X(5, a1, 2)
#define DLM_TILE_ROWS_7(X) DLM_TILE_ROWS_6(X) X(6, a2, 0)
#define DLM_TILE_ROWS_8(X) DLM_TILE_ROWS_7(X) X(7, a2, 1)
#define DLM_TILE_ROWS_9(X) DLM_TILE_ROWS_8(X) X(8, a2, 2)
#define DLM_TILE_ROWS_10(X) DLM_TILE_ROWS_9(X) X(9, a3, 0)
#define DLM_TILE_ROWS_11(X) DLM_TILE_ROWS_10(X) X(10, a3, 1)
#define DLM_TILE_ROWS_12(X) DLM_TILE_ROWS_11(X) X(11, a3, 2)

/* Memory that will be needed next, in runs of whole units: a tile asks for one each turn. */
struct dlm_tile_ahead {
    const char *at;
    size_t run_left, run_units; /* units left in this run, of a run */
    size_t skip;                /* bytes from the end of a run to the start of the next */
    size_t units_left;          /* in all */
};

/* The next unit to prefetch; `hot` (which is in the cache and costs nothing) when all is done. */
DLM_INLINE const char *dlm_tile_next(struct dlm_tile_ahead *ahead, const void *hot)
{
    if (!ahead->units_left)
        return hot;
    const char *at = ahead->at;
    ahead->units_left--;
    ahead->at += DLM_TILE_AHEAD;
    if (!--ahead->run_left) {
        ahead->run_left = ahead->run_units;
        ahead->at += ahead->skip;
    }
    return at;
}

/* Where tiles go. */
struct dlm_tile_out {
    float *y;
    size_t y_stride;
    const float *c; /* NULL: none */
    size_t c_stride;
    const float *bias; /* NULL: none */
    float alpha;
};

DLM_INLINE void dlm_tile_write_row(float *y, const float *t, const float *add, const float *bias,
                                   float alpha, uint32_t cols)
{
    if (add && bias) {
#pragma omp simd
        for (uint32_t j = 0; j < cols; j++)
            y[j] = alpha * t[j] + (add[j] + bias[j]);
    } else if (add || bias) {
        const float *one = add ? add : bias;
#pragma omp simd
        for (uint32_t j = 0; j < cols; j++)
            y[j] = alpha * t[j] + one[j];
    } else {
#pragma omp simd
        for (uint32_t j = 0; j < cols; j++)
            y[j] = alpha * t[j];
    }
}

/* Writes t[rows][32] to y at (row, col). The first part of the sum adds c and bias, later ones add
 * to what is in y: so c may be y. */
DLM_INLINE void dlm_tile_write(const struct dlm_tile_out *o, const float *t, uint32_t row,
                               uint32_t rows, uint32_t col, uint32_t cols, bool is_first)
{
    const float *bias = is_first && o->bias ? o->bias + col : NULL;

    for (uint32_t r = 0; r < rows; r++, t += DLM_MATMUL_TILE_COLS) {
        float *y = o->y + (size_t)(row + r) * o->y_stride + col;
        const float *add = y;
        if (is_first)
            add = o->c ? o->c + (size_t)(row + r) * o->c_stride + col : NULL;
        if (cols == DLM_MATMUL_TILE_COLS)
            dlm_tile_write_row(y, t, add, bias, o->alpha, DLM_MATMUL_TILE_COLS);
        else
            dlm_tile_write_row(y, t, add, bias, o->alpha, cols);
    }
}

#endif
