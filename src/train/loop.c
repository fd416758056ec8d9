/* The loop. */
#include "train/loop.h"

#include <math.h>

#include "base/cancel.h"
#include "base/clock.h"
#include "base/log.h"

#define SAVE_SECONDS 120

/* What is not finite of a step; NULL: all is well. */
static const char *find_divergence(const struct dlm_loop_step *s, bool is_validated)
{
    return !isfinite(s->done.loss)                     ? "loss is"
           : !isfinite(s->done.grad_norm)              ? "gradient is"
           : is_validated && !isfinite(s->val_loss) ? "validation loss is"
                                                       : NULL;
}

static enum dlm_status run_step(struct dlm_trainer *trainer, const struct dlm_loop_params *params,
                                int64_t step, double started)
{
    const struct dlm_loop_observer *o = &params->observer;
    const int64_t steps = dlm_trainer_num_steps(trainer);
    const int64_t quarter = DLM_MAX((int64_t)1, steps / 4);
    const bool validates = dlm_trainer_has_validation(trainer) && step % quarter == 0;
    const double began = dlm_now();
    struct dlm_loop_step s = {.val_loss = NAN};

    enum dlm_status st = dlm_trainer_run(trainer, step, &s.done);
    if (!st && validates)
        st = dlm_trainer_validate(trainer, &s.val_loss);
    if (st)
        return st;
    const double end = dlm_now();
    s.tokens_per_sec = (double)s.done.tokens / (end - began);
    s.seconds_left =
        (end - started) / (double)(step - params->first_step + 1) * (double)(steps - step);
    st = o->on_step(o->user, &s);
    const char *diverged = find_divergence(&s, validates);
    return !st && diverged ? o->on_diverged(o->user, diverged, step) : st;
}

enum dlm_status dlm_loop_run(struct dlm_ctx *ctx, struct dlm_trainer *trainer,
                             const struct dlm_loop_params *params)
{
    const struct dlm_loop_observer *o = &params->observer;
    const int64_t steps = dlm_trainer_num_steps(trainer);
    const double started = dlm_now();
    double saved = started;
    enum dlm_status st = DLM_OK;

    for (int64_t step = params->first_step; !st && step <= steps; step++) {
        st = run_step(trainer, params, step, started);
        if (st || step == steps)
            break;
        const bool stops = dlm_ctx_wants_cancel(ctx);
        const bool is_due = params->save_every ? step % params->save_every == 0
                                               : dlm_now() - saved >= SAVE_SECONDS;
        if (is_due || stops) {
            st = o->on_save(o->user, step);
            saved = dlm_now();
        }
        if (!st && stops)
            st = dlm_fail(ctx, DLM_ERR_CANCELLED, "interrupted after step %lld of %lld",
                          (long long)step, (long long)steps);
    }
    return st;
}
