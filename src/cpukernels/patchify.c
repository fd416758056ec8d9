/* patchify: a work item is one patch. */
#include <string.h>

#include "cpukernels/cpukernels.h"

void DLM_CPU_KERNEL(patchify)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_patchify_params *p = call->params;
    const size_t high = p->height / p->patch, wide = p->width / p->patch;
    const size_t row = (size_t)item, b = row / (high * wide);
    if (b >= p->batch)
        return;
    const size_t top = row / wide % high * p->patch, left = row % wide * p->patch;
    const float *pixels = call->buffers[0];
    float *out = (float *)call->buffers[1] + row * p->channels * p->patch * p->patch;

    for (uint32_t c = 0; c < p->channels; c++)
        for (uint32_t y = 0; y < p->patch; y++, out += p->patch) {
            const size_t line = (b * p->channels + c) * p->height + top + y;
            memcpy(out, pixels + line * p->width + left, p->patch * sizeof(*out));
        }
}
