/* Qwen2-VL (Wang et al., 2024): a vision transformer of images of any size, with rotary positions
 * on two axes, a merger of patches into tokens, a Qwen2 decoder with rotary positions on three.
 * Agrees with transformers' Qwen2VLForConditionalGeneration for still images. */
#include "models/qwen2_vl_gguf.h"
#include "models/qwen2_vl_input.h"

#include <math.h>

#include "base/json.h"
#include "base/log.h"
#include "kernels/params.h"
#include "models/config_rules.h"
#include "models/model.h"
#include "models/patch_grid.h"
#include "models/vit.h"

struct dlm_qwen2_vl {
    struct dlm_model base;
    struct dlm_vit vit;
    struct dlm_norm merge_norm;
    struct dlm_linear merge_in, merge_out;
    int64_t frames, merge; /* of a patch; patches a side that become one token */
    float rope_theta;      /* of the tower */
};

/* The model whose base m is. */
static struct dlm_qwen2_vl *qwen2_vl(struct dlm_model *m)
{
    return (struct dlm_qwen2_vl *)m; /* base is its first member */
}

static const struct dlm_qwen2_vl *const_qwen2_vl(const struct dlm_model *m)
{
    return (const struct dlm_qwen2_vl *)m;
}

#define LANGUAGE "model.language_model"
#define TOWER "model.visual"
#define MERGER "model.visual.merger"
#define HEAD "lm_head"

static const struct dlm_name_rule rules[] = {
    {"visual", TOWER},
    {"model.embed_tokens", LANGUAGE ".embed_tokens"},
    {"model.layers", LANGUAGE ".layers"},
    {"model.norm", LANGUAGE ".norm"},
};

/* A head that is tied to the embedding and stored nevertheless. */
static const char *const spare[] = {HEAD ".weight", NULL};

static const struct dlm_block_names tower_block = {
    .norm1 = "norm1", .norm2 = "norm2", .qkv = "attn.qkv", .o = "attn.proj",
    .up = "mlp.fc1", .down = "mlp.fc2",
};
static const struct dlm_vit_names tower_names = {.patch = "patch_embed.proj", .layers = "blocks"};

/* Of the tower and the merger; no config names it. */
static const struct dlm_norm_config layer_norm = {.kind = DLM_NORM_LAYER, .eps = 1e-6f};

/* What transformers' configurations can ask for beyond the graphs here. The decoder's are looked
 * for in text_config, or beside it, where older files have them. */
static const struct dlm_config_rule only[] = {
    {"vision_config", "in_channels", "3"},
    {"vision_config", "in_chans", "3"},
    {"vision_config.rope_parameters", "rope_type", "\"axial\""},
};
static const struct dlm_config_rule text_only[] = {
    {"", "use_sliding_window", "false"},
    {"", "attention_dropout", "0"},
};

/* Qwen2VLImageProcessor's defaults. */
static const struct dlm_processor processor = {
    .class_name = "Qwen2VLProcessor",
    .size_rule = DLM_SIZE_AREA,
    .min_pixels = 56 * 56,
    .max_pixels = 28 * 28 * 1280,
    .patch = 14,
    .merge = 2,
    .temporal_patch = 2,
    .resample = DLM_RESAMPLE_BICUBIC,
    .do_convert_rgb = true,
    .do_resize = true,
    .do_rescale = true,
    .do_normalize = true,
    .rescale_factor = 1.0 / 255.0,
    .mean = {0.48145466, 0.4578275, 0.40821073},
    .std = {0.26862954, 0.26130258, 0.27577711},
};

/* --- configuration --- */

/* The kind of rotary positions: transformers 4 called three axes a kind of its own. */
static enum dlm_status check_rope_kind(struct dlm_ctx *ctx, const json_t *rope, const char *path)
{
    static const char *const keys[] = {"type", "rope_type"};
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < DLM_ARRAY_LEN(keys); i++) {
        const char *kind = NULL;
        st = dlm_json_string(ctx, rope, path, keys[i], &kind);
        if (!st && kind && strcmp(kind, "mrope") && strcmp(kind, "default"))
            st = dlm_fail(ctx, DLM_ERR_UNSUPPORTED,
                          "cannot load '%s': rotary positions of '%s' '%s' are not supported "
                          "(mrope, default are)", path, keys[i], kind);
    }
    return st;
}

