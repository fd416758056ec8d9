/* Scalar formulas for CPU kernels in a form that gcc and clang vectorise: no branch, no call. To be
 * included before anything that includes base/scalar.h, whose formulas then use the exp below. */
#ifndef DLM_CPUKERNELS_VMATH_H
#define DLM_CPUKERNELS_VMATH_H

#ifdef DLM_BASE_SCALAR_H
#error "cpukernels/vmath.h must come before base/scalar.h"
#endif
#include "base/attr.h"

#define DLM_FN DLM_INLINE /* a call would end vectorisation */
#define DLM_EXPF(x) dlm_vexp(x)

#include "base/dialect.h"

/* exp(x) to 1 ulp: x = n ln 2 + r, |r| <= ln(2)/2, a minimax polynomial in r, and 2^n in two steps
 * so that denormal results and overflow to infinity come out right. NaN stays NaN. */
DLM_INLINE float dlm_vexp(float x)
{
    const float round = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    const float z = x < -105.0f ? -105.0f : x > 89.0f ? 89.0f : x;
    const float shifted = z * 1.44269504088896341f + round;
    const float n = shifted - round;
    const float r = (z - n * 0.693359375f) + n * 2.12194440054690583e-4f;
    float p = 1.98756894e-4f;
    p = p * r + 1.39819994e-3f;
    p = p * r + 8.33345205e-3f;
    p = p * r + 4.16657962e-2f;
    p = p * r + 0.166666657f;
    p = p * r + 0.5f;
    p = p * r * r + r + 1.0f;
    /* n of -152..128 as an integer, halved for the two factors 2^low 2^high */
    const int32_t exponent = (int32_t)(dlm_as_u32_(shifted) - dlm_as_u32_(round));
    const int32_t low = exponent >> 1;
    const int32_t high = exponent - low;
    return p * dlm_as_f32_((uint32_t)(low + 127) << 23) *
           dlm_as_f32_((uint32_t)(high + 127) << 23);
}

#include "base/scalar.h" /* with the exp above */

#define DLM_VMAX_LANES 32

/* The largest of len (> 0) elements. The lanes are written out because clang makes no vectors of a
 * max reduction when there may be NaN. */
static inline float dlm_vmax(const float *x, uint32_t len)
{
    float lanes[DLM_VMAX_LANES], max = x[0];
    uint32_t i = 0;

    for (int l = 0; l < DLM_VMAX_LANES; l++)
        lanes[l] = max;
    for (; len - i >= DLM_VMAX_LANES; i += DLM_VMAX_LANES)
        DLM_SIMD for (int l = 0; l < DLM_VMAX_LANES; l++)
            lanes[l] = x[i + (uint32_t)l] > lanes[l] ? x[i + (uint32_t)l] : lanes[l];
    for (; i < len; i++)
        max = x[i] > max ? x[i] : max;
    for (int l = 0; l < DLM_VMAX_LANES; l++)
        max = lanes[l] > max ? lanes[l] : max;
    return max;
}

#endif
