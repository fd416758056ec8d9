/* Panels of 4 and 8 bits (kernels/panel.h) to vectors of f32: what the kernels of quantised weights
 * share. Values come without their block's scale.
 *
 * The 32 values of a pair of k, of 16 rows of W, are lanes 0..31: lane l is row l / 2 and the even
 * or odd k. u and v are two vectors of neighbouring lanes, so that one shuffle of both gives the
 * even k of as many rows as a vector has lanes, another the odd k. */
#ifndef DLM_CPUKERNELS_QUANT_WIDEN_H
#define DLM_CPUKERNELS_QUANT_WIDEN_H

#include "base/quant.h"
#include "base/quant_tables.h"
#include "cpukernels/convert.h"
#include "cpukernels/matmul_widen.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if DLM_TILE_LANES == 16
#define DLM_EVEN_LANES 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define DLM_ODD_LANES 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#define DLM_LOW_TWICE 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7
#define DLM_HIGH_TWICE 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15
#elif DLM_TILE_LANES == 8
#define DLM_EVEN_LANES 0, 2, 4, 6, 8, 10, 12, 14
#define DLM_ODD_LANES 1, 3, 5, 7, 9, 11, 13, 15
#define DLM_LOW_TWICE 0, 0, 1, 1, 2, 2, 3, 3
#define DLM_HIGH_TWICE 4, 4, 5, 5, 6, 6, 7, 7
#else
#define DLM_EVEN_LANES 0, 2, 4, 6
#define DLM_ODD_LANES 1, 3, 5, 7
#define DLM_LOW_TWICE 0, 0, 1, 1
#define DLM_HIGH_TWICE 2, 2, 3, 3
#endif

typedef uint64_t dlm_pairs DLM_VECTOR(4 * DLM_TILE_LANES);

/* x[0], x[1], x[0], x[1], ... */
DLM_INLINE dlm_vec dlm_vec_pair(const float *x)
{
    uint64_t pair;

    memcpy(&pair, x, sizeof(pair));
    return (dlm_vec)(pair - (dlm_pairs){0});
}

static const float nf4_table[16] DLM_ALIGNED(64) = {DLM_NF4_VALUES};
static const float dynamic_map[128] DLM_ALIGNED(64) = {DLM_DYNAMIC_MAP_VALUES};

/* The codes of NF4 as a table for lookups in registers. */
struct dlm_nf4_lookup {
#if defined(__aarch64__)
    uint8x16x4_t bytes;
#else
    dlm_vec low, high; /* 16 lanes: low is all of it */
#endif
};

DLM_INLINE struct dlm_nf4_lookup dlm_nf4_lookup_load(void)
{
#if defined(__aarch64__)
    return (struct dlm_nf4_lookup){vld1q_u8_x4((const uint8_t *)nf4_table)};
#else
    return (struct dlm_nf4_lookup){
        dlm_vec_load(nf4_table),
        dlm_vec_load(nf4_table + 16 - DLM_TILE_LANES),
    };
#endif
}

/* Values of pair `pair` of eight: codes in bits 4 pair to 4 pair + 3 of each word. */
DLM_INLINE dlm_vec dlm_nf4_values(const struct dlm_nf4_lookup *table, const char *words, int pair)
{
    const dlm_uvec codes = dlm_uvec_load((const uint32_t *)(const void *)words);
#if defined(__AVX512F__)
    return (dlm_vec)_mm512_permutexvar_ps((__m512i)(codes >> (4 * pair)), (__m512)table->low);
#elif defined(__AVX2__)
    /* a lookup reads three bits, the sign chooses between two: the fourth */
    const __m256i index = (__m256i)(codes >> (4 * pair));
    const __m256 low = _mm256_permutevar8x32_ps((__m256)table->low, index);
    const __m256 high = _mm256_permutevar8x32_ps((__m256)table->high, index);
    return (dlm_vec)_mm256_blendv_ps(low, high, (__m256)(codes << (28 - 4 * pair)));
#elif defined(__aarch64__)
    /* a code's four bytes are at 4 code + 0, 1, 2, 3 */
    const dlm_uvec bytes = (codes >> (4 * pair) & 15u) * 0x04040404u + 0x03020100u;
    return (dlm_vec)vqtbl4q_u8(table->bytes, (uint8x16_t)bytes);
#else
    dlm_vec out;
    (void)table;
    for (int lane = 0; lane < DLM_TILE_LANES; lane++)
        out[lane] = nf4_table[codes[lane] >> (4 * pair) & 15u];
    return out;
#endif
}

