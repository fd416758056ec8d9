/* The context and logging. */
#include "dlm/ctx.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cancel.h"
#include "base/ctx_impl.h"
#include "base/log.h"

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

struct dlm_pool *dlm_ctx_pool(struct dlm_ctx *ctx)
{
    if (!ctx->pool) {
        int n = ctx->params.num_threads;
        ctx->pool = dlm_pool_create(ctx, n > 0 ? n : dlm_pool_default_workers());
    }
    return ctx->pool;
}

/* Whatever a file's text or name brought into a message, it is one line and cannot steer a
 * terminal. Only what is for debugging (compilers' logs) may have several lines. */
static void remove_controls(char *text, enum dlm_log_level level)
{
    for (; *text; text++) {
        if (*text == '\t' || (*text == '\n' && level != DLM_LOG_DEBUG))
            *text = ' ';
        else if (((unsigned char)*text < ' ' && *text != '\n') || *text == 0x7f)
            *text = '?';
    }
}

static void log_va(struct dlm_ctx *ctx, enum dlm_log_level level, const char *fmt, va_list args)
{
    char text[sizeof(ctx->last_error)];

    if (!ctx)
        return;
    vsnprintf(text, sizeof(text), fmt, args);
    remove_controls(text, level);
    if (level == DLM_LOG_ERROR)
        snprintf(ctx->last_error, sizeof(ctx->last_error), "%s", text);
    if (ctx->params.log)
        ctx->params.log(ctx->params.log_user, level, text);
}

void dlm_log(struct dlm_ctx *ctx, enum dlm_log_level level, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    log_va(ctx, level, fmt, args);
    va_end(args);
}

enum dlm_status dlm_fail(struct dlm_ctx *ctx, enum dlm_status status, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    log_va(ctx, DLM_LOG_ERROR, fmt, args);
    va_end(args);
    return status;
}
