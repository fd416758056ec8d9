/* Builders: append nodes to a graph. Models and backward rules use the same ones. Each op's builder
 * stands in the op's file; the graph itself is behind dlm_graph_emit().
 *
 * Errors stick: a builder that fails logs, marks the graph and returns NULL; builders given NULL
 * return NULL. Check dlm_graph_status() once at the end. Tensors belong to the graph. */
#ifndef DLM_OPS_BUILD_H
#define DLM_OPS_BUILD_H

#include "ir/graph.h"
#include "ir/view.h"
#include "ops/op_list.h"

/* The builders, in the order of the op list. Shapes, meaning and the PyTorch function that each
 * must agree with stand at the head of each op's file. */
struct dlm_tensor *dlm_matmul(struct dlm_graph *g, struct dlm_tensor *a, struct dlm_tensor *b,
                              struct dlm_tensor *c, struct dlm_tensor *bias,
                              const struct dlm_matmul_attrs *attrs);
struct dlm_tensor *dlm_add(struct dlm_graph *g, struct dlm_tensor *x, struct dlm_tensor *y);
struct dlm_tensor *dlm_mul(struct dlm_graph *g, struct dlm_tensor *x, struct dlm_tensor *y);
/* x * factor * t[0]; t f32 [1] or NULL */
struct dlm_tensor *dlm_scale(struct dlm_graph *g, struct dlm_tensor *x, float factor,
                             struct dlm_tensor *t);
struct dlm_tensor *dlm_activation(struct dlm_graph *g, struct dlm_tensor *x, uint32_t kind);
struct dlm_tensor *dlm_gated_activation(struct dlm_graph *g, struct dlm_tensor *gate,
                                        struct dlm_tensor *up, uint32_t kind);
struct dlm_tensor *dlm_rms_norm(struct dlm_graph *g, struct dlm_tensor *x,
                                struct dlm_tensor *weight, const struct dlm_norm_attrs *attrs);
struct dlm_tensor *dlm_layer_norm(struct dlm_graph *g, struct dlm_tensor *x,
                                  struct dlm_tensor *weight, struct dlm_tensor *bias,
                                  const struct dlm_norm_attrs *attrs);
/* q [B, T, H, D] f32; k, v [B, S, Hkv, D]; rows i32 [B, 4]: q_start, kv_len, prefix_len, num_q. q,
 * k and v may be slices of one tensor along its heads; when they are all of it, their gradient is
 * one tensor, too. */
struct dlm_tensor *dlm_attention(struct dlm_graph *g, struct dlm_tensor *q, struct dlm_tensor *k,
                                 struct dlm_tensor *v, struct dlm_tensor *rows,
                                 const struct dlm_attention_attrs *attrs);
/* x [R, H, D], maybe a slice along R or H; cos, sin f32 [R, D/2] */
struct dlm_tensor *dlm_rope(struct dlm_graph *g, struct dlm_tensor *x, struct dlm_tensor *cos,
                            struct dlm_tensor *sin, bool inverse);
/* The same of the first `turned` heads; the others are copied. */
struct dlm_tensor *dlm_rope_some(struct dlm_graph *g, struct dlm_tensor *x, struct dlm_tensor *cos,
                                 struct dlm_tensor *sin, int64_t turned);
/* ids i32 [R]; table [V, C]; features f32 [F, C] or NULL; base f32 [R, C] or NULL */
struct dlm_tensor *dlm_embedding(struct dlm_graph *g, struct dlm_tensor *ids,
                                 struct dlm_tensor *table, struct dlm_tensor *features,
                                 struct dlm_tensor *base, struct dlm_tensor *slot_rows,
                                 const struct dlm_embedding_attrs *attrs);
/* contiguous copy as dtype */
struct dlm_tensor *dlm_copy(struct dlm_graph *g, struct dlm_tensor *x, enum dlm_dtype dtype);
struct dlm_tensor *dlm_copy_into(struct dlm_graph *g, struct dlm_tensor *x,
                                 struct dlm_tensor *into);
struct dlm_tensor *dlm_sum(struct dlm_graph *g, struct dlm_tensor *x, uint32_t axes);
/* grad summed over the dimensions along which `to` was broadcast: it gets to's shape */
struct dlm_tensor *dlm_reduce_to(struct dlm_graph *g, struct dlm_tensor *grad,
                                 const struct dlm_desc *to);
/* logits f32 [R, V], labels i32 [R], weights f32 [R] -> logprob f32 [R] (into `logprob` unless
 * NULL), dlogits f32 [R, V], which is not made where dlogits is NULL */
struct dlm_tensor *dlm_cross_entropy(struct dlm_graph *g, struct dlm_tensor *logits,
                                     struct dlm_tensor *labels, struct dlm_tensor *weights,
                                     struct dlm_tensor *logprob, struct dlm_tensor **dlogits);
/* x f32 [R, C]; rng u32 [4]: seed low, seed high, step, 0; row_ids u32 [B] */
struct dlm_tensor *dlm_dropout(struct dlm_graph *g, struct dlm_tensor *x, struct dlm_tensor *rng,
                               struct dlm_tensor *row_ids, const struct dlm_dropout_attrs *attrs);
/* All f32 [P], in place; coef f32 [2] of grad_norm; hyper f32 [8]: see adamw.c */
void dlm_adamw(struct dlm_graph *g, struct dlm_tensor *p, struct dlm_tensor *grad,
               struct dlm_tensor *m, struct dlm_tensor *v, struct dlm_tensor *coef,
               struct dlm_tensor *hyper);
/* f32 [2]: norm, factor */
struct dlm_tensor *dlm_grad_norm(struct dlm_graph *g, struct dlm_tensor *grad, float max_norm);
/* logits f32 [R, V]; sampling f32 [2]: temperature, top_p; rng u32 [4] -> i32 [R] */
struct dlm_tensor *dlm_select(struct dlm_graph *g, struct dlm_tensor *logits,
                              struct dlm_tensor *sampling, struct dlm_tensor *rng);
/* x f32 [R, C], idx i32 [M] -> [M, C]; idx < 0 gives zeros. idx_back i32 [R]: for the gradient, the
 * row m with idx[m] = r, or -1 (each r at most once); NULL if none is wanted */
struct dlm_tensor *dlm_gather_rows(struct dlm_graph *g, struct dlm_tensor *x,
                                   struct dlm_tensor *idx, struct dlm_tensor *idx_back);
struct dlm_tensor *dlm_fill_into(struct dlm_graph *g, struct dlm_tensor *into, float value);
/* dst[start[0] + t] = x[t] for t < start[1]; dst [S, W] written in place and returned */
struct dlm_tensor *dlm_store_rows(struct dlm_graph *g, struct dlm_tensor *dst,
                                  struct dlm_tensor *x, struct dlm_tensor *start);

#endif
