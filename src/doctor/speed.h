/* What a device does as models use it, measured in a moment, and how long their plans take by that:
 * an estimate from shapes alone. What was measured is kept on this machine. */
#ifndef DLM_DOCTOR_SPEED_H
#define DLM_DOCTOR_SPEED_H

#include "base/dtype.h"
#include "graph/plan.h"

struct dlm_speed {
    double product;  /* operations a second of a product of many rows with a weight */
    double read;     /* bytes of a weight a second, of a product of one row */
    double dispatch; /* seconds of a kernel that does next to nothing, among others */
    double seconds;  /* that measuring took */
};

/* Measures, with weights of type (f32, f16 or bf16) as the device has them, in at most 128 MiB. */
enum dlm_status dlm_speed_measure(struct dlm_ctx *ctx, struct dlm_device *device,
                                  enum dlm_dtype type, struct dlm_speed *speed) DLM_CHECK_RESULT;

/* Seconds of a run: of each node its products or its memory, whichever takes longer, and of each
 * kernel at least what a dispatch takes. */
double dlm_speed_plan_seconds(const struct dlm_speed *speed, const struct dlm_plan *plan);

/* Keeps what was measured in a folder (NULL: nowhere), for this device, driver and type; and finds
 * it again. What cannot be kept or read is no failure: it is measured anew. */
enum dlm_status dlm_speed_keep(struct dlm_ctx *ctx, const struct dlm_device *device,
                               enum dlm_dtype type, const char *cache_dir,
                               const struct dlm_speed *speed) DLM_CHECK_RESULT;
enum dlm_status dlm_speed_find(struct dlm_ctx *ctx, const struct dlm_device *device,
                               enum dlm_dtype type, const char *cache_dir,
                               struct dlm_speed *speed, bool *is_found) DLM_CHECK_RESULT;

#endif
