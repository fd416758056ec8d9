/* grad_norm: a work-group of 64 sums the squares of one contiguous share; a single one ends it. */
//! grad_norm_partial grad_norm_partial
//! grad_norm_final grad_norm_final

__kernel DLM_LOCAL(64) void grad_norm_partial(__global const float *g, __global float *partials,
                                              const struct dlm_grad_norm_params p)
{
    __local float tree[64];
    const uint part = DLM_GROUP_ID();
    if (part >= p.partials)
        return;
    const uint share = p.total / p.partials + (p.total % p.partials != 0u ? 1u : 0u);
    const uint begin = min(part * share, p.total); /* total fits, so does partials * share */
    const uint len = min(share, p.total - begin);
    float sum = 0.0f;
    for (uint i = DLM_LOCAL_ID(); i < len; i += 64u)
        sum += g[begin + i] * g[begin + i];
    sum = dlm_group_sum(sum, tree);
    if (DLM_LOCAL_ID() == 0u)
        partials[part] = sum;
}

__kernel DLM_LOCAL(64) void grad_norm_final(__global const float *partials, __global float *out,
                                            const struct dlm_grad_norm_params p)
{
    __local float tree[64];
    float sum = 0.0f;
    if (DLM_GROUP_ID() > 0u)
        return;
    for (uint i = DLM_LOCAL_ID(); i < p.partials; i += 64u)
        sum += partials[i];
    const float norm = sqrt(dlm_group_sum(sum, tree));
    if (DLM_LOCAL_ID() == 0u) {
        out[0] = norm;
        out[1] = p.max_norm > 0.0f ? fmin(1.0f, p.max_norm / (norm + 1e-6f)) : 1.0f;
    }
}