/* Signed bytes to f32. */
DLM_INLINE dlm_vec dlm_bytes_values(const int8_t *p)
{
#if defined(__AVX512F__)
    const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
    return (dlm_vec)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
#elif defined(__AVX2__)
    const __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)p);
    return (dlm_vec)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
#elif defined(__aarch64__)
    uint32_t bytes;
    memcpy(&bytes, p, sizeof(bytes));
    const int16x8_t wide = vmovl_s8(vreinterpret_s8_u32(vdup_n_u32(bytes)));
    return (dlm_vec)vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)));
#else
    dlm_vec out;
    for (int lane = 0; lane < DLM_TILE_LANES; lane++)
        out[lane] = p[lane];
    return out;
#endif
}

/* Lanes [lane, lane + 2 DLM_TILE_LANES) of pair `pair` of the 16 k whose codes begin at `codes`. */
struct dlm_quant_pair {
    dlm_vec u, v;
};

DLM_INLINE struct dlm_quant_pair dlm_quant_pair(enum dlm_dtype dtype,
                                                const struct dlm_nf4_lookup *table,
                                                const char *codes, int lane, int pair)
{
    if (dtype == DLM_DTYPE_Q8_0) {
        const int8_t *q = (const int8_t *)codes + 2 * DLM_PANEL_COLS * pair + lane;
        return (struct dlm_quant_pair){dlm_bytes_values(q), dlm_bytes_values(q + DLM_TILE_LANES)};
    }
    return (struct dlm_quant_pair){
        dlm_nf4_values(table, codes + 4 * lane, pair),
        dlm_nf4_values(table, codes + 4 * (lane + DLM_TILE_LANES), pair),
    };
}

/* Where a panel's parts lie, and what its scales are made of. */
struct dlm_quant_panels {
    const char *w;
    enum dlm_dtype dtype;
    size_t panel_bytes, code_bytes; /* of a panel; of its codes */
    size_t blocks;                  /* of a row */
    uint32_t n;
    const float *nested; /* nf4_dq: factor and offset of each 256 scales */
};

DLM_INLINE struct dlm_quant_panels dlm_quant_panels(enum dlm_dtype dtype, const void *w, uint32_t n,
                                                    uint32_t k)
{
    struct dlm_quant_panels q = {
        .w = w,
        .dtype = dtype,
        .panel_bytes = dlm_panel_stride(dtype, k),
        .code_bytes = (size_t)dlm_panel_padded_k(k) * dlm_panel_k_bytes(dtype),
        .blocks = k / dlm_panel_block(dtype),
        .n = n,
    };

    q.nested = (const void *)(q.w + (size_t)dlm_panel_padded_n(n) / DLM_PANEL_COLS * q.panel_bytes);
    return q;
}

/* out = map[codes] * factor + offset for the scales of 16 rows, rounded twice as PyTorch does.
 * Entry 127 of the dynamic map is 0, around it lie a table and its negative. */
