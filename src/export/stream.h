/* Bytes on their way into a file: a thread of their own writes them while the caller makes the
 * next. Memory is a few buffers of fixed size. Calls come from one thread. */
#ifndef DLM_EXPORT_STREAM_H
#define DLM_EXPORT_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "dlm/ctx.h"

struct dlm_stream;

#define DLM_STREAM_BUFFER_BYTES ((size_t)1 << 20)
#define DLM_STREAM_NUM_BUFFERS 4

/* *out is owned, NULL on failure. */
enum dlm_status dlm_stream_create(struct dlm_ctx *ctx, struct dlm_stream **out) DLM_CHECK_RESULT;

/* Waits for the write in work and drops what comes after it. Accepts NULL. */
void dlm_stream_destroy(struct dlm_stream **s);

/* At first, or after an end: the next bytes go to fd, from where it stands; borrowed until the
 * end. */
void dlm_stream_begin(struct dlm_stream *s, int fd);

/* Takes a copy; waits where no buffer is free. Returns 0, or the errno of a write that has failed
 * by now: nothing is written after it. */
int dlm_stream_write(struct dlm_stream *s, const void *data, size_t bytes) DLM_CHECK_RESULT;

/* Waits until all is written, or returns the errno of what failed. */
int dlm_stream_end(struct dlm_stream *s) DLM_CHECK_RESULT;

#endif
