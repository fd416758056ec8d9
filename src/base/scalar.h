/* Scalar formulas, once for C, OpenCL C and GLSL: 16-bit conversions, Philox, and by inclusion the
 * activations. Keep to what all three dialects share: no pointers, no casts but the DLM_TO_ macros,
 * no suffix f on literals where GLSL would object (it accepts 1.0f). */
#ifndef DLM_BASE_SCALAR_H
#define DLM_BASE_SCALAR_H

#include "base/activation.h"
#include "base/dialect.h"

/* bf16 (the high half of an f32) to f32: exact. */
DLM_FN DLM_F32 dlm_bf16_to_f32(DLM_U32 h)
{
    return DLM_AS_F32(h << 16);
}

/* f32 to bf16, round to nearest even; NaN stays NaN (quiet). */
DLM_FN DLM_U32 dlm_f32_to_bf16(DLM_F32 f)
{
    DLM_U32 u = DLM_AS_U32(f);
    if ((u & 0x7fffffffu) > 0x7f800000u)
        return (u >> 16) | 0x40u;
    return (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
}

/* IEEE half to f32: exact, denormals included. */
DLM_FN DLM_F32 dlm_f16_to_f32(DLM_U32 h)
{
    DLM_U32 sign = (h & 0x8000u) << 16;
    DLM_U32 exponent = (h >> 10) & 0x1fu;
    DLM_U32 mantissa = h & 0x3ffu;
    if (exponent == 31u)
        return DLM_AS_F32(sign | 0x7f800000u | (mantissa << 13));
    if (exponent != 0u)
        return DLM_AS_F32(sign | ((exponent + 112u) << 23) | (mantissa << 13));
    /* denormal: mantissa * 2^-24, exact in f32 */
    DLM_F32 magnitude = DLM_TO_F32(mantissa) * 5.9604644775390625e-8f;
    return DLM_AS_F32(sign | DLM_AS_U32(magnitude));
}

/* f32 to IEEE half, round to nearest even, overflow to infinity, NaN stays NaN. */
DLM_FN DLM_U32 dlm_f32_to_f16(DLM_F32 f)
{
    DLM_U32 u = DLM_AS_U32(f);
    DLM_U32 sign = (u >> 16) & 0x8000u;
    DLM_U32 magnitude = u & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
        return sign | 0x7e00u;
    if (magnitude >= 0x477ff000u) /* 65520 and above round to infinity */
        return sign | 0x7c00u;
    if (magnitude >= 0x38800000u) /* normal: 2^-14 and above */
        return sign | ((magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13);
    if (magnitude < 0x33000000u) /* below 2^-25 */
        return sign;
    DLM_U32 shift = 126u - (magnitude >> 23); /* 14..24 */
    DLM_U32 significand = (magnitude & 0x7fffffu) | 0x800000u;
    DLM_U32 half_ulp = 1u << (shift - 1u);
    DLM_U32 odd = (significand >> shift) & 1u;
    return sign | ((significand + half_ulp - 1u + odd) >> shift);
}

/* High 32 bits of a*b; on devices without 64-bit arithmetic. */
DLM_FN DLM_U32 dlm_mulhi(DLM_U32 a, DLM_U32 b)
{
#ifdef DLM_MULHI
    return DLM_MULHI(a, b);
#else
    DLM_U32 al = a & 0xffffu;
    DLM_U32 ah = a >> 16;
    DLM_U32 bl = b & 0xffffu;
    DLM_U32 bh = b >> 16;
    DLM_U32 low = al * bl;
    DLM_U32 mid = ah * bl + (low >> 16);
    DLM_U32 mid2 = al * bh + (mid & 0xffffu);
    return ah * bh + (mid >> 16) + (mid2 >> 16);
#endif
}

/* First word of Philox4x32-10 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011)
 * for counter (c0, c1, c2, c3) and key (k0, k1). */
DLM_FN DLM_U32 dlm_philox(DLM_U32 c0, DLM_U32 c1, DLM_U32 c2, DLM_U32 c3, DLM_U32 k0, DLM_U32 k1)
{
    for (DLM_I32 round = 0; round < 10; round++) {
        DLM_U32 hi0 = dlm_mulhi(0xD2511F53u, c0);
        DLM_U32 lo0 = 0xD2511F53u * c0;
        DLM_U32 hi1 = dlm_mulhi(0xCD9E8D57u, c2);
        DLM_U32 lo1 = 0xCD9E8D57u * c2;
        c0 = hi1 ^ c1 ^ k0;
        c1 = lo1;
        c2 = hi0 ^ c3 ^ k1;
        c3 = lo0;
        k0 = k0 + 0x9E3779B9u;
        k1 = k1 + 0xBB67AE85u;
    }
    return c0;
}

/* Uniform in [0, 1) with 24 bits from a random word. */
DLM_FN DLM_F32 dlm_uniform(DLM_U32 word)
{
    return DLM_TO_F32(word >> 8) * 5.9604644775390625e-8f;
}

#endif
