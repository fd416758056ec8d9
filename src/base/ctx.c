/* The context: made, cancelled, and with a thread pool from its first use on. */
#include "dlm/ctx.h"

#include <stdlib.h>

#include "base/cancel.h"
#include "base/ctx_impl.h"
#include "base/try.h"

struct dlm_ctx *dlm_ctx_create(const struct dlm_ctx_params *params)
{
    struct dlm_ctx *ctx = calloc(1, sizeof(*ctx));
    if (!ctx)
        return NULL;
    if (params)
        ctx->params = *params;
    atomic_init(&ctx->cancelled, false);
    atomic_init(&ctx->is_cancel_held, false);
    return ctx;
}

void dlm_ctx_destroy(struct dlm_ctx **ctx)
{
    if (!ctx || !*ctx)
        return;
    dlm_pool_destroy(&(*ctx)->pool);
    free((*ctx)->said);
    free(*ctx);
    *ctx = NULL;
}

const char *dlm_ctx_last_error(const struct dlm_ctx *ctx)
{
    return ctx->last_error;
}

void dlm_ctx_cancel(struct dlm_ctx *ctx)
{
    atomic_store_explicit(&ctx->cancelled, true, memory_order_relaxed);
}

void dlm_ctx_clear_cancel(struct dlm_ctx *ctx)
{
    atomic_store_explicit(&ctx->cancelled, false, memory_order_relaxed);
}

bool dlm_ctx_is_cancelled(const struct dlm_ctx *ctx)
{
    return !atomic_load_explicit(&ctx->is_cancel_held, memory_order_relaxed) &&
           dlm_ctx_wants_cancel(ctx);
}

bool dlm_ctx_wants_cancel(const struct dlm_ctx *ctx)
{
    return atomic_load_explicit(&ctx->cancelled, memory_order_relaxed);
}

void dlm_ctx_hold_cancel(struct dlm_ctx *ctx, bool hold)
{
    atomic_store_explicit(&ctx->is_cancel_held, hold, memory_order_relaxed);
}

int dlm_ctx_num_threads(const struct dlm_ctx *ctx)
{
    if (ctx->pool)
        return dlm_pool_num_workers(ctx->pool);
    return ctx->params.num_threads > 0 ? ctx->params.num_threads : dlm_pool_default_workers("");
}

bool dlm_ctx_can_try(const struct dlm_ctx *ctx)
{
    return ctx->params.try_device != NULL;
}

enum dlm_status dlm_ctx_try(struct dlm_ctx *ctx, struct dlm_trial *trial, const char *backend,
                            int index)
{
    return ctx->params.try_device(ctx->params.try_user, trial, backend, index);
}

bool dlm_ctx_can_probe(const struct dlm_ctx *ctx)
{
    return ctx->params.probe_devices != NULL;
}

enum dlm_status dlm_ctx_probe(struct dlm_ctx *ctx, struct dlm_probe_job *jobs, size_t num)
{
    return ctx->params.probe_devices(ctx->params.probe_user, jobs, num);
}

bool dlm_ctx_can_watch(const struct dlm_ctx *ctx)
{
    return ctx->params.load_drivers != NULL;
}

void dlm_ctx_watch(struct dlm_ctx *ctx, const struct dlm_load *load)
{
    ctx->params.load_drivers(ctx->params.load_user, load);
}

struct dlm_pool *dlm_ctx_pool(struct dlm_ctx *ctx)
{
    if (!ctx->pool)
        ctx->pool = dlm_pool_create(ctx, dlm_ctx_num_threads(ctx));
    return ctx->pool;
}
