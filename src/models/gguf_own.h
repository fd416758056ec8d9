/* GGUF files of a form of our own (gguf_family.h: is_own): the base's config, processor and
 * tokenizer files are in that of the language model, as strings. docs/export.md has the keys. */
#ifndef DLM_MODELS_GGUF_OWN_H
#define DLM_MODELS_GGUF_OWN_H

#include "models/model.h"
#include "tokens/tokenizer.h"

/* Configures a model that has been created: processor, config.json, generation_config.json.
 * DLM_ERR_PARSE: a file is missing or damaged; else what reading those of a folder returns. */
enum dlm_status dlm_gguf_read_own(struct dlm_ctx *ctx, const struct dlm_gguf *text,
                                  struct dlm_model *m) DLM_CHECK_RESULT;

/* Returns *out owned, NULL on failure. */
enum dlm_status dlm_gguf_read_own_tokenizer(struct dlm_ctx *ctx, struct dlm_tokenizer **out,
                                            const struct dlm_gguf *text) DLM_CHECK_RESULT;

#endif
