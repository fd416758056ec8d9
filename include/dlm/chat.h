/* Conversations: several turns of text and images, for prompt.h, score.h and tokenize.h, and files
 * that hold one. */
#ifndef DLM_CHAT_H
#define DLM_CHAT_H

#include <stddef.h>

#include "dlm/ctx.h"

#ifdef __cplusplus
extern "C" {
#endif

enum dlm_role {
    DLM_ROLE_SYSTEM, /* the first message alone may be of it */
    DLM_ROLE_USER,
    DLM_ROLE_ASSISTANT,
};

/* A text or an image, one of them not NULL. */
struct dlm_message_part {
    const char *text;  /* UTF-8; names of special tokens in it are text */
    const char *image; /* path of a file; with data, what messages call the image */
    const void *data;  /* the file's bytes, in place of the file; NULL: it is read */
    size_t bytes;
};

struct dlm_message {
    enum dlm_role role;
    const struct dlm_message_part *parts;
    size_t num_parts; /* at least 1 */
};

/* A conversation from a file. */
struct dlm_chat;

/* Reads a JSON file (- is standard input) of messages as OpenAI's chat interface has them: a list,
 * or an object with the list as "messages". A message has a "role", system, user or assistant, and
 * a "content", a string or a list of {"type": "text", "text": ...}, {"type": "image_url",
 * "image_url": {"url": ...}} and {"type": "image", "path": ...} ("image" and "url" mean the same).
 * An image is a path, relative to the file's folder, a file: URL, or a data: URL with base64; one
 * elsewhere is refused, as nothing is fetched. Images are looked for, but not read yet.
 * Returns *out owned, NULL on failure. DLM_ERR_IO: the file or an image cannot be read;
 * DLM_ERR_PARSE, DLM_ERR_UNSUPPORTED: something in it, by the index of the message. */
DLM_API enum dlm_status dlm_chat_load(struct dlm_ctx *ctx, struct dlm_chat **out,
                                      const char *path) DLM_CHECK_RESULT;

/* Destroys *chat and sets it to NULL. Accepts NULL and a pointer to NULL. */
DLM_API void dlm_chat_destroy(struct dlm_chat **chat);

/* Its messages, at least one, which are the chat's. */
DLM_API const struct dlm_message *dlm_chat_messages(const struct dlm_chat *chat, size_t *num);

#ifdef __cplusplus
}
#endif

#endif
