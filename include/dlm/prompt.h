/* Prompting: text about images, from an adapter or from a base alone. */
#ifndef DLM_PROMPT_H
#define DLM_PROMPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dlm/chat.h"
#include "dlm/session.h"

#ifdef __cplusplus
extern "C" {
#endif

#define DLM_PROMPT_MAX_TOKENS 256 /* the default of max_tokens */

/* All zero but query or messages. Borrows everything until return. */
struct dlm_prompt_request {
    const char *query; /* the question, UTF-8 */
    const char *const *images; /* paths, which the question is about */
    size_t num_images;
    /* What is not given is as the base's generation_config.json says; without one, or do_sample in
     * it, the likeliest token is taken (with a top_p alone, the temperature is 1). */
    bool has_temperature, has_top_p;
    double temperature; /* 0: greedy */
    double top_p;       /* in (0, 1]; 0 or 1: off */
    int64_t max_tokens; /* 0: DLM_PROMPT_MAX_TOKENS */
    int64_t seed;       /* of sampling */
    /* Receives the answer piece by piece, from the calling thread; whole UTF-8 characters, no NUL
     * at the end. It may cancel the context, but not use the session. */
    void (*text)(void *user, const char *utf8, size_t len);
    void *user;
    /* Instead of query and images: a conversation that ends with a user's message. */
    const struct dlm_message *messages;
    size_t num_messages;
    /* System prompt, instead of that of the messages, else of the document the session was opened
     * with. NULL: that; without any, what the base's template says. "" is one without a word. */
    const char *system;
};

/* Answers with the adapter in use. DLM_ERR_USAGE: images with a base that sees none, a system
 * prompt with a family that has no place for it, messages in an order that is none;
 * DLM_ERR_MEMORY: more than the device has free, of which nothing has been taken. */
DLM_API enum dlm_status dlm_session_prompt(struct dlm_session *session,
                                           const struct dlm_prompt_request *request)
    DLM_CHECK_RESULT;

/* The same in a session for this one request, with its failures and dlm_session_open()'s. */
DLM_API enum dlm_status dlm_prompt(struct dlm_ctx *ctx, const struct dlm_session_params *from,
                                   const struct dlm_prompt_request *request) DLM_CHECK_RESULT;

#ifdef __cplusplus
}
#endif

#endif
