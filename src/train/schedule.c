/* Schedules. */
#include "train/schedule.h"

#include <math.h>

struct dlm_schedule dlm_schedule_make(enum dlm_schedule_kind kind, double lr, int64_t steps,
                                      double warmup_ratio)
{
    return (struct dlm_schedule){
        .kind = kind,
        .lr = lr,
        .steps = steps,
        .warmup = (int64_t)ceil((double)steps * warmup_ratio), /* at most steps */
    };
}

double dlm_schedule_lr(const struct dlm_schedule *s, int64_t k)
{
    const double warmup = (double)(s->warmup > 1 ? s->warmup : 1);
    const double rest = (double)(s->steps - s->warmup > 1 ? s->steps - s->warmup : 1);

    if (k < s->warmup)
        return s->lr * (double)k / warmup;
    switch (s->kind) {
    case DLM_SCHEDULE_LINEAR:
        return s->lr * fmax(0, (double)(s->steps - k) / rest);
    case DLM_SCHEDULE_COSINE:
        return s->lr * fmax(0, 0.5 * (1 + cos(M_PI * (double)(k - s->warmup) / rest)));
    case DLM_SCHEDULE_CONSTANT:
        break;
    }
    return s->lr;
}
