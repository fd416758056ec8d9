/* Mistral 3 (Mistral Small 3.1): a Pixtral tower for images of any size, with rotary positions on
 * two axes (Agrawal et al., Pixtral 12B, 2024); a projector that merges patches; a Mistral decoder.
 * Agrees with transformers' Mistral3ForConditionalGeneration. */
#include <math.h>

#include "base/json.h"
#include "base/log.h"
#include "kernels/params.h"
#include "models/config_rules.h"
#include "models/mistral3_gguf.h"
#include "models/mistral3_input.h"
#include "models/patch_grid.h"
#include "models/vit.h"

struct dlm_mistral3 {
    struct dlm_model base;
    struct dlm_vit vit;
    float tower_theta;
    struct dlm_norm_config norm_config; /* of the projector */
    struct dlm_norm norm;
    struct dlm_linear merging, linear_1, linear_2;
    uint32_t act; /* of the projector */
    bool has_projector_bias;
};

/* The model whose base m is. */
static struct dlm_mistral3 *mistral3(struct dlm_model *m)
{
    return (struct dlm_mistral3 *)m; /* base is its first member */
}

static const struct dlm_mistral3 *const_mistral3(const struct dlm_model *m)
{
    return (const struct dlm_mistral3 *)m;
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

/* A head that is tied to the embedding and stored nevertheless. */
static const char *const spare[] = {HEAD ".weight", NULL};

static const struct dlm_block_names tower_block = {
    .norm1 = "attention_norm",
    .norm2 = "ffn_norm",
    .q = "attention.q_proj",
    .k = "attention.k_proj",
    .v = "attention.v_proj",
    .o = "attention.o_proj",
    .gate = "feed_forward.gate_proj",
    .up = "feed_forward.up_proj",
    .down = "feed_forward.down_proj",
};
static const struct dlm_vit_names tower_names = {
    .patch = "patch_conv",
    .pre_norm = "ln_pre",
    .layers = "transformer.layers",
};

/* What transformers' Mistral, Pixtral and Mistral3 configurations can ask for beyond the graphs
 * here. */
static const struct dlm_config_rule only[] = {
    {"", "vision_feature_layer", "-1"},
    {"text_config", "model_type", "\"mistral\""},
    {"text_config", "attention_dropout", "0"},
    {"text_config", "quantization_config", "null"},
    {"text_config.rope_scaling", "type", "\"default\""},
    {"text_config.rope_scaling", "rope_type", "\"default\""},
    {"text_config.rope_parameters", "type", "\"default\""},
    {"text_config.rope_parameters", "rope_type", "\"default\""},
    {"text_config.rope_parameters", "partial_rotary_factor", "1"},
    {"vision_config", "model_type", "\"pixtral\""},
    {"vision_config", "attention_dropout", "0"},
    {"vision_config", "num_channels", "3"},
    {"vision_config.rope_parameters", "rope_type", "\"axial\""},
};

/* PixtralImageProcessor's defaults; patch and merge are the model's. */
static const struct dlm_processor processor = {
    .class_name = "PixtralProcessor",
    .size_rule = DLM_SIZE_LONGEST,
    .height = 1024,
    .width = 1024,
    .patch = 16,
    .merge = 1,
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

/* Keys that a query sees: "sliding_window", of which null is none. *window holds the default. */
static enum dlm_status read_window(struct dlm_ctx *ctx, const json_t *text, const char *path,
                                   uint32_t *window)
{
    int64_t value = *window;

    if (json_is_null(json_object_get(text, "sliding_window")))
        value = 0;
    enum dlm_status st =
        dlm_json_int(ctx, text, path, "sliding_window", 1, UINT32_MAX, &value);
    *window = (uint32_t)value;
    return st;
}

static enum dlm_status read_text(struct dlm_ctx *ctx, const json_t *text, const char *path,
                                 struct dlm_decoder_config *c)
{
    /* a section's defaults are those of Mistral's first, without one they are Mistral 3's own */
    const bool is_given = json_is_object(text);
    *c = (struct dlm_decoder_config){
        .block = {.hidden = is_given ? 4096 : 5120, .intermediate = is_given ? 14336 : 32768,
                  .heads = 32, .kv_heads = 8, .head_dim = is_given ? 0 : 128,
                  .norm = {.kind = DLM_NORM_RMS, .eps = is_given ? 1e-6f : 1e-5f},
                  .act = DLM_ACT_SILU, .mode = DLM_ATTENTION_PREFIX, /* of no length: causal */
                  .window = is_given ? 4096 : 0, .names = &dlm_decoder_block_names},
        .layers = is_given ? 32 : 40,
        .vocab = is_given ? 32000 : 131072,
        .rope_theta = is_given ? 1e4f : 1e9f,
    };
    struct dlm_block_config *block = &c->block;

    enum dlm_status st = dlm_config_read_decoder_sizes(ctx, text, path, c);
    if (!st)
        st = dlm_json_int(ctx, text, path, "head_dim", 2, DLM_ATTENTION_MAX_DIM, &block->head_dim);
    if (!st)
        st = dlm_config_read_eps(ctx, text, path, "rms_norm_eps", &block->norm.eps);
    if (!st)
        st = dlm_config_read_rope_theta(ctx, text, path, &c->rope_theta);
    if (!st)
        st = dlm_config_read_act(ctx, text, path, "hidden_act", &block->act);
    if (!st)
        st = read_window(ctx, text, path, &block->window);
    if (!block->head_dim)
        block->head_dim = block->hidden / block->heads;
    if (!st && (block->heads % block->kv_heads || block->head_dim % 2 || !block->head_dim ||
                block->head_dim > DLM_ATTENTION_MAX_DIM))
        st = dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': text_config has impossible heads",
                      path);
    return st;
}

static enum dlm_status read_vision(struct dlm_ctx *ctx, const json_t *vision, const char *path,
                                   struct dlm_mistral3 *p)
{
    struct dlm_vit_config *c = &p->vit.config;
    struct dlm_block_config *block = &c->block;
    const bool is_given = json_is_object(vision);

    *c = (struct dlm_vit_config){
        .block = {.hidden = 1024, .intermediate = 4096, .heads = 16,
                  .norm = {.kind = DLM_NORM_RMS, .eps = 1e-5f}, /* whatever the config says */
                  .act = DLM_ACT_GELU_ERF, .mode = DLM_ATTENTION_FULL, .names = &tower_block},
        .layers = 24,
        .image = is_given ? 1024 : 1540,
        .patch = is_given ? 16 : 14,
        .channels = 3,
        .names = &tower_names,
    };
    p->tower_theta = 1e4f;
    const struct dlm_config_int ints[] = {
        {"hidden_size", 1, 1 << 16, &block->hidden},
        {"intermediate_size", 1, 1 << 18, &block->intermediate},
        {"num_hidden_layers", 1, 512, &c->layers},
        {"num_attention_heads", 1, 512, &block->heads},
        {"image_size", 1, DLM_PROCESSOR_MAX_SIZE, &c->image},
        {"patch_size", 1, 512, &c->patch},
    };
    enum dlm_status st = dlm_config_read_ints(ctx, vision, path, ints, DLM_ARRAY_LEN(ints));
    if (!st)
        st = dlm_config_read_rope_theta(ctx, vision, path, &p->tower_theta);
    if (!st)
        st = dlm_config_read_act(ctx, vision, path, "hidden_act", &block->act);
    block->kv_heads = block->heads;
    block->head_dim = block->hidden / block->heads;
    /* a quarter of a head's values for each half of a pair and each axis */
    if (!st && (block->hidden % block->heads || block->head_dim % 4 ||
                block->head_dim > DLM_ATTENTION_MAX_DIM))
        st = dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': vision_config has impossible heads",
                      path);
    return st;
}

