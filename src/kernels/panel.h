/* The resident form of a matmul weight on the CPU. W is logically [n, k], row-major (the weight of
 * PyTorch's nn.Linear). Resident ("panels"):
 *
 *     bf16, f16: [n/16][k/2][16 n][2 k]      f32: [n/16][k][16 n]
 *
 * with n padded to a multiple of 16 and k to a multiple of 32, both with zeros. 16 pairs of k of a
 * panel are byte for byte one AMX tile. The start is aligned to 64 bytes.
 *
 * Weights of base/quant.h, whose blocks lie along k: each panel has its codes, then its scales, and
 * is padded to a multiple of 64 bytes.
 *
 *     q8_0:   i8 [k/2][16 n][2 k]           f16 [k/32][16 n]
 *     nf4:    u4 [k/16][16 n][2 k][8]       f32 [k/64][16 n]
 *     nf4_dq: as nf4                        u8 [k/64][16 n]; after all panels f32 nested[..][2]
 *
 * The eight codes of nf4 in a 32-bit word are those of every other k, the first in the low bits: so
 * a word's lanes are, as in q8_0 and bf16, the even and the odd k of neighbouring rows. nf4 has no
 * padding along k. Missing rows have codes of zero. */
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

/* Elements along k that share a scale: 1, 32 or 64. */
static inline int64_t dlm_panel_block(enum dlm_dtype dtype)
{
    if (dtype == DLM_DTYPE_Q8_0)
        return 32;
    return dlm_dtype_is_quant(dtype) ? 64 : 1;
}

/* Bytes of the 16 elements (codes) of one k. */
static inline size_t dlm_panel_k_bytes(enum dlm_dtype dtype)
{
    if (dlm_dtype_is_quant(dtype))
        return dtype == DLM_DTYPE_Q8_0 ? DLM_PANEL_COLS : DLM_PANEL_COLS / 2;
    return dtype == DLM_DTYPE_F32 ? DLM_PANEL_COLS * 4 : DLM_PANEL_COLS * 2;
}

/* Bytes from a panel to the next: codes, scales and padding. */
static inline size_t dlm_panel_stride(enum dlm_dtype dtype, int64_t k)
{
    const size_t padded = (size_t)dlm_panel_padded_k(k);
    size_t scales = 0;

    if (dtype == DLM_DTYPE_NF4 || dtype == DLM_DTYPE_Q8_0)
        scales = padded; /* 64 bytes each 64, or 32 each 32 */
    else if (dtype == DLM_DTYPE_NF4_DQ)
        scales = padded / 4;
    return (padded * dlm_panel_k_bytes(dtype) + scales + 63) / 64 * 64;
}

/* Bytes of the resident form; 0 when the type has none (floats and quantised types have), k is not
 * whole blocks, a size is negative or the product overflows. */
size_t dlm_panel_bytes(enum dlm_dtype dtype, int64_t n, int64_t k);

/* Packs rows [n0, n1) of W. dst is the whole resident form; src is row n0 of the row-major matrix,
 * of the same type, with any alignment. n0 is a multiple of 16, and n1 too unless it is n: so calls
 * for different ranges touch different memory, may run at once, and together write every byte. */
void dlm_panel_pack_rows(enum dlm_dtype dtype, void *dst, const void *src, int64_t n0, int64_t n1,
                         int64_t n, int64_t k);

/* The same for a quantised weight: codes and scales are those of row n0 on, planar as in
 * base/quant.h. nf4_dq also needs dlm_panel_pack_nested(), once. */
void dlm_panel_pack_quant(enum dlm_dtype dtype, void *dst, const uint8_t *codes, const void *scales,
                          int64_t n0, int64_t n1, int64_t n, int64_t k);

/* The second level of nf4_dq: nested[(n k / 64 + 255) / 256][2]. */
void dlm_panel_pack_nested(void *dst, const float *nested, int64_t n, int64_t k);

/* out[0..k) = row `row` of W [n, k] as f32. */
void dlm_panel_row_to_f32(enum dlm_dtype dtype, const void *panels, int64_t row, int64_t n,
                          int64_t k, float *out);

/* Rows [n0, n1) of W back in row-major order, any n0 and n1: the inverse of dlm_panel_pack_rows,
 * and for floats only as that is. */
void dlm_panel_unpack_rows(enum dlm_dtype dtype, const void *panels, void *dst, int64_t n0,
                           int64_t n1, int64_t k);

#endif
