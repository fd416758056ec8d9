/* Matmul of operands with any strides: blocks of both are copied into scratch, then pass the f32
 * register tiles. Few columns (adapters of low rank) take two other ways, see matmul_general.h. */
#include "base/scalar.h"
#include "cpukernels/cpukernels.h"
#include "cpukernels/matmul_tile_f32.h"
#include "kernels/matmul_general.h"

#define DEPTH DLM_MATMUL_GENERAL_DEPTH
#define COLS DLM_PANEL_COLS

/* An operand as a matrix: element (i, j) at data[i * row + j * col]. */
struct matrix {
    const void *data;
    enum dlm_dtype dtype;
    size_t row, col;
};

/* One item: y' = a' b' on rows [row0, row0 + rows) and columns [col0, col0 + cols), where a' and b'
 * are a and b, or b^T and a^T. */
struct work {
    const struct dlm_matmul_general_params *p;
    struct matrix a, b;
    float *y;
    const float *c, *bias;
    size_t y_m, c_m;
    uint32_t row0, rows, col0, cols;
    float *a_block, *b_block, *tile;
};

DLM_INLINE float element(enum dlm_dtype dtype, const void *data, size_t at)
{
    if (dtype == DLM_DTYPE_F32)
        return ((const float *)data)[at];
    const uint32_t half = ((const uint16_t *)data)[at];
    return dtype == DLM_DTYPE_BF16 ? dlm_bf16_to_f32(half) : dlm_f16_to_f32(half);
}

DLM_INLINE void copy_strided(enum dlm_dtype dtype, float *out, const void *data, size_t at,
                             size_t step, size_t len)
{
    if (step == 1) {
        for (size_t i = 0; i < len; i++)
            out[i] = element(dtype, data, at + i);
    } else {
        for (size_t i = 0; i < len; i++)
            out[i] = element(dtype, data, at + i * step);
    }
}

/* out[0..len) = elements of x from `at` on, `step` apart, as f32. */
static void copy_row(float *out, const struct matrix *x, size_t at, size_t step, size_t len)
{
    switch (x->dtype) {
    case DLM_DTYPE_BF16:
        copy_strided(DLM_DTYPE_BF16, out, x->data, at, step, len);
        break;
    case DLM_DTYPE_F16:
        copy_strided(DLM_DTYPE_F16, out, x->data, at, step, len);
        break;
    default:
        copy_strided(DLM_DTYPE_F32, out, x->data, at, step, len);
        break;
    }
}

/* out[len0][stride] = x (i, j) for i in [i0, i0 + len0), j in [j0, j0 + len1), zeros up to padded
 * columns. Runs along whichever dimension is contiguous in x. */
static void copy_block(float *out, size_t stride, const struct matrix *x, size_t i0, size_t len0,
                       size_t j0, size_t len1, size_t padded)
{
    float line[DLM_MATMUL_GENERAL_ROWS];

    if (x->col <= x->row || len0 > DLM_MATMUL_GENERAL_ROWS) {
        for (size_t i = 0; i < len0; i++)
            copy_row(out + i * stride, x, (i0 + i) * x->row + j0 * x->col, x->col, len1);
    } else {
        for (size_t j = 0; j < len1; j++) {
            copy_row(line, x, i0 * x->row + (j0 + j) * x->col, x->row, len0);
            for (size_t i = 0; i < len0; i++)
                out[i * stride + j] = line[i];
        }
    }
    for (size_t i = 0; i < len0; i++) {
        for (size_t j = len1; j < padded; j++)
            out[i * stride + j] = 0.0f;
    }
}

#define PACK_DEPTH 64 /* of a panel that is filled at a time: 4 KiB, in L1 */

