/* Blocks of quantised weights for the engines: the loops that both repackings share. */
#ifndef DLM_CPUKERNELS_MATMUL_QUANT_H
#define DLM_CPUKERNELS_MATMUL_QUANT_H

#include "cpukernels/matmul_drive.h"
#include "cpukernels/quant_widen.h"

/* Blocks that the longest part of a sum touches, in the narrower type. */
#define QUANT_MAX_BLOCKS (DLM_MATMUL_DEPTH_BYTES / 2 / 16 + 2)

/* Writes a square of W. */
typedef void (*quant_square_fn)(enum dlm_dtype dtype, void *out,
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
            write(s->dtype, dst, &square);
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
            write(s->dtype, out, &square);
        }
    }
}

#endif