/* "rope_scaling", or since transformers 5 "rope_parameters". */
static enum dlm_status read_rope(struct dlm_ctx *ctx, const json_t *text, const char *path,
                                 struct dlm_decoder_config *c)
{
    const json_t *scaling = json_object_get(text, "rope_scaling");
    const json_t *rope = json_is_object(scaling) ? scaling
                                                 : json_object_get(text, "rope_parameters");
    const json_t *section = json_object_get(rope, "mrope_section");
    static const int64_t default_section[3] = {16, 24, 24};
    int64_t sum = 0;

    enum dlm_status st = check_rope_kind(ctx, rope, path);
    c->rope_theta = 1e6f;
    if (!st)
        st = dlm_config_read_rope_theta(ctx, text, path, &c->rope_theta);
    for (size_t i = 0; !st && i < 3; i++) {
        c->mrope_section[i] = section ? json_integer_value(json_array_get(section, i))
                                      : default_section[i];
        if (c->mrope_section[i] < 1 || c->mrope_section[i] > DLM_ATTENTION_MAX_DIM)
            st = dlm_fail(ctx, DLM_ERR_PARSE,
                          "cannot read '%s': 'mrope_section' is not a list of 3 numbers above 0",
                          path);
        sum += c->mrope_section[i];
    }
    if (!st && (sum * 2 != c->block.head_dim || json_array_size(section) > 3))
        st = dlm_fail(ctx, DLM_ERR_PARSE,
                      "cannot read '%s': 'mrope_section' does not add up to half of a head's %lld",
                      path, (long long)c->block.head_dim);
    return st;
}

/* A head's size follows from the width; a member that says another one is for other programs. */
static enum dlm_status check_head_dim(struct dlm_ctx *ctx, const json_t *text, const char *path,
                                      int64_t head_dim)
{
    char dim[32];
    const struct dlm_config_rule rule = {"", "head_dim", dim};

    snprintf(dim, sizeof(dim), "%lld", (long long)head_dim);
    return dlm_config_check(ctx, text, path, &rule, 1);
}

/* Every layer sees all keys before it. */
static enum dlm_status check_layers(struct dlm_ctx *ctx, const json_t *text, const char *path)
{
    const json_t *kinds = json_object_get(text, "layer_types");

    for (size_t i = 0; i < json_array_size(kinds); i++) {
        const char *kind = json_string_value(json_array_get(kinds, i));
        if (!kind || strcmp(kind, "full_attention"))
            return dlm_fail(ctx, DLM_ERR_UNSUPPORTED,
                            "cannot load '%s': layers of '%s' are not supported (only "
                            "full_attention is)", path, kind ? kind : "layer_types");
    }
    return DLM_OK;
}

static enum dlm_status read_decoder(struct dlm_ctx *ctx, const json_t *text, const char *path,
                                    struct dlm_decoder_config *c)
{
    *c = (struct dlm_decoder_config){
        .block = {.hidden = 8192, .intermediate = 29568, .heads = 64, .kv_heads = 8,
                  .norm = {.kind = DLM_NORM_RMS, .eps = 1e-5f}, .qkv_bias = true,
                  .act = DLM_ACT_SILU, .mode = DLM_ATTENTION_PREFIX /* of no length: causal */,
                  .names = &dlm_decoder_block_names},
        .layers = 80,
        .vocab = 152064,
    };
    struct dlm_block_config *block = &c->block;

    enum dlm_status st = dlm_config_check(ctx, text, path, text_only, DLM_ARRAY_LEN(text_only));
    if (!st)
        st = check_layers(ctx, text, path);
    if (!st)
        st = dlm_config_read_decoder_sizes(ctx, text, path, c);
    if (!st)
        st = dlm_config_read_eps(ctx, text, path, "rms_norm_eps", &block->norm.eps);
    if (!st)
        st = dlm_config_read_act(ctx, text, path, "hidden_act", &block->act);
    if (!st && (block->hidden % block->heads || block->heads % block->kv_heads))
        st = dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': the decoder has impossible heads",
                      path);
    if (st)
        return st;
    block->head_dim = block->hidden / block->heads;
    if (block->head_dim % 2 || block->head_dim > DLM_ATTENTION_MAX_DIM)
        return dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': the decoder has impossible heads",
                        path);
    st = check_head_dim(ctx, text, path, block->head_dim);
    return st ? st : read_rope(ctx, text, path, c);
}

static enum dlm_status read_tower(struct dlm_ctx *ctx, const json_t *vision, const char *path,
                                  struct dlm_qwen2_vl *q)
{
    struct dlm_vit_config *c = &q->vit.config;
    struct dlm_block_config *block = &c->block;
    int64_t ratio = 4, out = 3584;

