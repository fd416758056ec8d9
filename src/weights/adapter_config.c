/* Reading adapter_config.json: PEFT's LoraConfig, all but plain LoRA refused by name. */
#include "weights/adapter_config.h"

#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "weights/regex.h"

#define MAX_CONFIG_BYTES ((size_t)16 << 20)
/* No adapter comes near; keeps sizes in range. */
#define MAX_RANK 65536
#define MAX_PATTERNS 4096

struct dlm_pattern {
    struct dlm_regex *regex;
    double value;
};

/* Keys that change what the tensors mean when they are set at all. */
static const char *const refused_keys[] = {
    "alora_invocation_tokens", "arrow_config", "kasa_config", "layer_replication",
    "lora_bias", "megatron_config", "modules_to_save", "monteclora_config", "target_parameters",
    "trainable_token_indices", "use_bdlora", "use_dora", "use_qalora", "velora_config",
};

bool dlm_json_is_set(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: return json_object_size(value) > 0;
    case JSON_ARRAY: return json_array_size(value) > 0;
    case JSON_STRING: return *json_string_value(value) != '\0';
    case JSON_INTEGER: return json_integer_value(value) != 0;
    case JSON_REAL: return json_real_value(value) != 0;
    case JSON_TRUE: return true;
    case JSON_FALSE:
    case JSON_NULL: break;
    }
    return false;
}

static enum dlm_status refuse(struct dlm_ctx *ctx, const char *where, const char *key,
                              const char *value)
{
    dlm_fail(ctx, DLM_ERR_UNSUPPORTED, "cannot use '%s': '%s%s%.40s' is not supported", where, key,
             *value ? "=" : "", value);
    dlm_log(ctx, DLM_LOG_HINT, "PEFT's merge_and_unload() folds it into the base; what that saves "
            "is a base of its own, `dir:PATH`");
    return DLM_ERR_UNSUPPORTED;
}

/* Initialisations that also changed the base's weights: such an adapter only fits the changed base,
 * unless it was converted on saving (and then says true). */
static bool init_changes_base(const json_t *init)
{
    static const char *const names[] = {"pissa", "olora", "corda", "loftq", "lora_ga", "mica"};
    const char *s = json_string_value(init);

    for (size_t i = 0; s && i < DLM_ARRAY_LEN(names); i++)
        if (!strncmp(s, names[i], strlen(names[i])))
            return true;
    return false;
}

static enum dlm_status check_refused(struct dlm_ctx *ctx, const char *where, const json_t *root)
{
    const char *peft_type = "LORA", *bias = "none";

    enum dlm_status st = dlm_json_string(ctx, root, where, "peft_type", &peft_type);
    if (!st)
        st = dlm_json_string(ctx, root, where, "bias", &bias);
    if (st)
        return st;
    if (strcmp(peft_type, "LORA"))
        return refuse(ctx, where, "peft_type", peft_type);
    if (strcmp(bias, "none"))
        return refuse(ctx, where, "bias", bias);
    for (size_t i = 0; i < DLM_ARRAY_LEN(refused_keys); i++) {
        const json_t *value = json_object_get(root, refused_keys[i]);
        if (value && dlm_json_is_set(value))
            return refuse(ctx, where, refused_keys[i], "");
    }
    const json_t *layers = json_object_get(root, "layers_to_transform");
    if (layers && (json_is_integer(layers) || dlm_json_is_set(layers))) /* 0 is a layer */
        return refuse(ctx, where, "layers_to_transform", "");
    const json_t *init = json_object_get(root, "init_lora_weights");
    if (init_changes_base(init))
        return refuse(ctx, where, "init_lora_weights", json_string_value(init));
    return DLM_OK;
}

static enum dlm_status parse_patterns(struct dlm_ctx *ctx, const char *where, json_t *root,
                                      const char *name, struct dlm_pattern_list *list)
{
    json_t *object = json_object_get(root, name), *value;
    const char *key;
    const bool is_rank = !strcmp(name, "rank_pattern");
    enum dlm_status st = DLM_OK;

    if (!object || !dlm_json_is_set(object))
        return DLM_OK;
    if (!json_is_object(object) || json_object_size(object) > MAX_PATTERNS)
        return dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': '%s' is no object", where, name);
    list->items = dlm_alloc_array(ctx, json_object_size(object), sizeof(*list->items));
    if (!list->items)
        return DLM_ERR_MEMORY;
    json_object_foreach(object, key, value) {
        const double number = json_number_value(value);
        if (!json_is_number(value) || (is_rank && (number < 1 || number > MAX_RANK ||
                                                   number != floor(number))))
            return dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': %s of '%.100s' is no %s", where,
                            name, key, is_rank ? "rank" : "number");
        struct dlm_pattern *p = &list->items[list->len];
        st = dlm_regex_create(ctx, &p->regex, name, "(?:.*\\.)?(?:", key, ")");
        if (st)
            return st;
        p->value = number;
        list->len++;
    }
    return st;
}

