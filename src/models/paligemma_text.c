/* What text_config of a PaliGemma says of its decoder. Agrees with transformers' GemmaModel and
 * Gemma2Model under PaliGemmaForConditionalGeneration. */
#include "models/paligemma_text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "kernels/params.h"
#include "models/config_rules.h"

/* What both can ask for beyond the graphs here, and members by which a checkpoint of a younger
 * family would be taken for one of these. */
static const struct dlm_config_rule only[] = {
    {"text_config", "attention_bias", "false"},
    {"text_config", "mlp_bias", "false"},
    {"text_config", "attention_dropout", "0"},
    {"text_config", "use_bidirectional_attention", "true"},
    {"text_config", "partial_rotary_factor", "1"},
    {"text_config", "quantization_config", "null"},
    {"text_config.rope_scaling", "type", "\"default\""},
    {"text_config.rope_scaling", "rope_type", "\"default\""},
    {"text_config.rope_parameters", "type", "\"default\""},
    {"text_config.rope_parameters", "rope_type", "\"default\""},
    {"text_config.rope_parameters", "partial_rotary_factor", "1"},
    {"text_config.rope_parameters", "full_attention", "null"},
    {"text_config.rope_parameters", "sliding_attention", "null"},
};

static const struct dlm_config_rule only_gemma[] = {
    {"text_config", "sliding_window", "null"},
    {"text_config", "attn_logit_softcapping", "null"},
    {"text_config", "final_logit_softcapping", "null"},
};

static const struct dlm_block_names gemma2_names = {
    .norm1 = "input_layernorm",
    .post_norm1 = "post_attention_layernorm",
    .norm2 = "pre_feedforward_layernorm",
    .post_norm2 = "post_feedforward_layernorm",
    .q = "self_attn.q_proj",
    .k = "self_attn.k_proj",
    .v = "self_attn.v_proj",
    .o = "self_attn.o_proj",
    .gate = "mlp.gate_proj",
    .up = "mlp.up_proj",
    .down = "mlp.down_proj",
};

static const struct dlm_decoder_config gemma = {
    .block = {.hidden = 2048, .intermediate = 16384, .heads = 8, .kv_heads = 1, .head_dim = 256,
              .norm = {.kind = DLM_NORM_RMS, .plus_one = true, .eps = 1e-6f},
              .act = DLM_ACT_GELU_TANH, .mode = DLM_ATTENTION_PREFIX,
              .names = &dlm_decoder_block_names},
    .layers = 18,
    .vocab = 257216,
    .rope_theta = 10000,
};

static const struct dlm_decoder_config gemma2 = {
    .block = {.hidden = 2304, .intermediate = 9216, .heads = 8, .kv_heads = 4, .head_dim = 256,
              .norm = {.kind = DLM_NORM_RMS, .plus_one = true, .eps = 1e-6f},
              .act = DLM_ACT_GELU_TANH, .score_scale = 1.0f / 16, .score_softcap = 50,
              .mode = DLM_ATTENTION_PREFIX, .window = 4096, .names = &gemma2_names},
    .layers = 26,
    .vocab = 257216,
    .rope_theta = 10000,
    .logit_softcap = 30,
    .full_every = 2,
};

/* key: "hidden_act", or the name that Gemma's configs gave it for a while. */
static enum dlm_status read_act(struct dlm_ctx *ctx, const json_t *text, const char *path,
                                const char *key, uint32_t *act)
{
    const char *name = json_string_value(json_object_get(text, key));

    if (!name || strcmp(name, "gelu") != 0)
        return dlm_config_read_act(ctx, text, path, key, act);
    *act = DLM_ACT_GELU_TANH; /* old configs say gelu and mean tanh */
    return DLM_OK;
}

/* Versions of transformers differ in which of the two goes first, so they must agree. */
static enum dlm_status read_acts(struct dlm_ctx *ctx, const json_t *text, const char *path,
                                 uint32_t *act)
{
    enum dlm_status st = read_act(ctx, text, path, "hidden_act", act);
    const uint32_t first = *act;

    if (!st)
        st = read_act(ctx, text, path, "hidden_activation", act);
    if (!st && first != *act && json_is_string(json_object_get(text, "hidden_act")))
        st = dlm_fail(ctx, DLM_ERR_UNSUPPORTED,
                      "cannot load '%s': 'hidden_act' and 'hidden_activation' disagree", path);
    return st;
}

