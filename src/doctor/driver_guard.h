/* Between whoever computes and drivers that may crash or hang: they are asked in another process
 * before they are loaded in this one, what is found is remembered, and as they are loaded they are
 * watched. */
#ifndef DLM_DOCTOR_DRIVER_GUARD_H
#define DLM_DOCTOR_DRIVER_GUARD_H

#include "backend/backend.h"
#include "dlm/compute.h"
#include "doctor/probe.h"

/* Before a device is opened here: looks for what compute means. Where auto would load a driver with
 * a fault, compute becomes what it takes of the rest, with a warning; a backend that is named is
 * DLM_ERR_DEVICE then, logged with a way out. The CPU has no driver. The first is for the doctor,
 * who asks whatever is known; the second for whoever computes: it asks drivers of which nothing is
 * known, of a named backend those, too, that failed. */
enum dlm_status dlm_driver_guard(struct dlm_ctx *ctx, struct dlm_compute *compute) DLM_CHECK_RESULT;
enum dlm_status dlm_driver_guard_once(struct dlm_ctx *ctx,
                                      struct dlm_compute *compute) DLM_CHECK_RESULT;

/* Notes which drivers answered the doctor, who may have given the others less time than whoever
 * computes does: of these nothing is known then, or what was. kind: what was looked for. */
void dlm_driver_note(struct dlm_ctx *ctx, const struct dlm_probe *probe,
                     enum dlm_backend_kind kind);

/* dlm_device_open() and dlm_device_find(), while the context's dlm_load_fn knows. */
enum dlm_status dlm_driver_open(struct dlm_ctx *ctx, struct dlm_device **out,
                                const struct dlm_device_params *params) DLM_CHECK_RESULT;
enum dlm_status dlm_driver_find(struct dlm_ctx *ctx, const struct dlm_device_params *params,
                                struct dlm_device_info *info) DLM_CHECK_RESULT;

#endif
