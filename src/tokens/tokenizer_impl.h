/* The tokenizer's fields, for src/tokens only. */
#ifndef DLM_TOKENS_TOKENIZER_IMPL_H
#define DLM_TOKENS_TOKENIZER_IMPL_H

#include "tokens/added.h"
#include "tokens/bpe.h"
#include "tokens/decoder.h"
#include "tokens/normalizer.h"
#include "tokens/pretokenizer.h"
#include "tokens/tokenizer.h"

struct dlm_tokenizer {
    struct dlm_bpe bpe;
    struct dlm_added added;
    struct dlm_normalizer normalizer;
    struct dlm_pretokenizer pretokenizer;
    struct dlm_token_decoder decoder;
    struct dlm_ids frame;   /* what surrounds a text: ids, and -1 where the text goes */
    bool has_frame;
    int32_t *added_of_id;   /* [num_ids] index into added.tokens, -1 for the model's own ids */
    size_t added_of_id_cap;
    int32_t num_ids;        /* highest id + 1, of model and added tokens */
    int32_t max_added_id;   /* of the added tokens, -1 if there are none */
    int32_t next_added_id;  /* what a token gets that is not in the vocabulary */
};

/* Makes the tables by id reach num_ids, for a tokenizer that has no added tokens. */
enum dlm_status dlm_tokenizer_init_ids(struct dlm_ctx *ctx, struct dlm_tokenizer *tok,
                                       int32_t num_ids) DLM_CHECK_RESULT;

/* Adds an added token, or changes its properties; flags other than id, form and was_special are
 * taken from *token. */
enum dlm_status dlm_tokenizer_add_token(struct dlm_ctx *ctx, struct dlm_tokenizer *tok,
                                        const char *content, size_t len,
                                        struct dlm_added_token token, int32_t *id) DLM_CHECK_RESULT;

/* What decoding starts from: the normalized form of an added token, else the content. NULL for an
 * unknown id. */
const char *dlm_tokenizer_form(const struct dlm_tokenizer *tok, int32_t id, size_t *len);

#endif
