/* The loop over a run's steps: what is taken down of it, and where, is its observer's part. It
 * knows no document, no store and no file. */
#ifndef DLM_TRAIN_LOOP_H
#define DLM_TRAIN_LOOP_H

#include "train/trainer.h"

struct dlm_loop_step {
    struct dlm_trainer_step done;
    double val_loss; /* NaN: no validation after this step */
    double tokens_per_sec, seconds_left;
};

/* Called from the loop's thread; a failure ends the loop with its status. All are needed. */
struct dlm_loop_observer {
    void *user;
    enum dlm_status (*on_step)(void *user, const struct dlm_loop_step *step);
    /* The vectors as they are after this step are worth keeping. */
    enum dlm_status (*on_save)(void *user, int64_t step);
    /* NaN or infinity ("loss is") has spoilt the adapter: returns the failure that it reports. */
    enum dlm_status (*on_diverged)(void *user, const char *what, int64_t step);
};

struct dlm_loop_params {
    int64_t first_step; /* from 1 */
    int64_t save_every; /* steps; 0: about every two minutes */
    struct dlm_loop_observer observer;
};

/* Runs the steps from first_step to the last one, with a validation after each quarter of them,
 * rounded down. A cancel ends it after a whole step, which is saved: DLM_ERR_CANCELLED. */
enum dlm_status dlm_loop_run(struct dlm_ctx *ctx, struct dlm_trainer *trainer,
                             const struct dlm_loop_params *params) DLM_CHECK_RESULT;

#endif
