/* Writing a PEFT adapter folder: adapter_config.json as PEFT 0.21 dumps it, and the tensors under
 * PEFT's names. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "weights/adapter.h"
#include "weights/regex.h"

/* A sorted list of paths as they are written. */
struct path_list {
    char **items;
    size_t len;
};

static void finish_paths(struct path_list *list)
{
    for (size_t i = 0; i < list->len; i++)
        dlm_free(list->items[i]);
    dlm_free(list->items);
    *list = (struct path_list){0};
}

static char *spell(struct dlm_ctx *ctx, const struct dlm_adapter_write_params *params,
                   const char *path)
{
    if (params->names == DLM_ADAPTER_NAMES_V4)
        return dlm_name_with_drops(ctx, params->map, path);
    return dlm_strdup(ctx, path);
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool has_path(const struct path_list *list, const char *path)
{
    return bsearch(&path, list->items, list->len, sizeof(*list->items), compare_paths) != NULL;
}

static enum dlm_status spell_modules(struct dlm_ctx *ctx,
                                     const struct dlm_adapter_write_params *params,
                                     const struct dlm_adapter_out_module *modules, size_t num,
                                     struct path_list *list)
{
    list->items = dlm_alloc_array(ctx, num, sizeof(*list->items));
    if (!list->items)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; i < num; i++) {
        list->items[i] = spell(ctx, params, modules[i].path);
        if (!list->items[i])
            return DLM_ERR_MEMORY;
        list->len++;
    }
    return DLM_OK;
}

/* Whether text matches exactly the adapted paths among all of the base. */
static enum dlm_status matches_exactly(struct dlm_ctx *ctx, const char *text,
                                       const struct dlm_adapter_write_params *params,
                                       const struct path_list *adapted, bool *exact)
{
    struct dlm_regex *regex = NULL;
    size_t num_hits = 0;

    *exact = false;
    enum dlm_status st = dlm_regex_create(ctx, &regex, "target_modules", "", text, "");
    for (size_t i = 0; !st && i < params->num_all_paths; i++) {
        bool hit = false;
        char *path = spell(ctx, params, params->all_paths[i]);
        st = path ? dlm_regex_matches(ctx, regex, path, &hit) : DLM_ERR_MEMORY;
        const bool wanted = path && has_path(adapted, path);
        dlm_free(path);
        if (!st && hit != wanted)
            goto done;
        num_hits += hit;
    }
    *exact = !st && num_hits == adapted->len;
done:
    dlm_regex_destroy(&regex);
    return st;
}

/* A regex for paths as they are spelled. With transformers 4's names, a component that version 5
 * leaves out is optional in it, so that the adapter loads in both. Owned by the caller. */
static char *regex_of(struct dlm_ctx *ctx, const struct dlm_adapter_write_params *params,
                      const char *const *paths, size_t num_paths)
{
    char *text = dlm_target_regex_of(ctx, paths, num_paths);
    struct dlm_str out = {0};

    if (params->names != DLM_ADAPTER_NAMES_V4 || !params->map)
        return text;
    for (size_t i = 0; text && i < params->map->num_drops; i++) {
        const char *component = params->map->drops[i].component;
        char *inner = dlm_strf(ctx, "\\.%s\\.", component);
        const char *at = text, *hit;
        enum dlm_status st = inner ? DLM_OK : DLM_ERR_MEMORY;
        for (; !st && (hit = strstr(at, inner)); at = hit + strlen(inner))
            st = dlm_str_appendf(ctx, &out, "%.*s\\.(?:%s\\.)?", (int)(hit - at), at, component);
        if (!st)
            st = dlm_str_appendz(ctx, &out, at);
        dlm_free(inner);
        dlm_free(text);
        if (st)
            dlm_str_finish(&out);
        text = out.data;
        out = (struct dlm_str){0};
    }
    return text;
}

/* *text (owned): the given regex where it fits, else one that is spelled out. */
static enum dlm_status choose_regex(struct dlm_ctx *ctx,
                                    const struct dlm_adapter_write_params *params,
                                    const struct path_list *adapted, char **text)
{
    const char *wanted = params->target_regex;
    bool exact = false;
    enum dlm_status st = DLM_OK;

    if (wanted && params->all_paths)
        st = matches_exactly(ctx, wanted, params, adapted, &exact);
    if (st)
        return st;
    *text = exact ? dlm_strdup(ctx, wanted)
                  : regex_of(ctx, params, (const char *const *)adapted->items, adapted->len);
    return *text ? DLM_OK : DLM_ERR_MEMORY;
}

