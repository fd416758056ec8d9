/* A family that needs what PaliGemma does not: images of any grid, several in a row, merged two by
 * two; a tower with 2-D rotary positions and packed q, k, v with biases; a causal decoder with
 * biases, three-axis rotary positions and a head of its own; a dialogue of turns.
 *
 * It computes transformers' Qwen2VLForConditionalGeneration under its in-memory names (Wang et al.,
 * 2024), with a dialogue and special tokens of its own. It is no more than the tests need: other
 * spellings, limits of sizes and checks of config.json belong to a family that ships. */
#include "family_grid.h"

#include <math.h>

#include "base/json.h"
#include "base/log.h"
#include "kernels/params.h"
#include "models/vit.h"

#define FRAMES 2      /* of a still image: twice the same */
#define MERGE 2       /* patches a side that become one token */
#define MAX_PATCHES 1024
#define CAPTION "describe the image"

#define LANGUAGE "model.language_model"
#define TOWER "model.visual"
#define MERGER "model.visual.merger"

static const char *const special[] = {"<|im_start|>", "<|im_end|>", "<|vision_start|>",
                                      "<|vision_end|>", "<|image_pad|>"};

struct grid {
    struct dlm_model base;
    struct dlm_vit vit;
    struct dlm_norm merge_norm;
    struct dlm_linear merge_in, merge_out;
};

static struct grid *grid(struct dlm_model *m)
{
    return (struct grid *)m; /* base is its first member */
}

static const struct grid *const_grid(const struct dlm_model *m)
{
    return (const struct grid *)m;
}

static const struct dlm_processor processor = {
    .class_name = "GridProcessor",
    .height = 12,
    .width = 12,
    .resample = DLM_RESAMPLE_BICUBIC,
    .do_resize = true,
    .do_rescale = true,
    .do_normalize = true,
    .rescale_factor = 1.0 / 255.0,
    .mean = {0.5, 0.5, 0.5},
    .std = {0.5, 0.5, 0.5},
};

/* --- configuration and weights --- */

static const struct dlm_norm_config layer_norm = {.kind = DLM_NORM_LAYER, .eps = 1e-6f};

static const struct dlm_block_names tower_block = {
    .norm1 = "norm1", .norm2 = "norm2", .qkv = "attn.qkv", .o = "attn.proj",
    .up = "mlp.fc1", .down = "mlp.fc2",
};
static const struct dlm_vit_names tower_names = {.patch = "patch_embed.proj", .layers = "blocks"};

static int64_t member(struct dlm_ctx *ctx, const json_t *object, const char *path, const char *key,
                      enum dlm_status *st)
{
    int64_t value = 0;

    if (!*st)
        *st = dlm_json_int(ctx, object, path, key, 0, 1 << 20, &value);
    return value;
}

static enum dlm_status read_decoder(struct dlm_ctx *ctx, const json_t *text, const char *path,
                                    struct dlm_decoder_config *c)
{
    const json_t *rope = json_object_get(text, "rope_parameters");
    const json_t *sections = json_object_get(rope, "mrope_section");
    enum dlm_status st = DLM_OK;

    *c = (struct dlm_decoder_config){.rope_theta = 1e4f};
    c->layers = member(ctx, text, path, "num_hidden_layers", &st);
    c->vocab = member(ctx, text, path, "vocab_size", &st);
    c->block = (struct dlm_block_config){
        .hidden = member(ctx, text, path, "hidden_size", &st),
        .intermediate = member(ctx, text, path, "intermediate_size", &st),
        .heads = member(ctx, text, path, "num_attention_heads", &st),
        .kv_heads = member(ctx, text, path, "num_key_value_heads", &st),
        .norm = {.kind = DLM_NORM_RMS, .eps = 1e-6f},
        .qkv_bias = true,
        .act = DLM_ACT_SILU,
        .mode = DLM_ATTENTION_PREFIX, /* of no length: causal */
        .names = &dlm_decoder_block_names,
    };
    if (!st && !c->block.heads)
        st = dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': no heads", path);
    for (size_t i = 0; !st && i < 3; i++)
        c->mrope_section[i] = json_integer_value(json_array_get(sections, i));
    if (!st)
        c->block.head_dim = c->block.hidden / c->block.heads;
    return st;
}

static enum dlm_status read_tower(struct dlm_ctx *ctx, const json_t *vision, const char *path,
                                  struct dlm_vit_config *c)
{
    enum dlm_status st = DLM_OK;

