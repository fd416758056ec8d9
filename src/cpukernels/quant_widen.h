/* Panels of 4 to 8 bits (kernels/panel.h) to vectors of f32: what the kernels of quantised weights
 * share. Values come without their block's scale, and nothing is taken off them yet.
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

/* The codes of NF4 as a table for lookups in registers; with AVX-512 the numbers that other codes
 * of 4 and 5 bits are. */
struct dlm_code_lookup {
#if defined(__aarch64__)
    uint8x16x4_t bytes;
#else
    dlm_vec low, high; /* 16 lanes: high is for a fifth bit, or a copy */
#endif
};

DLM_INLINE struct dlm_code_lookup dlm_code_lookup_load(enum dlm_dtype dtype)
{
#if defined(__aarch64__)
    (void)dtype;
    return (struct dlm_code_lookup){vld1q_u8_x4((const uint8_t *)nf4_table)};
#else
    struct dlm_code_lookup table = {
        dlm_vec_load(nf4_table),
        dlm_vec_load(nf4_table + 16 - DLM_TILE_LANES),
    };
    for (int i = 0; dtype != DLM_DTYPE_NF4 && i < DLM_TILE_LANES; i++) {
        table.low[i] = (float)(dtype == DLM_DTYPE_Q4_0 ? i - 8 : i);
        table.high[i] = (float)(i + 16);
    }
    return table;
#endif
}

/* Codes of eight pairs of k: those of even pairs in the low bits of the bytes of `even`, of odd
 * pairs in `odd`. What the bytes hold above is anything. */
struct dlm_codes {
    dlm_uvec even, odd;
};

/* low where a byte of it has its four low bits, else high. */
DLM_INLINE dlm_uvec dlm_join_bits(dlm_uvec low, dlm_uvec high)
{
#if defined(__AVX512F__)
    const __m512i mask = _mm512_set1_epi32(0x0f0f0f0f);
    return (dlm_uvec)_mm512_ternarylogic_epi32(mask, (__m512i)low, (__m512i)high, 0xca);
#elif defined(__aarch64__)
    const uint32x4_t mask = vdupq_n_u32(0x0f0f0f0fu);
    return (dlm_uvec)vbslq_u32(mask, (uint32x4_t)low, (uint32x4_t)high);
#else
    return (low & 0x0f0f0f0fu) | (high & 0xf0f0f0f0u);
#endif
}

/* words: of 4 bits a code; high: the bits above them, of 0, 1 or 2 a code, those of the first pair
 * lowest. */
DLM_INLINE struct dlm_codes dlm_codes_load(enum dlm_dtype dtype, const char *words, dlm_uvec high)
{
    const dlm_uvec low = dlm_uvec_load((const uint32_t *)(const void *)words);

    if (dtype == DLM_DTYPE_Q5_K)
        return (struct dlm_codes){dlm_join_bits(low, high << 4),
                                  dlm_join_bits(low >> 4, high << 3)};
    if (dtype == DLM_DTYPE_Q6_K)
        return (struct dlm_codes){dlm_join_bits(low, high << 4),
                                  dlm_join_bits(low >> 4, high << 2)};
    return (struct dlm_codes){low, low >> 4};
}

/* Bits of a word of high bits that belong to eight pairs. */
DLM_INLINE int dlm_high_step(enum dlm_dtype dtype)
{
    return dtype == DLM_DTYPE_Q5_K ? 2 : 4;
}

/* Numbers in byte `byte` (0 .. 2) of the lanes, `most` being all ones, less `zero`. They become the
 * units of a power of two: that needs no shift and no conversion, and zero costs nothing. */
DLM_INLINE dlm_vec dlm_small_values(dlm_uvec words, int byte, uint32_t most, float zero)
{
    const uint32_t mask = most << (8 * byte), power = (150u - 8 * (uint32_t)byte) << 23;
    const float units = 8388608.0f / (float)(1u << (8 * byte)); /* what `power` is as f32 */
#if defined(__AVX512F__)
    const dlm_uvec joined = (dlm_uvec)_mm512_ternarylogic_epi32(
        (__m512i)words, _mm512_set1_epi32((int)mask), _mm512_set1_epi32((int)power), 0xea);
#else
    const dlm_uvec joined = (words & mask) | power;
#endif
    return (dlm_vec)joined - (units + zero);
}

