/* What Mistral 3 makes of a conversation: the V7 template of its instruct models. */
#ifndef DLM_MODELS_MISTRAL3_INPUT_H
#define DLM_MODELS_MISTRAL3_INPUT_H

#include "models/model.h"

/*     <s> [SYSTEM_PROMPT] system [/SYSTEM_PROMPT] [INST] request [/INST] answer </s> [INST] ...
 *
 * Nothing stands between text and tokens, and nothing is stripped. Without a system turn there is
 * no system block: the template of transformers puts one with the day's date there,
 * mistral_common none. An image is its rows of [IMG], each closed by [IMG_BREAK], the last by
 * [IMG_END]. Learned are answers with their </s>. Prose is <s> text </s>. */
enum dlm_status dlm_mistral3_encode(struct dlm_ctx *ctx, const struct dlm_model *m,
                                    const struct dlm_tokenizer *tok,
                                    const struct dlm_conversation *conversation,
                                    const struct dlm_image_plan *plans,
                                    struct dlm_input *in) DLM_CHECK_RESULT;

#endif
