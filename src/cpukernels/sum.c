/* sum: a work item is one result. */
#include "cpukernels/cpukernels.h"

/* Sum of len elements that lie stride apart. */
static float sum_run(const float *x, size_t stride, uint32_t len)
{
    float sum = 0;

    if (stride == 1) {
#pragma omp simd reduction(+ : sum)
        for (uint32_t i = 0; i < len; i++)
            sum += x[i];
        return sum;
    }
    for (uint32_t i = 0; i < len; i++)
        sum += x[i * stride];
    return sum;
}

void DLM_CPU_KERNEL(sum)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_sum_params *p = call->params;
    if (item >= p->total)
        return;
    const float *x = (const float *)call->buffers[0] + p->x_lead;
    const uint32_t runs = p->reduced / p->sum_shape[3];
    size_t rest = (size_t)item;
    double sum = 0;

    for (int d = 3; d >= 0; d--) {
        x += rest % p->keep_shape[d] * p->keep_stride[d];
        rest /= p->keep_shape[d];
    }
    for (uint32_t run = 0; run < runs; run++) {
        size_t offset = 0;
        rest = run;
        for (int d = 2; d >= 0; d--) {
            offset += rest % p->sum_shape[d] * p->sum_stride[d];
            rest /= p->sum_shape[d];
        }
        sum += (double)sum_run(x + offset, p->sum_stride[3], p->sum_shape[3]);
    }
    ((float *)call->buffers[1])[item] = (float)sum;
}
