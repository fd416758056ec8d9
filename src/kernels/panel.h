/* The resident form of a matmul weight on the CPU. W is logically [n, k], row-major (the weight of
 * PyTorch's nn.Linear). Resident ("panels"):
 *
 *     bf16, f16: [n/16][k/2][16 n][2 k]      f32: [n/16][k][16 n]
 *
 * with n padded to a multiple of 16 and k to a multiple of 32, both with zeros. 16 pairs of k of a
 * panel are byte for byte one AMX tile. The start is aligned to 64 bytes. */
#ifndef DLM_KERNELS_PANEL_H
#define DLM_KERNELS_PANEL_H

#include "base/dtype.h"

#define DLM_PANEL_COLS 16
#define DLM_PANEL_DEPTH 32 /* k is padded to a multiple of this */

static inline int64_t dlm_panel_padded_n(int64_t n)
{
    return (n + DLM_PANEL_COLS - 1) / DLM_PANEL_COLS * DLM_PANEL_COLS;
}

static inline int64_t dlm_panel_padded_k(int64_t k)
{
    return (k + DLM_PANEL_DEPTH - 1) / DLM_PANEL_DEPTH * DLM_PANEL_DEPTH;
}

/* Bytes of the resident form; 0 when the type has none (only f32, bf16 and f16 have), a size is
 * negative or the product overflows. */
size_t dlm_panel_bytes(enum dlm_dtype dtype, int64_t n, int64_t k);

/* Packs rows [n0, n1) of W. dst is the whole resident form; src is row n0 of the row-major matrix,
 * of the same type, with any alignment. n0 is a multiple of 16, and n1 too unless it is n: so calls
 * for different ranges touch different memory, may run at once, and together write every byte. */
void dlm_panel_pack_rows(enum dlm_dtype dtype, void *dst, const void *src, int64_t n0, int64_t n1,
                         int64_t n, int64_t k);

/* out[0..k) = row `row` of W as f32. */
void dlm_panel_row_to_f32(enum dlm_dtype dtype, const void *panels, int64_t row, int64_t k,
                          float *out);

/* Rows [n0, n1) of W back in row-major order: the inverse of dlm_panel_pack_rows, any n0 and n1. */
void dlm_panel_unpack_rows(enum dlm_dtype dtype, const void *panels, void *dst, int64_t n0,
                           int64_t n1, int64_t k);

#endif
