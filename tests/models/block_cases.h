/* The blocks and decoders of test_block.c as configs: what tools/dev/make_block_goldens.py asks of
 * the classes of transformers. */
#ifndef DLM_TESTS_BLOCK_CASES_H
#define DLM_TESTS_BLOCK_CASES_H

#include "models/decoder.h"

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
static const struct dlm_block_names qwen3_names = {
    .norm1 = "input_layernorm",
    .norm2 = "post_attention_layernorm",
    .q = "self_attn.q_proj",
    .k = "self_attn.k_proj",
    .v = "self_attn.v_proj",
    .o = "self_attn.o_proj",
    .q_norm = "self_attn.q_norm",
    .k_norm = "self_attn.k_norm",
    .gate = "mlp.gate_proj",
    .up = "mlp.up_proj",
    .down = "mlp.down_proj",
};
static const struct dlm_block_names packed_names = {
    .norm1 = "input_layernorm",
    .norm2 = "post_attention_layernorm",
    .qkv = "self_attn.wqkv",
    .o = "self_attn.o_proj",
    .gate = "mlp.gate_proj",
    .up = "mlp.up_proj",
    .down = "mlp.down_proj",
};
static const struct dlm_block_names clip_names = {
    .norm1 = "layer_norm1",
    .norm2 = "layer_norm2",
    .q = "self_attn.q_proj",
    .k = "self_attn.k_proj",
    .v = "self_attn.v_proj",
    .o = "self_attn.out_proj",
    .up = "mlp.fc1",
    .down = "mlp.fc2",
};
static const struct dlm_block_names qwen2_vl_names = {
    .norm1 = "norm1",
    .norm2 = "norm2",
    .qkv = "attn.qkv",
    .o = "attn.proj",
    .up = "mlp.fc1",
    .down = "mlp.fc2",
};
static const struct dlm_block_names internvl_names = {
    .norm1 = "layernorm_before",
    .norm2 = "layernorm_after",
    .q = "attention.q_proj",
    .k = "attention.k_proj",
    .v = "attention.v_proj",
    .o = "attention.projection_layer",
    .up = "mlp.fc1",
    .down = "mlp.fc2",
    .scale1 = "lambda_1",
    .scale2 = "lambda_2",
};
static const struct dlm_block_names internvl_rms_names = {
    .norm1 = "layernorm_before",
    .norm2 = "layernorm_after",
    .q = "attention.q_proj",
    .k = "attention.k_proj",
    .v = "attention.v_proj",
    .o = "attention.projection_layer",
    .q_norm = "attention.q_norm",
    .k_norm = "attention.k_norm",
    .up = "mlp.fc1",
    .down = "mlp.fc2",
    .scale1 = "lambda_1",
    .scale2 = "lambda_2",
};
static const struct dlm_block_names pixtral_names = {
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

/* Of the script's TEXT, and of its towers. */
#define TEXT                                                                                       \
    .hidden = 42, .intermediate = 26, .heads = 6, .kv_heads = 2, .head_dim = 8,                    \
    .norm = {.eps = 1e-3f}, .mode = DLM_ATTENTION_PREFIX
#define TOWER(inner)                                                                               \
    .hidden = 36, .intermediate = inner, .heads = 3, .kv_heads = 3, .head_dim = 12,                \
    .mode = DLM_ATTENTION_FULL

/* query_pre_attn_scalar 20 */
#define GEMMA2                                                                                     \
    .hidden = 42, .intermediate = 26, .heads = 6, .kv_heads = 2, .head_dim = 8,                    \
    .norm = {.plus_one = true, .eps = 1e-3f}, .act = DLM_ACT_GELU_TANH,                            \
    .score_scale = 0.22360679774997896f, .mode = DLM_ATTENTION_PREFIX, .names = &gemma2_names
static const struct block_case {
    const char *name;
    bool is_turned; /* has cos and sin */
    struct dlm_block_config config;
} block_cases[] = {
    {"llama", true, {TEXT, .act = DLM_ACT_SILU, .names = &dlm_decoder_block_names}},
    {"qwen2", true,
     {TEXT, .act = DLM_ACT_SILU, .qkv_bias = true, .names = &dlm_decoder_block_names}},
    {"qwen3", true, {TEXT, .act = DLM_ACT_SILU, .names = &qwen3_names}},
    {"gemma2", true, {GEMMA2}},
    {"capped", true, {GEMMA2, .score_softcap = 0.8f, .window = 3}},
    {"packed", true,
     {TEXT, .act = DLM_ACT_SILU, .packing = DLM_QKV_GROUPS, .names = &packed_names}},
    {"clip", false,
     {TOWER(30), .norm = {.kind = DLM_NORM_LAYER, .eps = 1e-3f}, .act = DLM_ACT_QUICK_GELU,
      .qkv_bias = true, .o_bias = true, .mlp_bias = true, .names = &clip_names}},
    {"qwen2_vl", true,
     {TOWER(72), .norm = {.kind = DLM_NORM_LAYER, .eps = 1e-6f},
      .act = DLM_ACT_QUICK_GELU, .qkv_bias = true, .o_bias = true, .mlp_bias = true,
      .packing = DLM_QKV_BLOCKS, .names = &qwen2_vl_names}},
    {"internvl", false,
     {TOWER(30), .norm = {.kind = DLM_NORM_LAYER, .eps = 1e-6f}, .act = DLM_ACT_GELU_ERF,
      .qkv_bias = true, .o_bias = true, .mlp_bias = true, .names = &internvl_names}},
    {"internvl_rms", false,
     {TOWER(30), .norm = {.eps = 1e-6f}, .qk_norm_whole = true, .act = DLM_ACT_GELU_ERF,
      .o_bias = true, .mlp_bias = true, .names = &internvl_rms_names}},
    {"pixtral", true,
     {TOWER(30), .norm = {.eps = 1e-5f}, .act = DLM_ACT_SILU, .names = &pixtral_names}},
};

static const struct decoder_case {
    const char *name, *what;
    size_t max_alloc_bytes; /* less than embedding and head take */
    struct dlm_decoder_config config;
} decoder_cases[] = {
    {"decoder", "own head, capped logits", 0,
     {.block = {GEMMA2}, .layers = 3, .vocab = 176, .rope_theta = 1e4f,
      .embed_scale = 6.48074069840786f, .logit_softcap = 1.5f, .is_tied = true}},
    {"decoder", "own head in slabs", 26 << 10,
     {.block = {GEMMA2}, .layers = 3, .vocab = 176, .rope_theta = 1e4f,
      .embed_scale = 6.48074069840786f, .logit_softcap = 1.5f}},
    {"windowed", "capped scores, window in every other layer", 0,
     {.block = {GEMMA2, .score_softcap = 0.8f, .window = 3}, .layers = 3, .vocab = 176,
      .rope_theta = 1e4f, .embed_scale = 6.48074069840786f, .logit_softcap = 1.5f,
      .full_every = 2}},
};

#endif
