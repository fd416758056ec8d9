/* How long a plan takes on its device, measured. */
#ifndef DLM_DOCTOR_TIMING_H
#define DLM_DOCTOR_TIMING_H

#include "graph/plan.h"

/* Seconds of a run of the plan, behind others of it: the median of batches that the clock sees, and
 * of fewer where one run takes long. Every leaf is bound; workspace and program are made here, and
 * two runs go before. DLM_ERR_CANCELLED: the context asks for an end. */
enum dlm_status dlm_plan_time(struct dlm_ctx *ctx, struct dlm_device *device,
                              struct dlm_plan *plan, double *seconds) DLM_CHECK_RESULT;

#endif
