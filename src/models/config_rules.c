/* Refusing what a config.json asks for and dlm does not compute, rather than leaving it out. */
#include "models/config_rules.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/scalar.h"

/* The object at "a.b" of config, NULL when there is none. */
static const json_t *find_object(const json_t *config, const char *where)
{
    while (config && *where) {
        const size_t len = strcspn(where, ".");
        char name[64];

        if (len >= sizeof(name))
            return NULL;
        memcpy(name, where, len);
        name[len] = '\0';
        config = json_object_get(config, name);
        where += len + (where[len] == '.');
    }
    return config;
}

/* As Python compares: 0 equals 0.0. */
static bool is_same(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b))
        return json_number_value(a) == json_number_value(b);
    return json_equal(a, b);
}

/* Who computes less than a config.json may ask for, and what cannot be done then. */
struct reader {
    const char *verb, *as, *by;
};

static enum dlm_status check_rule(struct dlm_ctx *ctx, const json_t *config, const char *path,
                                  const struct dlm_config_rule *rule, const struct reader *r)
{
    const json_t *value = json_object_get(find_object(config, rule->where), rule->key);
    enum dlm_status st = DLM_OK;

    if (!value || json_is_null(value))
        return DLM_OK;
    json_t *only = json_loads(rule->only, JSON_DECODE_ANY, NULL);
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
    if (!only || !text)
        st = dlm_fail(ctx, DLM_ERR_MEMORY, "out of memory: '%s'", path);
    else if (!is_same(value, only))
        st = dlm_fail(ctx, DLM_ERR_UNSUPPORTED,
                      "cannot %s '%s'%s: '%s%s%s' is %.80s: not supported%s (only %s is)", r->verb,
                      path, r->as, rule->where, *rule->where ? "." : "", rule->key, text, r->by,
                      rule->only);
    json_decref(only);
    free(text);
    return st;
}

enum dlm_status dlm_config_check(struct dlm_ctx *ctx, const json_t *config, const char *path,
                                 const struct dlm_config_rule *rules, size_t num)
{
    static const struct reader dlm = {"load", "", ""};
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < num; i++)
        st = check_rule(ctx, config, path, &rules[i], &dlm);
    return st;
}

enum dlm_status dlm_config_check_llama_cpp(struct dlm_ctx *ctx, const json_t *config,
                                           const char *path, const struct dlm_config_rule *rules,
                                           size_t num)
{
    static const struct reader llama_cpp = {"write", " as GGUF", " by llama.cpp"};
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < num; i++)
        st = check_rule(ctx, config, path, &rules[i], &llama_cpp);
    return st;
}

enum dlm_status dlm_config_read_ints(struct dlm_ctx *ctx, const json_t *object, const char *path,
                                     const struct dlm_config_int *list, size_t num)
{
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < num; i++)
        st = dlm_json_int(ctx, object, path, list[i].key, list[i].min, list[i].max, list[i].value);
    return st;
}

enum dlm_status dlm_config_read_decoder_sizes(struct dlm_ctx *ctx, const json_t *object,
                                              const char *path, struct dlm_decoder_config *c)
{
    const struct dlm_config_int ints[] = {
        {"hidden_size", 1, 1 << 16, &c->block.hidden},
        {"intermediate_size", 1, 1 << 18, &c->block.intermediate},
        {"num_hidden_layers", 1, 512, &c->layers},
        {"num_attention_heads", 1, 512, &c->block.heads},
        {"num_key_value_heads", 1, 512, &c->block.kv_heads},
        {"vocab_size", 1, 1 << 22, &c->vocab},
    };

    return dlm_config_read_ints(ctx, object, path, ints, DLM_ARRAY_LEN(ints));
}

enum dlm_status dlm_config_read_eps(struct dlm_ctx *ctx, const json_t *object, const char *path,
                                    const char *key, float *eps)
{
    double value = *eps;

    enum dlm_status st = dlm_json_number(ctx, object, path, key, &value);
    if (!st && !(value >= 0 && value < 1))
        st = dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': '%s' is out of range", path, key);
    *eps = (float)value;
    return st;
}

