/* The one form of a message about a document: its place, then what is wrong there. */
#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"
#include "doc/doc_impl.h"

enum dlm_status dlm_doc_fail(struct dlm_ctx *ctx, const char *path, int64_t line, int64_t col,
                             const char *fmt, ...)
{
    char place[64] = "";
    va_list args, again;

    if (line && col)
        snprintf(place, sizeof(place), ":%lld:%lld", (long long)line, (long long)col);
    else if (line)
        snprintf(place, sizeof(place), ":%lld", (long long)line);
    va_start(args, fmt);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *message = len >= 0 ? dlm_alloc(ctx, (size_t)len + 1) : NULL;
    if (message)
        vsnprintf(message, (size_t)len + 1, fmt, again);
    va_end(again);
    enum dlm_status st =
        message ? dlm_fail(ctx, DLM_ERR_PARSE, "%s%s: %s", path ? path : "<text>", place, message)
                : DLM_ERR_MEMORY;
    dlm_free(message);
    return st;
}
