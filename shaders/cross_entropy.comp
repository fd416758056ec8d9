/* cross_entropy: a work-group of 64 a row, which is read three times. */
//! cross_entropy
#version 450
#extension GL_GOOGLE_include_directive : require
#define DLM_GROUP_REDUCE
#include "prelude.glsl"

layout(local_size_x = 64) in;

DLM_IN(0, float, logits)
DLM_IN(1, int, labels)
DLM_IN(2, float, weights)
DLM_OUT(3, float, logprob)
DLM_OUT(4, float, dlogits)
DLM_PARAMS(dlm_cross_entropy_params)

void main()
{
    const uint r = DLM_GROUP_ID();
    if (r >= p.rows)
        return;
    const uint at = r * p.vocab;
    const int label = labels[p.label_lead + r];
    const float weight = weights[p.weight_lead + r];
    const bool counts = label >= 0 && uint(label) < p.vocab;
    float largest = logits[at], sum = 0.0;
    if (counts) { /* the same in every lane */
        for (uint v = DLM_LOCAL_ID(); v < p.vocab; v += 64u)
            largest = max(largest, logits[at + v]);
        largest = dlm_group_max(largest);
        for (uint v = DLM_LOCAL_ID(); v < p.vocab; v += 64u)
            sum += exp(logits[at + v] - largest);
        sum = dlm_group_sum(sum);
    }
    const float factor = weight / sum;
    for (uint v = DLM_LOCAL_ID(); v < p.vocab; v += 64u) {
        float gradient = 0.0;
        if (counts)
            gradient = exp(logits[at + v] - largest) * factor - (v == uint(label) ? weight : 0.0);
        dlogits[at + v] = gradient;
    }
    if (DLM_LOCAL_ID() == 0u) {
        float result = 0.0;
        if (counts)
            result = logits[at + uint(label)] - largest - log(sum);
        logprob[p.logprob_lead + r] = result;
    }
}
