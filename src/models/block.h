/* One pre-norm transformer block, of decoders and of towers:
 *
 *     x += scale1 * post_norm1(o(attention(q(n), k(n), v(n)))),   n = norm1(x)
 *     x += scale2 * post_norm2(down(act(gate(n)) * up(n))),       n = norm2(x)
 *
 * What a block does not have its names leave out; how the rest is done its config says. Families
 * fill in both and are not named here. */
#ifndef DLM_MODELS_BLOCK_H
#define DLM_MODELS_BLOCK_H

#include "models/norm.h"

/* Module paths below the block's. NULL: the block has no such part. */
struct dlm_block_names {
    const char *norm1, *norm2;
    const char *post_norm1, *post_norm2; /* before the sum (Gemma 2) */
    const char *q, *k, *v;
    const char *qkv; /* instead of these three: one linear, see dlm_qkv_packing */
    const char *o;
    const char *q_norm, *k_norm; /* of queries and keys, before their rotation */
    const char *gate;            /* NULL: down(act(up(n))) */
    const char *up, *down;
    const char *scale1, *scale2; /* layer scales: vectors [hidden], the weight's whole name */
};

/* Order of the heads in the rows of qkv. */
enum dlm_qkv_packing {
    DLM_QKV_BLOCKS, /* all of q, all of k, all of v */
    DLM_QKV_GROUPS, /* for each kv head: its queries' heads, its key, its value */
};

struct dlm_block_config {
    int64_t hidden, intermediate;
    int64_t heads, kv_heads, head_dim; /* kv_heads divides heads; hidden may be any size */
    struct dlm_norm_config norm;       /* q_norm and k_norm, too */
    bool qk_norm_whole; /* over all heads together, weights [heads * head_dim]; else each head */
    bool qkv_bias, o_bias, mlp_bias;
    enum dlm_qkv_packing packing;
    uint32_t act;      /* DLM_ACT_* */
    float score_scale;   /* of q k^T; 0: 1 / sqrt(head_dim) */
    float score_softcap; /* c: scores become c tanh(score / c); 0: none */
    enum dlm_attention_mode mode;
    uint32_t window; /* keys that a query sees, with DLM_ATTENTION_PREFIX; 0: all */
    const struct dlm_block_names *names; /* borrowed while blocks live */
};

struct dlm_block {
    const struct dlm_block_config *config; /* borrowed */
    struct dlm_norm norm1, norm2, post_norm1, post_norm2, q_norm, k_norm;
    struct dlm_linear qkv, q, k, v, o, gate, up, down; /* path NULL: not there */
    struct dlm_weight *scale1, *scale2;
    uint32_t window; /* the config's; a model may let single blocks see all */
};

/* Declares the block's weights in a scope. config is borrowed until finish. */
enum dlm_status dlm_block_declare(const struct dlm_weight_scope *scope, struct dlm_block *l,
                                  const struct dlm_block_config *config) DLM_CHECK_RESULT;
void dlm_block_finish(struct dlm_block *l);

/* Adds the block's linears to the list, in the order of its struct. */
enum dlm_status dlm_block_list_linears(struct dlm_ctx *ctx, struct dlm_block *l,
                                       struct dlm_linear_list *list) DLM_CHECK_RESULT;

/* A pass over B batch rows of T tokens, R = B * T. */
struct dlm_block_inputs {
    int64_t batch, tokens;
    struct dlm_tensor *cos, *sin; /* f32 [R, head_dim / 2]; NULL: no rotary positions */
    struct dlm_tensor *rows;      /* i32 [B, 4], see attention.c */
    struct dlm_tensor *keep;      /* i32 [L]: rows wanted at the end; NULL: all */
    struct dlm_tensor *keep_back; /* i32 [R]: inverse of keep, for the gradient, or NULL */
    struct dlm_tensor *keep_ids;  /* u32 [L]: dropout streams of the kept rows; NULL: no dropout */
    /* KV cache [S, kv_heads * head_dim], B = 1; NULL: none */
    struct dlm_tensor *cache_k, *cache_v;
    struct dlm_tensor *cache_start; /* i32 [2]: where the T tokens go, how many */
};

/* x f32 [R, hidden] -> [R or L, hidden]; what is left out after attention is not computed. */
struct dlm_tensor *dlm_block_build(struct dlm_build *b, const struct dlm_block *l,
                                   const struct dlm_block_inputs *in, struct dlm_tensor *x);

#endif
