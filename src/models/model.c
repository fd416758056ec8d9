/* Opening models: the family and its configuration from config.json, weights declared. */
#include "models/model.h"

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "models/model_impl.h"

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

const struct dlm_family *const dlm_families[] = {
#define FAMILY_ROW(name) &dlm_family_##name,
    DLM_FAMILY_LIST(FAMILY_ROW)
#undef FAMILY_ROW
    NULL,
};

static enum dlm_status fail_unknown(struct dlm_ctx *ctx, const char *path, const char *type)
{
    struct dlm_str known = {0};
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && dlm_families[i]; i++)
        st = dlm_str_appendf(ctx, &known, "%s%s", i ? ", " : "", dlm_families[i]->model_type);
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
    for (size_t i = 0; dlm_families[i]; i++)
        if (type && !strcmp(dlm_families[i]->model_type, type)) {
            *family = dlm_families[i];
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
        st = dlm_json_load(m->ctx, path, DLM_MAX_CONFIG_BYTES, &config);
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

enum dlm_status dlm_model_create_config(struct dlm_ctx *ctx, struct dlm_model **out,
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

enum dlm_status dlm_model_create_folder(struct dlm_ctx *ctx, struct dlm_model **out,
                                        const char *dir, const struct dlm_family *family,
                                        bool has_no_files)
{
    char *path = dlm_path_join(ctx, dir, "config.json");
    struct dlm_model *m = NULL;
    json_t *config = NULL;
    enum dlm_status st = DLM_ERR_MEMORY;

    if (path)
        st = dlm_json_load(ctx, path, DLM_MAX_CONFIG_BYTES, &config);
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
        return dlm_model_create_folder(ctx, out, dir, NULL, false);
    const char *type = dlm_families[0]->model_type;
    json_t *config = json_pack("{s:s}", "model_type", type);
    enum dlm_status st =
        config ? dlm_model_create_config(ctx, out, config, type) : DLM_ERR_MEMORY;
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

enum dlm_status dlm_model_not_finite(const struct dlm_model *m, const char *what)
{
    dlm_fail(m->ctx, DLM_ERR_INVALID, "the %s are not finite", what);
    if (m->policy == DLM_DTYPE_F16)
        dlm_log(m->ctx, DLM_LOG_HINT, "--precision bf16 or fp32 holds larger numbers");
    return DLM_ERR_INVALID;
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
        return bytes[DLM_DTYPE_F32] > DLM_LARGE_F32_BYTES ? DLM_DTYPE_BF16 : DLM_DTYPE_F32;
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
    enum dlm_status st = dlm_model_create_folder(ctx, out, dir, NULL, false);

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
    enum dlm_status st = dlm_model_create_folder(ctx, out, dir, family, false);

    if (!st)
        st = open_files(*out, device, DLM_DTYPE_COUNT, NULL);
    if (st)
        dlm_model_destroy(out);
    return st;
}
