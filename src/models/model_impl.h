/* What the files that open models share. */
#ifndef DLM_MODELS_MODEL_IMPL_H
#define DLM_MODELS_MODEL_IMPL_H

#include "models/model.h"

#define DLM_MAX_CONFIG_BYTES (16u << 20)
/* Weights in f32 over this are kept in bf16, unless a policy is asked for. */
#define DLM_LARGE_F32_BYTES (4ull << 30)

/* Ends with NULL. */
extern const struct dlm_family *const dlm_families[];

/* A family's struct with its default processor. Owned; NULL without memory. */
struct dlm_model *dlm_model_create(struct dlm_ctx *ctx,
                                   const struct dlm_family *family) DLM_CHECK_RESULT;

/* The same with a configuration read that no folder goes with. Borrows config until return; path is
 * for messages. *out is owned, NULL on failure. */
enum dlm_status dlm_model_create_config(struct dlm_ctx *ctx, struct dlm_model **out,
                                        const json_t *config, const char *path) DLM_CHECK_RESULT;

/* The same with the files of a checkpoint's folder read. family NULL: as its config.json says.
 * has_no_files: its configs alone count. */
enum dlm_status dlm_model_create_folder(struct dlm_ctx *ctx, struct dlm_model **out,
                                        const char *dir, const struct dlm_family *family,
                                        bool has_no_files) DLM_CHECK_RESULT;

/* Declares the weights of a model, which is configured, as those of ckpt; takes ckpt, also on
 * failure. policy DLM_DTYPE_COUNT: chosen by its files. */
enum dlm_status dlm_model_take_checkpoint(struct dlm_model *m, struct dlm_device *device,
                                          struct dlm_checkpoint *ckpt, enum dlm_dtype policy,
                                          const struct dlm_quant_policy *quant) DLM_CHECK_RESULT;

#endif