/* panel[depth][16] = b (k, j) for k in [k0, k0 + depth), j in [j0, j0 + cols), zeros after them. */
DLM_INLINE void pack_block(enum dlm_dtype dtype, float *panel, const struct matrix *b, size_t k0,
                           size_t depth, size_t j0, uint32_t cols)
{
    if (b->col == 1 && cols == COLS) {
        for (size_t k = 0; k < depth; k++) {
            const size_t from = (k0 + k) * b->row + j0;
            for (uint32_t j = 0; j < COLS; j++)
                panel[k * COLS + j] = element(dtype, b->data, from + j);
        }
        return;
    }
    for (uint32_t j = 0; j < COLS; j++) {
        const size_t from = k0 * b->row + (j0 + j) * b->col;
        for (size_t k = 0; k < depth; k++)
            panel[k * COLS + j] = j < cols ? element(dtype, b->data, from + k * b->row) : 0.0f;
    }
}

/* Panels [16 columns][padded][16] of b for the item's columns; zeros outside b. */
DLM_INLINE void pack_typed(enum dlm_dtype dtype, const struct work *w, size_t k0, size_t depth,
                           size_t padded)
{
    for (size_t k = 0; k < depth; k += PACK_DEPTH) {
        for (uint32_t col = 0; col < w->cols; col += COLS) {
            pack_block(dtype, w->b_block + col * padded + k * COLS, &w->b, k0 + k,
                       DLM_MIN(depth - k, (size_t)PACK_DEPTH), w->col0 + col,
                       DLM_MIN(w->cols - col, (uint32_t)COLS));
        }
    }
    for (uint32_t col = 0; col < w->cols; col += COLS) {
        memset(w->b_block + col * padded + depth * COLS, 0,
               (padded - depth) * COLS * sizeof(float));
    }
}

static void pack_panels(const struct work *w, size_t k0, size_t depth, size_t padded)
{
    switch (w->b.dtype) {
    case DLM_DTYPE_BF16:
        pack_typed(DLM_DTYPE_BF16, w, k0, depth, padded);
        break;
    case DLM_DTYPE_F16:
        pack_typed(DLM_DTYPE_F16, w, k0, depth, padded);
        break;
    default:
        pack_typed(DLM_DTYPE_F32, w, k0, depth, padded);
        break;
    }
}

/* SWAP: tile[rows of n][32 of m] to y[m, n]. */
static void write_across(const struct work *w, const float *tile, uint32_t row, uint32_t rows,
                         uint32_t col, uint32_t cols, bool is_first)
{
    for (uint32_t j = 0; j < cols; j++) {
        float *y = w->y + (size_t)(col + j) * w->y_m + row;
        const float *c = w->c ? w->c + (size_t)(col + j) * w->c_m + row : NULL;
        for (uint32_t r = 0; r < rows; r++) {
            float sum = w->p->alpha * tile[r * DLM_MATMUL_TILE_COLS + j];
            if (!is_first)
                sum += y[r];
            else
                sum += (c ? c[r] : 0.0f) + (w->bias ? w->bias[row + r] : 0.0f);
            y[r] = sum;
        }
    }
}

static void run_tiles(const struct work *w, bool is_swapped)
{
    const uint32_t groups = dlm_matmul_div_up_(w->rows, DLM_TILE_ROWS);
    struct dlm_tile_ahead ahead = {0};
    const struct dlm_tile_out out = {
        .y = w->y, .y_stride = w->y_m, .c = w->c, .c_stride = w->c_m, .bias = w->bias,
        .alpha = w->p->alpha,
    };

    for (uint32_t k0 = 0; k0 < DLM_MAX(w->p->k, 1u); k0 += DEPTH) {
        const size_t depth = DLM_MIN(w->p->k - k0, (uint32_t)DEPTH);
        const size_t padded = (depth + DLM_TILE_STEPS - 1) / DLM_TILE_STEPS * DLM_TILE_STEPS;
        const size_t stride = padded + 16;
        copy_block(w->a_block, stride, &w->a, w->row0, w->rows, k0, depth, padded);
        pack_panels(w, k0, depth, padded);
        for (uint32_t g = 0; g < groups; g++) {
            const uint32_t r0 = dlm_matmul_part(w->rows, groups, g);
            const uint32_t rows = dlm_matmul_part(w->rows, groups, g + 1) - r0;
            for (uint32_t col = 0; col < w->cols; col += DLM_MATMUL_TILE_COLS) {
                const uint32_t cols = DLM_MIN(w->cols - col, (uint32_t)DLM_MATMUL_TILE_COLS);
                const float *b0 = w->b_block + col * padded;
                const float *b1 = cols > COLS ? b0 + COLS * padded : b0;
                dlm_tile_f32(rows, w->a_block + r0 * stride, stride, b0, b1, padded, &ahead,
                             w->tile);
                if (is_swapped)
                    write_across(w, w->tile, w->row0 + r0, rows, w->col0 + col, cols, k0 == 0);
                else
                    dlm_tile_write(&out, w->tile, w->row0 + r0, rows, w->col0 + col, cols, k0 == 0);
            }
        }
    }
}