/* The projector, and how patches become tokens: the processor's file may be silent on both. */
static enum dlm_status read_projector(struct dlm_ctx *ctx, const json_t *config, const char *path,
                                      struct dlm_model *m)
{
    struct dlm_mistral3 *p = mistral3(m);
    const struct dlm_vit_config *vit = &p->vit.config;
    int64_t merge = 2;
    const struct dlm_config_int ints[] = {{"spatial_merge_size", 1, 64, &merge}};

    p->norm_config = m->decoder.config.block.norm;
    p->act = DLM_ACT_GELU_ERF;
    enum dlm_status st = dlm_config_read_ints(ctx, config, path, ints, DLM_ARRAY_LEN(ints));
    if (!st)
        st = dlm_config_read_act(ctx, config, path, "projector_hidden_act", &p->act);
    if (!st)
        st = dlm_json_bool(ctx, config, path, "multimodal_projector_bias",
                           &p->has_projector_bias);
    m->processor.patch = (int)vit->patch; /* at most 512 */
    m->processor.merge = (int)merge;
    if (!m->dir) /* no file says how large images become */
        m->processor.height = m->processor.width = (int)vit->image;
    const int64_t half = vit->block.head_dim / 2;
    m->tower = (struct dlm_tower_shape){.patch_len = vit->channels * vit->patch * vit->patch,
                                        .width = vit->block.hidden,
                                        .max_patches = dlm_processor_max_patches(&m->processor),
                                        .merge = merge * merge,
                                        .tables = {{"tower_cos", DLM_DTYPE_F32, half},
                                                   {"tower_sin", DLM_DTYPE_F32, half}},
                                        .num_tables = 2};
    return st;
}