    *c = (struct dlm_vit_config){
        .block = {.hidden = 1280, .heads = 16, .norm = layer_norm, .qkv_bias = true,
                  .o_bias = true, .mlp_bias = true, .act = DLM_ACT_QUICK_GELU,
                  .mode = DLM_ATTENTION_FULL, .names = &tower_block},
        .layers = 32,
        .patch = 14,
        .names = &tower_names,
    };
    q->frames = q->merge = 2;
    q->rope_theta = 1e4f;
    const struct dlm_config_int ints[] = {
        {"embed_dim", 1, 1 << 16, &block->hidden},
        {"mlp_ratio", 1, 64, &ratio},
        {"depth", 1, 512, &c->layers},
        {"num_heads", 1, 512, &block->heads},
        {"patch_size", 1, 512, &c->patch},
        {"temporal_patch_size", 1, 64, &q->frames},
        {"spatial_merge_size", 1, 64, &q->merge},
        {"hidden_size", 1, 1 << 16, &out}, /* of what it gives, not its own */
    };
    enum dlm_status st = dlm_config_read_ints(ctx, vision, path, ints, DLM_ARRAY_LEN(ints));
    if (!st)
        st = dlm_config_read_act(ctx, vision, path, "hidden_act", &block->act);
    if (!st)
        st = dlm_config_read_rope_theta(ctx, vision, path, &q->rope_theta);
    block->kv_heads = block->heads;
    block->head_dim = block->hidden / block->heads;
    block->intermediate = block->hidden * ratio;
    c->channels = 3 * q->frames;
    if (!st && (block->hidden % block->heads || block->head_dim % 4 ||
                block->head_dim > DLM_ATTENTION_MAX_DIM))
        st = dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': vision_config has impossible heads",
                      path);
    if (!st && out != q->base.decoder.config.block.hidden)
        st = dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': vision_config's 'hidden_size' is %lld,"
                      " not the decoder's %lld", path, (long long)out,
                      (long long)q->base.decoder.config.block.hidden);
    return st;
}

/* Patches that the processor makes are those that the tower takes. */
static enum dlm_status check_processor(const struct dlm_model *m, const char *path)
{
    const struct dlm_qwen2_vl *q = const_qwen2_vl(m);
    const struct dlm_processor *p = &m->processor;

    if (p->patch == q->vit.config.patch && p->merge == q->merge && p->temporal_patch == q->frames)
        return DLM_OK;
    return dlm_fail(m->ctx, DLM_ERR_INVALID,
                    "cannot load '%s': the processor's patches of %d x %d in %d frames, %d a "
                    "token's side, are not the tower's %lld, %lld, %lld", path, p->patch, p->patch,
                    p->temporal_patch, p->merge, (long long)q->vit.config.patch,
                    (long long)q->frames, (long long)q->merge);
}

/* Ids of tokens, which belong to the vocabulary. */
static enum dlm_status read_ids(const json_t *config, const json_t *text, const char *path,
                                struct dlm_model *m)
{
    const int64_t vocab = m->decoder.config.vocab;
    int64_t image = 151655;
    const struct dlm_config_int ids[] = {{"image_token_id", 0, vocab - 1, &image}};

    m->stops = (struct dlm_stops){.ids = {151645}, .num = vocab > 151645};
    enum dlm_status st = dlm_config_read_ints(m->ctx, config, path, ids, DLM_ARRAY_LEN(ids));
    if (!st && image >= vocab)
        st = dlm_fail(m->ctx, DLM_ERR_PARSE, "cannot read '%s': it has no 'image_token_id'", path);
    if (!st)
        st = dlm_config_read_stops(m->ctx, text, path, vocab, &m->stops);
    if (!st)
        st = dlm_config_read_stops(m->ctx, config, path, vocab, &m->stops);
    m->image_id = (int32_t)image; /* below the vocabulary's 2^22 */
    return st;
}

