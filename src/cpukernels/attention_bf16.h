/* What the two engines of attention in bf16 share: rows rounded with AVX-512 BF16, and panels
 * [columns / 16][depth / 2][16][2] of them, which are B tiles of AMX as they stand (panel.h). */
#ifndef DLM_CPUKERNELS_ATTENTION_BF16_H
#define DLM_CPUKERNELS_ATTENTION_BF16_H

#include "cpukernels/attention_engine.h"

#include <immintrin.h>

#if defined(__AVX512BF16__) /* vectors are returned in registers that others do not have */

/* Lanes of 16 that lie before `len` when the first is number `at`. */
DLM_INLINE __mmask16 lanes_before(size_t len, size_t at)
{
    return len >= at + 16 ? 0xffff : len > at ? (__mmask16)((1u << (len - at)) - 1) : 0;
}

/* 16 elements of row i of m from d on; zeros where there are none. */
DLM_INLINE __m512 load_f32(const struct matrix *m, size_t i, size_t d)
{
    const __mmask16 mask = i < m->num ? lanes_before(m->dim, d) : 0;

    return _mm512_maskz_loadu_ps(mask, (const float *)m->data + i * m->stride + d);
}

DLM_INLINE __m256i load_bf16(const struct matrix *m, size_t i, size_t d)
{
    const __mmask16 mask = i < m->num ? lanes_before(m->dim, d) : 0;

    return _mm256_maskz_loadu_epi16(mask, (const uint16_t *)m->data + i * m->stride + d);
}

/* As bf16: 16 elements of row i from d on, behind them 16 of row i2 from d2 on. */
DLM_INLINE __m512i load_two(enum dlm_dtype dtype, const struct matrix *m, size_t i, size_t d,
                            size_t i2, size_t d2)
{
    if (dtype == DLM_DTYPE_BF16)
        return _mm512_inserti64x4(_mm512_castsi256_si512(load_bf16(m, i, d)), load_bf16(m, i2, d2),
                                  1);
    return (__m512i)_mm512_cvtne2ps_pbh(load_f32(m, i2, d2), load_f32(m, i, d));
}

/* factor row[dim] as bf16, zeros up to the next multiple of 32. */
static void copy_row(void *to, const float *row, uint32_t dim, float factor)
{
    const __m512 f = _mm512_set1_ps(factor);
    char *out = to;

    for (size_t d = 0; d < (dim + 31u) / 32 * 32; d += 16) {
        const __m512 x = _mm512_maskz_loadu_ps(lanes_before(dim, d), row + d);
        _mm256_storeu_si256((__m256i *)(void *)(out + 2 * d),
                            (__m256i)_mm512_cvtneps_pbh(_mm512_mul_ps(x, f)));
    }
}

static void copy_stored(void *to, const struct matrix *m, size_t i)
{
    char *out = to;

    for (size_t d = 0; d < (m->dim + 31u) / 32 * 32; d += 16) {
        const __m256i x = m->dtype == DLM_DTYPE_BF16
                              ? load_bf16(m, i, d)
                              : (__m256i)_mm512_cvtneps_pbh(load_f32(m, i, d));
        _mm256_storeu_si256((__m256i *)(void *)(out + 2 * d), x);
    }
}

/* What is written lies before what is still to be read. */
static void narrow_scores(float *scores, size_t begin, size_t end)
{
    char *out = (char *)scores;

    for (size_t s = begin; s < end; s += 16) {
        const __m512 x = _mm512_loadu_ps(scores + s);
        _mm256_storeu_si256((__m256i *)(void *)(out + 2 * s), (__m256i)_mm512_cvtneps_pbh(x));
    }
}

/* Pairs of rows: column d of the panel has rows i and i + 1. */
DLM_INLINE void pack_rows_typed(enum dlm_dtype dtype, char *panels, const struct matrix *m,
                                size_t depth)
{
    const __m512i pairs = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9,
                                           24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1,
                                           16, 0);

    for (size_t i = 0; i < depth; i += 2) {
        for (size_t d = 0; d < m->dim; d += 16) {
            const __m512i both = load_two(dtype, m, i, d, i + 1, d);
            _mm512_storeu_si512(panels + 2 * (d * depth + i * 16),
                                _mm512_permutexvar_epi16(pairs, both));
        }
    }
}

/* Transposes 16 x 16 words. */
DLM_INLINE void transpose_words(__m512i v[16])
{
    __m512i t[16];

#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
    }
    /* v[4 g + c]: word c of each quarter of rows 4 g to 4 g + 3 */
#pragma GCC unroll 4
    for (int g = 0; g < 16; g += 4) {
        v[g] = _mm512_unpacklo_epi64(t[g], t[g + 2]);
        v[g + 1] = _mm512_unpackhi_epi64(t[g], t[g + 2]);
        v[g + 2] = _mm512_unpacklo_epi64(t[g + 1], t[g + 3]);
        v[g + 3] = _mm512_unpackhi_epi64(t[g + 1], t[g + 3]);
    }
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) {
        const __m512i low = _mm512_shuffle_i32x4(v[c], v[c + 4], 0x88);
        const __m512i high = _mm512_shuffle_i32x4(v[c], v[c + 4], 0xdd);
        const __m512i low2 = _mm512_shuffle_i32x4(v[c + 8], v[c + 12], 0x88);
        const __m512i high2 = _mm512_shuffle_i32x4(v[c + 8], v[c + 12], 0xdd);
        t[c] = _mm512_shuffle_i32x4(low, low2, 0x88);
        t[c + 8] = _mm512_shuffle_i32x4(low, low2, 0xdd);
        t[c + 4] = _mm512_shuffle_i32x4(high, high2, 0x88);
        t[c + 12] = _mm512_shuffle_i32x4(high, high2, 0xdd);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        v[i] = t[i];
}

/* A row of m is a column: 16 rows of 16 pairs are transposed at a time. depth: dim, padded. */
DLM_INLINE void pack_across_typed(enum dlm_dtype dtype, char *panels, const struct matrix *m,
                                  size_t depth)
{
    for (size_t i0 = 0; i0 < m->num; i0 += 16, panels += 2 * 16 * depth) {
        for (size_t d = 0; d < depth; d += 32) {
            const size_t words = DLM_MIN(depth - d, (size_t)32) / 2;
            __m512i v[16];
#pragma GCC unroll 16
            for (size_t i = 0; i < 16; i++)
                v[i] = load_two(dtype, m, i0 + i, d, i0 + i, d + 16);
            transpose_words(v);
            for (size_t i = 0; i < words; i++)
                _mm512_storeu_si512(panels + 32 * d + 64 * i, v[i]);
        }
    }
}

static void pack_rows(void *panels, const struct matrix *m, size_t depth)
{
    if (m->dtype == DLM_DTYPE_BF16)
        pack_rows_typed(DLM_DTYPE_BF16, panels, m, depth);
    else
        pack_rows_typed(DLM_DTYPE_F32, panels, m, depth);
}

static void pack_across(void *panels, const struct matrix *m, size_t depth)
{
    if (m->dtype == DLM_DTYPE_BF16)
        pack_across_typed(DLM_DTYPE_BF16, panels, m, depth);
    else
        pack_across_typed(DLM_DTYPE_F32, panels, m, depth);
}

/* forward, backward_queries or backward_keys */
typedef void (*attention_fn)(const struct attention_engine *e, const struct dlm_cpu_call *call,
                             int64_t index, enum dlm_dtype dtype);

#endif

#endif
