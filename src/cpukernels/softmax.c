/* softmax and its backward: a work item is one row. */
#include "cpukernels/vmath.h"

#include "cpukernels/cpukernels.h"

void DLM_CPU_KERNEL(softmax)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_rows_params *p = call->params;
    if (item >= p->rows)
        return;
    const float *x = (const float *)call->buffers[0] + item * p->cols;
    float *y = (float *)call->buffers[1] + item * p->cols;
    const float max = dlm_vmax(x, p->cols);
    float sum = 0;

#pragma omp simd reduction(+ : sum)
    for (uint32_t c = 0; c < p->cols; c++) {
        const float e = DLM_EXPF(x[c] - max);
        y[c] = e;
        sum += e;
    }
    const float inverse = 1.0f / sum;
    DLM_SIMD for (uint32_t c = 0; c < p->cols; c++)
        y[c] *= inverse;
}

void DLM_CPU_KERNEL(softmax_backward)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_rows_params *p = call->params;
    if (item >= p->rows)
        return;
    const float *y = (const float *)call->buffers[0] + item * p->cols;
    const float *dy = (const float *)call->buffers[1] + item * p->cols;
    float *dx = (float *)call->buffers[2] + item * p->cols;
    float dot = 0;

#pragma omp simd reduction(+ : dot)
    for (uint32_t c = 0; c < p->cols; c++)
        dot += y[c] * dy[c];
    DLM_SIMD for (uint32_t c = 0; c < p->cols; c++)
        dx[c] = y[c] * (dy[c] - dot);
}
