/* Learning rates: transformers' schedulers; optimiser steps are counted from 0. */
#ifndef DLM_TRAIN_SCHEDULE_H
#define DLM_TRAIN_SCHEDULE_H

#include <stdint.h>

enum dlm_schedule_kind {
    DLM_SCHEDULE_COSINE,   /* get_cosine_schedule_with_warmup, half a cycle */
    DLM_SCHEDULE_LINEAR,   /* get_linear_schedule_with_warmup */
    DLM_SCHEDULE_CONSTANT, /* get_constant_schedule_with_warmup */
};

struct dlm_schedule {
    enum dlm_schedule_kind kind;
    double lr;
    int64_t steps;  /* N, of the whole run */
    int64_t warmup; /* W = ceil(N * warmup_ratio) */
};

struct dlm_schedule dlm_schedule_make(enum dlm_schedule_kind kind, double lr, int64_t steps,
                                      double warmup_ratio);
double dlm_schedule_lr(const struct dlm_schedule *s, int64_t k);

#endif
