/* Prompting: text about images from a document's adapter, or from a base. */
#ifndef DLM_PROMPT_H
#define DLM_PROMPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dlm/compute.h"

#ifdef __cplusplus
extern "C" {
#endif

#define DLM_PROMPT_MAX_TOKENS 256 /* the default of max_tokens */

/* Exactly one of document and base is given. Borrows everything until return. */
struct dlm_prompt_params {
    const char *document; /* path of a .dlm: its base with its current adapter */
    const char *base;     /* registry key, "hf:org/name" or "dir:PATH" */
    const char *home;     /* NULL: $DLM_HOME, else ~/.dlm */
    int64_t version;      /* of the document's adapter; 0: the current one */
    const char *adapter;  /* folder of a PEFT adapter instead of the document's */
    bool no_adapter;      /* the document's base alone; works before any training */
    const char *query;    /* the question, UTF-8 */
    const char *const *images;
    size_t num_images;
    /* What is not given is as the base's generation_config.json says; without one, or do_sample in
     * it, the likeliest token is taken (with a top_p alone, the temperature is 1). */
    bool has_temperature, has_top_p;
    double temperature; /* 0: greedy */
    double top_p;       /* in (0, 1]; 0 or 1: off */
    int64_t max_tokens; /* 0: DLM_PROMPT_MAX_TOKENS */
    int64_t seed;       /* of sampling */
    struct dlm_compute compute;
    /* Receives the answer piece by piece, from the calling thread; whole UTF-8 characters, no NUL
     * at the end. */
    void (*text)(void *user, const char *utf8, size_t len);
    void *user;
};

/* Answers the query. DLM_ERR_USAGE: images with a base that sees none; DLM_ERR_INVALID: no adapter
 * yet, a licence not accepted. */
DLM_API enum dlm_status dlm_prompt(struct dlm_ctx *ctx,
                                   const struct dlm_prompt_params *params) DLM_CHECK_RESULT;

#ifdef __cplusplus
}
#endif

#endif
