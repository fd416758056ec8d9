/* Activations and their derivatives, once for C, OpenCL C and GLSL, by the rules of base/scalar.h,
 * which includes this. OpenCL C has them twice: of a float and, with DLM_F32 a vector, of many. */
#ifndef DLM_BASE_ACTIVATION_H
#define DLM_BASE_ACTIVATION_H

#include "base/dialect.h"

/* Right at both infinities: exp gives 0 or infinity there. */
DLM_FN DLM_F32 dlm_sigmoid(DLM_F32 x)
{
    return 1.0f / (1.0f + DLM_EXPF(-x));
}

/* torch.nn.functional.silu */
DLM_FN DLM_F32 dlm_silu(DLM_F32 x)
{
    return x * dlm_sigmoid(x);
}

DLM_FN DLM_F32 dlm_silu_grad(DLM_F32 x)
{
    DLM_F32 s = dlm_sigmoid(x);
    return s * (1.0f + x * (1.0f - s));
}

/* torch.nn.functional.gelu(x, approximate="tanh"): 0.5 (1 + tanh(z)) is sigmoid(2 z), which keeps
 * its digits where tanh is close to -1. */
DLM_FN DLM_F32 dlm_gelu_tanh(DLM_F32 x)
{
    return x * dlm_sigmoid(1.5957691216057308f * (x + 0.044715f * x * x * x));
}

DLM_FN DLM_F32 dlm_gelu_tanh_grad(DLM_F32 x)
{
    /* past 12 the derivative is 0 or 1 to the last bit, and the slope below would overflow */
    DLM_F32 z = x > 12.0f ? 12.0f : x < -12.0f ? -12.0f : x;
    DLM_F32 s = dlm_sigmoid(1.5957691216057308f * (z + 0.044715f * z * z * z));
    DLM_F32 slope = 1.5957691216057308f * (1.0f + 3.0f * 0.044715f * z * z);
    return s + z * s * (1.0f - s) * slope;
}

/* erf to about 1 ulp of f32: a series for |x| < 1, a Chebyshev fit of erfc above. Both are computed
 * and one is taken, so that loops over it vectorise. */
DLM_FN DLM_F32 dlm_erf(DLM_F32 x)
{
    /* Taylor: 2/sqrt(pi) * sum (-1)^n x^(2n+1) / (n! (2n+1)), 11 terms: error below 1e-9 */
    DLM_F32 s = x * x;
    DLM_F32 p = 1.3122532963802806e-8f;
    p = p * s - 1.4503852223150468e-7f;
    p = p * s + 1.4589169000933706e-6f;
    p = p * s - 1.3227513227513228e-5f;
    p = p * s + 1.0683760683760684e-4f;
    p = p * s - 7.5757575757575758e-4f;
    p = p * s + 4.6296296296296294e-3f;
    p = p * s - 2.3809523809523808e-2f;
    p = p * s + 0.1f;
    p = p * s - 0.3333333333333333f;
    p = p * s + 1.0f;
    DLM_F32 inner = 1.1283791670955126f * x * p;

    /* erfc(a) = t exp(-a^2 + P(t)), t = 1/(1 + a/2): Numerical Recipes, erfc Chebyshev fit,
     * fractional error below 1.2e-7; at 4 and above erf is 1 in f32 */
    DLM_F32 a = DLM_FABSF(x);
    a = a > 4.0f ? 4.0f : a;
    DLM_F32 t = 1.0f / (1.0f + 0.5f * a);
    DLM_F32 q = 0.17087277f;
    q = q * t - 0.82215223f;
    q = q * t + 1.48851587f;
    q = q * t - 1.13520398f;
    q = q * t + 0.27886807f;
    q = q * t - 0.18628806f;
    q = q * t + 0.09678418f;
    q = q * t + 0.37409196f;
    q = q * t + 1.00002368f;
    q = q * t - 1.26551223f;
    DLM_F32 outer = 1.0f - t * DLM_EXPF(-a * a + q);

    return a < 1.0f ? inner : (x > 0.0f ? outer : -outer);
}

