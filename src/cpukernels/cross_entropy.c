/* cross_entropy: a work item is one row, read two or, with a gradient, three times (it stays in the
 * second-level cache). */
#include "cpukernels/vmath.h"

#include <string.h>

#include "cpukernels/cpukernels.h"

#define BLOCK 4096 /* elements summed in f32 before they join the f64 sum */

/* Sum of exp(x - max), whose terms are left in e. */
static double row_exp(const float *x, float max, float *e, uint32_t len)
{
    double total = 0;

    for (uint32_t at = 0; at < len; at += BLOCK) {
        const uint32_t end = at + DLM_MIN(len - at, (uint32_t)BLOCK);
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (uint32_t i = at; i < end; i++) {
            e[i] = DLM_EXPF(x[i] - max);
            sum += e[i];
        }
        total += (double)sum;
    }
    return total;
}

/* The same sum for the loss alone. */
static double row_sum(const float *x, float max, uint32_t len)
{
    double total = 0;

    for (uint32_t at = 0; at < len; at += BLOCK) {
        const uint32_t end = at + DLM_MIN(len - at, (uint32_t)BLOCK);
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (uint32_t i = at; i < end; i++)
            sum += DLM_EXPF(x[i] - max);
        total += (double)sum;
    }
    return total;
}

void DLM_CPU_KERNEL(cross_entropy)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_cross_entropy_params *p = call->params;
    if (item >= p->rows)
        return;
    const float *logits = (const float *)call->buffers[0] + item * p->vocab;
    const int32_t label = ((const int32_t *)call->buffers[1])[p->label_lead + item];
    const float weight = ((const float *)call->buffers[2])[p->weight_lead + item];
    float *logprob = (float *)call->buffers[3] + p->logprob_lead + item;
    float *dlogits = (float *)call->buffers[4] + item * p->vocab;

    if (label < 0 || (uint32_t)label >= p->vocab) {
        *logprob = 0;
        memset(dlogits, 0, p->vocab * sizeof(*dlogits));
        return;
    }
    const float max = dlm_vmax(logits, p->vocab);
    const double sum = row_exp(logits, max, dlogits, p->vocab);
    const float factor = (float)((double)weight / sum);
    DLM_SIMD for (uint32_t i = 0; i < p->vocab; i++)
        dlogits[i] *= factor;
    dlogits[label] -= weight;
    *logprob = (float)((double)(logits[label] - max) - log(sum));
}

void DLM_CPU_KERNEL(cross_entropy_loss)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_cross_entropy_params *p = call->params;
    if (item >= p->rows)
        return;
    const float *logits = (const float *)call->buffers[0] + item * p->vocab;
    const int32_t label = ((const int32_t *)call->buffers[1])[p->label_lead + item];
    float *logprob = (float *)call->buffers[3] + p->logprob_lead + item;

    *logprob = 0;
    if (label < 0 || (uint32_t)label >= p->vocab)
        return;
    const float max = dlm_vmax(logits, p->vocab);
    *logprob = (float)((double)(logits[label] - max) - log(row_sum(logits, max, p->vocab)));
}
