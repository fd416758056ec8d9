/* fill */
#include "cpukernels/map.h"

void DLM_CPU_KERNEL(fill)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_fill_params *p = call->params;
    const struct dlm_span span = dlm_map_span(item, p->total);
    uint32_t *out = (uint32_t *)call->buffers[0] + p->lead + span.begin;
    const uint32_t word = p->word;

    DLM_SIMD for (size_t i = 0; i < span.len; i++)
        out[i] = word;
}
