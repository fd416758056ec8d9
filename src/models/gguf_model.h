/* Models from GGUF files alone: a language model and its tower, as dlm and llama.cpp's converter
 * write them. Configuration, processor, tokenizer and weights become what those of a checkpoint's
 * folder are. */
#ifndef DLM_MODELS_GGUF_MODEL_H
#define DLM_MODELS_GGUF_MODEL_H

#include "models/model.h"

struct dlm_gguf_paths {
    const char *text, *tower;
};

/* As dlm_model_open(): reads and checks both headers, declares the weights, loads none.
 * DLM_ERR_IO, DLM_ERR_PARSE: cannot be read; DLM_ERR_UNSUPPORTED: of a family, or asking for a
 * computation, that is not known here; DLM_ERR_INVALID: the two belong to different models. */
enum dlm_status dlm_gguf_model_open(struct dlm_ctx *ctx, struct dlm_model **out,
                                    struct dlm_device *device, const struct dlm_gguf_paths *paths,
                                    enum dlm_dtype policy,
                                    const struct dlm_quant_policy *quant) DLM_CHECK_RESULT;

/* As dlm_model_read_folder(): configuration and processor alone. */
enum dlm_status dlm_gguf_model_read(struct dlm_ctx *ctx, struct dlm_model **out,
                                    const struct dlm_gguf_paths *paths) DLM_CHECK_RESULT;

/* The files as one checkpoint; *out is owned. */
enum dlm_status dlm_gguf_open_checkpoint(struct dlm_ctx *ctx, struct dlm_checkpoint **out,
                                         const struct dlm_gguf_paths *paths) DLM_CHECK_RESULT;

/* The tokenizer, which is in the language model's file. */
enum dlm_status dlm_gguf_load_tokenizer(struct dlm_ctx *ctx, struct dlm_tokenizer **out,
                                        const struct dlm_gguf_paths *paths) DLM_CHECK_RESULT;

/* The repository of the hub that a language model's file says it is of, "org/name" as it lies in
 * the file; *out is owned, NULL where it says none. That is what general.source.* or
 * general.repo_url say, else general.base_model.0, unless the model was tuned from it: the file of
 * an Instruct model names the one without, and only a copy of it the model itself. */
enum dlm_status dlm_gguf_read_source(struct dlm_ctx *ctx, const char *path,
                                     char **out) DLM_CHECK_RESULT;

#endif
