/* How fast a finished run was, by its log. */
#ifndef DLM_API_RUN_RATE_H
#define DLM_API_RUN_RATE_H

#include "store/store.h"

struct dlm_run_rate {
    int64_t run_id; /* 0: there is no run, or its log does not say */
    int64_t steps;
    double seconds; /* in steps alone, without loading and saving */
    int64_t tokens; /* of all examples */
    double foretold; /* seconds a step, as estimated when the run began; 0: it was not */
};

/* Of the run of this id. A log that is gone, damaged, or of an older dlm, which did not note
 * tokens, is no failure. */
enum dlm_status dlm_run_rate(struct dlm_ctx *ctx, const struct dlm_store *store, int64_t run_id,
                             struct dlm_run_rate *rate) DLM_CHECK_RESULT;

#endif
