/* Matmul with a weight in panel form (panel.h): what the caller of the kernels must know.
 *
 *   matmul_panel_fwd_*   y[m, n] = alpha x[m, k] W^T (+ c[m, n]) (+ bias[n])
 *   matmul_panel_bwd_*   y[m, k] = alpha x[m, n] W   (+ c[m, k])         x = dy, y = dx
 *   matmul_panel_vec_*   as fwd for m <= DLM_MATMUL_VEC_ROWS: reads W once, no scratch blocks
 *   matmul_panel_round   x rounded and laid out for fwd and bwd, once for all that read it
 *
 * Names end in W's type and, where there is one, the engine: fwd_bf16 and bwd_bf16 widen W and use
 * f32 FMA; those of avx512bf16, amx and neonbf16 round x to bf16, and a quantised W's values too,
 * which every other kernel takes in f32. All sums are f32. The result
 * depends on shapes and the kernel, never on the number of threads.
 *
 * Bindings: 0 x, 1 W (panels), 2 y (f32, row stride y_stride), then c (f32, row stride c_stride)
 * with DLM_MATMUL_HAS_C, then bias (f32) with DLM_MATMUL_HAS_BIAS (fwd and vec). c may be y itself.
 * x and y must not overlap. Strides count elements.
 *
 * x of fwd and bwd is what matmul_panel_round made of it (dlm_matmul_round_bytes()): bf16 for the
 * bf16 engines, and with DLM_MATMUL_ROUND_F32 f32, rounded as round_x says, for the f32 ones. One
 * copy serves all matmuls that read the same x. x of vec and of matmul_panel_round is f32 with row
 * stride x_stride. Rows of zeros, as padding is, are marked in it: the products of a register tile
 * of them are zeros that nobody computes.
 *
 * Dispatch: groups = {items, 1, 1}, scratch_bytes as given below. */
#ifndef DLM_KERNELS_MATMUL_PANEL_H
#define DLM_KERNELS_MATMUL_PANEL_H

#include "base/attr.h"
#include "kernels/panel.h"
#include "kernels/params.h"

/* What x is rounded to before it is multiplied. The bf16 engines always round to bf16. */
#define DLM_MATMUL_ROUND_NONE 0u
#define DLM_MATMUL_ROUND_BF16 1u
#define DLM_MATMUL_ROUND_F16 2u

struct dlm_matmul_panel_params {
    uint32_t m;    /* rows of x and y */
    uint32_t n, k; /* W is [n, k] */
    uint32_t x_stride, y_stride, c_stride;
    uint32_t flags; /* DLM_MATMUL_HAS_C, DLM_MATMUL_HAS_BIAS; matmul_panel_round: ROUND_F32 */
    uint32_t round_x;
    float alpha;
    uint32_t col_items, row_items; /* how y is shared out: dlm_matmul_share() */
};

#define DLM_MATMUL_VEC_ROWS 4

/* Blocking: fixed, so that the order of every sum follows from the shape. */
#define DLM_MATMUL_TILE_COLS 32    /* two panels: the columns of a register tile */
#define DLM_MATMUL_BLOCK_TILES 3   /* tiles that share a pass over the rows of x */
#define DLM_MATMUL_DEPTH_BYTES 4608 /* longest stretch of the sum in one pass, in bytes of x */
#define DLM_MATMUL_ARRANGE_BYTES (12 * DLM_MATMUL_DEPTH_BYTES) /* rows as bfmmla wants them */
#define DLM_MATMUL_ROW_PAD 64      /* bytes after each copied row, against cache set collisions */

static inline uint32_t dlm_matmul_div_up_(uint32_t a, uint32_t b)
{
    return a / b + (a % b != 0);
}

/* First element of part `index` when len is shared out evenly among `parts`. */
static inline uint32_t dlm_matmul_part(uint32_t len, uint32_t parts, uint32_t index)
{
    return (uint32_t)((uint64_t)len * index / parts);
}

