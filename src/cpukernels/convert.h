/* Storage types of CPU kernels: conversions without branches, so that loops over them vectorise,
 * and DLM_T_<X>, DLM_LOAD_<X>, DLM_STORE_<X> for X in F32, F16, BF16, named as in prelude.cl. */
#ifndef DLM_CPUKERNELS_CONVERT_H
#define DLM_CPUKERNELS_CONVERT_H

#include <string.h>

#include "base/scalar.h"

#if defined(__aarch64__)
/* By the hardware. The way back gcc 12 makes no vectors of, so there it is not. */
static inline float dlm_vf16_to_f32(uint32_t h)
{
    const uint16_t bits = (uint16_t)h; /* h has 16 */
    __fp16 half;

    memcpy(&half, &bits, sizeof(half));
    return half;
}
#else
/* As dlm_f16_to_f32, without branches. A denormal m * 2^-24 is (2^-14 + m * 2^-24) - 2^-14. */
static inline float dlm_vf16_to_f32(uint32_t h)
{
    const uint32_t shifted = (h & 0x7fffu) << 13;
    const uint32_t sign = (h & 0x8000u) << 16;
    const uint32_t small = dlm_as_u32_(dlm_as_f32_(shifted + 0x38800000u) - 6.103515625e-5f);
    const uint32_t normal = (shifted + 0x38000000u) | ((h & 0x7fffu) > 0x7bffu ? 0x7f800000u : 0u);

    return dlm_as_f32_(((h & 0x7fffu) < 0x400u ? small : normal) | sign);
}
#endif

/* As dlm_f32_to_f16, without branches. Adding 0.5 leaves a denormal result, rounded to nearest
 * even, in the low bits of the sum. */
static inline uint32_t dlm_vf32_to_f16(float f)
{
    const uint32_t u = dlm_as_u32_(f);
    const uint32_t sign = u >> 16 & 0x8000u;
    const uint32_t m = u & 0x7fffffffu;
    const uint32_t normal = (m - 0x38000000u + 0xfffu + (m >> 13 & 1u)) >> 13;
    const uint32_t small = dlm_as_u32_(dlm_as_f32_(m) + 0.5f) - 0x3f000000u;
    const uint32_t finite = m < 0x38800000u ? small : normal;
    const uint32_t large = m > 0x7f800000u ? 0x7e00u : 0x7c00u;

    return sign | (m >= 0x477ff000u ? large : finite);
}

/* As dlm_f32_to_bf16, without branches. */
static inline uint32_t dlm_vf32_to_bf16(float f)
{
    const uint32_t u = dlm_as_u32_(f);
    const uint32_t rounded = (u + 0x7fffu + (u >> 16 & 1u)) >> 16;

    return (u & 0x7fffffffu) > 0x7f800000u ? u >> 16 | 0x40u : rounded;
}

#define DLM_T_F32 float
#define DLM_T_F16 uint16_t
#define DLM_T_BF16 uint16_t
#define DLM_LOAD_F32(p, i) ((p)[i])
#define DLM_LOAD_F16(p, i) dlm_vf16_to_f32((p)[i])
#define DLM_LOAD_BF16(p, i) dlm_bf16_to_f32((p)[i])
#define DLM_STORE_F32(p, i, v) ((p)[i] = (v))
#define DLM_STORE_F16(p, i, v) ((p)[i] = (uint16_t)dlm_vf32_to_f16(v)) /* the value has 16 bits */
#define DLM_STORE_BF16(p, i, v) ((p)[i] = (uint16_t)dlm_vf32_to_bf16(v))

#endif
