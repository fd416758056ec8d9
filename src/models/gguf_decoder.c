/* The language model of most families: LLaMA's decoder. */
#include "models/gguf_family.h"

#define LAYER "@.layers.*."

static const struct dlm_gguf_rule decoder[] = {
    {"@.embed_tokens.weight", "token_embd.weight", DLM_GGUF_MOVE_NONE, 0},
    {"@.norm.weight", "output_norm.weight", DLM_GGUF_MOVE_NONE, 0},
    {"^", "output.weight", DLM_GGUF_MOVE_NONE, 0},
    {LAYER "input_layernorm.weight", "blk.*.attn_norm.weight", DLM_GGUF_MOVE_NONE, 0},
    {LAYER "self_attn.q_proj.?", "blk.*.attn_q.?", DLM_GGUF_MOVE_HEADS, 0},
    {LAYER "self_attn.k_proj.?", "blk.*.attn_k.?", DLM_GGUF_MOVE_KV_HEADS, 0},
    {LAYER "self_attn.v_proj.?", "blk.*.attn_v.?", DLM_GGUF_MOVE_NONE, 0},
    {LAYER "self_attn.o_proj.?", "blk.*.attn_output.?", DLM_GGUF_MOVE_NONE, 0},
    {LAYER "post_attention_layernorm.weight", "blk.*.ffn_norm.weight", DLM_GGUF_MOVE_NONE, 0},
    {LAYER "mlp.gate_proj.?", "blk.*.ffn_gate.?", DLM_GGUF_MOVE_NONE, 0},
    {LAYER "mlp.up_proj.?", "blk.*.ffn_up.?", DLM_GGUF_MOVE_NONE, 0},
    {LAYER "mlp.down_proj.?", "blk.*.ffn_down.?", DLM_GGUF_MOVE_NONE, 0},
};
const struct dlm_gguf_rules dlm_gguf_decoder = {decoder, DLM_ARRAY_LEN(decoder)};
