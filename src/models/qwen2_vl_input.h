/* What Qwen2-VL reads: turns in ChatML, images between their two marks. Cutting to a length is the
 * caller's part, and so are images and features. */
#ifndef DLM_MODELS_QWEN2_VL_INPUT_H
#define DLM_MODELS_QWEN2_VL_INPUT_H

#include "models/input.h"

struct dlm_model;

/* The conversation as the chat template writes it: without a system turn in front, the template's
 * own. A turn's text parts and its role are one text, cut by images alone; an image is
 * <|vision_start|>, an <|image_pad|> for each of its tokens, <|vision_end|>. The request for a
 * caption is "Describe this image.". Of an assistant's turn all is learned but role and images, its
 * <|im_end|> too; the newline that the template writes after a turn is left out after the last one,
 * if it is an assistant's. Prose is the text and <|endoftext|>, learned but for its first token.
 * Special tokens inside the texts are text. m is not used.
 * DLM_ERR_INVALID: a text is not UTF-8; DLM_ERR_UNSUPPORTED: prose beside turns, or the tokenizer
 * lacks a token above. */
enum dlm_status dlm_qwen2_vl_encode(struct dlm_ctx *ctx, const struct dlm_model *m,
                                    const struct dlm_tokenizer *tok,
                                    const struct dlm_conversation *conversation,
                                    const struct dlm_image_plan *plans,
                                    struct dlm_input *in) DLM_CHECK_RESULT;

#endif
