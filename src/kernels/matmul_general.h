/* matmul_general: y[m, n] = alpha sum_k a(m, k) b(k, n) (+ c[m, n]) (+ bias[n]) for operands with
 * any strides: adapters, their gradients, and whatever is no packed weight. a is f32; b is f32,
 * bf16 or f16; sums are f32. Two batch dimensions, a stride of 0 repeats an operand.
 *
 * Bindings: 0 a, 1 b, 2 y, then c (f32) with DLM_MATMUL_HAS_C, then bias (f32) with
 * DLM_MATMUL_HAS_BIAS. c may be y itself. Rows of y and c are contiguous. All strides count
 * elements of the operand.
 *
 * Dispatch: groups = {dlm_matmul_general_items(), 1, 1}, scratch_bytes =
 * dlm_matmul_general_scratch(), after dlm_matmul_general_share(). The result depends on shapes and
 * strides, never on threads. */
#ifndef DLM_KERNELS_MATMUL_GENERAL_H
#define DLM_KERNELS_MATMUL_GENERAL_H

#include "kernels/matmul_panel.h"

struct dlm_matmul_general_params {
    uint32_t m, n, k;
    uint32_t a_m, a_k; /* strides of a */
    uint32_t b_k, b_n; /* strides of b */
    uint32_t y_m, c_m; /* row strides of y and c */
    uint32_t batch[2]; /* both at least 1 */
    uint32_t a_batch[2], b_batch[2], y_batch[2], c_batch[2]; /* strides of the batch dimensions */
    uint32_t b_dtype; /* enum dlm_dtype */
    uint32_t flags;   /* DLM_MATMUL_HAS_C, DLM_MATMUL_HAS_BIAS */
    float alpha;
    uint32_t col_items, row_items; /* of each product: dlm_matmul_general_share() */
};

/* How a shape is worked on. */
enum dlm_matmul_general_way {
    DLM_MATMUL_GENERAL_TILE, /* vectors along n */
    DLM_MATMUL_GENERAL_SWAP, /* few columns: vectors along m, y is written across */
    DLM_MATMUL_GENERAL_DOT,  /* few columns, k contiguous in a: vectors along k */
};

#define DLM_MATMUL_GENERAL_FEW 16    /* columns */
#define DLM_MATMUL_GENERAL_DEPTH 512 /* of the sum, in one pass */
#define DLM_MATMUL_GENERAL_ROWS 256  /* of an item */
#define DLM_MATMUL_GENERAL_DOT_DEPTH 2048
#define DLM_MATMUL_GENERAL_DOT_ROWS 64
#define DLM_MATMUL_GENERAL_LEAST_ROWS 8 /* of an item, where there are more */

static inline enum dlm_matmul_general_way
dlm_matmul_general_way(const struct dlm_matmul_general_params *p)
{
    if (p->n > DLM_MATMUL_GENERAL_FEW)
        return DLM_MATMUL_GENERAL_TILE;
    if (p->a_k == 1)
        return DLM_MATMUL_GENERAL_DOT;
    return p->m > p->n ? DLM_MATMUL_GENERAL_SWAP : DLM_MATMUL_GENERAL_TILE;
}

/* Shares out y, with n and m swapped where the way is, among units that work at the same time. No
 * bit of y depends on it. */
static inline void dlm_matmul_general_share(struct dlm_matmul_general_params *p, uint32_t units)
{
    const enum dlm_matmul_general_way way = dlm_matmul_general_way(p);
    const uint32_t rows = way == DLM_MATMUL_GENERAL_SWAP ? p->n : p->m;
    const uint32_t cols = way == DLM_MATMUL_GENERAL_SWAP ? p->m : p->n;
    const uint32_t most = way == DLM_MATMUL_GENERAL_DOT ? DLM_MATMUL_GENERAL_DOT_ROWS
                                                        : DLM_MATMUL_GENERAL_ROWS;
    const uint32_t tiles = dlm_matmul_div_up_(cols, DLM_MATMUL_TILE_COLS);
    struct dlm_matmul_split s = {
        .rows = rows, .tiles = tiles, .batch = p->batch[0] * p->batch[1],
        .row_items = DLM_MAX(dlm_matmul_div_up_(rows, most), 1u),
        .col_items = DLM_MAX(dlm_matmul_div_up_(tiles, DLM_MATMUL_BLOCK_TILES), 1u),
    };

    dlm_matmul_split_for(&s, DLM_MAX(rows / DLM_MATMUL_GENERAL_LEAST_ROWS, s.row_items), units);
    p->row_items = s.row_items;
    p->col_items = s.col_items;
}

static inline uint64_t dlm_matmul_general_items(const struct dlm_matmul_general_params *p)
{
    return (uint64_t)p->col_items * p->row_items * p->batch[0] * p->batch[1];
}

/* What the largest item of the shape copies of each operand, in floats. */
struct dlm_matmul_general_blocks {
    size_t a; /* rows and their gaps; none where rows are read in place */
    size_t b; /* whole tiles of columns */
};

static inline struct dlm_matmul_general_blocks
dlm_matmul_general_blocks(const struct dlm_matmul_general_params *p)
{
    const enum dlm_matmul_general_way way = dlm_matmul_general_way(p);
    const uint32_t rows = way == DLM_MATMUL_GENERAL_SWAP ? p->n : p->m;
    const uint32_t cols = way == DLM_MATMUL_GENERAL_SWAP ? p->m : p->n;
    const uint32_t tiles = dlm_matmul_div_up_(cols, DLM_MATMUL_TILE_COLS);
    const size_t depth = DLM_MIN((size_t)dlm_panel_padded_k(p->k),
                                 (size_t)DLM_MATMUL_GENERAL_DEPTH);

    if (way == DLM_MATMUL_GENERAL_DOT)
        return (struct dlm_matmul_general_blocks){
            .b = (size_t)DLM_MATMUL_GENERAL_FEW * (DLM_MATMUL_GENERAL_DOT_DEPTH + 16)};
    return (struct dlm_matmul_general_blocks){
        .a = dlm_matmul_div_up_(rows, p->row_items) * (depth + 16),
        .b = dlm_matmul_div_up_(tiles, p->col_items) * DLM_MATMUL_TILE_COLS * depth};
}

/* A tile and the blocks: few pages of a small shape, because plans count all of it as touched. */
static inline size_t dlm_matmul_general_scratch(const struct dlm_matmul_general_params *p)
{
    const struct dlm_matmul_general_blocks blocks = dlm_matmul_general_blocks(p);

    return sizeof(float) *
           (DLM_MATMUL_GENERAL_ROWS * DLM_MATMUL_TILE_COLS + blocks.a + blocks.b);
}

#endif
