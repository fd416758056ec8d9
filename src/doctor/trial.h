/* Drivers that are new on this machine are tried in another process before they compile here. */
#ifndef DLM_DOCTOR_TRIAL_H
#define DLM_DOCTOR_TRIAL_H

#include "backend/backend.h"

/* Bans the kernels that the device's driver crashes or hangs on (dlm_device_ban_kernel()). They are
 * found by the context's dlm_try_fn; without one, and on devices that compile nothing, nothing
 * happens. In cache_dir the result is kept for this driver and these kernels; NULL: every call
 * tries anew. */
enum dlm_status dlm_trial_run(struct dlm_ctx *ctx, struct dlm_device *device,
                              const char *cache_dir) DLM_CHECK_RESULT;

#endif
