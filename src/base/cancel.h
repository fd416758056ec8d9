/* Cancelling with an exception: a training step must end whole, or its state could not be saved. */
#ifndef DLM_BASE_CANCEL_H
#define DLM_BASE_CANCEL_H

#include <stdbool.h>

#include "dlm/ctx.h"

/* While held, dlm_ctx_is_cancelled() is false; the wish is kept. */
void dlm_ctx_hold_cancel(struct dlm_ctx *ctx, bool hold);

/* Whether a cancel was asked for, held or not. */
bool dlm_ctx_wants_cancel(const struct dlm_ctx *ctx);

#endif
