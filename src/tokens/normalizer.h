/* The "normalizer" of a tokenizer.json: steps that rewrite a text before it is split. */
#ifndef DLM_TOKENS_NORMALIZER_H
#define DLM_TOKENS_NORMALIZER_H

#include "tokens/pattern.h"

struct dlm_normalizer {
    struct dlm_norm_step *steps;
    size_t len, cap;
};

/* What normalizing needs: one for each thread of use. All zero is valid. */
struct dlm_norm_scratch {
    struct dlm_match_scratch match;
    struct dlm_str text[2];
};
void dlm_norm_scratch_finish(struct dlm_norm_scratch *scratch);

/* object may be NULL or null: no steps. */
enum dlm_status dlm_normalizer_read(struct dlm_tok_reader *r, struct dlm_normalizer *n,
                                    const json_t *object) DLM_CHECK_RESULT;
void dlm_normalizer_finish(struct dlm_normalizer *n);

/* Normalizes *text, *len, which then point into scratch (until its next use) or, when nothing is
 * changed, stay. *front_removed is set when what the text began with is gone. */
enum dlm_status dlm_normalizer_run(struct dlm_ctx *ctx, const struct dlm_normalizer *n,
                                   struct dlm_norm_scratch *scratch, const char **text, size_t *len,
                                   bool *front_removed) DLM_CHECK_RESULT;

#endif
