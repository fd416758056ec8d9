/* select: a work item is one row; the scratch memory holds its exp((x - max) / temperature). */
#include "cpukernels/vmath.h"

#include "cpukernels/cpukernels.h"

#define BLOCK 4096

static int has_nan(const float *x, uint32_t len)
{
    int nan = 0;

#pragma omp simd reduction(| : nan)
    for (uint32_t i = 0; i < len; i++)
        nan |= x[i] != x[i];
    return nan;
}

/* Index of the first largest element; -1 when there is NaN, or it is infinite. */
static int32_t argmax(const float *x, uint32_t len)
{
    uint32_t best_block = 0;
    float best = -INFINITY;

    for (uint32_t at = 0; at < len; at += DLM_MIN(len - at, (uint32_t)BLOCK)) {
        const uint32_t block = DLM_MIN(len - at, (uint32_t)BLOCK);
        const float max = dlm_vmax(x + at, block);
        if (has_nan(x + at, block))
            return -1;
        if (max > best) {
            best = max;
            best_block = at;
        }
    }
    for (uint32_t i = best_block; i < len && !isinf(best); i++)
        if (x[i] == best)
            return (int32_t)i; /* below the vocabulary's size */
    return -1;
}

/* Sum of the elements that are at least t. */
static double sum_from(const float *e, uint32_t len, float t)
{
    double total = 0;

    for (uint32_t at = 0; at < len; at += DLM_MIN(len - at, (uint32_t)BLOCK)) {
        const uint32_t end = at + DLM_MIN(len - at, (uint32_t)BLOCK);
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (uint32_t i = at; i < end; i++)
            sum += e[i] >= t ? e[i] : 0.0f;
        total += (double)sum;
    }
    return total;
}

/* The largest t for which the elements from t on sum up to at least want; all are in [0, 1], where
 * floats are ordered as their bits are. */
static float find_threshold(const float *e, uint32_t len, double want)
{
    uint32_t low = 0, high = 0x3f800001u; /* the sum from low is enough, from high is not */

    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        if (sum_from(e, len, DLM_AS_F32(middle)) >= want)
            low = middle;
        else
            high = middle;
    }
    return DLM_AS_F32(low);
}

/* The first element from t on at which the running sum exceeds want. */
static uint32_t find_token(const float *e, uint32_t len, float t, double want)
{
    double running = 0;
    uint32_t token = 0;

    for (uint32_t i = 0; i < len; i++) {
        if (!(e[i] >= t))
            continue;
        token = i;
        running += (double)e[i];
        if (running > want)
            break;
    }
    return token;
}

void DLM_CPU_KERNEL(select)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_select_params *p = call->params;
    if (item >= p->rows)
        return;
    const float *x = (const float *)call->buffers[0] + item * p->vocab;
    const float *sampling = call->buffers[1];
    const uint32_t *rng = call->buffers[2];
    int32_t *out = (int32_t *)call->buffers[3] + item;
    const float temperature = sampling[0], top_p = sampling[1];
    const int32_t best = argmax(x, p->vocab);
    float *e = call->scratch, t = 0;

    if (best < 0 || !(temperature > 0)) {
        *out = best;
        return;
    }
    const float max = x[best];
    DLM_SIMD for (uint32_t i = 0; i < p->vocab; i++)
        e[i] = DLM_EXPF((x[i] - max) / temperature);
    double stays = sum_from(e, p->vocab, 0);
    if (top_p > 0 && top_p < 1) {
        t = find_threshold(e, p->vocab, (double)top_p * stays);
        stays = sum_from(e, p->vocab, t);
    }
    const uint32_t word = dlm_philox((uint32_t)item, 0, DLM_SELECT_STREAM, rng[2], rng[0], rng[1]);
    *out = (int32_t)find_token(e, p->vocab, t, (double)dlm_uniform(word) * stays);
}
