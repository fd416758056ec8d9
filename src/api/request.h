/* What a call asks a model, as a conversation with its images planned. */
#ifndef DLM_API_REQUEST_H
#define DLM_API_REQUEST_H

#include "dlm/chat.h"
#include "models/image_room.h"
#include "rows/rows.h"

/* What the caller says: messages, or (NULL) a user's images and words behind them. */
struct dlm_asked {
    const char *system; /* instead of what messages say; NULL: what they say */
    const struct dlm_message *messages;
    size_t num_messages;
    const char *const *images; /* paths */
    size_t num_images;
    const char *words;  /* NULL: they come with dlm_request_encode_words() */
    const char *target; /* the answer; NULL: none, or the last message is it */
};

/* All zero is valid and empty. */
struct dlm_request {
    const struct dlm_model *model;
    struct dlm_arena arena; /* turns and parts; texts are the caller's */
    struct dlm_conversation conversation;
    struct dlm_part *words; /* behind the images; NULL with messages */
    const struct dlm_message_part **images; /* [num_images], in the order of their parts */
    struct dlm_image_plan *plans;           /* [num_images] */
    size_t num_images;
    struct dlm_image_room room; /* for the images, one request at a time */
    int64_t patches;            /* of the longest slice */
};

/* Whether the family has a place for a document's system prompt; a warning says if it has none. */
bool dlm_request_can_say_system(const struct dlm_model *model);

/* Checks the conversation and plans its images. Borrows model and all that is asked until finish.
 * DLM_ERR_USAGE: messages that are none, or a system prompt that the family has no place for. */
enum dlm_status dlm_request_init(struct dlm_request *r, const struct dlm_model *model,
                                 const struct dlm_asked *asked) DLM_CHECK_RESULT;

/* The same of a document's row, borrowed until finish. */
enum dlm_status dlm_request_init_row(struct dlm_request *r, const struct dlm_model *model,
                                     const struct dlm_row *row) DLM_CHECK_RESULT;
void dlm_request_finish(struct dlm_request *r);

/* Whose turn is the last: a user's, of a prompt, or an assistant's. */
enum dlm_turn_role dlm_request_end(const struct dlm_request *r);

/* Encodes the whole conversation, the second with other words. */
enum dlm_status dlm_request_encode(struct dlm_ctx *ctx, const struct dlm_request *r,
                                   const struct dlm_tokenizer *tok,
                                   struct dlm_input *in) DLM_CHECK_RESULT;
enum dlm_status dlm_request_encode_words(struct dlm_ctx *ctx, struct dlm_request *r,
                                         const struct dlm_tokenizer *tok, const char *words,
                                         size_t len, struct dlm_input *in) DLM_CHECK_RESULT;

#endif
