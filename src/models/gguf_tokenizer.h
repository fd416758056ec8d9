/* The tokenizer of a GGUF file. */
#ifndef DLM_MODELS_GGUF_TOKENIZER_H
#define DLM_MODELS_GGUF_TOKENIZER_H

#include "models/gguf_family.h"
#include "tokens/tokenizer.h"

/* Returns *out owned, NULL on failure. DLM_ERR_UNSUPPORTED: a kind of tokenizer, or a pre-tokenizer
 * by a name, that is not the family's; DLM_ERR_PARSE: damaged. */
enum dlm_status dlm_gguf_read_tokenizer(struct dlm_ctx *ctx, struct dlm_tokenizer **out,
                                        const struct dlm_gguf *gguf,
                                        const struct dlm_gguf_family *family) DLM_CHECK_RESULT;

#endif
