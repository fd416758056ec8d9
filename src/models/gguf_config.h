/* What GGUF files say of a model, in the words of its config.json, so that a family reads one
 * thing. */
#ifndef DLM_MODELS_GGUF_CONFIG_H
#define DLM_MODELS_GGUF_CONFIG_H

#include "models/model.h"

/* The family that both files are of. DLM_ERR_UNSUPPORTED: it is not known here; DLM_ERR_INVALID:
 * the files are no language model and tower that belong together. */
enum dlm_status dlm_gguf_find_family(struct dlm_ctx *ctx, const struct dlm_gguf *text,
                                     const struct dlm_gguf *tower,
                                     const struct dlm_family **family) DLM_CHECK_RESULT;

/* Fills *told; returns *config owned, NULL on failure. DLM_ERR_PARSE: a key is missing or wrong;
 * DLM_ERR_UNSUPPORTED: asks for what is not computed here; DLM_ERR_INVALID: sizes of another
 * model. Borrows both files. */
enum dlm_status dlm_gguf_read_config(struct dlm_ctx *ctx, const struct dlm_family *family,
                                     const struct dlm_gguf *text, const struct dlm_gguf *tower,
                                     struct dlm_gguf_told *told,
                                     json_t **config) DLM_CHECK_RESULT;

/* What the tower's file says of how images become pixel_values; the rest of *p stays. */
enum dlm_status dlm_gguf_read_processor(struct dlm_ctx *ctx, const struct dlm_gguf *tower,
                                        struct dlm_processor *p) DLM_CHECK_RESULT;

#endif
