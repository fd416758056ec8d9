/* PaliGemma in GGUF: a form of our own, since llama.cpp has no such model. Names are those that it
 * gives to Gemma's and SigLIP's; of one norm only where Gemma and Gemma 2 call two by one name, it
 * has the one of Gemma 2. Norms keep the weights that checkpoints have, to which 1 is added. */
#include "models/paligemma_gguf.h"

#define LAYER "@.layers.*."
#define TOWER "model.vision_tower."
#define BLOCK TOWER "encoder.layers.*."

static const struct dlm_gguf_rule text[] = {
    {"@.embed_tokens.weight", "token_embd.weight", DLM_GGUF_MOVE_NONE, 0},
    {"@.norm.weight", "output_norm.weight", DLM_GGUF_MOVE_NONE, 0},
    {"^", "output.weight", DLM_GGUF_MOVE_NONE, 0},
    {LAYER "input_layernorm.weight", "blk.*.attn_norm.weight", DLM_GGUF_MOVE_NONE, 0},
    {LAYER "self_attn.q_proj.?", "blk.*.attn_q.?", DLM_GGUF_MOVE_NONE, 0},
    {LAYER "self_attn.k_proj.?", "blk.*.attn_k.?", DLM_GGUF_MOVE_NONE, 0},
    {LAYER "self_attn.v_proj.?", "blk.*.attn_v.?", DLM_GGUF_MOVE_NONE, 0},
    {LAYER "self_attn.o_proj.?", "blk.*.attn_output.?", DLM_GGUF_MOVE_NONE, 0},
    {LAYER "post_attention_layernorm.weight", "blk.*.post_attention_norm.weight",
     DLM_GGUF_MOVE_NONE, 0},
    {LAYER "pre_feedforward_layernorm.weight", "blk.*.ffn_norm.weight", DLM_GGUF_MOVE_NONE, 0},
    {LAYER "mlp.gate_proj.?", "blk.*.ffn_gate.?", DLM_GGUF_MOVE_NONE, 0},
    {LAYER "mlp.up_proj.?", "blk.*.ffn_up.?", DLM_GGUF_MOVE_NONE, 0},
    {LAYER "mlp.down_proj.?", "blk.*.ffn_down.?", DLM_GGUF_MOVE_NONE, 0},
    {LAYER "post_feedforward_layernorm.weight", "blk.*.post_ffw_norm.weight", DLM_GGUF_MOVE_NONE,
     0},
};
static const struct dlm_gguf_rules text_rules = {text, DLM_ARRAY_LEN(text)};

static const struct dlm_gguf_rule tower[] = {
    {TOWER "embeddings.patch_embedding.?", "v.patch_embd.?", DLM_GGUF_MOVE_NONE, 0},
    {TOWER "embeddings.position_embedding.weight", "v.position_embd.weight", DLM_GGUF_MOVE_NONE,
     0},
    {TOWER "post_layernorm.?", "v.post_ln.?", DLM_GGUF_MOVE_NONE, 0},
    {"model.multi_modal_projector.linear.?", "mm.0.?", DLM_GGUF_MOVE_NONE, 0},
    {BLOCK "layer_norm1.?", "v.blk.*.ln1.?", DLM_GGUF_MOVE_NONE, 0},
    {BLOCK "self_attn.q_proj.?", "v.blk.*.attn_q.?", DLM_GGUF_MOVE_NONE, 0},
    {BLOCK "self_attn.k_proj.?", "v.blk.*.attn_k.?", DLM_GGUF_MOVE_NONE, 0},
    {BLOCK "self_attn.v_proj.?", "v.blk.*.attn_v.?", DLM_GGUF_MOVE_NONE, 0},
    {BLOCK "self_attn.out_proj.?", "v.blk.*.attn_out.?", DLM_GGUF_MOVE_NONE, 0},
    {BLOCK "layer_norm2.?", "v.blk.*.ln2.?", DLM_GGUF_MOVE_NONE, 0},
    {BLOCK "mlp.fc1.?", "v.blk.*.ffn_up.?", DLM_GGUF_MOVE_NONE, 0},
    {BLOCK "mlp.fc2.?", "v.blk.*.ffn_down.?", DLM_GGUF_MOVE_NONE, 0},
};
static const struct dlm_gguf_rules tower_rules = {tower, DLM_ARRAY_LEN(tower)};

const struct dlm_gguf_family dlm_gguf_paligemma = {
    .arch = "paligemma",
    .is_own = true,
    .head = "lm_head.weight",
    .projector = "paligemma",
    .text = &text_rules,
    .vision = &tower_rules,
};
