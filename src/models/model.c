/* Opening models: the family from config.json, weights declared, adapters matched to linears. */
#include "models/model.h"

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "models/model_impl.h"

#define MAX_CONFIG_BYTES (16u << 20)
#define LARGE_F32_BYTES (4ull << 30)

void dlm_model_destroy(struct dlm_model **model)
{
    struct dlm_model *m = model ? *model : NULL;

    if (!m)
        return;
    m->family->finish(m);
    dlm_decoder_finish(&m->decoder);
    dlm_weights_destroy(&m->weights);
    dlm_linear_list_finish(&m->linears);
    dlm_free(m->dir);
    dlm_free(m);
    *model = NULL;
}

static const struct dlm_family *const families[] = {
#define FAMILY_ROW(name) &dlm_family_##name,
    DLM_FAMILY_LIST(FAMILY_ROW)
#undef FAMILY_ROW
};

static enum dlm_status fail_unknown(struct dlm_ctx *ctx, const char *path, const char *type)
{
    struct dlm_str known = {0};
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < DLM_ARRAY_LEN(families); i++)
        st = dlm_str_appendf(ctx, &known, "%s%s", i ? ", " : "", families[i]->model_type);
    if (!st)
        st = dlm_fail(ctx, DLM_ERR_UNSUPPORTED,
                      "cannot load '%s': model_type '%s' is not supported (%s are)", path,
                      type ? type : "(none)", dlm_str_text(&known));
    dlm_str_finish(&known);
    return st;
}

static enum dlm_status find_family(struct dlm_ctx *ctx, const json_t *config, const char *path,
                                   const struct dlm_family **family)
{
    const char *type = NULL;

    enum dlm_status st = json_is_object(config)
                             ? dlm_json_string(ctx, config, path, "model_type", &type)
                             : dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': not a JSON object",
                                        path);
    if (st)
        return st;
    for (size_t i = 0; i < DLM_ARRAY_LEN(families); i++)
        if (type && !strcmp(families[i]->model_type, type)) {
            *family = families[i];
            return DLM_OK;
        }
    return fail_unknown(ctx, path, type);
}

/* As transformers does: what ends an answer and how it is chosen is said by generation_config.json
 * where it is there. */
static enum dlm_status read_generation_config(struct dlm_model *m)
{
    char *path = dlm_path_join(m->ctx, m->dir, "generation_config.json");
    json_t *config = NULL;
    enum dlm_status st = path ? DLM_OK : DLM_ERR_MEMORY;

    if (!st && dlm_path_is_file(path))
        st = dlm_json_load(m->ctx, path, MAX_CONFIG_BYTES, &config);
    if (!st)
        st = dlm_config_read_stops(m->ctx, config, path, m->decoder.config.vocab, &m->stops);
    if (!st)
        st = dlm_sampling_config_read(m->ctx, config, path, &m->sampling);
    json_decref(config);
    dlm_free(path);
    return st;
}

struct dlm_model *dlm_model_create(struct dlm_ctx *ctx, const struct dlm_family *family)
{
    struct dlm_model *m = dlm_alloc(ctx, family->model_bytes);

    if (!m)
        return NULL;
    m->ctx = ctx;
    m->family = family;
    m->processor = *family->processor;
    return m;
}

/* The same with a configuration read that no folder goes with. path is for messages. */
static enum dlm_status create_config(struct dlm_ctx *ctx, struct dlm_model **out,
                                     const json_t *config, const char *path)
{
    const struct dlm_family *family = NULL;

    enum dlm_status st = find_family(ctx, config, path, &family);
    struct dlm_model *m = st ? NULL : dlm_model_create(ctx, family);
    if (!st)
        st = dlm_bnb_check_config(ctx, config, path);
    if (!st)
        st = m ? family->read_config(ctx, config, path, m) : DLM_ERR_MEMORY;
    if (st)
        dlm_model_destroy(&m);
    *out = m;
    return st;
}

/* The same with the files of a checkpoint's folder read. family NULL: as its config.json says.
 * has_no_files: its configs alone count. */
