/* What PaliGemma reads: image tokens, <bos>, the prefix, and for training or scoring the suffix.
 * Cutting to a length is the caller's part, and so are images and features. */
#ifndef DLM_MODELS_PALIGEMMA_INPUT_H
#define DLM_MODELS_PALIGEMMA_INPUT_H

#include "models/input.h"

/* Adds <image>, <loc0000>..<loc1023> and <seg000>..<seg127> where the tokenizer lacks them, in the
 * order and kind in which PaliGemmaProcessor adds them. Call once, before any input is made. */
enum dlm_status dlm_paligemma_add_tokens(struct dlm_ctx *ctx,
                                         struct dlm_tokenizer *tok) DLM_CHECK_RESULT;

/* Appends to ids: <image> x num_images x tokens_per_image, <bos>, the prefix (with its newline),
 * and with a suffix also the suffix and <eos>. *prefix_len (may be NULL) is the number of ids
 * before the suffix. Special tokens inside the texts are text; <loc> and <seg> are found as ever.
 * DLM_ERR_INVALID: a text is not UTF-8; DLM_ERR_UNSUPPORTED: the tokenizer lacks a token above. On
 * failure ids keeps what it had. */
enum dlm_status dlm_paligemma_input(struct dlm_ctx *ctx, const struct dlm_tokenizer *tok,
                                    const struct dlm_input_text *text, struct dlm_ids *ids,
                                    size_t *prefix_len) DLM_CHECK_RESULT;

#endif
