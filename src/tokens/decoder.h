/* The "decoder" of a tokenizer.json: steps from the contents of tokens to text.
 *
 * The library runs each step over the whole list of tokens. Here tokens flow through all steps one
 * by one, each step holding back only what later tokens may still change, so that decoding a
 * sequence and decoding a stream are the same code. */
#ifndef DLM_TOKENS_DECODER_H
#define DLM_TOKENS_DECODER_H

#include "tokens/pattern.h"

struct dlm_token_decoder {
    struct dlm_decode_step *steps;
    size_t len, cap;
};

/* object may be NULL or null: tokens are then joined by spaces, as in the library. */
enum dlm_status dlm_token_decoder_read(struct dlm_tok_reader *r, struct dlm_token_decoder *d,
                                 const json_t *object) DLM_CHECK_RESULT;
void dlm_token_decoder_finish(struct dlm_token_decoder *d);

/* The state of a sequence: one stage for each step, and one for the end. */
struct dlm_decode_stage {
    struct dlm_str held;
    struct dlm_str work;
    struct dlm_match_scratch match;
    size_t count; /* tokens seen, characters cut by Strip; at the end: bytes fed in */
};

/* Returns *stages owned: free with dlm_token_decoder_stages_free(). */
enum dlm_status dlm_token_decoder_stages_create(struct dlm_ctx *ctx,
                                                const struct dlm_token_decoder *d,
                                          struct dlm_decode_stage **stages) DLM_CHECK_RESULT;
void dlm_token_decoder_stages_free(const struct dlm_token_decoder *d,
                                   struct dlm_decode_stage **stages);

/* Feeds the content of a token; appends what is certain to out. */
enum dlm_status dlm_token_decoder_push(struct dlm_ctx *ctx, const struct dlm_token_decoder *d,
                                 struct dlm_decode_stage *stages, const char *text, size_t len,
                                 struct dlm_str *out) DLM_CHECK_RESULT;
/* Ends the sequence: appends the rest to out; the stages are then as new. */
enum dlm_status dlm_token_decoder_flush(struct dlm_ctx *ctx, const struct dlm_token_decoder *d,
                                  struct dlm_decode_stage *stages,
                                  struct dlm_str *out) DLM_CHECK_RESULT;

#endif