#if defined(__AVX512F__)
DLM_INLINE void nested_16(const uint8_t *codes, const float *factor, const float *offset,
                          float *out)
{
    const __m512i code = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)codes));
    const __m512i from = _mm512_sub_epi32(code, _mm512_set1_epi32(127));
    const __m512i at = _mm512_sub_epi32(_mm512_abs_epi32(from), _mm512_set1_epi32(1));
    __m512 part[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        part[i] = _mm512_permutex2var_ps(_mm512_load_ps(dynamic_map + 32 * i), at,
                                         _mm512_load_ps(dynamic_map + 32 * i + 16));
    const __mmask16 bit5 = _mm512_test_epi32_mask(at, _mm512_set1_epi32(32));
    const __mmask16 bit6 = _mm512_test_epi32_mask(at, _mm512_set1_epi32(64));
    const __m512 low = _mm512_mask_blend_ps(bit5, part[0], part[1]);
    const __m512 high = _mm512_mask_blend_ps(bit5, part[2], part[3]);
    const __m512i value = _mm512_castps_si512(_mm512_mask_blend_ps(bit6, low, high));
    const __m512i sign = _mm512_and_si512(from, _mm512_set1_epi32(INT32_MIN));
    const __m512 map = _mm512_castsi512_ps(
        _mm512_maskz_xor_epi32(_mm512_test_epi32_mask(from, from), value, sign));
    /* with its rounding named, no compiler makes it a fused step */
    const __m512 product = _mm512_mul_round_ps(map, _mm512_load_ps(factor),
                                               _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    _mm512_storeu_ps(out, _mm512_add_ps(product, _mm512_load_ps(offset)));
}
#else
DLM_INLINE void nested_16(const uint8_t *codes, const float *factor, const float *offset,
                          float *out)
{
    for (int i = 0; i < DLM_PANEL_COLS; i++) {
        const int from = codes[i] - 127;
        const float value = from ? dynamic_map[(from < 0 ? -from : from) - 1] : 0;
        volatile float product = (from < 0 ? -value : value) * factor[i]; /* not a fused step */
        out[i] = product + offset[i];
    }
}
#endif

/* The scales of nf4_dq. code: [num][16] */
static inline void nested_scales(const struct dlm_quant_panels *q, const uint8_t *code,
                                 size_t panel, size_t first, size_t num, float *out)
{
    const size_t row0 = panel * DLM_PANEL_COLS;
    float factor[DLM_PANEL_COLS] DLM_ALIGNED(64), offset[DLM_PANEL_COLS] DLM_ALIGNED(64);

    for (size_t b = 0, until; b < num; b = until) {
        until = num; /* the same second level for every row */
        for (size_t r = 0; r < DLM_PANEL_COLS; r++) {
            /* rows after the last get the scales of that one: any finite value will do */
            const size_t row = DLM_MIN(row0 + r, (size_t)q->n - 1);
            const size_t flat = row * q->blocks + first + b;
            const float *nested = q->nested + flat / DLM_NF4_NESTED * 2;
            factor[r] = nested[0];
            offset[r] = nested[1];
            until = DLM_MIN(until, b + DLM_NF4_NESTED - flat % DLM_NF4_NESTED);
        }
        for (size_t i = b; i < until; i++)
            nested_16(code + i * DLM_PANEL_COLS, factor, offset, out + i * DLM_PANEL_COLS);
    }
}

/* Scales of blocks [first, first + num) of a panel: [num][16] f32, in `out` or where they are. */
DLM_INLINE const float *dlm_quant_scales(const struct dlm_quant_panels *q, size_t panel,
                                         size_t first, size_t num, float *out)
{
    const char *scales = q->w + panel * q->panel_bytes + q->code_bytes;

    if (q->dtype == DLM_DTYPE_NF4)
        return (const float *)(const void *)scales + first * DLM_PANEL_COLS;
    if (q->dtype == DLM_DTYPE_Q8_0) {
        const uint16_t *half = (const uint16_t *)(const void *)scales + first * DLM_PANEL_COLS;
        for (size_t i = 0; i < num * DLM_PANEL_COLS; i++)
            out[i] = dlm_vf16_to_f32(half[i]);
        return out;
    }
    nested_scales(q, (const uint8_t *)scales + first * DLM_PANEL_COLS, panel, first, num, out);
    return out;
}

#endif
