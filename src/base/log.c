/* Logging and failing. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ctx_impl.h"
#include "base/hash.h"

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
    if (ctx->params.log && !ctx->mutes)
        ctx->params.log(ctx->params.log_user, level, text);
}

void dlm_log(struct dlm_ctx *ctx, enum dlm_log_level level, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    log_va(ctx, level, fmt, args);
    va_end(args);
}

/* Notes the text; true: it was noted before. With no memory, it is said again. */
static bool was_said(struct dlm_ctx *ctx, const char *text)
{
    const uint32_t hash = dlm_hash(DLM_HASH_START, text, strlen(text));

    for (size_t i = 0; i < ctx->num_said; i++)
        if (ctx->said[i] == hash)
            return true;
    uint32_t *said = realloc(ctx->said, (ctx->num_said + 1) * sizeof(*said));
    if (said) {
        ctx->said = said;
        said[ctx->num_said++] = hash;
    }
    return false;
}

void dlm_log_once(struct dlm_ctx *ctx, enum dlm_log_level level, const char *fmt, ...)
{
    char text[sizeof(ctx->last_error)];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (ctx && (ctx->mutes || !was_said(ctx, text)))
        dlm_log(ctx, level, "%s", text);
}

enum dlm_status dlm_fail(struct dlm_ctx *ctx, enum dlm_status status, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    log_va(ctx, DLM_LOG_ERROR, fmt, args);
    va_end(args);
    return status;
}

void dlm_log_mute(struct dlm_ctx *ctx)
{
    ctx->mutes++;
}

enum dlm_status dlm_log_unmute(struct dlm_ctx *ctx, enum dlm_status status)
{
    ctx->mutes--;
    return status;
}

enum dlm_status dlm_log_excuse(struct dlm_ctx *ctx, enum dlm_status status)
{
    ctx->mutes--;
    if (status == DLM_ERR_MEMORY)
        return status;
    dlm_log_forget(ctx);
    return DLM_OK;
}

void dlm_log_take(struct dlm_ctx *ctx, char *text, size_t size)
{
    snprintf(text, size, "%s", ctx->last_error);
    dlm_log_forget(ctx);
}

void dlm_log_forget(struct dlm_ctx *ctx)
{
    ctx->last_error[0] = '\0';
}