static enum dlm_status create_folder(struct dlm_ctx *ctx, struct dlm_model **out, const char *dir,
                                     const struct dlm_family *family, bool has_no_files)
{
    char *path = dlm_path_join(ctx, dir, "config.json");
    struct dlm_model *m = NULL;
    json_t *config = NULL;
    enum dlm_status st = DLM_ERR_MEMORY;

    if (path)
        st = dlm_json_load(ctx, path, MAX_CONFIG_BYTES, &config);
    if (!st && !family)
        st = find_family(ctx, config, path, &family);
    if (st)
        goto done;
    m = dlm_model_create(ctx, family);
    if (m) {
        m->dir = dlm_strdup(ctx, dir);
        m->has_no_files = has_no_files;
    }
    st = m && m->dir ? dlm_processor_load_folder(ctx, &m->processor, dir) : DLM_ERR_MEMORY;
    if (!st)
        st = dlm_bnb_check_config(ctx, config, path);
    if (!st)
        st = family->read_config(ctx, config, path, m);
    if (!st)
        st = read_generation_config(m);
    if (st)
        dlm_model_destroy(&m);
done:
    *out = m;
    json_decref(config);
    dlm_free(path);
    return st;
}

enum dlm_status dlm_model_read_folder(struct dlm_ctx *ctx, struct dlm_model **out, const char *dir)
{
    *out = NULL;
    if (dir)
        return create_folder(ctx, out, dir, NULL, false);
    json_t *config = json_pack("{s:s}", "model_type", families[0]->model_type);
    enum dlm_status st =
        config ? create_config(ctx, out, config, families[0]->model_type) : DLM_ERR_MEMORY;
    json_decref(config);
    return st;
}

enum dlm_status dlm_model_add_tokens(const struct dlm_model *m, struct dlm_tokenizer *tok)
{
    return m->family->add_tokens ? m->family->add_tokens(m->ctx, tok) : DLM_OK;
}

bool dlm_model_is_stop(const struct dlm_model *m, int32_t id)
{
    for (size_t i = 0; i < m->stops.num; i++)
        if (m->stops.ids[i] == id)
            return true;
    return false;
}

static enum dlm_dtype choose_policy(const struct dlm_checkpoint *ckpt)
{
    size_t bytes[DLM_DTYPE_COUNT] = {0};

    for (size_t i = 0; i < dlm_checkpoint_num_tensors(ckpt); i++) {
        const struct dlm_tensor_info *t = dlm_checkpoint_tensor(ckpt, i);
        if (dlm_dtype_is_float(t->dtype))
            bytes[t->dtype] += t->bytes;
        else if (t->form) /* what lies in blocks counts as the numbers that it stands for */
            bytes[DLM_DTYPE_F32] += (size_t)dlm_tensor_len(t) * sizeof(float);
    }
    if (bytes[DLM_DTYPE_F32] >= bytes[DLM_DTYPE_BF16] &&
        bytes[DLM_DTYPE_F32] >= bytes[DLM_DTYPE_F16])
        return bytes[DLM_DTYPE_F32] > LARGE_F32_BYTES ? DLM_DTYPE_BF16 : DLM_DTYPE_F32;
    return bytes[DLM_DTYPE_BF16] >= bytes[DLM_DTYPE_F16] ? DLM_DTYPE_BF16 : DLM_DTYPE_F16;
}

/* Tables that follow from the configuration, which some versions of transformers save. */
static bool is_spare(const struct dlm_family *family, const char *name)
{
    static const char *const ends[] = {".position_ids", ".rotary_emb.inv_freq"};

    for (size_t i = 0; i < DLM_ARRAY_LEN(ends); i++) {
        const size_t len = strlen(name), end = strlen(ends[i]);
        if (len > end && !strcmp(name + len - end, ends[i]))
            return true;
    }
    for (const char *const *p = family->spare; p && *p; p++)
        if (!strncmp(name, *p, strlen(*p)))
            return true;
    return false;
}

static bool is_used(const struct dlm_weights *w, const struct dlm_tensor_info *t)
{
    for (size_t i = 0; i < w->num; i++)
        for (int k = 0; k < w->list[i]->num_parts; k++) {
            const struct dlm_weight_part *part = &w->list[i]->parts[k];
            if (part->source == t || (part->bnb && dlm_bnb_is_part(t, part->source->name)))
                return true;
        }
    return false;
}

