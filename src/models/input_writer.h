/* Writing a chat template: special tokens, and between them text that is tokenised as a whole, as
 * its pieces may merge. */
#ifndef DLM_MODELS_INPUT_WRITER_H
#define DLM_MODELS_INPUT_WRITER_H

#include "base/str.h"
#include "models/input.h"

/* The first three are borrowed, the rest all zero. */
struct dlm_input_writer {
    struct dlm_ctx *ctx;
    const struct dlm_tokenizer *tok;
    struct dlm_input *in;
    struct dlm_str text; /* since the last special token; owned, see dlm_str_finish() */
    size_t num_given;    /* bytes at its begin that are never learned */
};

/* Adds the text as tokens and empties it. */
enum dlm_status dlm_input_writer_flush(struct dlm_input_writer *w, bool is_label) DLM_CHECK_RESULT;

/* The same, and then a special token by its content. */
enum dlm_status dlm_input_writer_add_token(struct dlm_input_writer *w, const char *content,
                                           bool is_label) DLM_CHECK_RESULT;

/* Appends a part that is no image to the text. */
enum dlm_status dlm_input_writer_add_words(struct dlm_input_writer *w,
                                           const struct dlm_part *part) DLM_CHECK_RESULT;

#endif
