/* A base's model and what goes with it, from its folder or from its GGUF files. */
#ifndef DLM_API_BASE_MODEL_H
#define DLM_API_BASE_MODEL_H

#include "models/model.h"
#include "registry/registry.h"

/* Whether the base, which is resolved, is GGUF files. */
bool dlm_base_is_gguf(const struct dlm_base *base);

/* As dlm_base_resolve_files(); of a GGUF base base->source is filled in, too. */
enum dlm_status dlm_base_find(struct dlm_ctx *ctx, struct dlm_base *base, const char *text,
                              const char *mmproj, const char *doc_dir) DLM_CHECK_RESULT;

/* As dlm_model_open(). */
enum dlm_status dlm_base_open_model(struct dlm_ctx *ctx, struct dlm_model **out,
                                    struct dlm_device *device, const struct dlm_base *base,
                                    enum dlm_dtype policy,
                                    const struct dlm_quant_policy *quant) DLM_CHECK_RESULT;

/* As dlm_model_read_folder(). */
enum dlm_status dlm_base_read_model(struct dlm_ctx *ctx, struct dlm_model **out,
                                    const struct dlm_base *base) DLM_CHECK_RESULT;

/* As dlm_checkpoint_open(). */
enum dlm_status dlm_base_open_checkpoint(struct dlm_ctx *ctx, struct dlm_checkpoint **out,
                                         const struct dlm_base *base) DLM_CHECK_RESULT;

/* The tokenizer, with what the model's processor adds; model NULL: as it lies in the files. */
enum dlm_status dlm_base_load_tokenizer(struct dlm_ctx *ctx, const struct dlm_model *model,
                                        struct dlm_tokenizer **out,
                                        const struct dlm_base *base) DLM_CHECK_RESULT;

#endif
