/* Scoring: log-probabilities of a given answer, and the adapter's gradients of its loss. */
#ifndef DLM_SCORE_H
#define DLM_SCORE_H

#include <stddef.h>
#include <stdint.h>

#include "dlm/compute.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Exactly one of document and base is given. Borrows everything until return. */
struct dlm_score_params {
    const char *document; /* path of a .dlm: its base with its current adapter, if it has one */
    const char *base;     /* registry key, "hf:org/name" or "dir:PATH" */
    const char *home;     /* NULL: $DLM_HOME, else ~/.dlm */
    int64_t version;      /* of the document's adapter; 0: the current one */
    const char *adapter;  /* folder of a PEFT adapter, NULL: the document's or none */
    const char *prompt;   /* the question, UTF-8 */
    const char *target;   /* the answer; its end token is appended */
    const char *const *images;
    size_t num_images;
    /* safetensors file to write with d loss / d A and B under PEFT's names, or NULL */
    const char *gradients;
    struct dlm_compute compute;
};

struct dlm_score_result {
    double loss;      /* mean of -logprobs */
    size_t len;       /* of the target with its end token */
    int32_t *ids;     /* [len], owned */
    double *logprobs; /* [len], natural logarithm, owned */
};

/* *result: give it back with dlm_score_result_finish(), also after a failure. */
DLM_API enum dlm_status dlm_score(struct dlm_ctx *ctx, const struct dlm_score_params *params,
                                  struct dlm_score_result *result) DLM_CHECK_RESULT;
DLM_API void dlm_score_result_finish(struct dlm_score_result *result);

#ifdef __cplusplus
}
#endif

#endif
