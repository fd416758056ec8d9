/* One spelling for three dialects: C11, OpenCL C 1.2 and GLSL 4.50. Included by scalar.h and by
 * kernels/params.h, which stand once and are compiled by all of them.
 * DLM_DIALECT_GLSL and DLM_DIALECT_OPENCL are set by the kernel build; C is the default. */
#ifndef DLM_BASE_DIALECT_H
#define DLM_BASE_DIALECT_H

#include "base/words.h"

#if defined(DLM_DIALECT_GLSL)
#define DLM_FN
#define DLM_AS_F32(u) uintBitsToFloat(u)
#define DLM_AS_U32(f) floatBitsToUint(f)
#define DLM_EXPF(x) exp(x)
#define DLM_LOGF(x) log(x)
#define DLM_SQRTF(x) sqrt(x)
#define DLM_FABSF(x) abs(x)
#define DLM_FMINF(a, b) min(a, b)
#define DLM_FMAXF(a, b) max(a, b)
#define DLM_TO_I32(x) int(x)
#define DLM_TO_U32(x) uint(x)
#define DLM_TO_F32(x) float(x)
#elif defined(DLM_DIALECT_OPENCL)
#define DLM_FN static inline __attribute__((overloadable)) /* of float and of vectors of it */
#define DLM_AS_F32(u) as_float(u)
#define DLM_AS_U32(f) as_uint(f)
#define DLM_EXPF(x) exp(x)
#define DLM_LOGF(x) log(x)
#define DLM_SQRTF(x) sqrt(x)
#define DLM_FABSF(x) fabs(x)
#define DLM_FMINF(a, b) fmin(a, b)
#define DLM_FMAXF(a, b) fmax(a, b)
#define DLM_TO_I32(x) ((int)(x))
#define DLM_TO_U32(x) ((uint)(x))
#define DLM_TO_F32(x) ((float)(x))
#define DLM_MULHI(a, b) mul_hi(a, b)
#else
#include <math.h>
#include <stdint.h>
#include <string.h>
/* cpukernels/vmath.h has its own DLM_FN and DLM_EXPF, which the compiler can vectorise. */
#ifndef DLM_FN
#define DLM_FN static inline
#endif
#define DLM_AS_F32(u) dlm_as_f32_(u)
#define DLM_AS_U32(f) dlm_as_u32_(f)
#ifndef DLM_EXPF
#define DLM_EXPF(x) expf(x)
#endif
#define DLM_LOGF(x) logf(x)
#define DLM_SQRTF(x) sqrtf(x)
#define DLM_FABSF(x) fabsf(x)
#define DLM_FMINF(a, b) fminf(a, b)
#define DLM_FMAXF(a, b) fmaxf(a, b)
#define DLM_TO_I32(x) ((int32_t)(x))
#define DLM_TO_U32(x) ((uint32_t)(x))
#define DLM_TO_F32(x) ((float)(x))
#define DLM_MULHI(a, b) ((uint32_t)((uint64_t)(a) * (b) >> 32))
static inline float dlm_as_f32_(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof(f));
    return f;
}
static inline uint32_t dlm_as_u32_(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof(u));
    return u;
}
#endif

#endif
