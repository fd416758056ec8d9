/* What llama.cpp reads of a model besides its tensors and its tokenizer: sizes and numbers of the
 * language model, and those of the tower's file. */
#ifndef DLM_EXPORT_GGUF_VALUES_H
#define DLM_EXPORT_GGUF_VALUES_H

#include <jansson.h>

#include "gguf/mixture.h"
#include "gguf/writer.h"
#include "models/model.h"

/* Borrows everything. */
struct dlm_gguf_about {
    const struct dlm_model *model; /* whose family has a GGUF form; no weights are looked at */
    const json_t *config;          /* the base's config.json */
    const char *path;              /* of it, for messages */
    const char *name;              /* general.name; NULL: none */
    enum dlm_gguf_quant quant;
};

/* How many tokens the language model takes: as config.json, or the family, says; no more than a
 * query sees, where it has a window. */
enum dlm_status dlm_gguf_context(struct dlm_ctx *ctx, const struct dlm_model *model,
                                 const json_t *config, const char *path,
                                 int64_t *context) DLM_CHECK_RESULT;

enum dlm_status dlm_gguf_put_text_values(struct dlm_ctx *ctx, struct dlm_gguf_writer *w,
                                         const struct dlm_gguf_about *about) DLM_CHECK_RESULT;

enum dlm_status dlm_gguf_put_vision_values(struct dlm_ctx *ctx, struct dlm_gguf_writer *w,
                                           const struct dlm_gguf_about *about) DLM_CHECK_RESULT;

#endif
