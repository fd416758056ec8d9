/* Scaled dot-product attention with grouped heads, one op; a mask is never a tensor.
 *
 *     out[b,t,h] = softmax_s(scale q[b,t,h] . k[b,s,h / (H/Hkv)]) v,    over the allowed keys s
 *     lse[b,h,t] = log sum_s exp(scale q . k)
 *
 * q, out f32 [B, T, H, D]; k, v f32|f16|bf16 [B, S, Hkv, D], k and v of the same strides, which
 * only within a head must be 1: all may be slices of one product; rows i32 [B, 4]: q_start, kv_len,
 * prefix_len, num_q. Query t stands at position P = q_start + t; with s counted from 0 a key is
 * allowed when s < kv_len and (full, or s <= P, or (P < prefix_len and s < prefix_len)). A window
 * lets a causal query see its last keys only, P - window < s <= P; the prefix stays whole, as
 * transformers' or_mask_function has it. So the allowed keys of a query follow each other, and
 * neither their begin nor their end falls from one query to the next. Queries t >= num_q, and
 * queries without an allowed key, give 0 and lse 0.
 * Agrees with torch.nn.functional.scaled_dot_product_attention under that mask; with a soft cap c
 * (Gemma 2) scores x = scale q . k become c tanh(x / c), as transformers' eager attention has it.
 *
 * Scores are never in memory, only tiles of them in a kernel. Under a 16-bit policy (round) matrix
 * units may take operands of 16 bits, in both directions the same ones, so that exp(score - lse)
 * stays a distribution; sums, scores and what is returned are f32. Keys past kv_len and queries
 * past num_q may be anything.
 * Backward (two passes over the keys, no atomics): with P = exp(scale q.k - lse),
 * delta = sum_d dout out, dS = P (dout . v - delta):
 *
 *     dq = scale sum_s dS k,   dk = scale sum_{t, h of the group} dS q,   dv = sum P dout
 *
 * where a soft cap multiplies dS by 1 - (score / c)^2. */
#include <math.h>
#include <stdlib.h>

#include "ops/attention_lower.h"
#include "ops/row_ops.h"

enum { Q = DLM_ATTENTION_Q, K = DLM_ATTENTION_K, V = DLM_ATTENTION_V };

_Static_assert(DLM_ATTENTION_PREFIX == DLM_ATTENTION_PREFIX_MODE, "kernels know it by number");

/* [B, T, H, D] with the elements of a head side by side. */
static bool is_heads(const struct dlm_desc *d)
{
    return d->layout == DLM_LAYOUT_STRIDED && d->ndim == 4 &&
           (d->stride[3] == 1 || d->shape[3] == 1);
}

static bool same_strides(const struct dlm_desc *a, const struct dlm_desc *b)
{
    for (int i = 0; i < 3; i++)
        if (a->shape[i] > 1 && a->stride[i] != b->stride[i])
            return false;
    return true;
}

static enum dlm_status infer_qkv(struct dlm_ctx *ctx, const union dlm_attrs *attrs,
                                 const struct dlm_desc *in, const struct dlm_desc *rows)
{
    const struct dlm_attention_attrs *a = &attrs->attention;
    const char *op = "attention";

    enum dlm_status st = DLM_OK;
    if (in[Q].dtype != DLM_DTYPE_F32 || !is_heads(&in[Q]))
        st = dlm_infer_fail(ctx, op, "q must be f32 [B, T, H, D], heads without gaps", &in[Q]);
    for (int i = K; !st && i <= V; i++) {
        const struct dlm_desc *d = &in[i];
        if (!dlm_dtype_is_float(d->dtype) || !is_heads(d) || d->shape[0] != in[Q].shape[0] ||
            d->shape[3] != in[Q].shape[3] || in[Q].shape[2] % d->shape[2])
            st = dlm_infer_fail(ctx, op, "k and v must be f32, f16 or bf16 [B, S, Hkv, D], "
                                "Hkv dividing H, heads without gaps", d);
    }
    if (!st && (in[K].dtype != in[V].dtype || !dlm_desc_same_shape(&in[K], &in[V]) ||
                !same_strides(&in[K], &in[V])))
        st = dlm_infer_fail(ctx, op, "v must be like k", &in[V]);
    if (!st && (rows->dtype != DLM_DTYPE_I32 || rows->ndim != 2 || rows->shape[1] != 4 ||
                rows->shape[0] != in[Q].shape[0] || !dlm_desc_is_contiguous(rows)))
        st = dlm_infer_fail(ctx, op, "rows must be i32 [B, 4]", rows);
    if (!st && a->window &&
        (a->mode != DLM_ATTENTION_PREFIX || a->window > DLM_ATTENTION_MAX_WINDOW))
        st = dlm_infer_fail(ctx, op, "a window must be causal and below 2^29", &in[Q]);
    if (!st && !(a->softcap >= 0))
        st = dlm_infer_fail(ctx, op, "a soft cap must not be negative", &in[Q]);
    return st;
}

