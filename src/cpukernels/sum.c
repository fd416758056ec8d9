/* sum: a work item is one result, or DLM_SUM_COLUMNS results of a row. */
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

/* out[0..len) = sums of the columns that start at x. */
static void sum_block(const struct dlm_sum_params *p, const float *x, uint32_t len, float *out)
{
    double sums[DLM_SUM_COLUMNS] = {0};
    const uint32_t *stride = p->sum_stride;

    for (uint32_t i = 0; i < p->sum_shape[0]; i++)
        for (uint32_t j = 0; j < p->sum_shape[1]; j++)
            for (uint32_t k = 0; k < p->sum_shape[2]; k++) {
                const float *row = x + (size_t)i * stride[0] + (size_t)j * stride[1] +
                                   (size_t)k * stride[2];
                DLM_SIMD for (uint32_t c = 0; c < len; c++)
                    sums[c] += (double)row[c];
            }
    for (uint32_t c = 0; c < len; c++)
        out[c] = (float)sums[c];
}

void DLM_CPU_KERNEL(sum_columns)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_sum_params *p = call->params;
    const uint32_t cols = p->keep_shape[3];
    const uint32_t blocks = (cols + DLM_SUM_COLUMNS - 1) / DLM_SUM_COLUMNS;
    const size_t row = (size_t)item / blocks, first = (size_t)item % blocks * DLM_SUM_COLUMNS;
    const float *x = (const float *)call->buffers[0] + p->x_lead + first;
    size_t rest = row;

    if (row >= p->total / cols)
        return;
    for (int d = 2; d >= 0; d--) {
        x += rest % p->keep_shape[d] * p->keep_stride[d];
        rest /= p->keep_shape[d];
    }
    sum_block(p, x, (uint32_t)DLM_MIN(cols - first, (size_t)DLM_SUM_COLUMNS),
              (float *)call->buffers[1] + row * cols + first);
}
