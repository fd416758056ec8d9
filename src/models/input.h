/* A model's input: what a family makes of a conversation, and what programs take. */
#ifndef DLM_MODELS_INPUT_H
#define DLM_MODELS_INPUT_H

#include "models/image_plan.h"
#include "rows/turns.h"
#include "tokens/tokenizer.h"

/* All zero is valid and empty. */
struct dlm_input {
    struct dlm_ids ids; /* the image token's id stands for the next row that the projector gives */
    uint8_t *is_label;  /* [ids.len]: 1 where the token is learned, else 0 */
    size_t cap_labels;
    int64_t bidirectional_len; /* tokens, from the first on, that see each other both ways */
};

void dlm_input_clear(struct dlm_input *in);
void dlm_input_finish(struct dlm_input *in);

/* Append the ids of a text in which no special token is looked for, or `times` times the id of a
 * token by its content. For families. */
enum dlm_status dlm_input_add_text(struct dlm_ctx *ctx, struct dlm_input *in,
                                   const struct dlm_tokenizer *tok, const char *text, size_t len,
                                   bool is_label) DLM_CHECK_RESULT;
enum dlm_status dlm_input_add_token(struct dlm_ctx *ctx, struct dlm_input *in,
                                    const struct dlm_tokenizer *tok, const char *content,
                                    int64_t times, bool is_label) DLM_CHECK_RESULT;

/* One input with its images, borrowed. */
struct dlm_example {
    const int32_t *ids;      /* [len] */
    const uint8_t *is_label; /* [len], or NULL: nothing is learned */
    int64_t len, bidirectional_len;
    int64_t num_images;
    const struct dlm_image_plan *plans;  /* [num_images], in the order of their tokens */
    const float *const *features; /* [num_images], each f32 [patches, width]; frozen tower */
    const float *const *pixels;   /* [num_images], each of its plan's shape; trained tower */
    uint32_t row_id;              /* names the example's dropout stream */
};

struct dlm_example dlm_input_example(const struct dlm_input *in);

/* Labels of the first len tokens. */
int64_t dlm_count_labels(const uint8_t *is_label, int64_t len);

#endif
