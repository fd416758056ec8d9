/* A tekken.json (mistral_common): tokens by rank, from which a tokenizer is made. */
#ifndef DLM_TOKENS_TEKKEN_H
#define DLM_TOKENS_TEKKEN_H

#include "tokens/tokenizer_impl.h"

/* True for the object of such a file, which has tokens where a tokenizer.json has a model. */
bool dlm_tekken_is(const json_t *root);

/* Fills tok, which is empty, from the file's object. */
enum dlm_status dlm_tekken_read(struct dlm_tok_reader *r, struct dlm_tokenizer *tok,
                                const json_t *root) DLM_CHECK_RESULT;

#endif
