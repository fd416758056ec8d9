/* What the matmul shaders share: bindings, params, a work-group's place, and how a result is made.
 * A shader whose bindings are others defines PACK or FINISH before the include, one that loads b 16
 * bytes at a time WIDE_B. */
#include "prelude.glsl"

#ifndef OPEN_SIZE /* the shader has said it */
layout(local_size_x = LANES) in;
#endif

#define PASTE_(x, y) x##y
#define PASTE(x, y) PASTE_(x, y)

#if defined(PACK)
DLM_IN(0, float, a)
DLM_OUT(1, float, packed)
#elif defined(FINISH)
DLM_IN(0, float, partial)
DLM_IN(1, float, c)
DLM_IN(2, float, bias)
DLM_OUT(3, float, result)
#else
DLM_IN(0, float, a)
#ifdef WIDE_B
DLM_IN(1, PASTE(DLM_V_, DLM_B), b)
#else
#define LOAD_B(i) PASTE(DLM_LOAD_, DLM_B)(b, i)
DLM_IN(1, PASTE(DLM_T_, DLM_B), b)
#endif
DLM_IN(2, float, c)
DLM_IN(3, float, bias)
DLM_OUT(4, float, result)
#endif
DLM_PARAMS(dlm_matmul_params)

/* An element of a as the product takes it. */
float round_a(float x)
{
    if ((p.flags & DLM_MATMUL_A_BF16) != 0u)
        return dlm_bf16_to_f32(dlm_f32_to_bf16(x));
    return (p.flags & DLM_MATMUL_A_F16) != 0u ? dlm_f16_to_f32(dlm_f32_to_f16(x)) : x;
}

#include "matmul_place.glsl"

#ifndef PACK
/* Writes one result: sum times alpha, plus what is to be added. */
void put(place at, float sum, uint m, uint n)
{
    float value = p.alpha * sum;

    if ((p.flags & DLM_MATMUL_HAS_C) != 0u)
        value += c[at.c + m * p.c_stride[2] + n * p.c_stride[3]];
    if ((p.flags & DLM_MATMUL_HAS_BIAS) != 0u)
        value += bias[n];
    result[at.result + m * p.out_stride[2] + n] = value;
}
#endif
