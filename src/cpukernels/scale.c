/* scale: y = x * factor (* t[0] when kind is 1). */
#include "cpukernels/map.h"

void DLM_CPU_KERNEL(scale)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_map_params *p = call->params;
    const struct dlm_span span = dlm_map_span(item, p->total);
    const float *x = (const float *)call->buffers[0] + span.begin;
    const float *t = call->buffers[1];
    float *y = (float *)call->buffers[2] + span.begin;
    const float factor = p->kind ? p->factor * t[0] : p->factor;

    DLM_SIMD for (size_t i = 0; i < span.len; i++)
        y[i] = x[i] * factor;
}
