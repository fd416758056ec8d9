/* rms_norm and its backward: a work item is one row. */
#include <math.h>

#include "cpukernels/cpukernels.h"

static float reciprocal_rms(const float *x, uint32_t cols, float eps)
{
    float sum = 0;

#pragma omp simd reduction(+ : sum)
    for (uint32_t c = 0; c < cols; c++)
        sum += x[c] * x[c];
    return 1.0f / sqrtf(sum / (float)cols + eps);
}

void DLM_CPU_KERNEL(rms_norm)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_rows_params *p = call->params;
    if (item >= p->rows)
        return;
    const float *x = (const float *)call->buffers[0] + item * p->cols;
    const float *weight = call->buffers[1];
    float *y = (float *)call->buffers[2] + item * p->cols;
    const float r = reciprocal_rms(x, p->cols, p->eps), one = p->plus_one ? 1.0f : 0.0f;

#pragma omp simd
    for (uint32_t c = 0; c < p->cols; c++)
        y[c] = x[c] * r * (one + weight[c]);
}

void DLM_CPU_KERNEL(rms_norm_backward)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_rows_params *p = call->params;
    if (item >= p->rows)
        return;
    const float *x = (const float *)call->buffers[0] + item * p->cols;
    const float *weight = call->buffers[1];
    const float *dy = (const float *)call->buffers[2] + item * p->cols;
    float *dx = (float *)call->buffers[3] + item * p->cols;
    const float r = reciprocal_rms(x, p->cols, p->eps), one = p->plus_one ? 1.0f : 0.0f;
    float dot = 0;

#pragma omp simd reduction(+ : dot)
    for (uint32_t c = 0; c < p->cols; c++)
        dot += x[c] * (one + weight[c]) * dy[c];
    const float k = r * r * r / (float)p->cols * dot;
#pragma omp simd
    for (uint32_t c = 0; c < p->cols; c++)
        dx[c] = r * (one + weight[c]) * dy[c] - x[c] * k;
}