/* --- config --- */

/* A number that has been a float, 0.05000000074505806, is what was meant: the shortest decimal that
 * gives the same float, 0.05. Any other stays. */
static double plain(double x)
{
    char text[32];
    double best = x;

    if ((double)(float)x != x)
        return x;
    for (int digits = 9; digits >= 1; digits--) {
        snprintf(text, sizeof(text), "%.*g", digits, x);
        const double y = strtod(text, NULL);
        if ((float)y != (float)x)
            break;
        best = y;
    }
    return best;
}

/* PEFT writes whole numbers of alpha as integers. */
static json_t *number(double value)
{
    if (value == floor(value) && fabs(value) < 1e15)
        return json_integer((json_int_t)value);
    return json_real(plain(value));
}

static json_t *string_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

/* Modules with a rank or alpha of their own. Keys are regexes to PEFT, so the path is escaped. */
static json_t *patterns(struct dlm_ctx *ctx, const struct dlm_adapter_write_params *params,
                        const struct dlm_adapter_out_module *modules, size_t num, bool is_rank)
{
    json_t *object = json_object();

    for (size_t i = 0; object && i < num; i++) {
        const struct dlm_adapter_out_module *m = &modules[i];
        const bool differs = is_rank ? m->r && m->r != params->r
                                     : m->alpha != 0 && m->alpha != params->alpha;
        if (!differs)
            continue;
        char *path = spell(ctx, params, m->path);
        const char *const one[] = {path};
        char *key = path ? regex_of(ctx, params, one, 1) : NULL;
        int rc = key ? json_object_set_new(object, key,
                                           is_rank ? json_integer((json_int_t)m->r)
                                                   : number(m->alpha))
                     : -1;
        dlm_free(key);
        dlm_free(path);
        if (rc) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

/* PEFT 0.21.2's LoraConfig with its defaults; what varies is set over it. */
static const char config_defaults[] =
    "{\"alora_invocation_tokens\": null, \"arrow_config\": null, \"auto_mapping\": null,"
    " \"bias\": \"none\", \"corda_config\": null, \"ensure_weight_tying\": false,"
    " \"eva_config\": null, \"exclude_modules\": null, \"fan_in_fan_out\": false,"
    " \"inference_mode\": true, \"init_lora_weights\": true, \"kasa_config\": null,"
    " \"layer_replication\": null, \"layers_pattern\": null, \"layers_to_transform\": null,"
    " \"loftq_config\": {}, \"lora_bias\": false, \"lora_ga_config\": null,"
    " \"megatron_config\": null, \"megatron_core\": \"megatron.core\","
    " \"modules_to_save\": null, \"monteclora_config\": null, \"peft_type\": \"LORA\","
    " \"peft_version\": \"0.21.2\", \"qalora_group_size\": 16, \"target_parameters\": null,"
    " \"task_type\": \"CAUSAL_LM\", \"trainable_token_indices\": null, \"use_bdlora\": null,"
    " \"use_dora\": false, \"use_qalora\": false, \"velora_config\": null}";

/* NULL when out of memory, or when a text is no UTF-8. */
static json_t *make_config(struct dlm_ctx *ctx, const struct dlm_adapter_write_params *params,
                           const struct dlm_adapter_out_module *modules, size_t num,
                           const char *regex)
{
    json_t *config = json_loads(config_defaults, 0, NULL);
    int rc = config ? 0 : -1;

    rc |= json_object_set_new(config, "alpha_pattern",
                              patterns(ctx, params, modules, num, false));
    rc |= json_object_set_new(config, "base_model_name_or_path",
                              string_or_null(params->base_model));
    rc |= json_object_set_new(config, "lora_alpha", number(params->alpha));
    rc |= json_object_set_new(config, "lora_dropout", json_real(plain(params->dropout)));
    rc |= json_object_set_new(config, "r", json_integer((json_int_t)params->r));
    rc |= json_object_set_new(config, "rank_pattern", patterns(ctx, params, modules, num, true));
    rc |= json_object_set_new(config, "revision", string_or_null(params->revision));
    rc |= json_object_set_new(config, "target_modules", json_string(regex));
    rc |= json_object_set_new(config, "use_rslora", json_boolean(params->use_rslora));
    if (rc) {
        json_decref(config);
        return NULL;
    }
    return config;
}

/* Text as Python's json.dumps(indent=2, sort_keys=True) gives it. */
static enum dlm_status write_config(struct dlm_ctx *ctx, const char *dir, const json_t *config)
{
    char *path = dlm_path_join(ctx, dir, "adapter_config.json");
    char *text = NULL;
    const size_t flags = JSON_SORT_KEYS | JSON_INDENT(2) | JSON_ENSURE_ASCII;
    enum dlm_status st = path ? dlm_json_dump(ctx, config, flags, &text) : DLM_ERR_MEMORY;

    if (!st)
        st = dlm_file_replace(ctx, path, text, strlen(text));
    free(text);
    dlm_free(path);
    return st;
}

/* --- tensors --- */

static enum dlm_status set_tensor(struct dlm_ctx *ctx, struct dlm_tensor_out *t, const char *path,
                                  char letter, int64_t rows, int64_t cols, const float *data)
{
    *t = (struct dlm_tensor_out){.dtype = DLM_DTYPE_F32, .ndim = 2, .shape = {rows, cols},
                                 .data = data};
    t->name = dlm_strf(ctx, "base_model.model.%s.lora_%c.weight", path, letter);
    if (!t->name)
        return DLM_ERR_MEMORY;
    if (rows < 1 || cols < 1 || !dlm_mul_size((size_t)rows, (size_t)cols, &t->bytes) ||
        !dlm_mul_size(t->bytes, sizeof(float), &t->bytes))
        return dlm_fail(ctx, DLM_ERR_INVALID, "cannot write the adapter: '%s' has a bad shape",
                        path);
    return DLM_OK;
}

static enum dlm_status write_tensors(struct dlm_ctx *ctx, const char *dir,
                                     const struct dlm_adapter_write_params *params,
                                     const struct dlm_adapter_out_module *modules, size_t num)
{
    static const struct dlm_metadata_pair metadata[] = {{"format", "pt"}};
    char *file = dlm_path_join(ctx, dir, "adapter_model.safetensors");
    struct dlm_tensor_out *tensors = dlm_alloc_array(ctx, num, 2 * sizeof(*tensors));
    enum dlm_status st = file && tensors ? DLM_OK : DLM_ERR_MEMORY;

    for (size_t i = 0; !st && i < num; i++) {
        const struct dlm_adapter_out_module *m = &modules[i];
        const int64_t r = m->r ? m->r : params->r;
        char *path = spell(ctx, params, m->path);
        st = path ? set_tensor(ctx, &tensors[2 * i], path, 'A', r, m->in, m->a) : DLM_ERR_MEMORY;
        if (!st)
            st = set_tensor(ctx, &tensors[2 * i + 1], path, 'B', m->out, r, m->b);
        dlm_free(path);
    }
    if (!st)
        st = dlm_safetensors_write(ctx, file, tensors, 2 * num, metadata, 1);
    for (size_t i = 0; tensors && i < 2 * num; i++)
        dlm_free((void *)(uintptr_t)tensors[i].name); /* made by set_tensor */
    dlm_free(tensors);
    dlm_free(file);
    return st;
}

enum dlm_status dlm_adapter_write(struct dlm_ctx *ctx, const char *dir,
                                  const struct dlm_adapter_write_params *params,
                                  const struct dlm_adapter_out_module *modules, size_t num_modules)
{
    struct path_list adapted = {0};
    char *regex = NULL;
    json_t *config = NULL;
    enum dlm_status st;

    DLM_REQUIRE(ctx, num_modules > 0);
    DLM_REQUIRE(ctx, params->r > 0);
    st = spell_modules(ctx, params, modules, num_modules, &adapted);
    if (st)
        goto done;
    qsort(adapted.items, adapted.len, sizeof(*adapted.items), compare_paths);
    st = choose_regex(ctx, params, &adapted, &regex);
    if (st)
        goto done;
    config = make_config(ctx, params, modules, num_modules, regex);
    if (!config) {
        st = dlm_fail(ctx, DLM_ERR_INVALID, "cannot write '%s': adapter_config.json has text that "
                      "is no UTF-8", dir);
        goto done;
    }
    st = write_tensors(ctx, dir, params, modules, num_modules);
    if (!st)
        st = write_config(ctx, dir, config);
done:
    json_decref(config);
    dlm_free(regex);
    finish_paths(&adapted);
    return st;
}
