/* The context's hooks that ask drivers in other processes, and watch them in this one: see
 * dlm_try_fn, dlm_probe_fn and dlm_load_fn. */
#ifndef DLM_BASE_TRY_H
#define DLM_BASE_TRY_H

#include "base/attr.h"
#include "dlm/ctx.h"

bool dlm_ctx_can_try(const struct dlm_ctx *ctx);
enum dlm_status dlm_ctx_try(struct dlm_ctx *ctx, struct dlm_trial *trial, const char *backend,
                            int index) DLM_CHECK_RESULT;

bool dlm_ctx_can_probe(const struct dlm_ctx *ctx);
enum dlm_status dlm_ctx_probe(struct dlm_ctx *ctx, struct dlm_probe_job *jobs,
                              size_t num) DLM_CHECK_RESULT;

bool dlm_ctx_can_watch(const struct dlm_ctx *ctx);
void dlm_ctx_watch(struct dlm_ctx *ctx, const struct dlm_load *load);

#endif
