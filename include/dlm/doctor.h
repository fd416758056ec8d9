/* What this machine offers: devices, and which op runs on which of them in which type. */
#ifndef DLM_DOCTOR_H
#define DLM_DOCTOR_H

#include <stdbool.h>

#include "dlm/compute.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The machine and its devices, as lines or as JSON. *text (ends with a newline) is owned by the
 * caller, NULL on failure. */
DLM_API enum dlm_status dlm_doctor_report(struct dlm_ctx *ctx, bool json,
                                          char **text) DLM_CHECK_RESULT;

/* Op x type x device: which of them run, as a table or as JSON. compute->backend auto: every device
 * that is there, software devices too; otherwise the one asked for. *text as above. */
DLM_API enum dlm_status dlm_doctor_ops(struct dlm_ctx *ctx, const struct dlm_compute *compute,
                                       bool json, char **text) DLM_CHECK_RESULT;

#ifdef __cplusplus
}
#endif

#endif
