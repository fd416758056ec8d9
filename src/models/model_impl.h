/* What the files that open models share. */
#ifndef DLM_MODELS_MODEL_IMPL_H
#define DLM_MODELS_MODEL_IMPL_H

#include "models/model.h"

/* A family's struct with its default processor. Owned; NULL without memory. */
struct dlm_model *dlm_model_create(struct dlm_ctx *ctx,
                                   const struct dlm_family *family) DLM_CHECK_RESULT;

/* Declares the weights of a model, which is configured, as those of ckpt; takes ckpt, also on
 * failure. policy DLM_DTYPE_COUNT: chosen by its files. */
enum dlm_status dlm_model_take_checkpoint(struct dlm_model *m, struct dlm_device *device,
                                          struct dlm_checkpoint *ckpt, enum dlm_dtype policy,
                                          const struct dlm_quant_policy *quant) DLM_CHECK_RESULT;

#endif
