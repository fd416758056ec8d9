/* A base's tokenizer as llama.cpp reads it: byte-level BPE from a tokenizer.json. */
#ifndef DLM_EXPORT_GGUF_TOKENS_H
#define DLM_EXPORT_GGUF_TOKENS_H

#include <jansson.h>

#include "gguf/writer.h"

/* Borrows everything. */
struct dlm_gguf_tokens {
    const json_t *tokenizer;        /* tokenizer.json */
    const json_t *tokenizer_config; /* tokenizer_config.json; NULL: there is none */
    const json_t *config;           /* config.json */
    const char *path;               /* of tokenizer.json, for messages */
    const char *pretokenizer;       /* what llama.cpp calls the base's */
    const char *chat_template;      /* NULL: none */
    int64_t vocab; /* rows of the embedding; one without a token is an unused token */
};

/* DLM_ERR_UNSUPPORTED: another kind of tokenizer; DLM_ERR_PARSE: a damaged one, or one with more
 * tokens than the embedding has rows. */
enum dlm_status dlm_gguf_put_tokens(struct dlm_ctx *ctx, struct dlm_gguf_writer *w,
                                    const struct dlm_gguf_tokens *tokens) DLM_CHECK_RESULT;

#endif
