/* cross_entropy: a work-group of 256 a row, or of 8 where barriers are slow. The row is read once
 * for the loss, the largest element and the sum following each other, and once more for the
 * gradient where one is asked for. */
//! cross_entropy cross_entropy -DLANES=256
//! cross_entropy_loss cross_entropy_loss -DLANES=256
//! cross_entropy_nolocal cross_entropy -DLANES=8
//! cross_entropy_loss_nolocal cross_entropy_loss -DLANES=8

#define STEP (4u * LANES)
#define LOWEST -3.4e38f /* finite, so that no difference is NaN */

/* The largest of the row's len elements and the sum of exp(x - largest), in every lane. */
DLM_INLINE float2 row_sum(__global const float *x, uint len, __local float *tree)
{
    float largest = LOWEST, sum = 0.0f;
    for (uint v = 4u * DLM_LOCAL_ID(); v < len; v += STEP) {
        const float4 quad = dlm_quad_at(x, v, len, LOWEST);
        const float most = DLM_QUAD_MAX(quad);
        if (most > largest) {
            sum *= exp(largest - most);
            largest = most;
        }
        const float4 e = exp(quad - largest);
        sum += DLM_QUAD_SUM(e);
    }
    const float all = dlm_lanes_max(largest, tree, LANES);
    return (float2)(all, dlm_lanes_sum(sum * exp(largest - all), tree, LANES));
}

__kernel DLM_LOCAL(LANES) void cross_entropy(__global const float *logits,
                                           __global const int *labels,
                                           __global const float *weights, __global float *logprob,
                                           __global float *dlogits,
                                           const struct dlm_cross_entropy_params p)
{
    __local float tree[LANES];
    const uint r = DLM_GROUP_ID();
    if (r >= p.rows)
        return;
    const int label = labels[p.label_lead + r];
    const int counts = label >= 0 && (uint)label < p.vocab; /* the same in every lane */
    float2 row = (float2)(0.0f, 1.0f);
    logits += r * p.vocab;
    dlogits += r * p.vocab;
    if (counts)
        row = row_sum(logits, p.vocab, tree);
    const float weight = weights[p.weight_lead + r], factor = weight / row.y;
    for (uint v = 4u * DLM_LOCAL_ID(); v < p.vocab; v += STEP) {
        float4 gradient = 0.0f;
        if (counts) {
            const uint k = (uint)label - v;
            gradient = exp(dlm_quad_at(logits, v, p.vocab, LOWEST) - row.x) * factor;
            if (k < 4u)
                gradient -= (float4)(k == 0u, k == 1u, k == 2u, k == 3u) * weight;
        }
        dlm_quad_put(dlogits, v, p.vocab, gradient);
    }
    if (DLM_LOCAL_ID() == 0u)
        logprob[p.logprob_lead + r] = counts ? logits[label] - row.x - log(row.y) : 0.0f;
}

__kernel DLM_LOCAL(LANES) void cross_entropy_loss(__global const float *logits,
                                                __global const int *labels,
                                                __global const float *weights,
                                                __global float *logprob,
                                                const struct dlm_cross_entropy_params p)
{
    __local float tree[LANES];
    const uint r = DLM_GROUP_ID();
    if (r >= p.rows)
        return;
    const int label = labels[p.label_lead + r];
    float result = 0.0f;
    logits += r * p.vocab;
    if (label >= 0 && (uint)label < p.vocab) { /* the same in every lane */
        const float2 row = row_sum(logits, p.vocab, tree);
        result = logits[label] - row.x - log(row.y);
    }
    if (DLM_LOCAL_ID() == 0u)
        logprob[p.logprob_lead + r] = result;
}
