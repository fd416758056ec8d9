/* grad_norm: partial sums of squares over contiguous shares, then their sum. */
#include <math.h>

#include "cpukernels/cpukernels.h"

#define BLOCK 4096 /* elements summed in f32 before they join the f64 sum */

void DLM_CPU_KERNEL(grad_norm_partial)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_grad_norm_params *p = call->params;
    if (item >= p->partials)
        return;
    const size_t share = ((size_t)p->total + p->partials - 1) / p->partials;
    const size_t begin = DLM_MIN((size_t)item * share, (size_t)p->total);
    const size_t end = DLM_MIN(begin + share, (size_t)p->total);
    const float *g = call->buffers[0];
    double total = 0;

    for (size_t at = begin; at < end; at += BLOCK) {
        const size_t block_end = DLM_MIN(at + BLOCK, end);
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (size_t i = at; i < block_end; i++)
            sum += g[i] * g[i];
        total += (double)sum;
    }
    ((float *)call->buffers[1])[item] = (float)total;
}

void DLM_CPU_KERNEL(grad_norm_final)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_grad_norm_params *p = call->params;
    const float *partials = call->buffers[0];
    float *out = call->buffers[1];
    double sum = 0;

    if (item)
        return;
    for (uint32_t i = 0; i < p->partials; i++)
        sum += (double)partials[i];
    const float norm = (float)sqrt(sum);
    out[0] = norm;
    out[1] = p->max_norm > 0 ? fminf(1.0f, p->max_norm / (norm + 1e-6f)) : 1.0f;
}
