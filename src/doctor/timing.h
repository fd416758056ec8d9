/* How long a plan takes on its device, measured. */
#ifndef DLM_DOCTOR_TIMING_H
#define DLM_DOCTOR_TIMING_H

#include "graph/plan.h"

#define DLM_MAX_BATCHES 5

/* Seconds of a run of the plan, behind others of it: the median of so many batches (1 to
 * DLM_MAX_BATCHES) that the clock sees, a hundredth of a second each, and one where a run takes
 * long. Every leaf is bound; workspace and program are made here, and two runs go before.
 * DLM_ERR_CANCELLED: the context asks for an end. */
enum dlm_status dlm_plan_time(struct dlm_ctx *ctx, struct dlm_device *device,
                              struct dlm_plan *plan, int num_batches,
                              double *seconds) DLM_CHECK_RESULT;

#endif
