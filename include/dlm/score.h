/* Scoring: log-probabilities of a given answer, and the adapter's gradients of its loss. */
#ifndef DLM_SCORE_H
#define DLM_SCORE_H

#include <stddef.h>
#include <stdint.h>

#include "dlm/chat.h"
#include "dlm/session.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All zero but prompt and target, or messages. Borrows everything until return. */
struct dlm_score_request {
    const char *prompt; /* the question, UTF-8 */
    const char *target; /* the answer; its end token is appended */
    const char *const *images; /* paths, before the question */
    size_t num_images;
    /* safetensors file to write with d loss / d A and B under PEFT's names, or NULL */
    const char *gradients;
    /* Instead of prompt and images: a conversation. Every message of the assistant is scored, as
     * training learns them all; the last is one, or target is, behind a user's. */
    const struct dlm_message *messages;
    size_t num_messages;
    const char *system; /* as in struct dlm_prompt_request */
};

struct dlm_score_result {
    double loss;      /* cross entropy: the mean of -logprobs */
    size_t len;       /* of the answer with its end token, or of all of them */
    int32_t *ids;     /* [len], owned */
    double *logprobs; /* [len], natural logarithm, owned */
};

/* Scores the answer under the adapter in use. *result: give it back with
 * dlm_score_result_finish(), also after a failure. DLM_ERR_USAGE: images with a base that sees
 * none, gradients without an adapter, a system prompt with a family that has no place for it, or
 * messages in an order that is none. */
DLM_API enum dlm_status dlm_session_score(struct dlm_session *session,
                                          const struct dlm_score_request *request,
                                          struct dlm_score_result *result) DLM_CHECK_RESULT;

/* The same in a session for this one request, with its failures and dlm_session_open()'s. */
DLM_API enum dlm_status dlm_score(struct dlm_ctx *ctx, const struct dlm_session_params *from,
                                  const struct dlm_score_request *request,
                                  struct dlm_score_result *result) DLM_CHECK_RESULT;
DLM_API void dlm_score_result_finish(struct dlm_score_result *result);

#ifdef __cplusplus
}
#endif

#endif
