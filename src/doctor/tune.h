/* The fastest tiles for products of models' shapes, measured on a GPU. */
#ifndef DLM_DOCTOR_TUNE_H
#define DLM_DOCTOR_TUNE_H

#include "backend/backend.h"
#include "base/dtype.h"
#include "dlm/bench.h"

/* Measures for about `seconds` with weights of type (f32, f16 or bf16), fills result->rows and
 * leaves the device with the choices, and with those that it had for shapes that are not measured.
 * After a failure, DLM_ERR_CANCELLED among them, the device keeps the table's. */
enum dlm_status dlm_tune(struct dlm_ctx *ctx, struct dlm_device *device, enum dlm_dtype type,
                         double seconds, struct dlm_tune_result *result) DLM_CHECK_RESULT;

#endif
