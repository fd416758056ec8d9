/* rope: a work item is one row of all heads; those behind the turned ones are copied. */
#include <string.h>

#include "cpukernels/cpukernels.h"

void DLM_CPU_KERNEL(rope)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_rope_params *p = call->params;
    if (item >= p->rows)
        return;
    const size_t half = p->half_dim;
    const float *x = (const float *)call->buffers[0] + p->x_lead + (size_t)item * p->x_stride[0];
    const float *cosine = (const float *)call->buffers[1] + (size_t)item * half;
    const float *sine = (const float *)call->buffers[2] + (size_t)item * half;
    float *y = (float *)call->buffers[3] + p->y_lead + (size_t)item * p->y_stride[0];
    const float sign = p->inverse ? -1.0f : 1.0f;

    for (uint32_t h = 0; h < p->turned; h++, x += p->x_stride[1], y += p->y_stride[1]) {
        DLM_SIMD for (size_t i = 0; i < half; i++)
        {
            const float a = x[i], b = x[i + half], c = cosine[i], s = sign * sine[i];
            y[i] = a * c - b * s;
            y[i + half] = b * c + a * s;
        }
    }
    for (uint32_t h = p->turned; h < p->heads; h++, x += p->x_stride[1], y += p->y_stride[1])
        memcpy(y, x, 2 * half * sizeof(*y));
}