#define DLM_MATMUL_CHUNK_ROWS 256 /* the most rows of an item; a multiple of any register tile */
#define DLM_MATMUL_FEW_ROWS 32    /* the fewest, where there are more */
#define DLM_MATMUL_PACK_ROWS 24   /* rows in whose time a block of W is repacked, about */
#define DLM_MATMUL_MIN_ITEMS 16   /* as far as the columns allow */
#define DLM_MATMUL_MANY_ITEMS 8   /* a unit: so many balance themselves */
#define DLM_MATMUL_SOME_ITEMS 4   /* a unit: so many are worth a sixteenth of the time */

/* y as items: rows and column tiles of 32 in parts, each of `batch` products of the shape. */
struct dlm_matmul_split {
    uint32_t rows, tiles, batch;
    uint32_t row_items, col_items;
};

/* Rows times tiles that the busiest of `units` works through. */
static inline uint64_t dlm_matmul_split_cost_(const struct dlm_matmul_split *s, uint32_t units)
{
    const uint64_t items = (uint64_t)s->row_items * s->col_items * s->batch;

    return (items + units - 1) / units *
           (dlm_matmul_div_up_(s->rows, s->row_items) + DLM_MATMUL_PACK_ROWS) *
           dlm_matmul_div_up_(s->tiles, s->col_items);
}

/* Where the items that s has are few for `units`, which work at the same time, makes it the split
 * that ends soonest, of at least as many parts and at most `most_rows` parts of the rows: one with
 * some items for each unit if it is hardly later, because no two cores are equally fast. */
static inline void dlm_matmul_split_for(struct dlm_matmul_split *s, uint32_t most_rows,
                                        uint32_t units)
{
    const uint32_t cols[] = {s->col_items, (s->col_items + s->tiles) / 2, s->tiles};
    struct dlm_matmul_split at = *s, several = *s;
    uint64_t best = UINT64_MAX, best_several = UINT64_MAX;

    units = DLM_MAX(units, 1u);
    if ((uint64_t)s->col_items * s->row_items * s->batch >= (uint64_t)DLM_MATMUL_MANY_ITEMS * units)
        return;
    for (; at.row_items <= most_rows; at.row_items++) {
        for (size_t i = 0; i < DLM_ARRAY_LEN(cols); i++) {
            at.col_items = cols[i];
            const uint64_t items = (uint64_t)at.row_items * at.col_items * at.batch;
            const uint64_t cost = dlm_matmul_split_cost_(&at, units);
            if (cost < best) {
                best = cost;
                *s = at;
            }
            if (items >= (uint64_t)DLM_MATMUL_SOME_ITEMS * units && cost < best_several) {
                best_several = cost;
                several = at;
            }
        }
    }
    if (best_several <= best + best / 16)
        *s = several;
}

/* Shares out y of fwd (n columns) and bwd (k columns) among units: item i is part i % row_items of
 * the rows and part i / row_items of the column tiles, so that neighbours read the same columns of
 * W. No bit of y depends on it. */
static inline void dlm_matmul_share(struct dlm_matmul_panel_params *p, bool is_bwd, uint32_t units)
{
    const uint32_t tiles = dlm_matmul_div_up_(is_bwd ? p->k : p->n, DLM_MATMUL_TILE_COLS);
    const uint32_t least = DLM_MAX(dlm_matmul_div_up_(p->m, DLM_MATMUL_CHUNK_ROWS), 1u);
    struct dlm_matmul_split s = {
        .rows = p->m, .tiles = tiles, .batch = 1,
        .row_items = least,
        .col_items = DLM_MAX(dlm_matmul_div_up_(tiles, DLM_MATMUL_BLOCK_TILES),
                             DLM_MIN(tiles, DLM_MATMUL_MIN_ITEMS)),
    };

    dlm_matmul_split_for(&s, DLM_MAX(p->m / DLM_MATMUL_FEW_ROWS, least), units);
    p->row_items = s.row_items;
    p->col_items = s.col_items;
}