/* A tensor that no graph reads may mean that the checkpoint computes something else. */
static enum dlm_status look_for_unused(const struct dlm_model *m)
{
    const struct dlm_weights *w = m->weights;
    const struct dlm_tensor_info *first = NULL;
    size_t num = 0;

    for (size_t i = 0; i < dlm_checkpoint_num_tensors(w->checkpoint); i++) {
        const struct dlm_tensor_info *t = dlm_checkpoint_tensor(w->checkpoint, i);
        if (is_used(w, t) || is_spare(m->family, w->names[i]))
            continue;
        first = num++ ? first : t;
    }
    if (first && first->form)
        return dlm_fail(m->ctx, DLM_ERR_INVALID, "cannot load '%s': tensor '%s' is no weight of "
                        "the model that its keys describe", first->file, first->name);
    if (num)
        dlm_log(m->ctx, DLM_LOG_WARNING, "'%s': %zu tensor%s of no use to a %s model, the first "
                "is '%s'", m->dir ? m->dir : first->file, num, num > 1 ? "s are" : " is",
                m->family->model_type, first->name);
    return DLM_OK;
}

enum dlm_status dlm_model_take_checkpoint(struct dlm_model *m, struct dlm_device *device,
                                          struct dlm_checkpoint *ckpt, enum dlm_dtype policy,
                                          const struct dlm_quant_policy *quant)
{
    m->device = device;
    m->policy = policy < DLM_DTYPE_COUNT ? policy : choose_policy(ckpt);
    enum dlm_status st = dlm_weights_create(m->ctx, &m->weights, device, m->policy, quant, ckpt,
                                            &m->family->names);
    if (!st) {
        m->weights->family = m->family;
        st = m->family->declare(m);
    }
    if (!st)
        st = look_for_unused(m);
    if (!st)
        dlm_weights_tell_unfit(m->weights);
    return st;
}

/* Maps the files of the model's folder and declares its weights. */
static enum dlm_status open_files(struct dlm_model *m, struct dlm_device *device,
                                  enum dlm_dtype policy, const struct dlm_quant_policy *quant)
{
    struct dlm_checkpoint *ckpt = NULL;

    enum dlm_status st = dlm_checkpoint_open(m->ctx, &ckpt, m->dir);
    return st ? st : dlm_model_take_checkpoint(m, device, ckpt, policy, quant);
}

enum dlm_status dlm_model_open(struct dlm_ctx *ctx, struct dlm_model **out,
                               struct dlm_device *device, const char *dir, enum dlm_dtype policy,
                               const struct dlm_quant_policy *quant)
{
    enum dlm_status st = create_folder(ctx, out, dir, NULL, false);

    if (!st)
        st = open_files(*out, device, policy, quant);
    if (st)
        dlm_model_destroy(out);
    return st;
}

enum dlm_status dlm_model_open_as(struct dlm_ctx *ctx, struct dlm_model **out,
                                  struct dlm_device *device, const char *dir,
                                  const struct dlm_family *family)
{
    enum dlm_status st = create_folder(ctx, out, dir, family, false);

    if (!st)
        st = open_files(*out, device, DLM_DTYPE_COUNT, NULL);
    if (st)
        dlm_model_destroy(out);
    return st;
}

/* The type that the checkpoint of a config.json has, DLM_DTYPE_COUNT where it does not say. */
static enum dlm_status read_file_dtype(struct dlm_ctx *ctx, const json_t *config, const char *path,
                                       enum dlm_dtype *dtype)
{
    static const struct {
        const char *name;
        enum dlm_dtype dtype;
    } names[] = {{"float32", DLM_DTYPE_F32}, {"float16", DLM_DTYPE_F16},
                 {"bfloat16", DLM_DTYPE_BF16}};
    const char *name = NULL;