typedef float quad DLM_VECTOR(16);

DLM_INLINE float sum_lanes(dlm_vec v)
{
    quad part, sum = {0};

    for (size_t i = 0; i < sizeof(v); i += sizeof(part)) {
        memcpy(&part, (const char *)&v + i, sizeof(part));
        sum += part;
    }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* sums[4 rows][2 columns] of a[rows][len] and b[2][len]. */
static void dot_4x2(const float *const a[4], const float *b0, const float *b1, size_t len,
                    float sums[8])
{
    const float *a0 = a[0], *a1 = a[1], *a2 = a[2], *a3 = a[3];
    dlm_vec s00 = {0}, s01 = {0}, s10 = {0}, s11 = {0};
    dlm_vec s20 = {0}, s21 = {0}, s30 = {0}, s31 = {0};
    size_t k = 0;

    for (; k + DLM_TILE_LANES <= len; k += DLM_TILE_LANES) {
        const dlm_vec u = dlm_vec_load(b0 + k), v = dlm_vec_load(b1 + k);
        const dlm_vec x0 = dlm_vec_load(a0 + k), x1 = dlm_vec_load(a1 + k);
        const dlm_vec x2 = dlm_vec_load(a2 + k), x3 = dlm_vec_load(a3 + k);
        s00 += x0 * u, s01 += x0 * v;
        s10 += x1 * u, s11 += x1 * v;
        s20 += x2 * u, s21 += x2 * v;
        s30 += x3 * u, s31 += x3 * v;
    }
    sums[0] = sum_lanes(s00), sums[1] = sum_lanes(s01);
    sums[2] = sum_lanes(s10), sums[3] = sum_lanes(s11);
    sums[4] = sum_lanes(s20), sums[5] = sum_lanes(s21);
    sums[6] = sum_lanes(s30), sums[7] = sum_lanes(s31);
    for (; k < len; k++) {
        for (int r = 0; r < 4; r++) {
            sums[2 * r] += a[r][k] * b0[k];
            sums[2 * r + 1] += a[r][k] * b1[k];
        }
    }
}

/* Few columns, k contiguous in a: b^T is copied to scratch, rows of a are read in place. */
static void run_dots(const struct work *w)
{
    const size_t stride = DLM_MATMUL_GENERAL_DOT_DEPTH + 16;
    const struct dlm_tile_out out = {
        .y = w->y, .y_stride = w->y_m, .c = w->c, .c_stride = w->c_m, .bias = w->bias,
        .alpha = w->p->alpha,
    };
    const struct matrix b_t = {w->b.data, w->b.dtype, w->b.col, w->b.row};
    const float *a = (const float *)w->a.data + (size_t)w->row0 * w->a.row;

    memset(w->tile, 0, (size_t)w->rows * DLM_MATMUL_TILE_COLS * sizeof(float));
    for (uint32_t k0 = 0; k0 < w->p->k; k0 += DLM_MATMUL_GENERAL_DOT_DEPTH) {
        const size_t depth = DLM_MIN(w->p->k - k0, (uint32_t)DLM_MATMUL_GENERAL_DOT_DEPTH);
        copy_block(w->b_block, stride, &b_t, w->col0, w->cols, k0, depth, depth);
        for (uint32_t r = 0; r < w->rows; r += 4) {
            const uint32_t rows = DLM_MIN(w->rows - r, 4u);
            const float *row[4];
            for (uint32_t i = 0; i < 4; i++)
                row[i] = a + (size_t)(r + DLM_MIN(i, rows - 1)) * w->a.row + k0;
            for (uint32_t j = 0; j < w->cols; j += 2) {
                const uint32_t cols = DLM_MIN(w->cols - j, 2u);
                const float *b0 = w->b_block + j * stride;
                float sums[8];
                dot_4x2(row, b0, cols > 1 ? b0 + stride : b0, depth, sums);
                for (uint32_t i = 0; i < rows; i++) {
                    for (uint32_t h = 0; h < cols; h++)
                        w->tile[(r + i) * DLM_MATMUL_TILE_COLS + j + h] += sums[2 * i + h];
                }
            }
        }
    }
    dlm_tile_write(&out, w->tile, w->row0, w->rows, w->col0, w->cols, true);
}

void DLM_CPU_KERNEL(matmul_general)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_matmul_general_params *p = call->params;
    const enum dlm_matmul_general_way way = dlm_matmul_general_way(p);
    const bool is_swapped = way == DLM_MATMUL_GENERAL_SWAP;
    const uint32_t num_rows = is_swapped ? p->n : p->m;
    const uint32_t num_cols = is_swapped ? p->m : p->n;
    const uint32_t tiles = dlm_matmul_div_up_(num_cols, DLM_MATMUL_TILE_COLS);
    const uint32_t col_item = (uint32_t)(item % p->col_items);
    const uint32_t row_item = (uint32_t)(item / p->col_items % p->row_items);
    const size_t batch = (size_t)(item / p->col_items / p->row_items);
    const size_t i0 = batch / p->batch[1], i1 = batch % p->batch[1];
    const enum dlm_dtype b_dtype = (enum dlm_dtype)p->b_dtype;
    uint32_t next = 3;

    const struct matrix a = {
        (const float *)call->buffers[0] + i0 * p->a_batch[0] + i1 * p->a_batch[1],
        DLM_DTYPE_F32, p->a_m, p->a_k,
    };
    const struct matrix b = {
        (const char *)call->buffers[1] +
            dlm_dtype_size(b_dtype, (int64_t)(i0 * p->b_batch[0] + i1 * p->b_batch[1])),
        b_dtype, p->b_k, p->b_n,
    };
    struct work w = {
        .p = p,
        .a = is_swapped ? (struct matrix){b.data, b.dtype, b.col, b.row} : a,
        .b = is_swapped ? (struct matrix){a.data, a.dtype, a.col, a.row} : b,
        .y = (float *)call->buffers[2] + i0 * p->y_batch[0] + i1 * p->y_batch[1],
        .y_m = p->y_m,
        .c_m = p->c_m,
        .row0 = dlm_matmul_part(num_rows, p->row_items, row_item),
        .col0 = dlm_matmul_part(tiles, p->col_items, col_item) * DLM_MATMUL_TILE_COLS,
        .tile = call->scratch,
    };
    if (p->flags & DLM_MATMUL_HAS_C) {
        w.c = (const float *)call->buffers[next++] + i0 * p->c_batch[0] + i1 * p->c_batch[1];
    }
    if (p->flags & DLM_MATMUL_HAS_BIAS)
        w.bias = call->buffers[next];
    w.rows = dlm_matmul_part(num_rows, p->row_items, row_item + 1) - w.row0;
    const uint32_t tile1 = dlm_matmul_part(tiles, p->col_items, col_item + 1);
    w.cols = DLM_MIN(tile1 * DLM_MATMUL_TILE_COLS, num_cols) - w.col0;
    w.b_block = w.tile + DLM_MATMUL_GENERAL_ROWS * DLM_MATMUL_TILE_COLS;
    w.a_block = w.b_block + dlm_matmul_general_blocks(p).b;
    if (way == DLM_MATMUL_GENERAL_DOT)
        run_dots(&w);
    else
        run_tiles(&w, is_swapped);
}