static struct dlm_desc lse_desc(const struct dlm_desc *q)
{
    return dlm_desc_make(DLM_DTYPE_F32, 3, (int64_t[]){q->shape[0], q->shape[2], q->shape[1]});
}

static enum dlm_status attention_infer(struct dlm_ctx *ctx, const union dlm_attrs *attrs,
                                       const struct dlm_desc *in, struct dlm_desc *out)
{
    enum dlm_status st = infer_qkv(ctx, attrs, in, &in[3]);
    if (!st) {
        out[0] = dlm_desc_make(DLM_DTYPE_F32, 4, in[Q].shape);
        out[1] = lse_desc(&in[Q]);
    }
    return st;
}

/* One query of one head, for the reference. */
struct query {
    const struct dlm_reference_call *call;
    int64_t b, t, h, hk; /* batch row, query, head, its kv head */
    int64_t keys, dim, kv_heads;
};

static struct query query_at(const struct dlm_reference_call *call, int64_t b, int64_t t, int64_t h)
{
    const int64_t *q = call->inputs[Q].desc.shape, *k = call->inputs[K].desc.shape;
    return (struct query){call, b, t, h, h / (q[2] / k[2]), k[1], q[3], k[2]};
}

static bool is_allowed(const struct query *x, int64_t s, const struct dlm_host_tensor *rows)
{
    int64_t start = dlm_host_get_i32(rows, 4 * x->b), kv_len = dlm_host_get_i32(rows, 4 * x->b + 1);
    int64_t prefix = dlm_host_get_i32(rows, 4 * x->b + 2);
    int64_t num_q = dlm_host_get_i32(rows, 4 * x->b + 3), at = start + x->t;
    int64_t window = x->call->attrs->attention.window;

    if (x->t >= num_q || s >= kv_len)
        return false;
    return x->call->attrs->attention.mode == DLM_ATTENTION_FULL ||
           (s <= at && (!window || s > at - window)) || (at < prefix && s < prefix);
}

static double kv_at(const struct query *x, int which, int64_t s, int64_t d)
{
    return dlm_host_get(&x->call->inputs[which], (int64_t[]){x->b, s, x->hk, d});
}

static double q_at(const struct query *x, int which, int64_t d)
{
    return dlm_host_get(&x->call->inputs[which], (int64_t[]){x->b, x->t, x->h, d});
}

static double score(const struct query *x, int64_t s)
{
    const double cap = x->call->attrs->attention.softcap;
    double dot = 0;

    for (int64_t d = 0; d < x->dim; d++)
        dot += q_at(x, Q, d) * kv_at(x, K, s, d);
    dot *= x->call->attrs->attention.scale;
    return cap > 0 ? cap * tanh(dot / cap) : dot;
}

static void reference_query(const struct query *x)
{
    const struct dlm_host_tensor *rows = &x->call->inputs[3];
    double max = -INFINITY, sum = 0;
    double *p = calloc((size_t)x->keys, sizeof(*p));

    if (!p)
        return;
    for (int64_t s = 0; s < x->keys; s++)
        if (is_allowed(x, s, rows))
            max = fmax(max, p[s] = score(x, s));
    for (int64_t s = 0; s < x->keys; s++)
        sum += p[s] = is_allowed(x, s, rows) ? exp(p[s] - max) : 0;
    for (int64_t d = 0; d < x->dim; d++) {
        double out = 0;
        for (int64_t s = 0; s < x->keys; s++)
            out += is_allowed(x, s, rows) ? p[s] * kv_at(x, V, s, d) : 0;
        dlm_host_set(&x->call->outputs[0], (int64_t[]){x->b, x->t, x->h, d},
                     sum > 0 ? out / sum : 0);
    }
    dlm_host_set(&x->call->outputs[1], (int64_t[]){x->b, x->h, x->t}, sum > 0 ? max + log(sum) : 0);
    free(p);
}