    *dtype = DLM_DTYPE_COUNT;
    enum dlm_status st = dlm_json_string(ctx, config, path, "torch_dtype", &name);
    if (!st)
        st = dlm_json_string(ctx, config, path, "dtype", &name); /* since transformers 4.56 */
    for (size_t i = 0; !st && name && i < DLM_ARRAY_LEN(names); i++)
        if (!strcmp(name, names[i].name))
            *dtype = names[i].dtype;
    return st;
}

/* What a model without files is made of. */
struct outline {
    const json_t *config;
    const char *path; /* for messages */
    const char *dir;  /* whose other configs count too; NULL: there is none */
    int64_t layers;   /* so many of the decoder's; 0: all */
};

static enum dlm_status open_without_files(struct dlm_ctx *ctx, struct dlm_model **out,
                                          struct dlm_device *device, const struct outline *o,
                                          enum dlm_dtype file, enum dlm_dtype policy,
                                          const struct dlm_quant_policy *quant)
{
    struct dlm_model *m = NULL;

    *out = NULL;
    enum dlm_status st = o->dir ? create_folder(ctx, &m, o->dir, NULL, true)
                                : create_config(ctx, &m, o->config, o->path);
    if (st)
        return st;
    m->device = device;
    m->policy = policy;
    if (o->layers > m->decoder.config.layers)
        st = dlm_fail(ctx, DLM_ERR_USAGE, "the decoder of shape '%s' has %lld layers, not %lld",
                      o->path, (long long)m->decoder.config.layers, (long long)o->layers);
    else if (o->layers)
        m->decoder.config.layers = o->layers;
    if (!st)
        st = dlm_weights_create(ctx, &m->weights, device, policy, quant, NULL,
                                &m->family->names);
    if (!st)
        m->weights->file_dtype = file < DLM_DTYPE_COUNT ? file : policy;
    if (!st)
        st = m->family->declare(m);
    if (!st)
        dlm_weights_tell_unfit(m->weights);
    if (st)
        dlm_model_destroy(&m);
    *out = m;
    return st;
}

static enum dlm_status open_config(struct dlm_ctx *ctx, struct dlm_model **out,
                                   struct dlm_device *device, const struct outline *o,
                                   enum dlm_dtype policy, const struct dlm_quant_policy *quant)
{
    enum dlm_dtype file;

    *out = NULL;
    enum dlm_status st = read_file_dtype(ctx, o->config, o->path, &file);
    if (st)
        return st;
    if (policy < DLM_DTYPE_COUNT || file != DLM_DTYPE_F32) {
        const enum dlm_dtype otherwise = file < DLM_DTYPE_COUNT ? file : DLM_DTYPE_BF16;
        return open_without_files(ctx, out, device, o, file,
                                  policy < DLM_DTYPE_COUNT ? policy : otherwise, quant);
    }
    /* which policy f32 files get depends on their size */
    st = open_without_files(ctx, out, device, o, file, DLM_DTYPE_F32, quant);
    if (st || dlm_weights_bytes((*out)->weights, DLM_WEIGHT_GROUPS_ALL) <= LARGE_F32_BYTES)
        return st;
    dlm_model_destroy(out);
    return open_without_files(ctx, out, device, o, file, DLM_DTYPE_BF16, quant);
}

enum dlm_status dlm_model_open_config(struct dlm_ctx *ctx, struct dlm_model **out,
                                      struct dlm_device *device, const json_t *config,
                                      const char *path, enum dlm_dtype policy,
                                      const struct dlm_quant_policy *quant)
{
    const struct outline o = {.config = config, .path = path};

    return open_config(ctx, out, device, &o, policy, quant);
}

enum dlm_status dlm_model_open_outline(struct dlm_ctx *ctx, struct dlm_model **out,
                                       struct dlm_device *device, const char *dir,
                                       enum dlm_dtype policy,
                                       const struct dlm_quant_policy *quant)
{
    char *path = dlm_path_join(ctx, dir, "config.json");
    json_t *config = NULL;
    enum dlm_status st = DLM_ERR_MEMORY;

    *out = NULL;
    if (path)
        st = dlm_json_load(ctx, path, MAX_CONFIG_BYTES, &config);
    if (!st && json_is_object(json_object_get(config, "quantization_config")))
        st = dlm_fail(ctx, DLM_ERR_UNSUPPORTED, "cannot plan '%s' without its weights: which of "
                      "them are in 4 bits, its files alone say", dir);
    const struct outline o = { /* without a processor, the family's usual one holds */
        .config = config, .path = path, .dir = dlm_processor_is_in(ctx, dir) ? dir : NULL};
    if (!st)
        st = open_config(ctx, out, device, &o, policy, quant);
    if (!st)
        (*out)->has_no_files = true;
    json_decref(config);
    dlm_free(path);
    return st;
}

