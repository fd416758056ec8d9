/* What the two bf16 engines share: the repacking of W with AVX-512, transposed for bwd, or out of 4
 * and 8 bits. */
#ifndef DLM_CPUKERNELS_MATMUL_BF16_H
#define DLM_CPUKERNELS_MATMUL_BF16_H

#include <immintrin.h>
#include <string.h>

#include "cpukernels/matmul_quant.h"

/* v[i] holds pair i of k for 16 n: [16 n][2 k]. Afterwards v[j] holds pair j of n for 16 k:
 * [16 k][2 n]. In 64-bit units: swap the two middle 16-bit values of each, then transpose 8 x 8. */
DLM_INLINE void transpose_pairs(__m512i v[8])
{
    const __m512i middle = _mm512_set4_epi32(0x0f0e0b0a, 0x0d0c0908, 0x07060302, 0x05040100);
    __m512i t[8], u[8];

    for (int i = 0; i < 8; i++)
        v[i] = _mm512_shuffle_epi8(v[i], middle);
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm512_unpacklo_epi64(v[i], v[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi64(v[i], v[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        for (int h = 0; h < 2; h++) {
            u[i + h] = _mm512_shuffle_i64x2(t[i + h], t[i + h + 2], 0x88);
            u[i + h + 2] = _mm512_shuffle_i64x2(t[i + h], t[i + h + 2], 0xdd);
        }
    }
    for (int h = 0; h < 4; h++) {
        /* u[h] holds the columns c and c + 4 of rows 0..3, u[h + 4] those of rows 4..7 */
        v[h] = _mm512_shuffle_i64x2(u[h], u[h + 4], 0x88);
        v[h + 4] = _mm512_shuffle_i64x2(u[h], u[h + 4], 0xdd);
    }
}

/* Panels of W^T: [k/16][n/2][16 k][2 n] for the block. n past W's last panel becomes zero. */
static void repack_transposed(void *dst, const struct drive_source *s)
{
    const size_t panel_bytes = s->depth * DLM_PANEL_COLS * 2;
    const size_t first = s->depth0 / DLM_PANEL_COLS;
    const size_t num = s->depth / DLM_PANEL_COLS;

    for (size_t n = 0; n < num; n++) {
        const char *src = drive_word(s, first + n, (size_t)s->panel0 * DLM_PANEL_COLS);
        for (size_t c = 0; c < s->panels; c++, src += 512) {
            char *out = (char *)dst + c * panel_bytes + n * 512;
            __m512i v[8];
            if (first + n >= s->n_panels) {
                memset(out, 0, 512);
                continue;
            }
#pragma GCC unroll 8
            for (int i = 0; i < 8; i++)
                v[i] = _mm512_loadu_si512(src + 64 * i);
            transpose_pairs(v);
#pragma GCC unroll 8
            for (int i = 0; i < 8; i++)
                _mm512_store_si512(out + 64 * i, v[i]);
        }
    }
}

#if defined(__AVX512F__) /* vectors of f32 have 16 lanes */

DLM_INLINE void round_pair(uint32_t *words, dlm_vec u, dlm_vec v)
{
    _mm512_store_si512(words, (__m512i)_mm512_cvtne2ps_pbh((__m512)v, (__m512)u));
}

DLM_INLINE void store_square(enum dlm_dtype dtype, bool is_bwd, void *out,
                             const struct dlm_quant_square *square)
{
    uint32_t words[DLM_PANEL_COLS * DLM_PANEL_COLS / 2] DLM_ALIGNED(64);
    __m512i v[8];

    quant_round_square(dtype, words, square, round_pair);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        v[i] = _mm512_load_si512(words + DLM_PANEL_COLS * i);
    if (is_bwd)
        transpose_pairs(v);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        _mm512_store_si512((char *)out + 64 * i, v[i]);
}

static void write_square(enum dlm_dtype dtype, bool is_bwd, void *out,
                         const struct dlm_quant_square *square)
{
#define STORE(type) store_square(type, is_bwd, out, square)
    DLM_WITH_QUANT(dtype, STORE)
#undef STORE
}

static void repack_quant(void *dst, const struct drive_source *s)
{
    quant_repack(dst, s, DLM_PANEL_COLS * DLM_PANEL_COLS * 2, write_square);
}

#endif

#endif