static void attention_reference(const struct dlm_reference_call *call)
{
    const int64_t *s = call->inputs[Q].desc.shape;

    for (int64_t b = 0; b < s[0]; b++)
        for (int64_t t = 0; t < s[1]; t++)
            for (int64_t h = 0; h < s[2]; h++) {
                struct query x = query_at(call, b, t, h);
                reference_query(&x);
            }
}

static enum dlm_status attention_lower(struct dlm_lowering *l)
{
    enum dlm_status st = dlm_lower_check_sizes(l);
    if (st)
        return st;
    return l->caps->bits & DLM_CAP_BLOCK_ITEMS ? dlm_attention_lower_cpu(l)
                                               : dlm_attention_lower_gpu(l);
}

/* True when q, k and v are all of one tensor, in slices along its heads. */
static bool is_joined(struct dlm_tensor *const *qkv)
{
    const struct dlm_tensor *whole = qkv[Q]->parent;
    int64_t at = 0;

    for (int i = Q; i <= V; i++) {
        const struct dlm_tensor *t = qkv[i];
        if (t->view != DLM_VIEW_SLICE || t->parent != whole || t->view_dim != 2 ||
            t->view_begin != at)
            return false;
        at += t->desc.shape[2];
    }
    return at == whole->desc.shape[2] && whole->desc.dtype == DLM_DTYPE_F32;
}

/* The gradients of q, k and v are slices of one buffer where those are slices of one tensor. */
static void attention_backward_rule(struct dlm_graph *g, const struct dlm_node *node,
                                    struct dlm_tensor *const *grads,
                                    struct dlm_tensor **input_grads)
{
    struct dlm_tensor *outputs[DLM_MAX_OUTPUTS], *into[DLM_MAX_OUTPUTS];
    struct dlm_tensor *inputs[] = {node->inputs[Q],  node->inputs[K],  node->inputs[V],
                                   node->outputs[0], node->outputs[1], grads[0],
                                   node->inputs[3]};
    const struct dlm_op *op = &dlm_op_attention_backward;
    bool ok;

    if (is_joined(inputs)) {
        const struct dlm_desc *d = &inputs[Q]->parent->desc;
        const struct dlm_desc plain = dlm_desc_make(DLM_DTYPE_F32, d->ndim, d->shape);
        struct dlm_tensor *whole = dlm_graph_buffer(g, &plain);
        for (int i = Q; i <= V; i++)
            into[i] = dlm_view_slice(g, whole, 2, inputs[i]->view_begin, inputs[i]->desc.shape[2]);
        ok = dlm_graph_emit_into_all(g, op, &node->attrs, inputs, 7, into, outputs);
    } else {
        ok = dlm_graph_emit(g, op, &node->attrs, inputs, 7, outputs) != NULL;
    }
    for (int i = Q; ok && i <= V; i++)
        input_grads[i] = outputs[i];
}

const struct dlm_op dlm_op_attention = {
    .name = "attention",
    .num_inputs = 4,
    .num_outputs = 2,
    .infer = attention_infer,
    .reference = attention_reference,
    .lower = attention_lower,
    .backward = attention_backward_rule,
};

struct dlm_tensor *dlm_attention(struct dlm_graph *g, struct dlm_tensor *q, struct dlm_tensor *k,
                                 struct dlm_tensor *v, struct dlm_tensor *rows,
                                 const struct dlm_attention_attrs *attrs)
{
    if (!q || !k || !v || !rows)
        return NULL;
    return dlm_graph_emit(g, &dlm_op_attention, &(union dlm_attrs){.attention = *attrs},
                          (struct dlm_tensor *[]){q, k, v, rows}, 4, NULL);
}

/* Inputs q, k, v, out, lse, dout, rows; outputs dq, dk, dv. */
enum {
    OUT = DLM_ATTENTION_OUT,
    LSE = DLM_ATTENTION_LSE,
    DOUT = DLM_ATTENTION_DOUT,
    ROWS = DLM_ATTENTION_BACKWARD_ROWS
};

