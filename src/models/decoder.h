/* The decoder: embedding, transformer layers, head with its loss. No family is named here. */
#ifndef DLM_MODELS_DECODER_H
#define DLM_MODELS_DECODER_H

#include "models/block.h"

struct dlm_decoder_config {
    struct dlm_block_config block;
    int64_t layers, vocab;
    float rope_theta, embed_scale;
    float logit_softcap; /* c: logits become c tanh(logits / c) (Gemma 2); 0: none */
    int64_t full_every;  /* with a window: each n-th layer sees all keys; 0: none does */
    bool is_tied;        /* config.json: the head is the embedding */
    int64_t mrope_section[3]; /* pairs of a head turned by each axis's position; all zero: one axis
                               * (M-RoPE, Wang et al., Qwen2-VL, 2024) */
};

struct dlm_decoder {
    struct dlm_decoder_config config;
    struct dlm_weight *embed; /* [vocab, hidden] */
    struct dlm_weight *head;  /* [vocab, hidden]; the embedding itself when tied */
    struct dlm_norm norm;
    struct dlm_block *blocks; /* [layers] */
};

/* What transformers calls the parts of a block in most families: self_attn.q_proj, mlp.gate_proj,
 * input_layernorm... */
extern const struct dlm_block_names dlm_decoder_block_names;

/* Declares the weights in a scope: embed_tokens, layers.N.*, norm; and the head in one of its own.
 * Without a checkpoint it is tied as the config says. A tied one that the checkpoint also holds
 * must be the embedding's equal to be left out, as transformers has it: else it is a head of its
 * own. */
enum dlm_status dlm_decoder_declare(const struct dlm_weight_scope *scope,
                                    const struct dlm_weight_scope *head,
                                    struct dlm_decoder *d) DLM_CHECK_RESULT;
void dlm_decoder_finish(struct dlm_decoder *d);

/* Adds every linear of the layers to the list. */
enum dlm_status dlm_decoder_list_linears(struct dlm_ctx *ctx, struct dlm_decoder *d,
                                         struct dlm_linear_list *list) DLM_CHECK_RESULT;

/* The id of padding: no token and no slot. Its rows are zeros through all blocks (norms without
 * bias give none, attention leaves them out), which the CPU's products with weights pass over. */
#define DLM_NO_ID INT32_MIN

/* Inputs of a pass over B rows of T tokens, R = B * T. */
struct dlm_decoder_inputs {
    int64_t batch, tokens;
    struct dlm_tensor *ids;      /* i32 [R], negative: feature slot -1 - id, or DLM_NO_ID */
    struct dlm_tensor *features; /* f32 [F, hidden] or NULL */
    struct dlm_tensor *slot_rows; /* i32 [F]: for the features' gradient, or NULL */
    struct dlm_tensor *cos, *sin; /* f32 [R, head_dim / 2] */
    struct dlm_tensor *rows;      /* i32 [B, 4], see attention.c */
    struct dlm_tensor *keep;      /* i32 [L]: rows wanted at the end, or NULL: all */
    struct dlm_tensor *keep_back; /* i32 [R]: inverse of keep, for the gradient, or NULL */
    struct dlm_tensor *keep_ids;  /* u32 [L]: dropout streams of the kept rows; NULL: no dropout */
    /* KV cache, one per layer, [S, kv_heads * head_dim], B = 1; NULL: no cache */
    struct dlm_tensor **cache_k, **cache_v;
    struct dlm_tensor *cache_start; /* i32 [2]: where the T tokens go, how many */
};

/* Hidden states after the final norm: [R or L, hidden] f32. */
struct dlm_tensor *dlm_decoder_build(struct dlm_build *b, const struct dlm_decoder *d,
                                     const struct dlm_decoder_inputs *in);

/* logits [R, vocab] of hidden states. */
struct dlm_tensor *dlm_decoder_logits(struct dlm_build *b, const struct dlm_decoder *d,
                                      struct dlm_tensor *hidden);

/* Bytes that a row of logits takes while it is scored and its gradient found. */
size_t dlm_decoder_loss_row_bytes(const struct dlm_decoder_config *c);

/* Log-probabilities of labels, in tiles of at most `tile` rows, and the gradient of
 * -sum weights * logprob with respect to hidden (NULL: not wanted).
 * hidden f32 [L, hidden], labels i32 [L], weights f32 [L] -> f32 [L]. */
struct dlm_tensor *dlm_decoder_loss(struct dlm_build *b, const struct dlm_decoder *d,
                                    struct dlm_tensor *hidden, struct dlm_tensor *labels,
                                    struct dlm_tensor *weights, int64_t tile,
                                    struct dlm_tensor **dhidden);

/* cos and sin of positions[R] (f32 [R, head_dim / 2] each), for the host to write. */
void dlm_decoder_rope_table(const struct dlm_decoder_config *c, const int32_t (*positions)[3],
                            int64_t num, float *cos_out, float *sin_out);

#endif
