/* layer_norm and its backward: a work item is one row. */
#include <math.h>

#include "cpukernels/cpukernels.h"

struct moments {
    float mean, r; /* r = 1 / sqrt(var + eps) */
};

static struct moments row_moments(const float *x, uint32_t cols, float eps)
{
    float sum = 0, var = 0;

#pragma omp simd reduction(+ : sum)
    for (uint32_t c = 0; c < cols; c++)
        sum += x[c];
    const float mean = sum / (float)cols;
#pragma omp simd reduction(+ : var)
    for (uint32_t c = 0; c < cols; c++)
        var += (x[c] - mean) * (x[c] - mean);
    return (struct moments){mean, 1.0f / sqrtf(var / (float)cols + eps)};
}

void DLM_CPU_KERNEL(layer_norm)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_rows_params *p = call->params;
    if (item >= p->rows)
        return;
    const float *x = (const float *)call->buffers[0] + item * p->cols;
    const float *weight = call->buffers[1];
    const float *bias = call->buffers[2];
    float *y = (float *)call->buffers[3] + item * p->cols;
    const struct moments m = row_moments(x, p->cols, p->eps);

    DLM_SIMD for (uint32_t c = 0; c < p->cols; c++)
        y[c] = (x[c] - m.mean) * m.r * weight[c] + bias[c];
}

void DLM_CPU_KERNEL(layer_norm_backward)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_rows_params *p = call->params;
    if (item >= p->rows)
        return;
    const float *x = (const float *)call->buffers[0] + item * p->cols;
    const float *weight = call->buffers[1];
    const float *dy = (const float *)call->buffers[2] + item * p->cols;
    float *dx = (float *)call->buffers[3] + item * p->cols;
    const struct moments m = row_moments(x, p->cols, p->eps);
    float sum = 0, dot = 0;

#pragma omp simd reduction(+ : sum, dot)
    for (uint32_t c = 0; c < p->cols; c++) {
        const float wdy = weight[c] * dy[c];
        sum += wdy;
        dot += wdy * (x[c] - m.mean);
    }
    const float mean_wdy = sum / (float)p->cols, slope = m.r * m.r * dot / (float)p->cols;
    DLM_SIMD for (uint32_t c = 0; c < p->cols; c++)
        dx[c] = m.r * (weight[c] * dy[c] - mean_wdy - (x[c] - m.mean) * slope);
}
