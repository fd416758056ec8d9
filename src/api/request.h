/* What a command asks a model: images, words after them, and maybe the answer. */
#ifndef DLM_API_REQUEST_H
#define DLM_API_REQUEST_H

#include "models/image_room.h"

/* All zero is valid and empty. */
struct dlm_request {
    const struct dlm_model *model;
    struct dlm_image_plan *plans; /* [num_images] */
    struct dlm_part *parts;       /* [num_images + 1]: the images, the words */
    size_t num_images;
    struct dlm_image_room room; /* for the images, one request at a time */
    int64_t patches;            /* of the longest slice */
};

/* Plans the images. Borrows model until finish, paths until return. */
enum dlm_status dlm_request_init(struct dlm_request *r, const struct dlm_model *model,
                                 const char *const *paths, size_t num_images) DLM_CHECK_RESULT;
void dlm_request_finish(struct dlm_request *r);

/* Encodes a prompt, or with an answer (NULL: none) the whole exchange. */
enum dlm_status dlm_request_encode(struct dlm_ctx *ctx, const struct dlm_request *r,
                                   const struct dlm_tokenizer *tok, const struct dlm_part *words,
                                   const struct dlm_part *answer,
                                   struct dlm_input *in) DLM_CHECK_RESULT;

/* A NUL-terminated text as a part. */
struct dlm_part dlm_request_text(const char *text);

#endif
