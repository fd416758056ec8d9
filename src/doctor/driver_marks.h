/* What is known of a backend's drivers since this machine was started: that they answered when they
 * were asked in another process, or what was the matter. Whoever computes asks neither again. */
#ifndef DLM_DOCTOR_DRIVER_MARKS_H
#define DLM_DOCTOR_DRIVER_MARKS_H

#include <stdbool.h>
#include <time.h>

#include "dlm/ctx.h"
#include "dlm/device.h"

/* Of the drivers of a kind, as its loader finds them now. A driver that was exchanged, in its file
 * or its library, or a machine that was started again, has none. */
struct dlm_driver_mark {
    bool is_there;
    char *faults; /* owned: a line each, of one with a tab before it a hint; NULL: they answered */
    time_t when;  /* the faults were found */
};

/* Reads it from the kernel cache; without one, all of *mark is zero. */
void dlm_driver_mark_read(struct dlm_ctx *ctx, enum dlm_backend_kind kind,
                          struct dlm_driver_mark *mark);
void dlm_driver_mark_finish(struct dlm_driver_mark *mark);

/* Sets it; faults as above. Where it cannot be kept, the next command asks again. */
void dlm_driver_mark_set(struct dlm_ctx *ctx, enum dlm_backend_kind kind, const char *faults);
void dlm_driver_mark_remove(struct dlm_ctx *ctx, enum dlm_backend_kind kind);

/* Path of the file that it is, owned by the caller; NULL: there can be none here. */
char *dlm_driver_mark_path(struct dlm_ctx *ctx, enum dlm_backend_kind kind);

#endif