static enum dlm_status attention_backward_infer(struct dlm_ctx *ctx, const union dlm_attrs *attrs,
                                                const struct dlm_desc *in, struct dlm_desc *out)
{
    const char *op = "attention_backward";
    struct dlm_desc lse = lse_desc(&in[Q]);

    enum dlm_status st = infer_qkv(ctx, attrs, in, &in[ROWS]);
    for (int i = OUT; !st && i <= DOUT; i++) {
        st = dlm_infer_plain(ctx, op, "out, lse and dout", &in[i]);
        if (!st && !dlm_desc_same_shape(&in[i], i == LSE ? &lse : &in[Q]))
            st = dlm_infer_fail(ctx, op, "out, lse and dout must fit q", &in[i]);
    }
    for (int i = Q; !st && i <= V; i++)
        out[i] = dlm_desc_make(DLM_DTYPE_F32, 4, in[i].shape);
    return st;
}

static void add_to(const struct dlm_host_tensor *t, const int64_t *idx, double value)
{
    dlm_host_set(t, idx, dlm_host_get(t, idx) + value);
}

static void reference_query_backward(const struct query *x, double *dk, double *dv)
{
    const struct dlm_reference_call *call = x->call;
    const double cap = call->attrs->attention.softcap;
    double delta = 0, lse = dlm_host_get(&call->inputs[LSE], (int64_t[]){x->b, x->h, x->t});

    for (int64_t d = 0; d < x->dim; d++)
        delta += q_at(x, DOUT, d) * q_at(x, OUT, d);
    for (int64_t s = 0; s < x->keys; s++) {
        double dp = 0;
        if (!is_allowed(x, s, &call->inputs[ROWS]))
            continue;
        double z = score(x, s), p = exp(z - lse);
        for (int64_t d = 0; d < x->dim; d++)
            dp += q_at(x, DOUT, d) * kv_at(x, V, s, d);
        double ds = p * (dp - delta) * call->attrs->attention.scale;
        if (cap > 0)
            ds *= 1 - z / cap * (z / cap);
        int64_t at = ((x->b * x->keys + s) * x->kv_heads + x->hk) * x->dim;
        for (int64_t d = 0; d < x->dim; d++) {
            add_to(&call->outputs[0], (int64_t[]){x->b, x->t, x->h, d}, ds * kv_at(x, K, s, d));
            dk[at + d] += ds * q_at(x, Q, d);
            dv[at + d] += p * q_at(x, DOUT, d);
        }
    }
}

static void attention_backward_reference(const struct dlm_reference_call *call)
{
    const int64_t *q = call->inputs[Q].desc.shape, kv_len = dlm_desc_len(&call->inputs[K].desc);
    double *dk = calloc((size_t)kv_len, sizeof(*dk)), *dv = calloc((size_t)kv_len, sizeof(*dv));

    for (int64_t i = 0; dk && dv && i < dlm_desc_len(&call->inputs[Q].desc); i++)
        dlm_host_set_flat(&call->outputs[0], i, 0);
    for (int64_t b = 0; dk && dv && b < q[0]; b++)
        for (int64_t t = 0; t < q[1]; t++)
            for (int64_t h = 0; h < q[2]; h++) {
                struct query x = query_at(call, b, t, h);
                reference_query_backward(&x, dk, dv);
            }
    for (int64_t i = 0; dk && dv && i < kv_len; i++) {
        dlm_host_set_flat(&call->outputs[1], i, dk[i]);
        dlm_host_set_flat(&call->outputs[2], i, dv[i]);
    }
    free(dk);
    free(dv);
}

static enum dlm_status attention_backward_lower(struct dlm_lowering *l)
{
    enum dlm_status st = dlm_lower_check_sizes(l);
    if (st)
        return st;
    return l->caps->bits & DLM_CAP_BLOCK_ITEMS ? dlm_attention_backward_lower_cpu(l)
                                               : dlm_attention_backward_lower_gpu(l);
}

const struct dlm_op dlm_op_attention_backward = {
    .name = "attention_backward",
    .num_inputs = 7,
    .num_outputs = 3,
    .infer = attention_backward_infer,
    .reference = attention_backward_reference,
    .lower = attention_backward_lower,
    /* lse belongs to the scores of these very q and k: others would not sum to one */
    .exact_inputs = 1u << Q | 1u << K | 1u << LSE,
};
