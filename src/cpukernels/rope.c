/* rope: a work item is one row of all heads. */
#include "cpukernels/cpukernels.h"

void DLM_CPU_KERNEL(rope)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_rope_params *p = call->params;
    if (item >= p->rows)
        return;
    const size_t half = p->half_dim, row = (size_t)item * p->heads * 2 * half;
    const float *x = (const float *)call->buffers[0] + row;
    const float *cosine = (const float *)call->buffers[1] + (size_t)item * half;
    const float *sine = (const float *)call->buffers[2] + (size_t)item * half;
    float *y = (float *)call->buffers[3] + row;
    const float sign = p->inverse ? -1.0f : 1.0f;

    for (uint32_t h = 0; h < p->heads; h++, x += 2 * half, y += 2 * half) {
        DLM_SIMD for (size_t i = 0; i < half; i++)
        {
            const float a = x[i], b = x[i + half], c = cosine[i], s = sign * sine[i];
            y[i] = a * c - b * s;
            y[i + half] = b * c + a * s;
        }
    }
}
