/* PaliGemma (Beyer et al., 2024) and PaliGemma 2 (Steiner et al., 2024): a SigLIP tower, one linear
 * projector, a Gemma or Gemma 2 decoder (paligemma_text.c). Agrees with transformers'
 * PaliGemmaForConditionalGeneration: image features enter unscaled, text embeddings are multiplied
 * by sqrt(hidden), positions count from 1, images and request see each other both ways. */
#include "base/json.h"
#include "base/log.h"
#include "kernels/params.h"
#include "models/config_rules.h"
#include "models/model.h"
#include "models/paligemma_gguf.h"
#include "models/paligemma_input.h"
#include "models/paligemma_text.h"
#include "models/vit.h"

struct dlm_paligemma {
    struct dlm_model base;
    struct dlm_vit vit;
    struct dlm_linear projector;
};

/* The model whose base m is. */
static struct dlm_paligemma *paligemma(struct dlm_model *m)
{
    return (struct dlm_paligemma *)m; /* base is its first member */
}

static const struct dlm_paligemma *const_paligemma(const struct dlm_model *m)
{
    return (const struct dlm_paligemma *)m;
}

#define LANGUAGE "model.language_model"
#define TOWER "model.vision_tower"
#define PROJECTOR "model.multi_modal_projector"
#define HEAD "lm_head"

static const struct dlm_name_rule rules[] = {
    {"language_model.model", LANGUAGE},
    {"language_model.lm_head", HEAD},
    {"vision_tower", TOWER},
    {"multi_modal_projector", PROJECTOR},
};
static const struct dlm_name_drop drops[] = {{TOWER, "vision_model"}};

/* The tower's pooling head, whose output PaliGemma does not use, and a head that is tied to the
 * embedding and stored nevertheless. */
static const char *const spare[] = {TOWER ".head.", HEAD ".weight", NULL};

static const struct dlm_block_names tower_block = {
    .norm1 = "layer_norm1",
    .norm2 = "layer_norm2",
    .q = "self_attn.q_proj",
    .k = "self_attn.k_proj",
    .v = "self_attn.v_proj",
    .o = "self_attn.out_proj",
    .up = "mlp.fc1",
    .down = "mlp.fc2",
};
static const struct dlm_vit_names tower_names = {
    .patch = "embeddings.patch_embedding",
    .position = "embeddings.position_embedding.weight",
    .layers = "encoder.layers",
    .post_norm = "post_layernorm",
};

/* What transformers' SigLIP and PaliGemma configurations can ask for beyond the graphs here. */
static const struct dlm_config_rule only[] = {
    {"vision_config", "model_type", "\"siglip_vision_model\""},
    {"vision_config", "attention_dropout", "0"},
    {"vision_config", "num_channels", "3"},
};

/* SiglipImageProcessor's defaults. */
static const struct dlm_processor processor = {
    .class_name = "PaliGemmaProcessor",
    .height = 224,
    .width = 224,
    .resample = DLM_RESAMPLE_BICUBIC,
    .do_convert_rgb = true,
    .do_resize = true,
    .do_rescale = true,
    .do_normalize = true,
    .rescale_factor = 1.0 / 255.0,
    .mean = {0.5, 0.5, 0.5},
    .std = {0.5, 0.5, 0.5},
};