/* Members that both have. */
static enum dlm_status read_common(struct dlm_ctx *ctx, const json_t *text, const char *path,
                                   struct dlm_decoder_config *c)
{
    struct dlm_block_config *block = &c->block;

    enum dlm_status st = dlm_config_read_decoder_sizes(ctx, text, path, c);
    if (!st)
        st = dlm_json_int(ctx, text, path, "head_dim", 2, DLM_ATTENTION_MAX_DIM, &block->head_dim);
    if (!st)
        st = dlm_config_read_eps(ctx, text, path, "rms_norm_eps", &block->norm.eps);
    if (!st)
        st = dlm_config_read_rope_theta(ctx, text, path, &c->rope_theta);
    if (!st)
        st = read_acts(ctx, text, path, &block->act);
    if (!st && (block->heads % block->kv_heads || block->head_dim % 2))
        st = dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': text_config has impossible heads",
                      path);
    c->embed_scale = sqrtf((float)block->hidden);
    return st;
}

/* Scores are divided by sqrt(head_dim); some configs spell that out. */
static enum dlm_status check_gemma(struct dlm_ctx *ctx, const json_t *config, const char *path,
                                   const struct dlm_decoder_config *c)
{
    char dim[32];
    const struct dlm_config_rule scale = {"text_config", "query_pre_attn_scalar", dim};

    snprintf(dim, sizeof(dim), "%lld", (long long)c->block.head_dim);
    enum dlm_status st =
        dlm_config_check(ctx, config, path, only_gemma, DLM_ARRAY_LEN(only_gemma));
    return st ? st : dlm_config_check(ctx, config, path, &scale, 1);
}

/* A positive number; null, which is not the default, means none. */
static enum dlm_status read_cap(struct dlm_ctx *ctx, const json_t *text, const char *path,
                                const char *key, float *cap)
{
    double value = *cap;

    enum dlm_status st = dlm_json_number(ctx, text, path, key, &value);
    if (!st && !(value > 0 && value < 1e6))
        st = dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': '%s' is out of range", path, key);
    *cap = json_is_null(json_object_get(text, key)) ? 0 : (float)value;
    return st;
}

static enum dlm_status read_gemma2(struct dlm_ctx *ctx, const json_t *text, const char *path,
                                   struct dlm_decoder_config *c)
{
    struct dlm_block_config *block = &c->block;
    int64_t window = block->window;
    double scalar = 1 / ((double)block->score_scale * block->score_scale);

    enum dlm_status st = dlm_json_int(ctx, text, path, "sliding_window", 1,
                                      DLM_ATTENTION_MAX_WINDOW, &window);
    block->window = (uint32_t)window; /* at most 2^29 */
    if (!st)
        st = dlm_config_read_layer_types(ctx, text, path, c->layers, &c->full_every);
    if (!st)
        st = read_cap(ctx, text, path, "attn_logit_softcapping", &block->score_softcap);
    if (!st)
        st = read_cap(ctx, text, path, "final_logit_softcapping", &c->logit_softcap);
    if (!st)
        st = dlm_json_number(ctx, text, path, "query_pre_attn_scalar", &scalar);
    if (!st && !(scalar > 0 && scalar < 1e6))
        st = dlm_fail(ctx, DLM_ERR_PARSE,
                      "cannot read '%s': 'query_pre_attn_scalar' is out of range", path);
    block->score_scale = (float)(1 / sqrt(scalar));
    return st;
}

enum dlm_status dlm_paligemma_read_text(struct dlm_ctx *ctx, const json_t *config,
                                        const char *path, struct dlm_decoder_config *c)
{
    const json_t *text = json_object_get(config, "text_config");
    const char *type = "gemma";

    enum dlm_status st = dlm_json_string(ctx, text, path, "model_type", &type);
    const bool is_gemma2 = !st && !strcmp(type, "gemma2");
    if (!st && !is_gemma2 && strcmp(type, "gemma") != 0)
        st = dlm_fail(ctx, DLM_ERR_UNSUPPORTED, "cannot load '%s': 'text_config.model_type' is "
                      "'%s': not supported (gemma and gemma2 are)", path, type);
    if (!st)
        st = dlm_config_check(ctx, config, path, only, DLM_ARRAY_LEN(only));
    *c = is_gemma2 ? gemma2 : gemma;
    if (!st)
        st = read_common(ctx, text, path, c);
    if (st)
        return st;
    return is_gemma2 ? read_gemma2(ctx, text, path, c) : check_gemma(ctx, config, path, c);
}
