/* Text to token ids, as a model gets them or as the tokenizer alone gives them. */
#ifndef DLM_TOKENIZE_H
#define DLM_TOKENIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dlm/chat.h"
#include "dlm/image_size.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Exactly one of base, document and tokenizer is given. Borrows everything until return. */
struct dlm_encoder_params {
    const char *base;      /* registry key, "hf:org/name", "dir:PATH" or "gguf:PATH" */
    const char *mmproj; /* of gguf: the vision tower; NULL: the *mmproj*.gguf beside it */
    const char *tokenizer; /* path of a tokenizer.json or tekken.json; no images then, unless raw */
    bool raw;              /* the ids of the text alone, as the `tokenizers` library gives them */
    const char *const *images; /* files shown with the text (they are not read, but must exist) */
    size_t num_images;
    const char *system; /* system prompt; NULL: the document's, else what the template says */
    const char *target; /* the answer, which follows the text; NULL: the input ends where it would
                         * begin */
    int64_t image_size; /* see dlm/image_size.h; DLM_IMAGE_SIZE_BASE: what the document says, too */
    const char *document; /* path of a .dlm: its base */
};

struct dlm_encoder;

/* Loads the tokenizer. Returns *out owned, NULL on failure. DLM_ERR_IO: it, or an image, is not
 * there; DLM_ERR_PARSE: it is damaged; DLM_ERR_UNSUPPORTED: it, or the family of the base, is of a
 * kind that dlm does not know; DLM_ERR_USAGE: images with a tokenizer alone. */
DLM_API enum dlm_status dlm_encoder_create(struct dlm_ctx *ctx, struct dlm_encoder **out,
                                           const struct dlm_encoder_params *params)
    DLM_CHECK_RESULT;

/* Destroys *encoder and sets it to NULL. Accepts NULL and a pointer to NULL. */
DLM_API void dlm_encoder_destroy(struct dlm_encoder **encoder);

/* Encodes text[0..len), UTF-8: without raw, the model's whole input with text as the question
 * (PaliGemma: image tokens, <bos>, text, newline) up to where the answer begins, or with it. *ids
 * [*num] is the encoder's, valid until its next call. */
DLM_API enum dlm_status dlm_encoder_encode(struct dlm_ctx *ctx, struct dlm_encoder *encoder,
                                           const char *text, size_t len, const int32_t **ids,
                                           size_t *num) DLM_CHECK_RESULT;

/* The same of messages, in place of images and text, by an encoder without raw. Their last is a
 * user's if there is a target. */
DLM_API enum dlm_status dlm_encoder_encode_messages(struct dlm_ctx *ctx,
                                                    struct dlm_encoder *encoder,
                                                    const struct dlm_message *messages,
                                                    size_t num_messages, const int32_t **ids,
                                                    size_t *num) DLM_CHECK_RESULT;

/* The same for a text that is written as a JSON string in json[0..len). */
DLM_API enum dlm_status dlm_encoder_encode_json(struct dlm_ctx *ctx, struct dlm_encoder *encoder,
                                                const char *json, size_t len, const int32_t **ids,
                                                size_t *num) DLM_CHECK_RESULT;

#ifdef __cplusplus
}
#endif

#endif