static enum dlm_status read_vision(struct dlm_ctx *ctx, const json_t *vision, const char *path,
                                   struct dlm_vit_config *c)
{
    /* a section's defaults are those of SigLIP's base, without one they are PaliGemma's own */
    const bool is_given = json_is_object(vision);
    *c = (struct dlm_vit_config){
        .block = {.hidden = is_given ? 768 : 1152, .intermediate = is_given ? 3072 : 4304,
                  .heads = is_given ? 12 : 16, .norm = {.kind = DLM_NORM_LAYER, .eps = 1e-6f},
                  .qkv_bias = true, .o_bias = true, .mlp_bias = true, .act = DLM_ACT_GELU_TANH,
                  .mode = DLM_ATTENTION_FULL, .names = &tower_block},
        .layers = is_given ? 12 : 27,
        .image = 224,
        .patch = is_given ? 16 : 14,
        .channels = 3,
        .patch_bias = true,
        .names = &tower_names,
    };
    struct dlm_block_config *block = &c->block;
    const struct dlm_config_int ints[] = {
        {"hidden_size", 1, 1 << 16, &block->hidden},
        {"intermediate_size", 1, 1 << 18, &block->intermediate},
        {"num_hidden_layers", 1, 512, &c->layers},
        {"num_attention_heads", 1, 512, &block->heads},
        {"image_size", 1, 4096, &c->image},
        {"patch_size", 1, 512, &c->patch},
        {"num_channels", 3, 3, &c->channels},
    };
    enum dlm_status st = dlm_config_read_ints(ctx, vision, path, ints, DLM_ARRAY_LEN(ints));
    if (!st)
        st = dlm_config_read_eps(ctx, vision, path, "layer_norm_eps", &block->norm.eps);
    if (!st)
        st = dlm_config_read_act(ctx, vision, path, "hidden_act", &block->act);
    if (!st && (block->hidden % block->heads ||
                block->hidden / block->heads > DLM_ATTENTION_MAX_DIM || c->patch > c->image))
        st = dlm_fail(ctx, DLM_ERR_PARSE,
                      "cannot read '%s': vision_config has impossible heads or patches", path);
    block->kv_heads = block->heads;
    block->head_dim = block->hidden / block->heads;
    return st;
}

/* Every image has the tower's one size. Without files none says another. */
static enum dlm_status check_processor(const struct dlm_model *m, const char *path)
{
    const struct dlm_processor *p = &m->processor;
    const int64_t image = const_paligemma(m)->vit.config.image;

    if (p->height != image || p->width != image)
        return dlm_fail(m->ctx, DLM_ERR_INVALID,
                        "cannot load '%s': the processor's %d x %d is not the tower's image size "
                        "%lld", path, p->height, p->width, (long long)image);
    if (p->image_seq_length && p->image_seq_length != m->tower.max_patches)
        return dlm_fail(m->ctx, DLM_ERR_INVALID,
                        "cannot load '%s': the processor's %d tokens an image are not the tower's "
                        "%lld", path, p->image_seq_length, (long long)m->tower.max_patches);
    return DLM_OK;
}

static enum dlm_status paligemma_read_config(struct dlm_ctx *ctx, const json_t *config,
                                             const char *path, struct dlm_model *m)
{
    struct dlm_vit_config *vit = &paligemma(m)->vit.config;
    int64_t image = 257152;

    enum dlm_status st = dlm_config_check(ctx, config, path, only, DLM_ARRAY_LEN(only));
    if (!st)
        st = dlm_paligemma_read_text(ctx, config, path, &m->decoder.config);
    if (!st)
        st = read_vision(ctx, json_object_get(config, "vision_config"), path, vit);
    m->decoder.config.is_tied = true; /* whatever text_config says */
    if (!st)
        st = dlm_json_bool(ctx, config, path, "tie_word_embeddings", &m->decoder.config.is_tied);
    const int64_t last = m->decoder.config.vocab - 1;
    const struct dlm_config_int ints[] = {
        {"image_token_index", 0, last, &image}, {"image_token_id", 0, last, &image}};
    if (!st)
        st = dlm_config_read_ints(ctx, config, path, ints, DLM_ARRAY_LEN(ints));
    /* the text section's holds where the top level has none */
    m->stops = (struct dlm_stops){.ids = {1}, .num = 1};
    if (!st)
        st = dlm_config_read_stops(ctx, json_object_get(config, "text_config"), path, last + 1,
                                   &m->stops);
    if (!st)
        st = dlm_config_read_stops(ctx, config, path, last + 1, &m->stops);
    if (st)
        return st;
    m->image_id = (int32_t)image; /* below the vocabulary's 2^22 */
    m->tower = (struct dlm_tower_shape){.patch_len = vit->channels * vit->patch * vit->patch,
                                        .width = vit->block.hidden,
                                        .max_patches = dlm_vit_num_patches(vit),
                                        .merge = 1};
    return m->dir || m->has_processor ? check_processor(m, path) : DLM_OK;
}

static enum dlm_status paligemma_declare(struct dlm_model *m)
{
    struct dlm_paligemma *p = paligemma(m);
    const struct dlm_weight_scope tower = {m->weights, DLM_WEIGHT_GROUP_TOWER, TOWER};
    const struct dlm_weight_scope projector = {m->weights, DLM_WEIGHT_GROUP_PROJECTOR, PROJECTOR};
    const struct dlm_weight_scope language = {m->weights, DLM_WEIGHT_GROUP_DECODER, LANGUAGE};
    const struct dlm_weight_scope head = {m->weights, DLM_WEIGHT_GROUP_HEAD, HEAD};