static enum dlm_status mistral3_read_config(struct dlm_ctx *ctx, const json_t *config,
                                            const char *path, struct dlm_model *m)
{
    const json_t *text = json_object_get(config, "text_config");
    struct dlm_decoder_config *decoder = &m->decoder.config;
    int64_t image = 10;

    enum dlm_status st = dlm_config_check(ctx, config, path, only, DLM_ARRAY_LEN(only));
    if (!st)
        st = read_text(ctx, text, path, decoder);
    if (!st)
        st = read_vision(ctx, json_object_get(config, "vision_config"), path, mistral3(m));
    if (!st)
        st = read_projector(ctx, config, path, m);
    /* The released file says nothing, which transformers 5 takes for true; a head in the files is
     * the model's nevertheless, see dlm_decoder_declare(). */
    decoder->is_tied = m->dir && !m->has_no_files;
    if (!st)
        st = dlm_json_bool(ctx, config, path, "tie_word_embeddings", &decoder->is_tied);
    const int64_t last = decoder->vocab - 1;
    const struct dlm_config_int ints[] = {
        {"image_token_index", 0, last, &image}, {"image_token_id", 0, last, &image}};
    if (!st)
        st = dlm_config_read_ints(ctx, config, path, ints, DLM_ARRAY_LEN(ints));
    m->image_id = (int32_t)image; /* below the vocabulary's 2^22 */
    m->stops = (struct dlm_stops){.ids = {2}, .num = 1};
    if (!st)
        st = dlm_config_read_stops(ctx, text, path, last + 1, &m->stops);
    return st ? st : dlm_config_read_stops(ctx, config, path, last + 1, &m->stops);
}

/* --- weights --- */

static enum dlm_status declare_projector(struct dlm_model *m)
{
    struct dlm_mistral3 *p = mistral3(m);
    const struct dlm_weight_scope scope = {m->weights, DLM_WEIGHT_GROUP_PROJECTOR, PROJECTOR};
    const int64_t width = m->tower.width, hidden = m->decoder.config.block.hidden;

    enum dlm_status st = dlm_norm_declare(&scope, &p->norm, &p->norm_config, "norm", width);
    if (!st)
        st = dlm_linear_declare(&scope, &p->merging, "patch_merger.merging_layer", width,
                                width * m->tower.merge, false);
    if (!st)
        st = dlm_linear_declare(&scope, &p->linear_1, "linear_1", hidden, width,
                                p->has_projector_bias);
    return st ? st : dlm_linear_declare(&scope, &p->linear_2, "linear_2", hidden, hidden,
                                        p->has_projector_bias);
}

static enum dlm_status list_linears(struct dlm_model *m)
{
    struct dlm_mistral3 *p = mistral3(m);

    enum dlm_status st = dlm_vit_list_linears(m->ctx, &p->vit, &m->linears);
    if (!st)
        st = dlm_linear_list_add(m->ctx, &m->linears, &p->merging);
    if (!st)
        st = dlm_linear_list_add(m->ctx, &m->linears, &p->linear_1);
    if (!st)
        st = dlm_linear_list_add(m->ctx, &m->linears, &p->linear_2);
    return st ? st : dlm_decoder_list_linears(m->ctx, &m->decoder, &m->linears);
}

static enum dlm_status mistral3_declare(struct dlm_model *m)
{
    const struct dlm_weight_scope tower = {m->weights, DLM_WEIGHT_GROUP_TOWER, TOWER};
    const struct dlm_weight_scope language = {m->weights, DLM_WEIGHT_GROUP_DECODER, LANGUAGE};
    const struct dlm_weight_scope head = {m->weights, DLM_WEIGHT_GROUP_HEAD, HEAD};

    enum dlm_status st = dlm_vit_declare(&tower, &mistral3(m)->vit);
    if (!st)
        st = declare_projector(m);
    if (!st)
        st = dlm_decoder_declare(&language, &head, &m->decoder);
    return st ? st : list_linears(m);
}

static void mistral3_finish(struct dlm_model *m)
{
    struct dlm_mistral3 *p = mistral3(m);

    dlm_vit_finish(&p->vit);
    dlm_linear_finish(&p->merging);
    dlm_linear_finish(&p->linear_1);
    dlm_linear_finish(&p->linear_2);
}

/* --- images --- */

