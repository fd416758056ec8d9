/* Logging and failing: the place that detects a failure logs it, callers pass the status up. */
#ifndef DLM_BASE_LOG_H
#define DLM_BASE_LOG_H

#include <stddef.h>

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

/* What may fail without failing the call stands between dlm_log_mute() and one of the next two:
 * messages are dropped, the last error is kept. They nest. */
void dlm_log_mute(struct dlm_ctx *ctx);

/* Ends that and returns status, for a caller that says in its own words what is the matter. */
enum dlm_status dlm_log_unmute(struct dlm_ctx *ctx, enum dlm_status status);

/* Ends that as if what failed had not been there: no last error, DLM_OK; DLM_ERR_MEMORY stays. */
enum dlm_status dlm_log_excuse(struct dlm_ctx *ctx, enum dlm_status status);

/* Moves the last error to text: the call goes on and tells it elsewhere. */
void dlm_log_take(struct dlm_ctx *ctx, char *text, size_t size);

/* Drops the last error. */
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