/* The config.json of a shape; owned, NULL without memory. */
static json_t *shape_config(const struct dlm_family *family, const struct dlm_model_shape *shape,
                            const char *file_dtype)
{
    json_t *config = json_loads(shape->config, 0, NULL);

    if (config && !json_object_set_new(config, "model_type", json_string(family->model_type)) &&
        (!file_dtype || !json_object_set_new(config, "torch_dtype", json_string(file_dtype))))
        return config;
    json_decref(config);
    return NULL;
}

static enum dlm_status unknown_shape(struct dlm_ctx *ctx, const char *shape)
{
    char list[256] = "";

    for (size_t i = 0; i < DLM_ARRAY_LEN(families); i++)
        for (const struct dlm_model_shape *s = families[i]->shapes; s->name; s++) {
            const size_t len = strlen(list); /* names of a dozen letters */
            snprintf(list + len, sizeof(list) - len, "%s%s", len ? ", " : "", s->name);
        }
    return dlm_fail(ctx, DLM_ERR_USAGE, "unknown shape '%s': there are %s", shape, list);
}

static enum dlm_status open_shape(struct dlm_ctx *ctx, struct dlm_model **out,
                                  struct dlm_device *device, const char *shape, int64_t layers,
                                  const char *file_dtype, enum dlm_dtype policy,
                                  const struct dlm_quant_policy *quant)
{
    *out = NULL;
    for (size_t i = 0; i < DLM_ARRAY_LEN(families); i++)
        for (const struct dlm_model_shape *s = families[i]->shapes; s->name; s++) {
            if (strcmp(s->name, shape))
                continue;
            json_t *config = shape_config(families[i], s, file_dtype);
            const struct outline o = {.config = config, .path = shape, .layers = layers};
            enum dlm_status st = config ? open_config(ctx, out, device, &o, policy, quant)
                                        : DLM_ERR_MEMORY;
            json_decref(config);
            if (!st)
                (*out)->is_text = s->is_text;
            return st;
        }
    return unknown_shape(ctx, shape);
}

enum dlm_status dlm_model_open_shape(struct dlm_ctx *ctx, struct dlm_model **out,
                                     struct dlm_device *device, const char *shape, int64_t layers,
                                     enum dlm_dtype policy, const struct dlm_quant_policy *quant)
{
    return open_shape(ctx, out, device, shape, layers, NULL, policy, quant);
}

enum dlm_status dlm_model_open_released(struct dlm_ctx *ctx, struct dlm_model **out,
                                        struct dlm_device *device, const char *shape,
                                        const char *file_dtype, enum dlm_dtype policy,
                                        const struct dlm_quant_policy *quant)
{
    return open_shape(ctx, out, device, shape, 0, file_dtype, policy, quant);
}

/* Each name of a list is one of the model's. */
static enum dlm_status check_targets(const struct dlm_model *m, const struct dlm_target_spec *spec)
{
    const char **paths = dlm_alloc_array(m->ctx, m->linears.num, sizeof(*paths));

    if (!paths)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; i < m->linears.num; i++)
        paths[i] = m->linears.items[i]->path;
    enum dlm_status st = dlm_target_spec_check(m->ctx, spec, paths, m->linears.num);
    dlm_free(paths);
    return st;
}

static enum dlm_status fail_no_target(const struct dlm_model *m,
                                      const struct dlm_target_spec *spec)
{
    const char *path = m->linears.num ? m->linears.items[m->linears.num - 1]->path : "";
    const char *dot = strrchr(path, '.');
    const char *name = dot ? dot + 1 : path;

    dlm_fail(m->ctx, DLM_ERR_INVALID,
             "target_modules: the expression '%.200s' matches no linear module of the base",
             spec->kind == DLM_TARGET_REGEX ? spec->regex : "all-linear");
    dlm_log(m->ctx, DLM_LOG_HINT, "an expression matches whole paths, as '.*\\.%s'; a list, as "
            "[%s], has names; all-linear means every linear of the language model",
            name, name);
    return DLM_ERR_INVALID;
}

