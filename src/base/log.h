/* Logging and failing: the place that detects a failure logs it, callers pass the status up. */
#ifndef DLM_BASE_LOG_H
#define DLM_BASE_LOG_H

#include <stdbool.h>

#include "base/attr.h"
#include "dlm/ctx.h"

/* Logs one message. DLM_LOG_ERROR also becomes the context's last error. ctx may be NULL. */
void dlm_log(struct dlm_ctx *ctx, enum dlm_log_level level, const char *fmt, ...) DLM_PRINTF(3, 4);

/* The same, unless this text was logged so through ctx before: of what a call looks at many times,
 * such as the files of a folder. */
void dlm_log_once(struct dlm_ctx *ctx, enum dlm_log_level level, const char *fmt, ...)
    DLM_PRINTF(3, 4);

/* Logs an error and returns `status`: `return dlm_fail(ctx, DLM_ERR_IO, "cannot open '%s'", p);` */
enum dlm_status dlm_fail(struct dlm_ctx *ctx, enum dlm_status status, const char *fmt, ...)
    DLM_PRINTF(3, 4);

/* While muted, messages are dropped; the last error is still kept, for a caller that looks at many
 * things and reports what is the matter with each in its own words. */
void dlm_log_mute(struct dlm_ctx *ctx, bool mute);

/* Drops the last error: the call goes on, as if what failed had not been there. */
void dlm_log_forget(struct dlm_ctx *ctx);

/* At the public edge: checks an argument, logs the expression and goes to done with st set. */
#define DLM_REQUIRE(ctx, expr)                                                                     \
    do {                                                                                           \
        if (!(expr)) {                                                                             \
            st = dlm_fail(ctx, DLM_ERR_INVALID, "%s: '%s' does not hold", __func__, #expr);        \
            goto done;                                                                             \
        }                                                                                          \
    } while (0)

#endif