static enum dlm_status qwen2_vl_read_config(struct dlm_ctx *ctx, const json_t *config,
                                            const char *path, struct dlm_model *m)
{
    struct dlm_qwen2_vl *q = qwen2_vl(m);
    const struct dlm_vit_config *vit = &q->vit.config;
    const json_t *nested = json_object_get(config, "text_config");
    const json_t *text = json_is_object(nested) ? nested : config;
    bool is_tied = false;

    enum dlm_status st = dlm_config_check(ctx, config, path, only, DLM_ARRAY_LEN(only));
    if (!st)
        st = read_decoder(ctx, text, path, &m->decoder.config);
    if (!st)
        st = read_tower(ctx, json_object_get(config, "vision_config"), path, q);
    if (!st)
        st = dlm_json_bool(ctx, config, path, "tie_word_embeddings", &is_tied);
    if (!st && !is_tied) /* tied if either says so */
        st = dlm_json_bool(ctx, text, path, "tie_word_embeddings", &is_tied);
    m->decoder.config.is_tied = is_tied;
    if (!st)
        st = read_ids(config, text, path, m);
    if (st)
        return st;
    if (!m->dir) { /* no file says of which patches images are made; all at most 512 */
        m->processor.patch = (int)vit->patch;
        m->processor.merge = (int)q->merge;
        m->processor.temporal_patch = (int)q->frames;
    }
    const int64_t half = vit->block.head_dim / 2;
    m->tower = (struct dlm_tower_shape){.patch_len = vit->channels * vit->patch * vit->patch,
                                        .width = vit->block.hidden,
                                        .max_patches = dlm_processor_max_patches(&m->processor),
                                        .merge = q->merge * q->merge,
                                        .tables = {{"tower_cos", DLM_DTYPE_F32, half},
                                                   {"tower_sin", DLM_DTYPE_F32, half}},
                                        .num_tables = 2};
    return check_processor(m, path);
}

/* --- weights --- */

static enum dlm_status qwen2_vl_declare(struct dlm_model *m)
{
    struct dlm_qwen2_vl *q = qwen2_vl(m);
    const int64_t width = q->vit.config.block.hidden, merged = width * m->tower.merge;
    const struct dlm_weight_scope tower = {m->weights, DLM_WEIGHT_GROUP_TOWER, TOWER};
    const struct dlm_weight_scope merger = {m->weights, DLM_WEIGHT_GROUP_PROJECTOR, MERGER};
    const struct dlm_weight_scope language = {m->weights, DLM_WEIGHT_GROUP_DECODER, LANGUAGE};
    const struct dlm_weight_scope head = {m->weights, DLM_WEIGHT_GROUP_HEAD, HEAD};

    enum dlm_status st = dlm_vit_declare(&tower, &q->vit);
    if (!st)
        st = dlm_norm_declare(&merger, &q->merge_norm, &layer_norm, "ln_q", width);
    if (!st)
        st = dlm_linear_declare(&merger, &q->merge_in, "mlp.0", merged, merged, true);
    if (!st)
        st = dlm_linear_declare(&merger, &q->merge_out, "mlp.2", m->decoder.config.block.hidden,
                                merged, true);
    if (!st)
        st = dlm_decoder_declare(&language, &head, &m->decoder);
    if (!st)
        st = dlm_vit_list_linears(m->ctx, &q->vit, &m->linears);
    if (!st)
        st = dlm_linear_list_add(m->ctx, &m->linears, &q->merge_in);
    if (!st)
        st = dlm_linear_list_add(m->ctx, &m->linears, &q->merge_out);
    return st ? st : dlm_decoder_list_linears(m->ctx, &m->decoder, &m->linears);
}

static void qwen2_vl_finish(struct dlm_model *m)
{
    dlm_vit_finish(&qwen2_vl(m)->vit);
    dlm_linear_finish(&qwen2_vl(m)->merge_in);
    dlm_linear_finish(&qwen2_vl(m)->merge_out);
}

/* --- images --- */

static enum dlm_status qwen2_vl_plan_image(struct dlm_ctx *ctx, const struct dlm_model *m,
                                           const struct dlm_image_size *size,
                                           struct dlm_image_plan *plan)
{
    return dlm_patch_grid_plan(ctx, &m->processor, size, plan);
}

static void qwen2_vl_fill_patches(const struct dlm_model *m, const struct dlm_image_plan *plan,
                                  const float *pixels, float *rows)
{
    const struct dlm_qwen2_vl *q = const_qwen2_vl(m);

    dlm_patch_grid_fill(plan, q->vit.config.patch, q->merge, q->frames, pixels, rows);
}

/* Both axes have the same frequencies. */
static void qwen2_vl_fill_table(const struct dlm_model *m, const struct dlm_image_plan *plan,
                                int k, void *rows)
{
    const struct dlm_qwen2_vl *q = const_qwen2_vl(m);
    const int64_t half = m->tower.tables[k].cols, axis_len = half / 2;
    float frequency[DLM_ATTENTION_MAX_DIM / 2];

    for (int64_t i = 0; i < half; i++)
        frequency[i] = 1.0f / powf(q->rope_theta, (float)(i % axis_len) / (float)axis_len);
    dlm_patch_grid_rope(plan, q->merge, frequency, half, k == 1, rows);
}

