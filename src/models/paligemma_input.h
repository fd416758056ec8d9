/* What PaliGemma reads: image tokens, <bos>, the request, and for training or scoring the answer.
 * Cutting to a length is the caller's part, and so are images and features. */
#ifndef DLM_MODELS_PALIGEMMA_INPUT_H
#define DLM_MODELS_PALIGEMMA_INPUT_H

#include "models/input.h"

struct dlm_model;

/* Adds <image>, <loc0000>..<loc1023> and <seg000>..<seg127> where the tokenizer lacks them, in the
 * order and kind in which PaliGemmaProcessor adds them. Call once, before any input is made. */
enum dlm_status dlm_paligemma_add_tokens(struct dlm_ctx *ctx,
                                         struct dlm_tokenizer *tok) DLM_CHECK_RESULT;

/* A user's turn, and maybe an answer: an <image> for each of the images' tokens, <bos>, the request
 * and a newline, all of which see each other both ways; then the answer and <eos>, which are
 * learned. The request for a caption is "caption en". Prose is <bos>, the text, <eos>.
 * Special tokens inside the texts are text; <loc> and <seg> are found as ever. m is not used.
 * DLM_ERR_INVALID: a text is not UTF-8; DLM_ERR_UNSUPPORTED: more turns than that, or the tokenizer
 * lacks a token above. */
enum dlm_status dlm_paligemma_encode(struct dlm_ctx *ctx, const struct dlm_model *m,
                                     const struct dlm_tokenizer *tok,
                                     const struct dlm_conversation *conversation,
                                     const struct dlm_image_plan *plans,
                                     struct dlm_input *in) DLM_CHECK_RESULT;

#endif
