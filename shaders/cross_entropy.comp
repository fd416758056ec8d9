/* cross_entropy: a work-group of 256 a row, or of 8 where barriers are slow. The row is read once
 * for the loss, the largest element and the sum following each other, and once more for the
 * gradient where one is asked for. */
//! cross_entropy -DDLM_LANES=256u -DGRADIENT
//! cross_entropy_loss -DDLM_LANES=256u
//! cross_entropy_nolocal -DDLM_LANES=8u -DGRADIENT
//! cross_entropy_loss_nolocal -DDLM_LANES=8u
#version 450
#extension GL_GOOGLE_include_directive : require
#define DLM_GROUP_REDUCE
#include "prelude.glsl"

layout(local_size_x = DLM_LANES) in;

DLM_IN_QUADS(0, logits)
DLM_IN(1, int, labels)
DLM_IN(2, float, weights)
DLM_OUT(3, float, logprob)
#ifdef GRADIENT
DLM_OUT_QUADS(4, dlogits)
#endif
DLM_PARAMS(dlm_cross_entropy_params)

#define LOWEST -3.4e38 /* finite, so that no difference is NaN */
#define STEP (4u * DLM_LANES)

void main()
{
    const uint r = DLM_GROUP_ID(), first = 4u * DLM_LOCAL_ID();
    if (r >= p.rows)
        return;
    const uint at = r * p.vocab;
    const int label = labels[p.label_lead + r];
    const bool counts = label >= 0 && uint(label) < p.vocab; /* the same in every lane */
    float largest = LOWEST, sum = 0.0;
    if (counts) {
        for (uint v = first; v < p.vocab; v += STEP) {
            const vec4 x = logits_at(at, v, p.vocab, LOWEST);
            const float most = DLM_QUAD_MAX(x);
            if (most > largest) {
                sum *= exp(largest - most);
                largest = most;
            }
            const vec4 e = exp(x - largest);
            sum += DLM_QUAD_SUM(e);
        }
        const float mine = largest;
        largest = dlm_group_max(mine);
        sum = dlm_group_sum(sum * exp(mine - largest));
    }
#ifdef GRADIENT
    const float weight = weights[p.weight_lead + r], factor = weight / sum;
    for (uint v = first; v < p.vocab; v += STEP) {
        vec4 gradient = vec4(0.0);
        if (counts) {
            gradient = exp(logits_at(at, v, p.vocab, LOWEST) - largest) * factor;
            const uint k = uint(label) - v;
            if (k < 4u)
                gradient -= weight * vec4(equal(uvec4(k), uvec4(0, 1, 2, 3)));
        }
        dlogits_put(at, v, p.vocab, gradient);
    }
#endif
    if (DLM_LOCAL_ID() == 0u) {
        float result = 0.0;
        if (counts)
            result = logits[at + uint(label)] - largest - log(sum);
        logprob[p.logprob_lead + r] = result;
    }
}