DLM_INLINE dlm_vec dlm_nf4_values(const struct dlm_code_lookup *table, dlm_uvec codes)
{
#if defined(__AVX512F__)
    return (dlm_vec)_mm512_permutexvar_ps((__m512i)codes, (__m512)table->low);
#elif defined(__AVX2__)
    /* a lookup reads three bits, the sign chooses between two: the fourth */
    const __m256 low = _mm256_permutevar8x32_ps((__m256)table->low, (__m256i)codes);
    const __m256 high = _mm256_permutevar8x32_ps((__m256)table->high, (__m256i)codes);
    return (dlm_vec)_mm256_blendv_ps(low, high, (__m256)(codes << 28));
#elif defined(__aarch64__)
    /* a code's four bytes are at 4 code + 0, 1, 2, 3 */
    const dlm_uvec bytes = (codes & 15u) * 0x04040404u + 0x03020100u;
    return (dlm_vec)vqtbl4q_u8(table->bytes, (uint8x16_t)bytes);
#else
    dlm_vec out;
    (void)table;
    for (int lane = 0; lane < DLM_TILE_LANES; lane++)
        out[lane] = nf4_table[codes[lane] & 15u];
    return out;
#endif
}

/* What the codes of pair `pair` of eight have times their scales. */
DLM_INLINE dlm_vec dlm_code_values(enum dlm_dtype dtype, const struct dlm_code_lookup *table,
                                   const struct dlm_codes *codes, int pair)
{
    const dlm_uvec words = pair % 2 ? codes->odd : codes->even;
    const int byte = pair / 2;

    if (dtype == DLM_DTYPE_NF4)
        return dlm_nf4_values(table, words >> (8 * byte));
#if defined(__AVX512F__)
    /* a lookup of what needs a shift, or none: the others then take the pipes that do not shift */
    if (dtype != DLM_DTYPE_Q6_K && byte % 3 == 0) {
        const __m512i at = (__m512i)(words >> (8 * byte));
        if (dtype == DLM_DTYPE_Q5_K)
            return (dlm_vec)_mm512_permutex2var_ps((__m512)table->low, at, (__m512)table->high);
        return (dlm_vec)_mm512_permutexvar_ps(at, (__m512)table->low);
    }
#endif
    const uint32_t most = dtype == DLM_DTYPE_Q6_K ? 63 : dtype == DLM_DTYPE_Q5_K ? 31 : 15;
    const float zero = dtype == DLM_DTYPE_Q6_K ? 32 : dtype == DLM_DTYPE_Q4_0 ? 8 : 0;
    return byte < 3 ? dlm_small_values(words, byte, most, zero)
                    : dlm_small_values(words >> 24, 0, most, zero);
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

/* Halves to f32. */
DLM_INLINE dlm_vec dlm_halves_values(const uint16_t *p)
{
#if defined(__AVX512F__)
    return (dlm_vec)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
#elif defined(__AVX2__) && defined(__F16C__)
    return (dlm_vec)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
#elif defined(__aarch64__)
    return (dlm_vec)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
#else
    dlm_vec out;
    for (int lane = 0; lane < DLM_TILE_LANES; lane++)
        out[lane] = dlm_vf16_to_f32(p[lane]);
    return out;
#endif
}

/* A square: 16 k of the 16 rows of a panel. */
struct dlm_quant_square {
    const char *codes, *high; /* high: words of high bits, from `word` on those of this square */
    int word;
    const float *scales, *mins; /* of the rows; mins NULL: nothing is taken off */
};

/* Lanes [lane, lane + 2 DLM_TILE_LANES) of a square, pair by pair. */
struct dlm_quant_lanes {
    struct dlm_codes u, v;
    const int8_t *bytes; /* of q8_0 */
};

DLM_INLINE struct dlm_quant_lanes dlm_quant_lanes(enum dlm_dtype dtype,
                                                  const struct dlm_quant_square *s, int lane)
{
    struct dlm_quant_lanes lanes = {.bytes = (const int8_t *)s->codes + lane};
    dlm_uvec u = {0}, v = {0};

    if (dtype == DLM_DTYPE_Q8_0)
        return lanes;
    if (dtype == DLM_DTYPE_Q5_K || dtype == DLM_DTYPE_Q6_K) {
        const uint32_t *high = (const uint32_t *)(const void *)s->high + lane;
        u = dlm_uvec_load(high) >> (s->word * dlm_high_step(dtype));
        v = dlm_uvec_load(high + DLM_TILE_LANES) >> (s->word * dlm_high_step(dtype));
    }
    lanes.u = dlm_codes_load(dtype, s->codes + 4 * lane, u);
    lanes.v = dlm_codes_load(dtype, s->codes + 4 * (lane + DLM_TILE_LANES), v);
    return lanes;
}

struct dlm_quant_pair {
    dlm_vec u, v;
};

DLM_INLINE struct dlm_quant_pair dlm_quant_pair(enum dlm_dtype dtype,
                                                const struct dlm_code_lookup *table,
                                                const struct dlm_quant_lanes *lanes, int pair)
{
    if (dtype == DLM_DTYPE_Q8_0) {
        const int8_t *q = lanes->bytes + 2 * DLM_PANEL_COLS * pair;
        return (struct dlm_quant_pair){dlm_bytes_values(q), dlm_bytes_values(q + DLM_TILE_LANES)};
    }
    return (struct dlm_quant_pair){
        dlm_code_values(dtype, table, &lanes->u, pair),
        dlm_code_values(dtype, table, &lanes->v, pair),
    };
}

/* F(type), an expression, with dtype as a constant; nf4_dq has the codes of nf4. */
#define DLM_WITH_QUANT(dtype, F)                                                                   \
    switch (dtype) {                                                                               \
    case DLM_DTYPE_Q8_0:                                                                           \
        F(DLM_DTYPE_Q8_0);                                                                         \
        break;                                                                                     \
    case DLM_DTYPE_Q4_0:                                                                           \
        F(DLM_DTYPE_Q4_0);                                                                         \
        break;                                                                                     \
    case DLM_DTYPE_Q4_K:                                                                           \
        F(DLM_DTYPE_Q4_K);                                                                         \
        break;                                                                                     \
    case DLM_DTYPE_Q5_K:                                                                           \
        F(DLM_DTYPE_Q5_K);                                                                         \
        break;                                                                                     \
    case DLM_DTYPE_Q6_K:                                                                           \
        F(DLM_DTYPE_Q6_K);                                                                         \
        break;                                                                                     \
    default: /* nf4, nf4_dq */                                                                     \
        F(DLM_DTYPE_NF4);                                                                          \
        break;                                                                                     \
    }

/* Where a panel's parts lie, and what its scales are made of. */
struct dlm_quant_panels {
    const char *w;
    enum dlm_dtype dtype;
    size_t panel_bytes, code_bytes; /* of a panel; of its codes */
    size_t blocks;                  /* of a row */
    const struct dlm_quant_info *info;
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
        .info = dlm_quant_info(dtype),
        .n = n,
    };

    q.blocks = k / (uint32_t)q.info->block; /* at most 64 */
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

/* Scales of blocks [first, first + num) of a panel: [num][16] f32, in the caller's room or where
 * they are; mins NULL: nothing is taken off. */
struct dlm_quant_scales {
    const float *scales, *mins;
};

/* out[num][16] = bytes, of which none is over 127, times the halves of their group of 256 k, which
 * are `step` apart. */
DLM_INLINE void byte_scales(const int8_t *bytes, const uint16_t *halves, size_t step,
                            size_t per_group, size_t first, size_t num, float *out)
{
    for (size_t b = first, until; b < first + num; b = until) {
        until = DLM_MIN(first + num, (b / per_group + 1) * per_group);
        for (int r = 0; r < DLM_PANEL_COLS; r += DLM_TILE_LANES) {
            const dlm_vec d = dlm_halves_values(halves + b / per_group * step + r);
            for (size_t i = b; i < until; i++) {
                const dlm_vec scale = d * dlm_bytes_values(bytes + i * DLM_PANEL_COLS + r);
                memcpy(out + (i - first) * DLM_PANEL_COLS + r, &scale, sizeof(scale));
            }
        }
    }
}

/* room: 2 num times 16. */
DLM_INLINE struct dlm_quant_scales dlm_quant_scales(const struct dlm_quant_panels *q, size_t panel,
                                                    size_t first, size_t num, float *room)
{
    const char *scales = q->w + panel * q->panel_bytes + q->code_bytes;
    const int8_t *bytes = (const int8_t *)scales;
    const size_t all = q->blocks * DLM_PANEL_COLS;
    const uint16_t *half = (const uint16_t *)(const void *)scales;
    float *mins = room + num * DLM_PANEL_COLS;

    switch (q->dtype) {
    case DLM_DTYPE_NF4:
        return (struct dlm_quant_scales){
            (const float *)(const void *)scales + first * DLM_PANEL_COLS, NULL};
    case DLM_DTYPE_NF4_DQ:
        nested_scales(q, (const uint8_t *)scales + first * DLM_PANEL_COLS, panel, first, num, room);
        break;
    case DLM_DTYPE_Q4_K:
    case DLM_DTYPE_Q5_K:
        half += all; /* past two bytes for each block and row */
        byte_scales(bytes, half, 2 * DLM_PANEL_COLS, 8, first, num, room);
        byte_scales(bytes + all, half + DLM_PANEL_COLS, 2 * DLM_PANEL_COLS, 8, first, num, mins);
        return (struct dlm_quant_scales){room, mins};
    case DLM_DTYPE_Q6_K:
        byte_scales(bytes, half + all / 2, DLM_PANEL_COLS, 16, first, num, room);
        break;
    default: /* q8_0, q4_0 */
        for (size_t i = 0; i < num * DLM_PANEL_COLS; i += DLM_TILE_LANES) {
            const dlm_vec wide = dlm_halves_values(half + first * DLM_PANEL_COLS + i);
            memcpy(room + i, &wide, sizeof(wide));
        }
        break;
    }
    return (struct dlm_quant_scales){room, NULL};
}

#endif