enum dlm_status dlm_config_read_rope_theta(struct dlm_ctx *ctx, const json_t *object,
                                           const char *path, float *theta)
{
    double value = *theta;

    enum dlm_status st = dlm_json_number(ctx, object, path, "rope_theta", &value);
    if (!st)
        st = dlm_json_number(ctx, json_object_get(object, "rope_parameters"), path, "rope_theta",
                             &value);
    if (!st && !(value > 0 && value < 1e12))
        st = dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': 'rope_theta' is out of range", path);
    *theta = (float)value;
    return st;
}

enum dlm_status dlm_config_read_act(struct dlm_ctx *ctx, const json_t *object, const char *path,
                                    const char *key, uint32_t *act)
{
    const char *name = NULL;

    enum dlm_status st = dlm_json_string(ctx, object, path, key, &name);
    if (st || !name)
        return st;
    if (!strcmp(name, "gelu_pytorch_tanh") || !strcmp(name, "gelu_new"))
        *act = DLM_ACT_GELU_TANH;
    else if (!strcmp(name, "gelu"))
        *act = DLM_ACT_GELU_ERF;
    else if (!strcmp(name, "silu"))
        *act = DLM_ACT_SILU;
    else if (!strcmp(name, "quick_gelu"))
        *act = DLM_ACT_QUICK_GELU;
    else
        return dlm_fail(ctx, DLM_ERR_UNSUPPORTED, "cannot load '%s': '%s' is '%s': not supported "
                        "(gelu, gelu_pytorch_tanh, quick_gelu, silu are)", path, key, name);
    return DLM_OK;
}

const char *dlm_config_act_name(uint32_t act)
{
    return act == DLM_ACT_GELU_TANH    ? "gelu_pytorch_tanh"
           : act == DLM_ACT_GELU_ERF   ? "gelu"
           : act == DLM_ACT_QUICK_GELU ? "quick_gelu"
                                       : "silu";
}

enum dlm_status dlm_config_read_layer_types(struct dlm_ctx *ctx, const json_t *object,
                                            const char *path, int64_t layers, int64_t *full_every)
{
    const json_t *list = json_object_get(object, "layer_types");
    int64_t every = 0;

    if (!list || json_is_null(list))
        return DLM_OK;
    if ((int64_t)json_array_size(list) != layers)
        return dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': 'layer_types' is not a list of %lld",
                        path, (long long)layers);
    for (int64_t i = 0; i < layers; i++) {
        const char *type = json_string_value(json_array_get(list, (size_t)i));
        const bool is_full = type && !strcmp(type, "full_attention");
        if (is_full && !every)
            every = i + 1;
        if ((!is_full && (!type || strcmp(type, "sliding_attention") != 0)) ||
            is_full != (every && (i + 1) % every == 0))
            return dlm_fail(ctx, DLM_ERR_UNSUPPORTED, "cannot load '%s': 'layer_types' of layer "
                            "%lld: not supported (sliding_attention is, and full_attention in each "
                            "n-th layer)", path, (long long)i);
    }
    *full_every = every;
    return DLM_OK;
}

enum dlm_status dlm_config_read_stops(struct dlm_ctx *ctx, const json_t *config, const char *path,
                                      int64_t vocab, struct dlm_stops *stops)
{
    const json_t *value = json_object_get(config, "eos_token_id");
    const size_t num = json_is_array(value) ? json_array_size(value) : 1;

    if (!value || json_is_null(value))
        return DLM_OK;
    if (!num || num > DLM_ARRAY_LEN(stops->ids))
        return dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': 'eos_token_id' holds %zu ids", path,
                        num);
    for (size_t i = 0; i < num; i++) {
        const json_t *id = json_is_array(value) ? json_array_get(value, i) : value;
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= vocab)
            return dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': 'eos_token_id' is not an id "
                            "below %lld, or a list of them", path, (long long)vocab);
        stops->ids[i] = (int32_t)json_integer_value(id); /* vocabularies are below 2^22 */
    }
    stops->num = num;
    return DLM_OK;
}