enum dlm_status dlm_pattern_value(struct dlm_ctx *ctx, const struct dlm_pattern_list *list,
                                  const char *path, const char *canonical, double otherwise,
                                  double *value)
{
    *value = otherwise;
    for (size_t i = 0; i < list->len; i++) {
        bool matches;
        enum dlm_status st = dlm_regex_matches(ctx, list->items[i].regex, canonical, &matches);
        if (!st && !matches && path != canonical)
            st = dlm_regex_matches(ctx, list->items[i].regex, path, &matches);
        if (st)
            return st;
        if (matches) {
            *value = list->items[i].value;
            break;
        }
    }
    return DLM_OK;
}

static enum dlm_status parse_targets(struct dlm_ctx *ctx, const char *where,
                                     struct dlm_adapter_config_file *file)
{
    const json_t *targets = json_object_get(file->root, "target_modules");
    struct dlm_adapter_config *config = &file->config;

    if (!targets || json_is_null(targets))
        return DLM_OK;
    if (json_is_string(targets)) {
        config->target_regex = json_string_value(targets);
        return DLM_OK;
    }
    if (!json_is_array(targets))
        return dlm_fail(ctx, DLM_ERR_PARSE,
                        "cannot read '%s': 'target_modules' is neither a list nor a string", where);
    file->target_names = dlm_alloc_array(ctx, json_array_size(targets), sizeof(char *));
    if (!file->target_names)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; i < json_array_size(targets); i++) {
        file->target_names[i] = json_string_value(json_array_get(targets, i));
        if (!file->target_names[i])
            return dlm_fail(ctx, DLM_ERR_PARSE,
                            "cannot read '%s': 'target_modules' holds more than strings", where);
    }
    config->target_names = file->target_names;
    config->num_target_names = json_array_size(targets);
    return DLM_OK;
}

static enum dlm_status parse_numbers(struct dlm_ctx *ctx, const char *where, json_t *root,
                                     struct dlm_adapter_config *config)
{
    config->r = 8; /* PEFT's defaults */
    config->alpha = 8;
    enum dlm_status st = dlm_json_int(ctx, root, where, "r", 1, MAX_RANK, &config->r);
    if (!st)
        st = dlm_json_number(ctx, root, where, "lora_alpha", &config->alpha);
    if (!st)
        st = dlm_json_number(ctx, root, where, "lora_dropout", &config->dropout);
    if (!st)
        st = dlm_json_bool(ctx, root, where, "use_rslora", &config->use_rslora);
    if (!st && !(config->dropout >= 0 && config->dropout < 1))
        st = dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': 'lora_dropout' is not in 0..1", where);
    return st;
}

static enum dlm_status parse_root(struct dlm_ctx *ctx, struct dlm_adapter_config_file *file,
                                  const char *where)
{
    json_t *root = file->root;
    struct dlm_adapter_config *config = &file->config;

    if (!json_is_object(root))
        return dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': it is no JSON object", where);
    enum dlm_status st = check_refused(ctx, where, root);
    if (!st)
        st = parse_numbers(ctx, where, root, config);
    if (!st)
        st = dlm_json_string(ctx, root, where, "base_model_name_or_path", &config->base_model);
    if (!st)
        st = dlm_json_string(ctx, root, where, "revision", &config->revision);
    if (!st)
        st = parse_targets(ctx, where, file);
    if (!st)
        st = parse_patterns(ctx, where, root, "rank_pattern", &file->rank_pattern);
    if (!st)
        st = parse_patterns(ctx, where, root, "alpha_pattern", &file->alpha_pattern);
    return st;
}

enum dlm_status dlm_adapter_config_load(struct dlm_ctx *ctx, struct dlm_adapter_config_file *file,
                                        const char *path)
{
    *file = (struct dlm_adapter_config_file){0};
    enum dlm_status st = dlm_json_load(ctx, path, MAX_CONFIG_BYTES, &file->root);
    return st ? st : parse_root(ctx, file, path);
}

enum dlm_status dlm_adapter_config_parse(struct dlm_ctx *ctx, struct dlm_adapter_config_file *file,
                                         const char *where, const char *text, size_t len)
{
    json_error_t error;

    *file = (struct dlm_adapter_config_file){0};
    file->root = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!file->root)
        return dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': line %d, column %d: %s", where,
                        error.line, error.column, error.text);
    return parse_root(ctx, file, where);
}

static void finish_patterns(struct dlm_pattern_list *list)
{
    for (size_t i = 0; i < list->len; i++)
        dlm_regex_destroy(&list->items[i].regex);
    dlm_free(list->items);
    *list = (struct dlm_pattern_list){0};
}

void dlm_adapter_config_finish(struct dlm_adapter_config_file *file)
{
    finish_patterns(&file->rank_pattern);
    finish_patterns(&file->alpha_pattern);
    dlm_free(file->target_names);
    json_decref(file->root);
    *file = (struct dlm_adapter_config_file){0};
}