/* Items of a product that has been shared out. */
static inline uint32_t dlm_matmul_panel_items(const struct dlm_matmul_panel_params *p)
{
    return p->col_items * p->row_items;
}

/* Scratch of a worker for any fwd or bwd kernel: a register tile, its rows of x, a block of W. */
static inline size_t dlm_matmul_panel_scratch(const struct dlm_matmul_panel_params *p, bool is_bwd)
{
    const int64_t depth = dlm_panel_padded_k(is_bwd ? p->n : p->k);
    const size_t bytes = DLM_MIN((size_t)depth * 4, (size_t)DLM_MATMUL_DEPTH_BYTES);

    return 32 * 32 * sizeof(float) + DLM_MATMUL_ARRANGE_BYTES +
           bytes * DLM_MATMUL_TILE_COLS * DLM_MATMUL_BLOCK_TILES;
}

#define DLM_MATMUL_VEC_MIN_BYTES ((size_t)512 << 10) /* of W in an item, if there are several */
#define DLM_MATMUL_VEC_MAX_BYTES ((size_t)2 << 20)
#define DLM_MATMUL_VEC_ITEMS 4 /* a unit, as far as they are not too small */

/* vec: an item is a run of panels, long because reading starts slowly, a few for each unit because
 * one may be late. */
static inline void dlm_matmul_share_vec(struct dlm_matmul_panel_params *p, enum dlm_dtype dtype,
                                        uint32_t units)
{
    const uint32_t panels = dlm_matmul_div_up_(p->n, DLM_PANEL_COLS);
    const size_t bytes = panels * dlm_panel_stride(dtype, p->k);
    const size_t few = DLM_MIN((size_t)units * DLM_MATMUL_VEC_ITEMS,
                               bytes / DLM_MATMUL_VEC_MIN_BYTES);
    const size_t items = DLM_MAX(DLM_MAX(few, bytes / DLM_MATMUL_VEC_MAX_BYTES), (size_t)units);

    p->row_items = 1;
    p->col_items = (uint32_t)DLM_MIN(items, (size_t)panels);
}

/* vec: room for the scales of a panel of a quantised W, in elements: at most 16 for 16 k. */
static inline size_t dlm_matmul_vec_room(const struct dlm_matmul_panel_params *p)
{
    return (size_t)dlm_panel_padded_k(p->k);
}

/* vec: a padded copy of x, that room, and a sum for each row of x and 32 k. */
static inline size_t dlm_matmul_vec_scratch(const struct dlm_matmul_panel_params *p)
{
    const size_t row = (size_t)dlm_panel_padded_k(p->k);

    return (row * DLM_MATMUL_VEC_ROWS + dlm_matmul_vec_room(p) +
            row / 32 * DLM_MATMUL_VEC_ROWS) * sizeof(float);
}

/* matmul_panel_round: x[m, k] f32 (stride x_stride) to rows of elem_bytes 2 (bf16) or 4 (f32) with
 * zeros after k. It reads m, k (for bwd: W's n), x_stride, flags and round_x; no scratch. */
static inline size_t dlm_matmul_round_stride(uint32_t k, size_t elem_bytes) /* in bytes */
{
    return (size_t)dlm_panel_padded_k(k) * elem_bytes + DLM_MATMUL_ROW_PAD;
}

/* Where a copied row of `stride` bytes says, in the space behind it, whether all of x is zero. */
static inline size_t dlm_matmul_round_mark(size_t stride)
{
    return stride - sizeof(uint32_t);
}

static inline size_t dlm_matmul_round_bytes(uint32_t m, uint32_t k, size_t elem_bytes)
{
    return ((size_t)m + 32) * dlm_matmul_round_stride(k, elem_bytes); /* AMX reads past row m */
}

#define DLM_MATMUL_ROUND_ROWS 16

static inline uint32_t dlm_matmul_round_items(const struct dlm_matmul_panel_params *p)
{
    return dlm_matmul_div_up_(p->m, DLM_MATMUL_ROUND_ROWS);
}

#endif