    *c = (struct dlm_vit_config){.channels = 3 * FRAMES, .names = &tower_names};
    c->layers = member(ctx, vision, path, "depth", &st);
    c->patch = member(ctx, vision, path, "patch_size", &st);
    const int64_t hidden = member(ctx, vision, path, "embed_dim", &st);
    const int64_t heads = member(ctx, vision, path, "num_heads", &st);
    if (!st && !heads)
        st = dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': no heads", path);
    if (st)
        return st;
    c->block = (struct dlm_block_config){
        .hidden = hidden,
        .intermediate = hidden * member(ctx, vision, path, "mlp_ratio", &st),
        .heads = heads, .kv_heads = heads, .head_dim = hidden / heads,
        .norm = layer_norm,
        .qkv_bias = true, .o_bias = true, .mlp_bias = true,
        .act = DLM_ACT_QUICK_GELU,
        .mode = DLM_ATTENTION_FULL,
        .names = &tower_block,
    };
    return st;
}

static enum dlm_status grid_read_config(struct dlm_ctx *ctx, const json_t *config,
                                        const char *path, struct dlm_model *m)
{
    const json_t *text = json_object_get(config, "text_config");
    struct dlm_vit_config *vit = &grid(m)->vit.config;

    enum dlm_status st = read_decoder(ctx, text, path, &m->decoder.config);
    if (!st)
        st = read_tower(ctx, json_object_get(config, "vision_config"), path, vit);
    if (!st)
        st = dlm_config_read_stops(ctx, text, path, m->decoder.config.vocab, &m->stops);
    m->image_id = (int32_t)member(ctx, config, path, "image_token_id", &st); /* at most 2^20 */
    const int64_t half = vit->block.head_dim / 2;
    m->tower = (struct dlm_tower_shape){.patch_len = vit->channels * vit->patch * vit->patch,
                                        .width = vit->block.hidden,
                                        .max_patches = MAX_PATCHES,
                                        .merge = MERGE * MERGE,
                                        .tables = {{"tower_cos", DLM_DTYPE_F32, half},
                                                   {"tower_sin", DLM_DTYPE_F32, half}},
                                        .num_tables = 2};
    return st;
}

static enum dlm_status grid_declare(struct dlm_model *m)
{
    struct grid *g = grid(m);
    const int64_t width = g->vit.config.block.hidden, merged = width * MERGE * MERGE;
    const struct dlm_weight_scope tower = {m->weights, DLM_WEIGHT_GROUP_TOWER, TOWER};
    const struct dlm_weight_scope merger = {m->weights, DLM_WEIGHT_GROUP_PROJECTOR, MERGER};
    const struct dlm_weight_scope language = {m->weights, DLM_WEIGHT_GROUP_DECODER, LANGUAGE};
    const struct dlm_weight_scope head = {m->weights, DLM_WEIGHT_GROUP_HEAD, "lm_head"};

    enum dlm_status st = dlm_vit_declare(&tower, &g->vit);
    if (!st)
        st = dlm_norm_declare(&merger, &g->merge_norm, &layer_norm, "ln_q", width);
    if (!st)
        st = dlm_linear_declare(&merger, &g->merge_in, "mlp.0", merged, merged, true);
    if (!st)
        st = dlm_linear_declare(&merger, &g->merge_out, "mlp.2", m->decoder.config.block.hidden,
                                merged, true);
    if (!st)
        st = dlm_decoder_declare(&language, &head, &m->decoder);
    if (!st)
        st = dlm_vit_list_linears(m->ctx, &g->vit, &m->linears);
    if (!st)
        st = dlm_linear_list_add(m->ctx, &m->linears, &g->merge_in);
    if (!st)
        st = dlm_linear_list_add(m->ctx, &m->linears, &g->merge_out);
    return st ? st : dlm_decoder_list_linears(m->ctx, &m->decoder, &m->linears);
}

static void grid_finish(struct dlm_model *m)
{
    dlm_vit_finish(&grid(m)->vit);
    dlm_linear_finish(&grid(m)->merge_in);
    dlm_linear_finish(&grid(m)->merge_out);
}

/* --- images --- */

/* A side in tokens: rounded to the nearest, ties to even, as Python's round(). */
static int32_t tokens_a_side(const struct dlm_model *m, int pixels)
{
    const double side = (double)(const_grid(m)->vit.config.patch * MERGE);

    return (int32_t)fmax(1, rint(pixels / side)); /* images are below 2^31 pixels */
}

