/* The loops around the register tiles, shared by all engines (f32, avx512bf16, amx, neonbf16) and
 * both directions. An item owns a range of rows and column tiles of y. It walks
 *
 *   parts of the sum -> blocks of 3 column tiles -> groups of rows -> tiles
 *
 * so that the block of W (from memory, or repacked into scratch) stays in the second-level cache
 * while all rows pass it, and asks for the next block of W meanwhile. */
#ifndef DLM_CPUKERNELS_MATMUL_DRIVE_H
#define DLM_CPUKERNELS_MATMUL_DRIVE_H

#include <stdbool.h>
#include <string.h>

#include "cpukernels/cpukernels.h"
#include "cpukernels/matmul_tile.h"

/* A block of W ready for the tiles: panel i of the block starts at data + i * panel_bytes. */
struct drive_block {
    const char *data;
    size_t panel_bytes;
};

/* W in memory and the block of it that is wanted: panels [panel0, panel0 + panels) of 16 columns of
 * y and [depth0, depth0 + depth) of the sum. */
struct drive_source {
    const char *w;
    enum dlm_dtype dtype;
    bool is_bwd;       /* y has W's k as columns, the sum goes over its n */
    uint32_t n, k;     /* of W */
    uint32_t n_panels; /* of W */
    size_t padded_k, panel_bytes, k_bytes;
    uint32_t panel0, panels;
    size_t depth0, depth;
};

/* What an engine brings. */
struct drive_engine {
    uint32_t max_rows; /* of a register tile */
    uint32_t a_bytes;  /* of an element of the rounded x: 2 (bf16) or 4 (f32) */
    enum dlm_dtype dtype; /* of W */
    uint32_t b_bytes;  /* of an element of the block that the tiles read */
    bool is_bwd;
    /* writes the block to dst as panels [depth][16] (b_bytes 4), [depth/2][16][2] or what else the
     * tile wants; NULL: W's own panels serve */
    void (*repack)(void *dst, const struct drive_source *source);
    /* writes `rows` rows of the part of x to dst as the tile wants them, whose a it becomes; NULL:
     * as they are */
    void (*arrange)(char *dst, const char *a, size_t stride, uint32_t rows, size_t depth);
    /* out[rows][32] = a[rows][depth] times the panels b0 and b1; stride in bytes. May write whole
     * tiles of up to 32 rows. */
    void (*tile)(uint32_t rows, const char *a, size_t stride, const char *b0, const char *b1,
                 size_t depth, struct dlm_tile_ahead *ahead, float *out);
};

/* What does not change during an item. */
struct drive {
    const struct drive_engine *e;
    const struct dlm_matmul_panel_params *p;
    const char *x, *w;
    struct dlm_tile_out out;
    char *w_block, *a_block; /* scratch */
    float *tile;
    uint32_t cols;           /* of y */
    uint32_t depth;          /* of the sum */
    uint32_t row0, rows;     /* of this item */
    uint32_t tile0, tiles;   /* column tiles of this item */
    uint32_t parts;          /* of the sum */
    uint32_t blocks;         /* of column tiles */
};

/* Start of a part of the sum. */
DLM_INLINE size_t drive_part(const struct drive *d, uint32_t part)
{
    const uint32_t units = (uint32_t)(dlm_panel_padded_k(d->depth) / DLM_PANEL_DEPTH);

    return (size_t)dlm_matmul_part(units, d->parts, part) * DLM_PANEL_DEPTH;
}

DLM_INLINE struct drive_source drive_source(const struct drive *d, uint32_t part, uint32_t block)
{
    const uint32_t tile0 = d->tile0 + dlm_matmul_part(d->tiles, d->blocks, block);
    const uint32_t tile1 = d->tile0 + dlm_matmul_part(d->tiles, d->blocks, block + 1);
    const uint32_t out_panels = (uint32_t)(dlm_panel_padded_n(d->cols) / DLM_PANEL_COLS);
    struct drive_source s = {
        .w = d->w,
        .dtype = d->e->dtype,
        .is_bwd = d->e->is_bwd,
        .n = d->p->n,
        .k = d->p->k,
        .n_panels = (uint32_t)(dlm_panel_padded_n(d->p->n) / DLM_PANEL_COLS),
        .padded_k = (size_t)dlm_panel_padded_k(d->p->k),
        .panel_bytes = dlm_panel_stride(d->e->dtype, d->p->k),
        .k_bytes = dlm_panel_k_bytes(d->e->dtype),
        .panel0 = 2 * tile0,
        .panels = DLM_MIN(2 * tile1, out_panels) - 2 * tile0,
        .depth0 = drive_part(d, part),
    };

    s.depth = drive_part(d, part + 1) - s.depth0;
    return s;
}

