/* Blocks of quantised weights repacked for the engines: the loops over squares, and the rounding to
 * bf16. */
#ifndef DLM_CPUKERNELS_MATMUL_QUANT_H
#define DLM_CPUKERNELS_MATMUL_QUANT_H

#include "cpukernels/matmul_drive.h"
#include "cpukernels/quant_widen.h"

/* Blocks that the longest part of a sum touches, in the narrower type. */
#define QUANT_MAX_BLOCKS (DLM_MATMUL_DEPTH_BYTES / 2 / 16 + 2)

/* Writes a square of W as the engine's tiles read it, for bwd transposed. */
typedef void (*quant_square_fn)(enum dlm_dtype dtype, bool is_bwd, void *out,
                                const struct dlm_quant_square *square);

/* Square of panel `panel` from k on; scales: of blocks from `first` on. */
DLM_INLINE struct dlm_quant_square quant_square(const struct dlm_quant_panels *q, size_t panel,
                                                size_t k, const struct dlm_quant_scales *scales,
                                                size_t first)
{
    const char *w = q->w + panel * q->panel_bytes;
    const size_t at = (k / (size_t)q->info->block - first) * DLM_PANEL_COLS;
    const int64_t col = (int64_t)k; /* below 2^32 */

    return (struct dlm_quant_square){
        .codes = w + dlm_panel_code_at(q->info, col),
        .high = w + dlm_panel_high_at(q->info, col),
        .word = (int)(col % dlm_panel_unit(q->info) / DLM_PANEL_COLS),
        .scales = scales->scales + at,
        .mins = scales->mins ? scales->mins + at : NULL,
    };
}

/* Squares of the panels along k: each panel of the block after the other. */
DLM_INLINE void quant_repack_fwd(char *dst, const struct drive_source *s, size_t square_bytes,
                                 quant_square_fn write)
{
    const struct dlm_quant_panels q = dlm_quant_panels(s->dtype, s->w, s->n, s->k);
    const size_t block = (size_t)q.info->block, first = s->depth0 / block;
    const size_t num = (s->depth0 + s->depth + block - 1) / block - first;
    float room[2 * QUANT_MAX_BLOCKS * DLM_PANEL_COLS] DLM_ALIGNED(64);

    for (size_t i = 0; i < s->panels; i++) {
        const struct dlm_quant_scales scales =
            dlm_quant_scales(&q, s->panel0 + i, first, num, room);
        for (size_t k = s->depth0; k < s->depth0 + s->depth; k += DLM_PANEL_COLS) {
            const struct dlm_quant_square square =
                quant_square(&q, s->panel0 + i, k, &scales, first);
            write(s->dtype, false, dst, &square);
            dst += square_bytes;
        }
    }
}

/* Panels of W^T: [k/16] of the block, each with the squares of all rows of W. n past W's last panel
 * becomes zero. */
DLM_INLINE void quant_repack_bwd(char *dst, const struct drive_source *s, size_t square_bytes,
                                 quant_square_fn write)
{
    const struct dlm_quant_panels q = dlm_quant_panels(s->dtype, s->w, s->n, s->k);
    const size_t block = (size_t)q.info->block;
    const size_t k0 = (size_t)s->panel0 * DLM_PANEL_COLS, first = k0 / block;
    const size_t k1 = DLM_MIN(k0 + s->panels * DLM_PANEL_COLS, s->padded_k);
    const size_t blocks = (k1 + block - 1) / block - first;
    const size_t panel0 = s->depth0 / DLM_PANEL_COLS, num = s->depth / DLM_PANEL_COLS;
    float room[2 * QUANT_MAX_BLOCKS * DLM_PANEL_COLS] DLM_ALIGNED(64);

    for (size_t n = 0; n < num; n++) {
        const bool is_there = panel0 + n < s->n_panels;
        struct dlm_quant_scales scales = {room, NULL};
        if (is_there)
            scales = dlm_quant_scales(&q, panel0 + n, first, blocks, room);
        for (size_t c = 0; c < s->panels; c++) {
            char *out = dst + (c * num + n) * square_bytes;
            if (!is_there) {
                memset(out, 0, square_bytes);
                continue;
            }
            const struct dlm_quant_square square =
                quant_square(&q, panel0 + n, k0 + c * DLM_PANEL_COLS, &scales, first);
            write(s->dtype, true, out, &square);
        }
    }
}

DLM_INLINE void quant_repack(void *dst, const struct drive_source *s, size_t square_bytes,
                             quant_square_fn write)
{
    if (s->is_bwd)
        quant_repack_bwd(dst, s, square_bytes, write);
    else
        quant_repack_fwd(dst, s, square_bytes, write);
}

/* Rounds the values of u and then of v to bf16. */
typedef void (*quant_round_fn)(uint32_t *words, dlm_vec u, dlm_vec v);

/* A square rounded to bf16: words[8][16 n], of 2 k each. */
DLM_INLINE void quant_round_square(enum dlm_dtype dtype, uint32_t *words,
                                   const struct dlm_quant_square *s, quant_round_fn round)
{
    const struct dlm_code_lookup table = dlm_code_lookup_load(dtype);

    for (int n = 0; n < DLM_PANEL_COLS; n += DLM_TILE_LANES) {
        const dlm_vec scale = dlm_vec_load(s->scales + n);
        const dlm_vec min = s->mins ? dlm_vec_load(s->mins + n) : (dlm_vec){0};
        const dlm_vec low = DLM_SHUFFLE(scale, scale, DLM_LOW_TWICE);
        const dlm_vec high = DLM_SHUFFLE(scale, scale, DLM_HIGH_TWICE);
        const dlm_vec min_low = DLM_SHUFFLE(min, min, DLM_LOW_TWICE);
        const dlm_vec min_high = DLM_SHUFFLE(min, min, DLM_HIGH_TWICE);
        const struct dlm_quant_lanes lanes = dlm_quant_lanes(dtype, s, 2 * n);
#pragma GCC unroll 8
        for (int pair = 0; pair < DLM_PANEL_COLS / 2; pair++) {
            const struct dlm_quant_pair w = dlm_quant_pair(dtype, &table, &lanes, pair);
            round(words + DLM_PANEL_COLS * pair + n, w.u * low - min_low, w.v * high - min_high);
        }
    }
}

#endif