static enum dlm_status mistral3_plan_image(struct dlm_ctx *ctx, const struct dlm_model *m,
                                           const struct dlm_image_size *size,
                                           struct dlm_image_plan *plan)
{
    return dlm_patch_grid_plan(ctx, &m->processor, size, plan);
}

static void mistral3_fill_patches(const struct dlm_model *m, const struct dlm_image_plan *plan,
                                  const float *pixels, float *rows)
{
    dlm_patch_grid_fill(plan, m->processor.patch, m->processor.merge, 1, pixels, rows);
}

/* Rows have a head's frequencies of even number, columns those of odd number. */
static void mistral3_fill_table(const struct dlm_model *m, const struct dlm_image_plan *plan,
                                int k, void *rows)
{
    const int64_t half = m->tower.tables[k].cols;
    float frequency[DLM_ATTENTION_MAX_DIM / 2];

    for (int64_t i = 0; i < half; i++) {
        const int64_t number = 2 * (i % (half / 2)) + (i >= half / 2);
        frequency[i] = 1.0f / powf(const_mistral3(m)->tower_theta, (float)number / (float)half);
    }
    dlm_patch_grid_rope(plan, m->processor.merge, frequency, half, k == 1, rows);
}

static struct dlm_tensor *mistral3_build_tower(struct dlm_build *b, const struct dlm_model *m,
                                               const struct dlm_tower_inputs *in)
{
    const struct dlm_block_inputs rows = {.batch = in->slices, .tokens = in->patches,
                                          .cos = in->tables[0], .sin = in->tables[1],
                                          .rows = in->rows};

    return dlm_vit_build(b, &const_mistral3(m)->vit, &rows, in->pixels);
}

/* [tokens * merge, width] -> [tokens, width * merge], an element's values of all patches side by
 * side: torch.nn.Unfold. */
static struct dlm_tensor *merge_patches(struct dlm_build *b, struct dlm_tensor *x, int64_t merge)
{
    if (!x)
        return NULL;
    const int64_t tokens = x->desc.shape[0] / merge, width = x->desc.shape[1];

    x = dlm_view_reshape(b->g, x, 3, (int64_t[]){tokens, merge, width});
    x = dlm_copy(b->g, dlm_view_transpose(b->g, x), DLM_DTYPE_F32);
    return dlm_view_reshape(b->g, x, 2, (int64_t[]){tokens, width * merge});
}

static struct dlm_tensor *mistral3_project(struct dlm_build *b, const struct dlm_model *m,
                                           struct dlm_tensor *features)
{
    const struct dlm_mistral3 *p = const_mistral3(m);

    struct dlm_tensor *x = dlm_norm_build(b, &p->norm, &p->norm_config, features);
    x = dlm_linear_build(b, &p->merging, merge_patches(b, x, m->tower.merge), NULL);
    x = dlm_activation(b->g, dlm_linear_build(b, &p->linear_1, x, NULL), p->act);
    return dlm_linear_build(b, &p->linear_2, x, NULL);
}

/* --- input --- */

static void mistral3_positions(const struct dlm_model *m, const struct dlm_example *e,
                               int32_t (*at)[3], int32_t *next)
{
    (void)m;
    *next = 0;
    for (int64_t t = 0; t < e->len; t++, ++*next)
        at[t][0] = at[t][1] = at[t][2] = *next;
}

/* Of Mistral-Small-3.1-24B-Instruct-2503; its text section is what holds without one. */
static const struct dlm_model_shape shapes[] = {
    {"mistral-small-24b",
     "{\"vision_config\": {\"image_size\": 1540, \"patch_size\": 14, \"hidden_act\": \"silu\"}}"},
    {0},
};

const struct dlm_family dlm_family_mistral3 = {
    .model_type = "mistral3",
    .shapes = shapes,
    .model_bytes = sizeof(struct dlm_mistral3),
    .names = {.rules = rules, .num_rules = DLM_ARRAY_LEN(rules)},
    .gguf = &dlm_gguf_mistral3,
    .language = LANGUAGE,
    .usual_targets = ".*language_model.*\\.(q_proj|k_proj|v_proj|o_proj)",
    .spare = spare,
    .processor = &processor,
    .read_config = mistral3_read_config,
    .declare = mistral3_declare,
    .finish = mistral3_finish,
    .has_system_turn = true,
    .plan_image = mistral3_plan_image,
    .encode = dlm_mistral3_encode,
    .positions = mistral3_positions,
    .fill_patches = mistral3_fill_patches,
    .fill_table = mistral3_fill_table,
    .build_tower = mistral3_build_tower,
    .project = mistral3_project,
};
