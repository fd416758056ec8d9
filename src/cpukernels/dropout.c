/* dropout: a work item is one row; Philox runs over its columns. */
#include "cpukernels/cpukernels.h"
#include "base/scalar.h"

void DLM_CPU_KERNEL(dropout)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_dropout_params *p = call->params;
    if (item >= p->rows)
        return;
    const uint32_t row = p->first_row + (uint32_t)item; /* below 2^32 */
    const float *x = (const float *)call->buffers[0] + item * p->cols;
    const uint32_t *rng = call->buffers[1];
    const uint32_t id = ((const uint32_t *)call->buffers[2])[row / p->rows_per_batch];
    float *y = (float *)call->buffers[3] + item * p->cols;
    const uint32_t first = row % p->rows_per_batch * p->cols;
    const uint32_t low = rng[0], high = rng[1], step = rng[2], module = p->module;
    const float drop = p->p, keep = 1.0f / (1.0f - p->p);

    DLM_SIMD for (uint32_t c = 0; c < p->cols; c++)
    {
        const uint32_t word = dlm_philox(first + c, id, module, step, low, high);
        y[c] = dlm_uniform(word) >= drop ? x[c] * keep : 0.0f;
    }
}
