/* grad_norm: a work-group of 64 sums the squares of one contiguous share; a single one ends it. */
//! grad_norm_partial
//! grad_norm_final -DFINAL
#version 450
#extension GL_GOOGLE_include_directive : require
#define DLM_GROUP_REDUCE
#include "prelude.glsl"

layout(local_size_x = 64) in;

#ifdef FINAL
DLM_IN(0, float, partials)
DLM_OUT(1, float, outs)
#else
DLM_IN(0, float, g)
DLM_OUT(1, float, partials)
#endif
DLM_PARAMS(dlm_grad_norm_params)

void main()
{
    float sum = 0.0;
#ifdef FINAL
    if (DLM_GROUP_ID() > 0u)
        return;
    for (uint i = DLM_LOCAL_ID(); i < p.partials; i += 64u)
        sum += partials[i];
    const float norm = sqrt(dlm_group_sum(sum));
    if (DLM_LOCAL_ID() == 0u) {
        outs[0] = norm;
        outs[1] = p.max_norm > 0.0 ? min(1.0, p.max_norm / (norm + 1e-6)) : 1.0;
    }
#else
    const uint part = DLM_GROUP_ID();
    if (part >= p.partials)
        return;
    const uint share = p.total / p.partials + (p.total % p.partials != 0u ? 1u : 0u);
    const uint begin = min(part * share, p.total);
    const uint len = min(share, p.total - begin);
    for (uint i = DLM_LOCAL_ID(); i < len; i += 64u)
        sum += g[begin + i] * g[begin + i];
    sum = dlm_group_sum(sum);
    if (DLM_LOCAL_ID() == 0u)
        partials[part] = sum;
#endif
}
