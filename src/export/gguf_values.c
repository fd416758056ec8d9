/* The keys are those that llama.cpp's converter writes for the same base, in its order. */
#include "export/gguf_values.h"

#include <string.h>

#include "base/log.h"
#include "models/config_rules.h"

/* A writer that takes keys until one fails. */
struct keys {
    struct dlm_ctx *ctx;
    struct dlm_gguf_writer *w;
    const char *prefix; /* of the keys that follow */
    enum dlm_status st;
};

static const char *full_key(const struct keys *k, const char *key, char out[128])
{
    snprintf(out, 128, "%s%s", k->prefix, key);
    return out;
}

static void put_u32(struct keys *k, const char *key, int64_t value)
{
    char full[128];

    if (!k->st)
        k->st = dlm_gguf_put_int(k->ctx, k->w, full_key(k, key, full), DLM_GGUF_KIND_U32, value);
}

static void put_f32(struct keys *k, const char *key, double value)
{
    char full[128];

    if (!k->st)
        k->st = dlm_gguf_put_number(k->ctx, k->w, full_key(k, key, full), DLM_GGUF_KIND_F32, value);
}

static void put_string(struct keys *k, const char *key, const char *text)
{
    char full[128];

    if (!k->st)
        k->st = dlm_gguf_put_string(k->ctx, k->w, full_key(k, key, full), text);
}

static void put_true(struct keys *k, const char *key)
{
    char full[128];

    if (!k->st)
        k->st = dlm_gguf_put_bool(k->ctx, k->w, full_key(k, key, full), true);
}

static void put_array(struct keys *k, const char *key, enum dlm_gguf_kind kind, const void *data,
                      size_t len)
{
    char full[128];

    if (!k->st)
        k->st = dlm_gguf_put_array(k->ctx, k->w, full_key(k, key, full), kind, data, len);
}

static void put_general(struct keys *k, const struct dlm_gguf_about *about, const char *arch,
                        const char *type)
{
    k->prefix = "general.";
    put_string(k, "architecture", arch);
    put_string(k, "type", type);
    if (about->name)
        put_string(k, "name", about->name);
    put_u32(k, "file_type", dlm_gguf_quant_file_type(about->quant));
    put_u32(k, "quantization_version", 2); /* of the block formats */
}

enum dlm_status dlm_gguf_context(struct dlm_ctx *ctx, const struct dlm_model *model,
                                 const json_t *config, const char *path, int64_t *context)
{
    const json_t *nested = json_object_get(config, "text_config");
    const json_t *text = json_is_object(nested) ? nested : config;
    const uint32_t window = model->decoder.config.block.window;

    *context = model->family->gguf->context;
    enum dlm_status st =
        dlm_json_int(ctx, text, path, "max_position_embeddings", 1, UINT32_MAX, context);
    if (!st && window && window < *context)
        *context = window; /* llama.cpp lets these models see all: as far as that is the same */
    return st;
}

enum dlm_status dlm_gguf_put_text_values(struct dlm_ctx *ctx, struct dlm_gguf_writer *w,
                                         const struct dlm_gguf_about *about)
{
    const struct dlm_gguf_family *f = about->model->family->gguf;
    const struct dlm_decoder_config *c = &about->model->decoder.config;
    const struct dlm_block_config *b = &c->block;
    int64_t context = 0;
    struct keys k = {.ctx = ctx, .w = w};
    char prefix[64];

    k.st = dlm_gguf_context(ctx, about->model, about->config, about->path, &context);
    put_general(&k, about, f->arch, "model");
    snprintf(prefix, sizeof(prefix), "%s.", f->arch);
    k.prefix = prefix;
    put_u32(&k, "block_count", c->layers);
    put_u32(&k, "context_length", context);
    put_u32(&k, "embedding_length", b->hidden);
    put_u32(&k, "feed_forward_length", b->intermediate);
    put_u32(&k, "attention.head_count", b->heads);
    put_u32(&k, "attention.head_count_kv", b->kv_heads);
    if (c->mrope_section[0] || c->mrope_section[1] || c->mrope_section[2]) {
        int32_t sections[4] = {0}; /* the last is of a fourth axis */
        for (int i = 0; i < 3; i++)
            sections[i] = (int32_t)c->mrope_section[i]; /* pairs of a head */
        put_array(&k, "rope.dimension_sections", DLM_GGUF_KIND_I32, sections, 4);
    }
    put_f32(&k, "rope.freq_base", (double)c->rope_theta);
    put_f32(&k, "attention.layer_norm_rms_epsilon", (double)b->norm.eps);
    if (f->has_more_keys || b->head_dim * b->heads != b->hidden) {
        put_u32(&k, "attention.key_length", b->head_dim);
        put_u32(&k, "attention.value_length", b->head_dim);
    }
    if (f->has_more_keys) {
        put_u32(&k, "vocab_size", c->vocab);
        put_u32(&k, "rope.dimension_count", b->head_dim);
    }
    return k.st;
}

/* Bounds of an image's area, where they are not those that `dlm` takes of a file without them.
 * llama.cpp has its own for these projectors, whatever a file says. */
static void put_bounds(struct keys *k, const struct dlm_model *model)
{
    const struct dlm_processor *p = &model->processor, *usual = model->family->processor;

    if (p->size_rule != DLM_SIZE_AREA ||
        (p->min_pixels == usual->min_pixels && p->max_pixels == usual->max_pixels))
        return;
    put_u32(k, "image_min_pixels", p->min_pixels);
    put_u32(k, "image_max_pixels", DLM_MIN(p->max_pixels, DLM_IMAGE_MAX_PIXELS));
}

enum dlm_status dlm_gguf_put_vision_values(struct dlm_ctx *ctx, struct dlm_gguf_writer *w,
                                           const struct dlm_gguf_about *about)
{
    const struct dlm_gguf_family *f = about->model->family->gguf;
    const struct dlm_processor *p = &about->model->processor;
    struct dlm_gguf_vision v = {0};
    struct keys k = {.ctx = ctx, .w = w};
    float mean[3], std[3];

    k.st = f->read_vision(ctx, about->config, about->path, &v);
    for (int i = 0; i < 3; i++) {
        mean[i] = (float)p->mean[i];
        std[i] = (float)p->std[i];
    }
    put_general(&k, about, "clip", "mmproj");
    k.prefix = "clip.";
    put_true(&k, "has_vision_encoder");
    put_string(&k, "projector_type", f->projector);
    if (v.act == DLM_ACT_SILU)
        put_true(&k, "use_silu");
    else if (v.act == DLM_ACT_GELU_ERF || v.act == DLM_ACT_GELU_TANH)
        put_true(&k, "use_gelu"); /* without either key: the sigmoid of 1.702 x */
    k.prefix = "clip.vision.";
    put_u32(&k, "projection_dim", about->model->decoder.config.block.hidden);
    put_u32(&k, "image_size", v.image);
    put_u32(&k, "patch_size", v.patch);
    put_u32(&k, "embedding_length", v.width);
    put_u32(&k, "feed_forward_length", v.intermediate);
    put_u32(&k, "block_count", v.layers);
    put_u32(&k, "attention.head_count", v.heads);
    put_array(&k, "image_mean", DLM_GGUF_KIND_F32, mean, 3);
    put_array(&k, "image_std", DLM_GGUF_KIND_F32, std, 3);
    put_f32(&k, "attention.layer_norm_epsilon", v.eps);
    if (v.merge)
        put_u32(&k, "spatial_merge_size", v.merge);
    put_bounds(&k, about->model);
    return k.st;
}