/* Start of the elements (codes) of panel `panel` of W from k on. */
DLM_INLINE const char *drive_word(const struct drive_source *s, size_t panel, size_t k)
{
    return s->w + panel * s->panel_bytes + k * s->k_bytes;
}

/* The memory that repack or the tiles will read for a source, in whole units: those of
 * quantised weights are rounded down, and scales are left to the hardware. */
DLM_INLINE struct dlm_tile_ahead drive_ahead(const struct drive_source *s)
{
    struct dlm_tile_ahead a = {0};
    size_t runs;

    if (s->is_bwd) {
        const size_t first = s->depth0 / DLM_PANEL_COLS;
        const size_t last = DLM_MIN((s->depth0 + s->depth) / DLM_PANEL_COLS, (size_t)s->n_panels);
        const size_t k = (size_t)s->panel0 * DLM_PANEL_COLS;
        const size_t len = DLM_MIN((size_t)s->panels * DLM_PANEL_COLS, s->padded_k - k);
        a.at = drive_word(s, first, k);
        a.run_units = len * s->k_bytes / DLM_TILE_AHEAD;
        runs = last - first;
    } else {
        a.at = drive_word(s, s->panel0, s->depth0);
        a.run_units = s->depth * s->k_bytes / DLM_TILE_AHEAD;
        runs = s->panels;
    }
    a.run_units = DLM_MAX(a.run_units, (size_t)1);
    a.run_left = a.run_units;
    a.skip = s->panel_bytes - a.run_units * DLM_TILE_AHEAD;
    a.units_left = a.run_units * runs;
    return a;
}

/* The block of W as the tiles read it: repacked into scratch, or where it is. */
DLM_INLINE struct drive_block drive_pack(const struct drive *d, const struct drive_source *s)
{
    const struct drive_engine *e = d->e;

    if (!e->repack) {
        return (struct drive_block){
            .data = drive_word(s, s->panel0, s->depth0),
            .panel_bytes = s->panel_bytes,
        };
    }
    e->repack(d->w_block, s);
    return (struct drive_block){
        .data = d->w_block,
        .panel_bytes = s->depth * DLM_PANEL_COLS * e->b_bytes,
    };
}

/* All of x's rows [row, row + num) are marked as zeros. */
DLM_INLINE bool drive_is_zero(const struct drive *d, uint32_t row, uint32_t num)
{
    const size_t stride = dlm_matmul_round_stride(d->depth, d->e->a_bytes);
    const char *mark = d->x + row * stride + dlm_matmul_round_mark(stride);
    uint32_t is_zero = 1;

    for (uint32_t r = 0; r < num && is_zero; r++)
        memcpy(&is_zero, mark + r * stride, sizeof(is_zero));
    return is_zero;
}

/* All rows of the item past one block of W, which is not looked at for rows of zeros. */
DLM_INLINE void drive_block_rows(const struct drive *d, const struct drive_source *s,
                                 const struct drive_block *b, const char *a, size_t stride,
                                 struct dlm_tile_ahead *ahead)
{
    const uint32_t groups = dlm_matmul_div_up_(d->rows, d->e->max_rows);

    for (uint32_t g = 0; g < groups; g++) {
        const uint32_t r0 = dlm_matmul_part(d->rows, groups, g);
        const uint32_t rows = dlm_matmul_part(d->rows, groups, g + 1) - r0;
        const bool is_zero = drive_is_zero(d, d->row0 + r0, rows);
        const char *x = a + r0 * stride;
        if (is_zero) {
            memset(d->tile, 0, rows * DLM_MATMUL_TILE_COLS * sizeof(*d->tile));
        } else if (d->e->arrange) {
            d->e->arrange(d->a_block, x, stride, rows, s->depth);
            x = d->a_block;
        }
        for (uint32_t i = 0; i < s->panels; i += 2) {
            const char *b0 = b->data + i * b->panel_bytes;
            const char *b1 = i + 1 < s->panels ? b0 + b->panel_bytes : b0;
            const uint32_t col = (s->panel0 + i) * DLM_PANEL_COLS;
            const uint32_t cols = DLM_MIN(d->cols - col, (uint32_t)DLM_MATMUL_TILE_COLS);
            if (!is_zero)
                d->e->tile(rows, x, stride, b0, b1, s->depth, ahead, d->tile);
            dlm_tile_write(&d->out, d->tile, d->row0 + r0, rows, col, cols, s->depth0 == 0);
        }
    }
}

