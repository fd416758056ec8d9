/* adamw, in place. */
#include <math.h>

#include "cpukernels/map.h"

void DLM_CPU_KERNEL(adamw)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_adamw_params *params = call->params;
    const struct dlm_span span = dlm_map_span(item, params->total);
    float *p = (float *)call->buffers[0] + span.begin;
    const float *grad = (const float *)call->buffers[1] + span.begin;
    float *m = (float *)call->buffers[2] + span.begin;
    float *v = (float *)call->buffers[3] + span.begin;
    const float coef = ((const float *)call->buffers[4])[1];
    const float *hyper = call->buffers[5];
    const float decay = 1.0f - hyper[0] * hyper[1], b1 = hyper[2], b2 = hyper[3], eps = hyper[4];
    const float rate = hyper[0] / hyper[5], root2 = hyper[6];

    DLM_SIMD for (size_t i = 0; i < span.len; i++)
    {
        const float g = grad[i] * coef;
        const float mean = b1 * m[i] + (1.0f - b1) * g;
        const float square = b2 * v[i] + (1.0f - b2) * g * g;
        m[i] = mean;
        v[i] = square;
        p[i] = p[i] * decay - rate * mean / (sqrtf(square) / root2 + eps);
    }
}
