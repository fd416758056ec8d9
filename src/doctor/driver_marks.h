/* Which drivers have answered on this machine since it was started: what a command that computes
 * need not ask again, in another process, before it loads them. */
#ifndef DLM_DOCTOR_DRIVER_MARKS_H
#define DLM_DOCTOR_DRIVER_MARKS_H

#include <stdbool.h>

#include "dlm/ctx.h"
#include "dlm/device.h"

/* Whether the drivers of a kind, as its loader finds them now, have a mark in the kernel cache. A
 * driver that was exchanged, or a machine that was started again, has none. */
bool dlm_driver_mark_exists(struct dlm_ctx *ctx, enum dlm_backend_kind kind);

/* Sets it. Where it cannot be kept, the next command asks again. */
void dlm_driver_mark_set(struct dlm_ctx *ctx, enum dlm_backend_kind kind);

#endif
