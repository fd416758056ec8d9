/* Members of config.json that change what is computed, and the one value that dlm or llama.cpp
 * computes; and what the configs of all families say alike. */
#ifndef DLM_MODELS_CONFIG_RULES_H
#define DLM_MODELS_CONFIG_RULES_H

#include <jansson.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/json.h"
#include "models/decoder.h"

struct dlm_config_rule {
    const char *where; /* the object: "" or "text_config" or "text_config.rope_parameters" */
    const char *key;
    const char *only; /* the value that is supported, as JSON; "null": none */
};

/* A member that is absent or null, or equals the rule's value, is fine; of the first other one
 * DLM_ERR_UNSUPPORTED tells by name. path is for messages. */
enum dlm_status dlm_config_check(struct dlm_ctx *ctx, const json_t *config, const char *path,
                                 const struct dlm_config_rule *rules, size_t num) DLM_CHECK_RESULT;

/* The same of what llama.cpp computes, which is less, before a base is written for it. */
enum dlm_status dlm_config_check_llama_cpp(struct dlm_ctx *ctx, const json_t *config,
                                           const char *path, const struct dlm_config_rule *rules,
                                           size_t num) DLM_CHECK_RESULT;

/* Members that are whole numbers between min and max; *value holds what counts without one. */
struct dlm_config_int {
    const char *key;
    int64_t min, max, *value;
};

enum dlm_status dlm_config_read_ints(struct dlm_ctx *ctx, const json_t *object, const char *path,
                                     const struct dlm_config_int *list,
                                     size_t num) DLM_CHECK_RESULT;

/* Sizes of a decoder that most families' configs name alike, all but a head's; *c holds the
 * defaults. */
enum dlm_status dlm_config_read_decoder_sizes(struct dlm_ctx *ctx, const json_t *object,
                                              const char *path,
                                              struct dlm_decoder_config *c) DLM_CHECK_RESULT;

/* The epsilon of a norm, 0 <= eps < 1; *eps holds the default. */
enum dlm_status dlm_config_read_eps(struct dlm_ctx *ctx, const json_t *object, const char *path,
                                    const char *key, float *eps) DLM_CHECK_RESULT;

/* theta of the rotary positions: "rope_theta" of the object, or since transformers 5 of its
 * "rope_parameters"; *theta holds the default. */
enum dlm_status dlm_config_read_rope_theta(struct dlm_ctx *ctx, const json_t *object,
                                           const char *path, float *theta) DLM_CHECK_RESULT;

/* The activation that key names, as DLM_ACT_*; *act holds the default. DLM_ERR_UNSUPPORTED: one
 * that is not computed here. */
enum dlm_status dlm_config_read_act(struct dlm_ctx *ctx, const json_t *object, const char *path,
                                    const char *key, uint32_t *act) DLM_CHECK_RESULT;

/* The other way: what a config.json calls DLM_ACT_*. */
const char *dlm_config_act_name(uint32_t act);

/* Which of the layers see a window of keys only, by "layer_types": *full_every as in struct
 * dlm_decoder_config, and 1 where all see all; it holds the default. DLM_ERR_UNSUPPORTED: layers
 * that see all are not each n-th. */
enum dlm_status dlm_config_read_layer_types(struct dlm_ctx *ctx, const json_t *object,
                                            const char *path, int64_t layers,
                                            int64_t *full_every) DLM_CHECK_RESULT;

/* Tokens that end an answer. */
struct dlm_stops {
    int32_t ids[16];
    size_t num;
};

/* Takes eos_token_id of a config: an id below vocab, or a list of them; without, *stops stays. */
enum dlm_status dlm_config_read_stops(struct dlm_ctx *ctx, const json_t *config, const char *path,
                                      int64_t vocab, struct dlm_stops *stops) DLM_CHECK_RESULT;

#endif