static struct dlm_tensor *qwen2_vl_build_tower(struct dlm_build *b, const struct dlm_model *m,
                                               const struct dlm_tower_inputs *in)
{
    const struct dlm_block_inputs rows = {.batch = in->slices, .tokens = in->patches,
                                          .cos = in->tables[0], .sin = in->tables[1],
                                          .rows = in->rows};

    return dlm_vit_build(b, &const_qwen2_vl(m)->vit, &rows, in->pixels);
}

static struct dlm_tensor *qwen2_vl_project(struct dlm_build *b, const struct dlm_model *m,
                                           struct dlm_tensor *features)
{
    const struct dlm_qwen2_vl *q = const_qwen2_vl(m);

    if (!features)
        return NULL;
    const int64_t tokens = features->desc.shape[0] / m->tower.merge;
    struct dlm_tensor *x = dlm_norm_build(b, &q->merge_norm, &layer_norm, features);
    x = dlm_view_reshape(b->g, x, 2, (int64_t[]){tokens, m->tower.width * m->tower.merge});
    x = dlm_activation(b->g, dlm_linear_build(b, &q->merge_in, x, NULL), DLM_ACT_GELU_ERF);
    return dlm_linear_build(b, &q->merge_out, x, NULL);
}

/* --- input --- */

/* Text counts on on all axes; the tokens of an image have its place as time, and their own row and
 * column from there. */
static void qwen2_vl_positions(const struct dlm_model *m, const struct dlm_example *e,
                               int32_t (*at)[3], int32_t *next)
{
    const int32_t merge = m->processor.merge;
    int64_t image = 0;

    *next = 0;
    for (int64_t t = 0; t < e->len;) {
        if (e->ids[t] != m->image_id || image == e->num_images) {
            at[t][0] = at[t][1] = at[t][2] = (*next)++;
            t++;
            continue;
        }
        const struct dlm_image_plan *plan = &e->plans[image++];
        const int32_t high = plan->grid_h / merge, wide = plan->grid_w / merge;
        for (int32_t i = 0; i < plan->tokens && t < e->len; i++, t++) {
            at[t][0] = *next;
            at[t][1] = *next + i / wide;
            at[t][2] = *next + i % wide;
        }
        *next += DLM_MAX(high, wide);
    }
}

static const struct dlm_model_shape shapes[] = {
    {"qwen2-vl-2b",
     "{\"hidden_size\": 1536, \"intermediate_size\": 8960, \"num_hidden_layers\": 28,"
     " \"num_attention_heads\": 12, \"num_key_value_heads\": 2, \"vocab_size\": 151936,"
     " \"rms_norm_eps\": 1e-6, \"tie_word_embeddings\": true,"
     " \"vision_config\": {\"hidden_size\": 1536}}"},
    {"qwen2-vl-7b",
     "{\"hidden_size\": 3584, \"intermediate_size\": 18944, \"num_hidden_layers\": 28,"
     " \"num_attention_heads\": 28, \"num_key_value_heads\": 4, \"vocab_size\": 152064,"
     " \"rms_norm_eps\": 1e-6}"},
    /* Qwen2, whose decoder this is; the tower is as small as can be */
    {"qwen2-1.5b",
     "{\"hidden_size\": 1536, \"intermediate_size\": 8960, \"num_hidden_layers\": 28,"
     " \"num_attention_heads\": 12, \"num_key_value_heads\": 2, \"vocab_size\": 151936,"
     " \"rms_norm_eps\": 1e-6, \"tie_word_embeddings\": true,"
     " \"vision_config\": {\"depth\": 1, \"embed_dim\": 32, \"num_heads\": 2,"
     " \"hidden_size\": 1536}}", true},
    {0},
};

const struct dlm_family dlm_family_qwen2_vl = {
    .model_type = "qwen2_vl",
    .shapes = shapes,
    .model_bytes = sizeof(struct dlm_qwen2_vl),
    .names = {.rules = rules, .num_rules = DLM_ARRAY_LEN(rules)},
    .gguf = &dlm_gguf_qwen2_vl,
    .language = LANGUAGE,
    .usual_targets = ".*language_model.*\\.(q_proj|k_proj|v_proj|o_proj)",
    .spare = spare,
    .processor = &processor,
    .read_config = qwen2_vl_read_config,
    .declare = qwen2_vl_declare,
    .finish = qwen2_vl_finish,
    .has_system_turn = true,
    .plan_image = qwen2_vl_plan_image,
    .encode = dlm_qwen2_vl_encode,
    .positions = qwen2_vl_positions,
    .fill_patches = qwen2_vl_fill_patches,
    .fill_table = qwen2_vl_fill_table,
    .build_tower = qwen2_vl_build_tower,
    .project = qwen2_vl_project,
};
