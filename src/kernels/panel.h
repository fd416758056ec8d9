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
 *     q4_0:   as nf4                        f16 [k/32][16 n]
 *     q4_k:   as nf4                        u8 scale[k/32][16 n], u8 min[k/32][16 n],
 *                                           f16 d[k/256][2][16 n]
 *     q5_k:   [k/64] of u4 [4][16 n][2 k][8], u1 [16 n][2 k][32]       then as q4_k
 *     q6_k:   [k/32] of u4 [2][16 n][2 k][8], u2 [16 n][2 k][16]
 *                                           i8 [k/16][16 n], f16 d[k/256][16 n]
 *
 * The eight codes of 4 bits in a 32-bit word are those of every other k, the first in the low bits:
 * so a word's lanes are, as in q8_0 and bf16, the even and the odd k of neighbouring rows. High
 * bits are for the codes of several such words, in the order of base/quant.h: those of code i of
 * word g begin at bit 8 (i / 2) + (2 g + i % 2) times their number. Codes of 4 bits have no padding
 * along k. Missing rows have codes of zero, or scales. */
#ifndef DLM_KERNELS_PANEL_H
#define DLM_KERNELS_PANEL_H

#include "base/quant.h"

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

/* Bytes of the 16 elements (codes) of one k. */
static inline size_t dlm_panel_k_bytes(enum dlm_dtype dtype)
{
    const struct dlm_quant_info *q = dlm_quant_info(dtype);

    if (q)
        return (size_t)(q->code_bits + q->high_bits) * DLM_PANEL_COLS / 8;
    return dtype == DLM_DTYPE_F32 ? DLM_PANEL_COLS * 4 : DLM_PANEL_COLS * 2;
}

/* k whose codes lie together with one word of high bits for each lane; 16 where there are none. */
static inline int64_t dlm_panel_unit(const struct dlm_quant_info *q)
{
    return q->high_bits ? 64 / q->high_bits : 16;
}

/* Where the codes of k begin, in bytes from the panel; k: a multiple of 16. */
static inline size_t dlm_panel_code_at(const struct dlm_quant_info *q, int64_t k)
{
    const int64_t unit = dlm_panel_unit(q), bits = q->code_bits + q->high_bits;

    return (size_t)(k / unit * unit * bits + k % unit * q->code_bits) * DLM_PANEL_COLS / 8;
}

/* And their words of high bits; meaningless where there are none. */
static inline size_t dlm_panel_high_at(const struct dlm_quant_info *q, int64_t k)
{
    const int64_t unit = dlm_panel_unit(q), bits = q->code_bits + q->high_bits;

    return (size_t)(k / unit * unit * bits + unit * q->code_bits) * DLM_PANEL_COLS / 8;
}

/* Whether a second level of scales stands in the panel: not nf4_dq's, whose groups cross rows. */
static inline bool dlm_panel_has_nested(const struct dlm_quant_info *q)
{
    return q->group && q->group <= 256;
}

/* Bytes from a panel to the next: codes, scales and padding. */
static inline size_t dlm_panel_stride(enum dlm_dtype dtype, int64_t k)
{
    const struct dlm_quant_info *q = dlm_quant_info(dtype);
    const size_t padded = (size_t)dlm_panel_padded_k(k);
    size_t each = 0; /* of a row */

    if (q)
        each = (size_t)(k / q->block) * (q->scale_bytes + q->min_bytes);
    if (q && dlm_panel_has_nested(q))
        each += (size_t)(k / q->group) * q->nested_bytes;
    return (padded * dlm_panel_k_bytes(dtype) + each * DLM_PANEL_COLS + 63) / 64 * 64;
}

/* Bytes of the resident form; 0 when the type has none (floats and quantised types have), k is not
 * whole blocks, a size is negative or the product overflows. */
size_t dlm_panel_bytes(enum dlm_dtype dtype, int64_t n, int64_t k);

/* Packs rows [n0, n1) of W. dst is the whole resident form; src is row n0 of the row-major matrix,
 * of the same type, with any alignment. n0 is a multiple of 16, and n1 too unless it is n: so calls
 * for different ranges touch different memory, may run at once, and together write every byte. */
void dlm_panel_pack_rows(enum dlm_dtype dtype, void *dst, const void *src, int64_t n0, int64_t n1,
                         int64_t n, int64_t k);

/* The same for a quantised weight: src begins with row n0. Nested scales of nf4_dq are not looked
 * at, but need dlm_panel_pack_nested(), once. */
void dlm_panel_pack_quant(void *dst, const struct dlm_quant_view *src, int64_t n0, int64_t n1,
                          int64_t n, int64_t k);

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
