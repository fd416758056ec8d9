/* Two 16-bit values a word to two vectors of f32: for kernels that keep W in 16 bits and compute in
 * f32. The low half is the even k, the high half the odd one. */
#ifndef DLM_CPUKERNELS_MATMUL_WIDEN_H
#define DLM_CPUKERNELS_MATMUL_WIDEN_H

#include "base/scalar.h"
#include "cpukernels/matmul_tile_f32.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

DLM_INLINE dlm_uvec dlm_uvec_load(const uint32_t *p)
{
    dlm_uvec v;
    memcpy(&v, p, sizeof(v));
    return v;
}

DLM_INLINE void dlm_widen_bf16(dlm_uvec words, dlm_vec *even, dlm_vec *odd)
{
    *even = (dlm_vec)(words << 16);
    *odd = (dlm_vec)(words & 0xffff0000u);
}

/* IEEE halves: as dlm_f16_to_f32. */
#if defined(__AVX512F__)
DLM_INLINE void dlm_widen_f16(dlm_uvec words, dlm_vec *even, dlm_vec *odd)
{
    *even = (dlm_vec)_mm512_cvtph_ps(_mm512_cvtepi32_epi16((__m512i)words));
    *odd = (dlm_vec)_mm512_cvtph_ps(_mm512_cvtepi32_epi16((__m512i)(words >> 16)));
}
#elif defined(__AVX2__) && defined(__F16C__)
DLM_INLINE void dlm_widen_f16(dlm_uvec words, dlm_vec *even, dlm_vec *odd)
{
    /* in each half of the vector the even elements first, then those of both halves */
    const __m256i order = _mm256_set_epi32(0x0f0e0b0a, 0x07060302, 0x0d0c0908, 0x05040100,
                                           0x0f0e0b0a, 0x07060302, 0x0d0c0908, 0x05040100);
    const __m256i apart =
        _mm256_permute4x64_epi64(_mm256_shuffle_epi8((__m256i)words, order), 0xd8);

    *even = (dlm_vec)_mm256_cvtph_ps(_mm256_castsi256_si128(apart));
    *odd = (dlm_vec)_mm256_cvtph_ps(_mm256_extracti128_si256(apart, 1));
}
#elif defined(__aarch64__)
DLM_INLINE void dlm_widen_f16(dlm_uvec words, dlm_vec *even, dlm_vec *odd)
{
    const uint16x4_t low = vmovn_u32((uint32x4_t)words);
    const uint16x4_t high = vshrn_n_u32((uint32x4_t)words, 16);

    *even = (dlm_vec)vcvt_f32_f16(vreinterpret_f16_u16(low));
    *odd = (dlm_vec)vcvt_f32_f16(vreinterpret_f16_u16(high));
}
#else
/* In the low 16 bits of each lane, the rest zero; without branches. A denormal m * 2^-24 is
 * (2^-14 + m * 2^-24) - 2^-14: no step has a denormal operand, which some CPUs would punish. */
DLM_INLINE dlm_vec dlm_widen_f16_lanes(dlm_uvec half)
{
    const dlm_uvec magnitude = half & 0x7fffu;
    const dlm_uvec sign = (half & 0x8000u) << 16;
    const dlm_uvec shifted = magnitude << 13;
    const dlm_uvec is_small = (dlm_uvec)((dlm_ivec)magnitude < 0x400);
    const dlm_uvec is_special = (dlm_uvec)((dlm_ivec)magnitude > 0x7bff);
    const dlm_vec offset = (dlm_vec)(shifted + 0x38800000u) - 6.103515625e-5f;
    const dlm_uvec normal = (shifted + 0x38000000u) | (is_special & 0x7f800000u);

    return (dlm_vec)(((dlm_uvec)offset & is_small) | (normal & ~is_small) | sign);
}

DLM_INLINE void dlm_widen_f16(dlm_uvec words, dlm_vec *even, dlm_vec *odd)
{
    *even = dlm_widen_f16_lanes(words & 0xffffu);
    *odd = dlm_widen_f16_lanes(words >> 16);
}
#endif

DLM_INLINE void dlm_widen(enum dlm_dtype dtype, dlm_uvec words, dlm_vec *even, dlm_vec *odd)
{
    if (dtype == DLM_DTYPE_BF16)
        dlm_widen_bf16(words, even, odd);
    else
        dlm_widen_f16(words, even, odd);
}

/* x rounded to what the policy says, as f32. */
DLM_INLINE float dlm_round_x(float x, uint32_t round_x)
{
    if (round_x == DLM_MATMUL_ROUND_BF16)
        return dlm_bf16_to_f32(dlm_f32_to_bf16(x));
    if (round_x == DLM_MATMUL_ROUND_F16)
        return dlm_f16_to_f32(dlm_f32_to_f16(x));
    return x;
}

/* out[0..len) = x rounded, then zeros up to padded. */
static inline void dlm_round_row(float *out, const float *x, size_t len, size_t padded,
                                 uint32_t round_x)
{
    if (round_x == DLM_MATMUL_ROUND_BF16) {
        for (size_t i = 0; i < len; i++)
            out[i] = dlm_round_x(x[i], DLM_MATMUL_ROUND_BF16);
    } else if (round_x == DLM_MATMUL_ROUND_F16) {
        for (size_t i = 0; i < len; i++)
            out[i] = dlm_round_x(x[i], DLM_MATMUL_ROUND_F16);
    } else {
        memcpy(out, x, len * sizeof(*out));
    }
    memset(out + len, 0, (padded - len) * sizeof(*out));
}

#endif
