/* Blocks of quantised weights for the engines: the loops that both repackings share. */
#ifndef DLM_CPUKERNELS_MATMUL_QUANT_H
#define DLM_CPUKERNELS_MATMUL_QUANT_H

#include "cpukernels/matmul_drive.h"
#include "cpukernels/quant_widen.h"

/* Blocks that the longest part of a sum touches, in the narrower type. */
#define QUANT_MAX_BLOCKS (DLM_MATMUL_DEPTH_BYTES / 2 / DLM_Q8_0_BLOCK + 2)

/* Writes 16 k by 16 rows of W: codes as they are, scales [16 rows]. */
typedef void (*quant_square_fn)(void *out, const char *codes, const float *scales);

/* Squares of the panels along k: each panel of the block after the other. */
DLM_INLINE void quant_repack_fwd(char *dst, const struct drive_source *s, size_t square_bytes,
                                 quant_square_fn square)
{
    const struct dlm_quant_panels q = dlm_quant_panels(s->dtype, s->w, s->n, s->k);
    const size_t block = (size_t)dlm_panel_block(s->dtype), first = s->depth0 / block;
    const size_t num = (s->depth0 + s->depth + block - 1) / block - first;
    float room[QUANT_MAX_BLOCKS * DLM_PANEL_COLS] DLM_ALIGNED(64);

    for (size_t i = 0; i < s->panels; i++) {
        const float *scales = dlm_quant_scales(&q, s->panel0 + i, first, num, room);
        for (size_t k = s->depth0; k < s->depth0 + s->depth; k += DLM_PANEL_COLS) {
            square(dst, drive_word(s, s->panel0 + i, k), scales + (k / block - first) * 16);
            dst += square_bytes;
        }
    }
}

/* Panels of W^T: [k/16] of the block, each with the squares of all rows of W. n past W's last panel
 * becomes zero. */
DLM_INLINE void quant_repack_bwd(char *dst, const struct drive_source *s, size_t square_bytes,
                                 quant_square_fn square)
{
    const struct dlm_quant_panels q = dlm_quant_panels(s->dtype, s->w, s->n, s->k);
    const size_t block = (size_t)dlm_panel_block(s->dtype);
    const size_t k0 = (size_t)s->panel0 * DLM_PANEL_COLS, first = k0 / block;
    const size_t k1 = DLM_MIN(k0 + s->panels * DLM_PANEL_COLS, s->padded_k);
    const size_t blocks = (k1 + block - 1) / block - first;
    const size_t panel0 = s->depth0 / DLM_PANEL_COLS, num = s->depth / DLM_PANEL_COLS;
    float room[QUANT_MAX_BLOCKS * DLM_PANEL_COLS] DLM_ALIGNED(64);

    for (size_t n = 0; n < num; n++) {
        const bool is_there = panel0 + n < s->n_panels;
        const float *scales =
            is_there ? dlm_quant_scales(&q, panel0 + n, first, blocks, room) : room;
        for (size_t c = 0; c < s->panels; c++) {
            const size_t k = k0 + c * DLM_PANEL_COLS;
            char *out = dst + (c * num + n) * square_bytes;
            if (is_there)
                square(out, drive_word(s, panel0 + n, k), scales + (k / block - first) * 16);
            else
                memset(out, 0, square_bytes);
        }
    }
}

#endif
