/* Models without weights, to plan with: of a config.json, of a folder's configs, or of a shape that
 * a family names. */
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "models/model_impl.h"

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
    enum dlm_status st = o->dir ? dlm_model_create_folder(ctx, &m, o->dir, NULL, true)
                                : dlm_model_create_config(ctx, &m, o->config, o->path);
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
    if (st || dlm_weights_bytes((*out)->weights, DLM_WEIGHT_GROUPS_ALL) <= DLM_LARGE_F32_BYTES)
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
        st = dlm_json_load(ctx, path, DLM_MAX_CONFIG_BYTES, &config);
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

    for (size_t i = 0; dlm_families[i]; i++)
        for (const struct dlm_model_shape *s = dlm_families[i]->shapes; s->name; s++) {
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
    for (size_t i = 0; dlm_families[i]; i++)
        for (const struct dlm_model_shape *s = dlm_families[i]->shapes; s->name; s++) {
            if (strcmp(s->name, shape))
                continue;
            json_t *config = shape_config(dlm_families[i], s, file_dtype);
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