enum dlm_status dlm_model_make_lora(struct dlm_model *m, struct dlm_lora **out,
                                    const struct dlm_target_spec *spec,
                                    const struct dlm_lora_params *params)
{
    struct dlm_lora_matcher *matcher = NULL;
    struct dlm_target_spec where = *spec;
    bool hit;

    if (!where.under)
        where.under = m->family->language;
    enum dlm_status st = dlm_lora_create(m->ctx, out, params);
    if (!st)
        st = check_targets(m, &where);
    if (!st)
        st = dlm_lora_matcher_create(m->ctx, &matcher, &where);
    for (size_t i = 0; !st && i < m->linears.num; i++) {
        const struct dlm_linear *l = m->linears.items[i];
        st = dlm_lora_matches(m->ctx, matcher, l->path, &hit);
        if (!st && hit)
            st = dlm_lora_add(*out, l->path, l->weight, l->weight->cols, l->out, 0, 0);
    }
    if (!st && !(*out)->num) /* a list has matched */
        st = fail_no_target(m, &where);
    dlm_lora_matcher_destroy(&matcher);
    if (st)
        dlm_lora_destroy(out);
    return st;
}

const struct dlm_linear *dlm_model_find_linear(const struct dlm_model *m, const char *path)
{
    for (size_t i = 0; i < m->linears.num; i++)
        if (!strcmp(m->linears.items[i]->path, path))
            return m->linears.items[i];
    return NULL;
}

enum dlm_status dlm_model_read_lora(struct dlm_model *m, struct dlm_lora **out,
                                    const struct dlm_adapter *adapter)
{
    struct dlm_lora_params params = {
        .r = adapter->config.r,
        .alpha = (float)adapter->config.alpha,
        .dropout = (float)adapter->config.dropout,
        .use_rslora = adapter->config.use_rslora,
    };

    enum dlm_status st = dlm_lora_create(m->ctx, out, &params);
    for (size_t i = 0; !st && i < adapter->num_modules; i++) {
        const struct dlm_adapter_module *a = &adapter->modules[i];
        const struct dlm_linear *l = dlm_model_find_linear(m, a->path);
        if (!l || l->out != a->out || l->weight->cols != a->in)
            st = dlm_fail(m->ctx, DLM_ERR_INVALID,
                          "the adapter does not fit the base: it has no linear '%s' of %lld x %lld",
                          a->path, (long long)a->out, (long long)a->in);
    }
    /* in the model's order, in which those of one input follow each other */
    for (size_t i = 0; !st && i < m->linears.num; i++) {
        const struct dlm_linear *l = m->linears.items[i];
        const struct dlm_adapter_module *a = dlm_adapter_find(adapter, l->path);
        if (a)
            st = dlm_lora_add(*out, a->path, l->weight, a->in, a->out, a->r, (float)a->alpha);
    }
    if (!st)
        st = dlm_lora_read(*out, adapter);
    if (st)
        dlm_lora_destroy(out);
    return st;
}

enum dlm_status dlm_model_not_finite(const struct dlm_model *m, const char *what)
{
    dlm_fail(m->ctx, DLM_ERR_INVALID, "the %s are not finite", what);
    if (m->policy == DLM_DTYPE_F16)
        dlm_log(m->ctx, DLM_LOG_HINT, "--precision bf16 or fp32 holds larger numbers");
    return DLM_ERR_INVALID;
}

bool dlm_model_trains_tower(const struct dlm_model *m, const struct dlm_lora *lora)
{
    for (size_t i = 0; i < m->linears.num; i++) {
        const struct dlm_linear *l = m->linears.items[i];
        if (l->weight->group == DLM_WEIGHT_GROUP_TOWER && dlm_lora_find(lora, l->path))
            return true;
    }
    return false;
}