static enum dlm_status grid_plan_image(struct dlm_ctx *ctx, const struct dlm_model *m,
                                       const struct dlm_image_size *size,
                                       struct dlm_image_plan *plan)
{
    const int32_t high = tokens_a_side(m, size->height), wide = tokens_a_side(m, size->width);
    const int32_t side = (int32_t)const_grid(m)->vit.config.patch * MERGE;

    if ((int64_t)high * wide * MERGE * MERGE > MAX_PATCHES)
        return dlm_fail(ctx, DLM_ERR_INVALID, "'%s' is too large", size->name.file);
    *plan = (struct dlm_image_plan){.pixels = {1, high * side, wide * side},
                                    .grid_t = 1, .grid_h = high * MERGE, .grid_w = wide * MERGE,
                                    .patches = high * wide * MERGE * MERGE,
                                    .tokens = high * wide};
    return DLM_OK;
}

/* Where patch `row` of the tower's order stands: those of a token follow each other. */
static void place_of(const struct dlm_image_plan *plan, int64_t row, int64_t *y, int64_t *x)
{
    const int64_t token = row / (MERGE * MERGE), inner = row % (MERGE * MERGE);
    const int64_t wide = plan->grid_w / MERGE;

    *y = token / wide * MERGE + inner / MERGE;
    *x = token % wide * MERGE + inner % MERGE;
}

/* A row is [channel][frame][y][x], every frame the same. */
static void grid_fill_patches(const struct dlm_model *m, const struct dlm_image_plan *plan,
                              const float *pixels, float *rows)
{
    const int64_t side = const_grid(m)->vit.config.patch;
    const int64_t width = plan->pixels.width, height = plan->pixels.height;

    for (int64_t row = 0; row < plan->patches; row++) {
        int64_t y, x;
        place_of(plan, row, &y, &x);
        for (int64_t k = 0; k < 3 * FRAMES * side; k++, rows += side) {
            const int64_t channel = k / (FRAMES * side), line = y * side + k % side;
            memcpy(rows, pixels + (channel * height + line) * width + x * side,
                   (size_t)side * sizeof(*rows));
        }
    }
}

/* Half of a head's pairs is turned by the patch's y, half by its x. */
static void grid_fill_table(const struct dlm_model *m, const struct dlm_image_plan *plan, int k,
                            void *rows)
{
    const int64_t half = m->tower.tables[k].cols, axis_len = half / 2;
    float *out = rows;

    for (int64_t row = 0; row < plan->patches; row++) {
        int64_t place[2];
        place_of(plan, row, &place[0], &place[1]);
        for (int64_t i = 0; i < half; i++) {
            const float frequency =
                1.0f / powf(1e4f, (float)(i % axis_len) / (float)axis_len);
            const float angle = (float)place[i / axis_len] * frequency;
            *out++ = k ? sinf(angle) : cosf(angle);
        }
    }
}

static struct dlm_tensor *grid_build_tower(struct dlm_build *b, const struct dlm_model *m,
                                           const struct dlm_tower_inputs *in)
{
    const struct dlm_block_inputs rows = {.batch = in->slices, .tokens = in->patches,
                                          .cos = in->tables[0], .sin = in->tables[1],
                                          .rows = in->rows};

    return dlm_vit_build(b, &const_grid(m)->vit, &rows, in->pixels);
}

static struct dlm_tensor *grid_project(struct dlm_build *b, const struct dlm_model *m,
                                       struct dlm_tensor *features)
{
    const struct grid *g = const_grid(m);

    if (!features)
        return NULL;
    const int64_t tokens = features->desc.shape[0] / m->tower.merge;
    struct dlm_tensor *x = dlm_norm_build(b, &g->merge_norm, &layer_norm, features);
    x = dlm_view_reshape(b->g, x, 2, (int64_t[]){tokens, m->tower.width * m->tower.merge});
    x = dlm_activation(b->g, dlm_linear_build(b, &g->merge_in, x, NULL), DLM_ACT_GELU_ERF);
    return dlm_linear_build(b, &g->merge_out, x, NULL);
}

/* --- input --- */

static enum dlm_status grid_add_tokens(struct dlm_ctx *ctx, struct dlm_tokenizer *tok)
{
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < DLM_ARRAY_LEN(special); i++)
        st = dlm_tokenizer_add(ctx, tok, special[i], true, NULL);
    return st;
}

static enum dlm_status add_image(struct dlm_ctx *ctx, const struct dlm_tokenizer *tok,
                                 int32_t tokens, bool learned, struct dlm_input *in)
{
    enum dlm_status st = dlm_input_add_token(ctx, in, tok, "<|vision_start|>", 1, learned);
    if (!st)
        st = dlm_input_add_token(ctx, in, tok, "<|image_pad|>", tokens, learned);
    return st ? st : dlm_input_add_token(ctx, in, tok, "<|vision_end|>", 1, learned);
}