/* The item's share of rows, column tiles and parts of the sum. */
DLM_INLINE struct drive drive_start(const struct drive_engine *e, const struct dlm_cpu_call *call,
                                    int64_t item)
{
    const struct dlm_matmul_panel_params *p = call->params;
    struct drive d = {
        .e = e,
        .p = p,
        .x = call->buffers[0],
        .w = call->buffers[1],
        .cols = e->is_bwd ? p->k : p->n,
        .depth = e->is_bwd ? p->n : p->k,
    };
    const uint32_t tiles = dlm_matmul_div_up_(d.cols, DLM_MATMUL_TILE_COLS);
    const uint32_t row_item = (uint32_t)(item % p->row_items);
    const uint32_t col_item = (uint32_t)(item / p->row_items);

    d.row0 = dlm_matmul_part(p->m, p->row_items, row_item);
    d.rows = dlm_matmul_part(p->m, p->row_items, row_item + 1) - d.row0;
    d.tile0 = dlm_matmul_part(tiles, p->col_items, col_item);
    d.tiles = dlm_matmul_part(tiles, p->col_items, col_item + 1) - d.tile0;
    d.blocks = dlm_matmul_div_up_(d.tiles, DLM_MATMUL_BLOCK_TILES);
    d.parts = dlm_matmul_div_up_((uint32_t)dlm_panel_padded_k(d.depth),
                                 DLM_MATMUL_DEPTH_BYTES / e->a_bytes);
    return d;
}

/* Where the item writes, and its scratch: the tile, the block of W. */
DLM_INLINE void drive_bind(struct drive *d, const struct dlm_cpu_call *call)
{
    const struct dlm_matmul_panel_params *p = d->p;
    uint32_t next = 3;

    d->out = (struct dlm_tile_out){
        .y = call->buffers[2],
        .y_stride = p->y_stride,
        .alpha = p->alpha,
    };
    if (p->flags & DLM_MATMUL_HAS_C) {
        d->out.c = call->buffers[next++];
        d->out.c_stride = p->c_stride;
    }
    if (p->flags & DLM_MATMUL_HAS_BIAS)
        d->out.bias = call->buffers[next];
    d->tile = call->scratch;
    d->a_block = (char *)call->scratch + 32 * DLM_MATMUL_TILE_COLS * sizeof(float);
    d->w_block = d->a_block + DLM_MATMUL_ARRANGE_BYTES;
}

/* What to prefetch while block `block` of part `part` is worked on: the next block of the item, or
 * the first of the item that this worker will probably get next. */
DLM_INLINE struct dlm_tile_ahead drive_next(const struct drive *d, const struct dlm_cpu_call *call,
                                            int64_t item, uint32_t part, uint32_t block)
{
    const struct dlm_tile_ahead none = {0};
    struct drive next = *d;

    if (++block == d->blocks) {
        block = 0;
        part++;
    }
    if (part == d->parts) {
        item += call->num_workers;
        if (item >= call->num_items)
            return none;
        next = drive_start(d->e, call, item);
        part = 0;
    }
    const struct drive_source s = drive_source(&next, part, block);
    return drive_ahead(&s);
}

/* One item of a fwd or bwd kernel. */
DLM_INLINE void drive_item(const struct drive_engine *e, const struct dlm_cpu_call *call,
                           int64_t item)
{
    struct drive d = drive_start(e, call, item);

    drive_bind(&d, call);
    const size_t stride = dlm_matmul_round_stride(d.depth, e->a_bytes);
    const bool is_zero = drive_is_zero(&d, d.row0, d.rows);
    for (uint32_t part = 0; part < d.parts; part++) {
        const char *a = d.x + d.row0 * stride + drive_part(&d, part) * e->a_bytes;
        for (uint32_t block = 0; block < d.blocks; block++) {
            const struct drive_source s = drive_source(&d, part, block);
            struct dlm_tile_ahead ahead = drive_next(&d, call, item, part, block);
            const struct drive_block b = is_zero ? (struct drive_block){.data = d.w}
                                                 : drive_pack(&d, &s);
            drive_block_rows(&d, &s, &b, a, stride, &ahead);
        }
    }
}

#endif
