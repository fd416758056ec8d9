/* Members of config.json that change what is computed, and the one value that dlm computes; and
 * what the configs of all families say alike. */
#ifndef DLM_MODELS_CONFIG_RULES_H
#define DLM_MODELS_CONFIG_RULES_H

#include <jansson.h>
#include <stddef.h>

#include "base/attr.h"
#include "dlm/ctx.h"

struct dlm_config_rule {
    const char *where; /* the object: "" or "text_config" or "text_config.rope_parameters" */
    const char *key;
    const char *only; /* the value that is supported, as JSON; "null": none */
};

/* A member that is absent or null, or equals the rule's value, is fine; of the first other one
 * DLM_ERR_UNSUPPORTED tells by name. path is for messages. */
enum dlm_status dlm_config_check(struct dlm_ctx *ctx, const json_t *config, const char *path,
                                 const struct dlm_config_rule *rules, size_t num) DLM_CHECK_RESULT;

/* Tokens that end an answer. */
struct dlm_stops {
    int32_t ids[16];
    size_t num;
};

/* Takes eos_token_id of a config: an id below vocab, or a list of them; without, *stops stays. */
enum dlm_status dlm_config_read_stops(struct dlm_ctx *ctx, const json_t *config, const char *path,
                                      int64_t vocab, struct dlm_stops *stops) DLM_CHECK_RESULT;

#endif