static enum dlm_status begin_turn(struct dlm_ctx *ctx, const struct dlm_tokenizer *tok,
                                  const char *role, struct dlm_input *in)
{
    enum dlm_status st = dlm_input_add_token(ctx, in, tok, "<|im_start|>", 1, false);
    return st ? st : dlm_input_add_text(ctx, in, tok, role, strlen(role), false);
}

/* The turn with its end, of which an answer's is learned; *plans is moved on. */
static enum dlm_status add_turn(struct dlm_ctx *ctx, const struct dlm_tokenizer *tok,
                                const struct dlm_turn *turn, const struct dlm_image_plan **plans,
                                struct dlm_input *in)
{
    static const char *const roles[] = {[DLM_TURN_SYSTEM] = "system\n", [DLM_TURN_USER] = "user\n",
                                        [DLM_TURN_ASSISTANT] = "assistant\n"};
    const bool learned = turn->role == DLM_TURN_ASSISTANT;

    enum dlm_status st = begin_turn(ctx, tok, roles[turn->role], in);
    for (size_t i = 0; !st && i < turn->num_parts; i++) {
        const struct dlm_part *part = &turn->parts[i];
        if (part->kind == DLM_PART_IMAGE)
            st = add_image(ctx, tok, (*plans)++->tokens, learned, in);
        else if (part->kind == DLM_PART_CAPTION_REQUEST)
            st = dlm_input_add_text(ctx, in, tok, CAPTION, strlen(CAPTION), learned);
        else
            st = dlm_input_add_text(ctx, in, tok, part->text, part->len, learned);
    }
    if (!st)
        st = dlm_input_add_token(ctx, in, tok, "<|im_end|>", 1, learned);
    return st ? st : dlm_input_add_text(ctx, in, tok, "\n", 1, false);
}

static enum dlm_status grid_encode(struct dlm_ctx *ctx, const struct dlm_model *m,
                                   const struct dlm_tokenizer *tok,
                                   const struct dlm_conversation *c,
                                   const struct dlm_image_plan *plans, struct dlm_input *in)
{
    enum dlm_status st = DLM_OK;

    (void)m;
    dlm_input_clear(in);
    for (size_t i = 0; !st && i < c->num_turns; i++)
        st = c->turns[i].role == DLM_TURN_PROSE
                 ? dlm_fail(ctx, DLM_ERR_UNSUPPORTED, "this family takes no prose")
                 : add_turn(ctx, tok, &c->turns[i], &plans, in);
    if (!st && c->turns[c->num_turns - 1].role == DLM_TURN_USER)
        st = begin_turn(ctx, tok, "assistant\n", in);
    return st;
}

/* Text counts on on all axes; the tokens of an image have its place as time, and their own row and
 * column from there. */
static void grid_positions(const struct dlm_model *m, const struct dlm_example *e,
                           int32_t (*at)[3], int32_t *next)
{
    const struct dlm_image_plan *plan = e->plans;

    *next = 0;
    for (int64_t t = 0; t < e->len;) {
        if (e->ids[t] != m->image_id || !e->num_images || plan == e->plans + e->num_images) {
            at[t][0] = at[t][1] = at[t][2] = (*next)++;
            t++;
            continue;
        }
        const int32_t high = plan->grid_h / MERGE, wide = plan->grid_w / MERGE;
        for (int32_t i = 0; i < plan->tokens; i++, t++) {
            at[t][0] = *next;
            at[t][1] = *next + i / wide;
            at[t][2] = *next + i % wide;
        }
        *next += DLM_MAX(high, wide);
        plan++;
    }
}

static const struct dlm_model_shape shapes[] = {{0}};

const struct dlm_family dlm_family_grid = {
    .model_type = "grid",
    .shapes = shapes,
    .model_bytes = sizeof(struct grid),
    .language = LANGUAGE,
    .usual_targets = ".*language_model.*\\.(q_proj|k_proj|v_proj|o_proj)",
    .processor = &processor,
    .read_config = grid_read_config,
    .declare = grid_declare,
    .finish = grid_finish,
    .add_tokens = grid_add_tokens,
    .has_system_turn = true,
    .plan_image = grid_plan_image,
    .encode = grid_encode,
    .positions = grid_positions,
    .fill_patches = grid_fill_patches,
    .fill_table = grid_fill_table,
    .build_tower = grid_build_tower,
    .project = grid_project,
};