/* torch.nn.functional.gelu(x) */
DLM_FN DLM_F32 dlm_gelu_erf(DLM_F32 x)
{
    return 0.5f * x * (1.0f + dlm_erf(x * 0.7071067811865476f));
}

DLM_FN DLM_F32 dlm_gelu_erf_grad(DLM_F32 x)
{
    DLM_F32 density = 0.3989422804014327f * DLM_EXPF(-0.5f * x * x);
    return 0.5f * (1.0f + dlm_erf(x * 0.7071067811865476f)) + x * density;
}

/* transformers' QuickGELUActivation */
DLM_FN DLM_F32 dlm_quick_gelu(DLM_F32 x)
{
    return x * dlm_sigmoid(1.702f * x);
}

DLM_FN DLM_F32 dlm_quick_gelu_grad(DLM_F32 x)
{
    DLM_F32 s = dlm_sigmoid(1.702f * x);
    return s + x * (1.702f * s * (1.0f - s)); /* not 1.702 x, which may overflow */
}

/* tanh to about 2 ulp, because some drivers' overflows: Cephes' polynomial for |x| < 0.625,
 * (1 - e) / (1 + e) with e = exp(-2 |x|) above. Both are computed, one is taken, as in dlm_erf. */
DLM_FN DLM_F32 dlm_tanh(DLM_F32 x)
{
    DLM_F32 a = DLM_FABSF(x);
    DLM_F32 s = a < 1.0f ? x * x : 1.0f;
    DLM_F32 p = -5.70498872745e-3f;
    p = p * s + 2.06390887954e-2f;
    p = p * s - 5.37397155531e-2f;
    p = p * s + 1.33314422036e-1f;
    p = p * s - 3.33332819422e-1f;
    DLM_F32 inner = x + x * s * p;

    DLM_F32 e = DLM_EXPF(-2.0f * a);
    DLM_F32 outer = (1.0f - e) / (1.0f + e);
    return a < 0.625f ? inner : (x > 0.0f ? outer : -outer);
}

/* 1 - tanh(x)^2, which keeps its digits where tanh is close to 1. */
DLM_FN DLM_F32 dlm_tanh_grad(DLM_F32 x)
{
    DLM_F32 e = DLM_EXPF(-2.0f * DLM_FABSF(x));
    return 4.0f * e / ((1.0f + e) * (1.0f + e));
}

/* The activations an op can be asked for. */
#define DLM_ACT_GELU_TANH 0u
#define DLM_ACT_GELU_ERF 1u
#define DLM_ACT_SILU 2u
#define DLM_ACT_QUICK_GELU 3u
#define DLM_ACT_TANH 4u
#define DLM_ACT_COUNT 5u

DLM_FN DLM_F32 dlm_act(DLM_U32 kind, DLM_F32 x)
{
    if (kind == DLM_ACT_GELU_TANH)
        return dlm_gelu_tanh(x);
    if (kind == DLM_ACT_GELU_ERF)
        return dlm_gelu_erf(x);
    if (kind == DLM_ACT_QUICK_GELU)
        return dlm_quick_gelu(x);
    if (kind == DLM_ACT_TANH)
        return dlm_tanh(x);
    return dlm_silu(x);
}

DLM_FN DLM_F32 dlm_act_grad(DLM_U32 kind, DLM_F32 x)
{
    if (kind == DLM_ACT_GELU_TANH)
        return dlm_gelu_tanh_grad(x);
    if (kind == DLM_ACT_GELU_ERF)
        return dlm_gelu_erf_grad(x);
    if (kind == DLM_ACT_QUICK_GELU)
        return dlm_quick_gelu_grad(x);
    if (kind == DLM_ACT_TANH)
        return dlm_tanh_grad(x);
    return dlm_silu_grad(x);
}

#endif
