/* cross_entropy: a work-group of 64 a row, which is read three times. */
//! cross_entropy cross_entropy

__kernel DLM_LOCAL(64) void cross_entropy(__global const float *logits, __global const int *labels,
                                          __global const float *weights, __global float *logprob,
                                          __global float *dlogits,
                                          const struct dlm_cross_entropy_params p)
{
    __local float tree[64];
    const uint r = DLM_GROUP_ID();
    if (r >= p.rows)
        return;
    const int label = labels[p.label_lead + r];
    const float weight = weights[p.weight_lead + r];
    const int counts = label >= 0 && (uint)label < p.vocab;
    logits += r * p.vocab;
    dlogits += r * p.vocab;
    float largest = -INFINITY, sum = 0.0f;
    if (counts) { /* the same in every lane */
        for (uint v = DLM_LOCAL_ID(); v < p.vocab; v += 64u)
            largest = fmax(largest, logits[v]);
        largest = dlm_group_max(largest, tree);
        for (uint v = DLM_LOCAL_ID(); v < p.vocab; v += 64u)
            sum += exp(logits[v] - largest);
        sum = dlm_group_sum(sum, tree);
    }
    const float factor = weight / sum;
    for (uint v = DLM_LOCAL_ID(); v < p.vocab; v += 64u) {
        float gradient = 0.0f;
        if (counts)
            gradient = exp(logits[v] - largest) * factor - (v == (uint)label ? weight : 0.0f);
        dlogits[v] = gradient;
    }
    if (DLM_LOCAL_ID() == 0u)
        logprob[p.logprob_lead + r] = counts ? logits[label] - largest - log(sum) : 0.0f;
}
