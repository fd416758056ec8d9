/* How a base wants its answers to be chosen: generation_config.json, as transformers' generate()
 * takes it. */
#ifndef DLM_MODELS_SAMPLING_CONFIG_H
#define DLM_MODELS_SAMPLING_CONFIG_H

#include <jansson.h>
#include <stdbool.h>

#include "base/attr.h"
#include "dlm/ctx.h"

/* All zero: the likeliest token. */
struct dlm_sampling_config {
    bool samples;
    double temperature; /* > 0 */
    double top_p;       /* in (0, 1]; 1: off */
    char left_out[96];  /* what it asks for and dlm does not do: "top_k 50, min_p 0.1"; "" */
};

/* Reads config, which may be NULL; path is for messages. DLM_ERR_PARSE: a value that is none. */
enum dlm_status dlm_sampling_config_read(struct dlm_ctx *ctx, const json_t *config,
                                         const char *path,
                                         struct dlm_sampling_config *out) DLM_CHECK_RESULT;

#endif
