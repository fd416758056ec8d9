/* The "pre_tokenizer" of a tokenizer.json: cuts a normalized text into the pieces that the model
 * sees one by one. */
#ifndef DLM_TOKENS_PRETOKENIZER_H
#define DLM_TOKENS_PRETOKENIZER_H

#include "tokens/pattern.h"

struct dlm_pretokenizer {
    struct dlm_pretok_step *steps;
    size_t len, cap;
};

/* text[start, end) of one piece. */
struct dlm_piece {
    size_t start, end;
    bool is_first; /* begins where the whole input begins: Metaspace asks */
};

/* What cutting needs: one for each thread of use. All zero is valid. */
struct dlm_pretok_scratch {
    struct dlm_match_scratch match;
    struct dlm_str text[2];
    struct dlm_piece *pieces[2];
    size_t len[2], cap[2];
    struct dlm_span {
        size_t start, end;
        bool is_match;
    } *spans;
    size_t spans_len, spans_cap;
};
void dlm_pretok_scratch_finish(struct dlm_pretok_scratch *scratch);

/* object may be NULL or null: no steps. */
enum dlm_status dlm_pretokenizer_read(struct dlm_tok_reader *r, struct dlm_pretokenizer *p,
                                      const json_t *object) DLM_CHECK_RESULT;
void dlm_pretokenizer_finish(struct dlm_pretokenizer *p);

struct dlm_pieces {
    const char *text;
    const struct dlm_piece *pieces;
    size_t len;
};

/* Cuts text[0..len), which is not empty, into *out, which points into text and scratch (until its
 * next use). Pieces are not empty and in order. */
enum dlm_status dlm_pretokenizer_run(struct dlm_ctx *ctx, const struct dlm_pretokenizer *p,
                                     struct dlm_pretok_scratch *scratch, const char *text,
                                     size_t len, bool is_first,
                                     struct dlm_pieces *out) DLM_CHECK_RESULT;

#endif