    enum dlm_status st = dlm_vit_declare(&tower, &p->vit);
    if (!st)
        st = dlm_linear_declare(&projector, &p->projector, "linear",
                                m->decoder.config.block.hidden, p->vit.config.block.hidden, true);
    if (!st)
        st = dlm_decoder_declare(&language, &head, &m->decoder);
    if (!st)
        st = dlm_vit_list_linears(m->ctx, &p->vit, &m->linears);
    if (!st)
        st = dlm_linear_list_add(m->ctx, &m->linears, &p->projector);
    return st ? st : dlm_decoder_list_linears(m->ctx, &m->decoder, &m->linears);
}

static void paligemma_finish(struct dlm_model *m)
{
    dlm_vit_finish(&paligemma(m)->vit);
    dlm_linear_finish(&paligemma(m)->projector);
}

static struct dlm_tensor *paligemma_build_tower(struct dlm_build *b, const struct dlm_model *m,
                                                const struct dlm_tower_inputs *in)
{
    const struct dlm_block_inputs rows = {
        .batch = in->slices, .tokens = in->patches, .rows = in->rows};

    return dlm_vit_build(b, &const_paligemma(m)->vit, &rows, in->pixels);
}

static enum dlm_status paligemma_plan_image(struct dlm_ctx *ctx, const struct dlm_model *m,
                                            const struct dlm_image_size *size,
                                            struct dlm_image_plan *plan)
{
    const struct dlm_vit_config *v = &const_paligemma(m)->vit.config;
    const int32_t grid = (int32_t)(v->image / v->patch); /* at most 4096 */

    (void)ctx;
    (void)size;
    *plan = (struct dlm_image_plan){.pixels = {1, (int32_t)v->image, (int32_t)v->image},
                                    .grid_t = 1, .grid_h = grid, .grid_w = grid,
                                    .patches = grid * grid, .tokens = grid * grid};
    return DLM_OK;
}

static void paligemma_fill_patches(const struct dlm_model *m, const struct dlm_image_plan *plan,
                                   const float *pixels, float *rows)
{
    dlm_vit_fill_patches(const_paligemma(m)->vit.config.patch, &plan->pixels, pixels, rows);
}

static void paligemma_positions(const struct dlm_model *m, const struct dlm_example *e,
                                int32_t (*at)[3], int32_t *next)
{
    (void)m;
    *next = 1;
    for (int64_t t = 0; t < e->len; t++, ++*next)
        at[t][0] = at[t][1] = at[t][2] = *next;
}

static struct dlm_tensor *paligemma_project(struct dlm_build *b, const struct dlm_model *m,
                                            struct dlm_tensor *features)
{
    return dlm_linear_build(b, &const_paligemma(m)->projector, features, NULL);
}

static const struct dlm_model_shape shapes[] = {
    {"paligemma-3b-224", "{}"},
    {"paligemma2-3b-224", "{\"text_config\": {\"model_type\": \"gemma2\"}}"},
    {0},
};

const struct dlm_family dlm_family_paligemma = {
    .model_type = "paligemma",
    .shapes = shapes,
    .model_bytes = sizeof(struct dlm_paligemma),
    .names = {rules, DLM_ARRAY_LEN(rules), drops, DLM_ARRAY_LEN(drops)},
    .language = LANGUAGE,
    .usual_targets = ".*language_model.*\\.(q_proj|k_proj|v_proj|o_proj)",
    .spare = spare,
    .processor = &processor,
    .read_config = paligemma_read_config,
    .declare = paligemma_declare,
    .finish = paligemma_finish,
    .add_tokens = dlm_paligemma_add_tokens,
    .has_one_image_size = true,
    .has_one_image = true,
    .has_prefix = true,
    .plan_image = paligemma_plan_image,
    .fill_patches = paligemma_fill_patches,
    .encode = dlm_paligemma_encode,
    .positions = paligemma_positions,
    .build_tower = paligemma_build_tower,
    .project = paligemma_project,
    .gguf = &dlm_gguf_paligemma,
};
