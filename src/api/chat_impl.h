/* What the files that read a chat file share. Private to src/api. */
#ifndef DLM_API_CHAT_IMPL_H
#define DLM_API_CHAT_IMPL_H

#include "base/json.h"
#include "base/mem.h"
#include "dlm/chat.h"

struct dlm_chat {
    struct dlm_arena arena; /* holds all of it */
    struct dlm_message *messages;
    size_t num_messages;
};

/* dlm_chat_load() from text[0..len), as if it stood in a file at path. */
enum dlm_status dlm_chat_parse(struct dlm_ctx *ctx, struct dlm_chat **out, const char *path,
                               const char *text, size_t len) DLM_CHECK_RESULT;

/* Where reading stands. */
struct dlm_chat_reader {
    struct dlm_ctx *ctx;
    const char *path, *dir; /* the file and its folder, borrowed */
    struct dlm_chat *chat;
    size_t message;
    int64_t part; /* of the message's content; -1: none */
};

/* Logs `cannot use 'FILE': messages[1].content[0]: text` and returns st. */
enum dlm_status dlm_chat_fail(const struct dlm_chat_reader *r, enum dlm_status st, const char *fmt,
                              ...) DLM_PRINTF(3, 4);

/* Fills the part with the image at a location, a path or an URL. */
enum dlm_status dlm_chat_find_image(struct dlm_chat_reader *r, const char *location, size_t len,
                                    struct dlm_message_part *out) DLM_CHECK_RESULT;

#endif
