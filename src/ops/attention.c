/* Scaled dot-product attention with grouped heads, one op; a mask is never a tensor.
 *
 *     out[b,t,h] = softmax_s(scale q[b,t,h] . k[b,s,h / (H/Hkv)]) v,    over the allowed keys s
 *     lse[b,h,t] = log sum_s exp(scale q . k)
 *
 * q, out f32 [B, T, H, D]; k, v f32|f16|bf16 [B, S, Hkv, D]; rows i32 [B, 4]: q_start, kv_len,
 * prefix_len, num_q. Query t stands at position P = q_start + t; with s counted from 0 a key is
 * allowed when s < kv_len and (full, or s <= P, or (P < prefix_len and s < prefix_len)). Queries
 * t >= num_q, and queries without an allowed key, give 0 and lse 0.
 * Agrees with torch.nn.functional.scaled_dot_product_attention under that mask.
 *
 * Backward (two passes over the keys, no atomics): with P = exp(scale q.k - lse),
 * delta = sum_d dout out, dS = P (dout . v - delta):
 *
 *     dq = scale sum_s dS k,   dk = scale sum_{t, h of the group} dS q,   dv = sum P dout */
#include <math.h>
#include <stdlib.h>

#include "cpukernels/attention.h"
#include "ops/build.h"
#include "ops/matmul.h"
#include "ops/rows.h"

enum { Q, K, V };

_Static_assert(DLM_ATTENTION_PREFIX == DLM_ATTENTION_PREFIX_MODE, "kernels know it by number");

static enum dlm_status infer_qkv(struct dlm_ctx *ctx, const struct dlm_desc *in,
                                 const struct dlm_desc *rows)
{
    const char *op = "attention";

    enum dlm_status st = dlm_infer_plain(ctx, op, "q", &in[Q]);
    if (!st && in[Q].ndim != 4)
        st = dlm_infer_fail(ctx, op, "q must be [B, T, H, D]", &in[Q]);
    for (int i = K; !st && i <= V; i++) {
        const struct dlm_desc *d = &in[i];
        if (d->dtype > DLM_DTYPE_BF16 || d->ndim != 4 || !dlm_desc_is_contiguous(d) ||
            d->shape[0] != in[Q].shape[0] || d->shape[3] != in[Q].shape[3] ||
            in[Q].shape[2] % d->shape[2])
            st = dlm_infer_fail(ctx, op, "k and v must be [B, S, Hkv, D], Hkv dividing H", d);
    }
    if (!st && (in[K].dtype != in[V].dtype || !dlm_desc_same_shape(&in[K], &in[V])))
        st = dlm_infer_fail(ctx, op, "v must be like k", &in[V]);
    if (!st && (rows->dtype != DLM_DTYPE_I32 || rows->ndim != 2 || rows->shape[1] != 4 ||
                rows->shape[0] != in[Q].shape[0] || !dlm_desc_is_contiguous(rows)))
        st = dlm_infer_fail(ctx, op, "rows must be i32 [B, 4]", rows);
    return st;
}

static struct dlm_desc lse_desc(const struct dlm_desc *q)
{
    return dlm_desc_make(DLM_DTYPE_F32, 3, (int64_t[]){q->shape[0], q->shape[2], q->shape[1]});
}

static enum dlm_status attention_infer(struct dlm_ctx *ctx, const union dlm_attrs *attrs,
                                       const struct dlm_desc *in, struct dlm_desc *out)
{
    (void)attrs;
    enum dlm_status st = infer_qkv(ctx, in, &in[3]);
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

    if (x->t >= num_q || s >= kv_len)
        return false;
    return x->call->attrs->attention.mode == DLM_ATTENTION_FULL || s <= at ||
           (at < prefix && s < prefix);
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
    double dot = 0;

    for (int64_t d = 0; d < x->dim; d++)
        dot += q_at(x, Q, d) * kv_at(x, K, s, d);
    return dot * x->call->attrs->attention.scale;
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
            out += p[s] * kv_at(x, V, s, d);
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

static struct dlm_attention_params make_params(const struct dlm_lowering *l)
{
    const struct dlm_desc *q = &l->inputs[Q], *k = &l->inputs[K];

    return (struct dlm_attention_params){
        .batch = (uint32_t)q->shape[0],
        .queries = (uint32_t)q->shape[1],
        .keys = (uint32_t)k->shape[1],
        .heads = (uint32_t)q->shape[2],
        .kv_heads = (uint32_t)k->shape[2],
        .dim = (uint32_t)q->shape[3],
        .mode = l->attrs->attention.mode,
        .scale = l->attrs->attention.scale,
    };
}

static uint32_t blocks(uint32_t n, uint32_t block)
{
    return (n + block - 1) / block;
}

/* GPUs: the products are matmul's kernels on all of a head's scores, [B, H, num, S] in a temporary.
 * Queries are taken in parts so that it stays below: */
#define MAX_SCORES_BYTES ((uint64_t)256 << 20)
#define MIN_QUERIES 64u

static bool has_products(const struct dlm_lowering *l)
{
    return dlm_device_has_kernel(l->device, "attention_softmax");
}

static void choose_num(struct dlm_attention_params *p)
{
    const uint64_t query_bytes = sizeof(float) * (uint64_t)p->batch * p->heads * p->keys;
    const uint64_t num = MAX_SCORES_BYTES / query_bytes;

    p->num = p->queries;
    if (num < p->queries)
        p->num = (uint32_t)DLM_MIN(DLM_MAX(num, (uint64_t)MIN_QUERIES), (uint64_t)p->queries);
}

static struct dlm_operand scores_temp(struct dlm_lowering *l, const struct dlm_attention_params *p)
{
    return dlm_lower_temp(l, sizeof(float) * (size_t)p->batch * p->heads * p->num * p->keys);
}

/* q, out and their gradients from query `first` on, as a or out of a product with batch (B, H). */
static void set_queries(const struct dlm_attention_params *p, uint32_t *lead, uint32_t *stride)
{
    *lead = p->first * p->heads * p->dim;
    stride[0] = p->queries * p->heads * p->dim;
    stride[1] = p->dim;
    stride[2] = p->heads * p->dim;
}

static void set_scores(const struct dlm_attention_params *p, uint32_t *stride)
{
    stride[0] = p->heads * p->num * p->keys;
    stride[1] = p->num * p->keys;
    stride[2] = p->keys;
}

/* scores[b,h,t,s] = alpha x[b,t,h] . y[b,s,hk], as far as there are keys. */
static enum dlm_status lower_scores(struct dlm_lowering *l, const struct dlm_attention_params *p,
                                    struct dlm_operand x, int y, float alpha,
                                    struct dlm_operand rows, struct dlm_operand scores)
{
    struct dlm_product product = {
        .p = {.m = p->num, .n = p->keys, .k = p->dim, .batch0 = p->batch, .batch1 = p->heads,
              .a_stride = {0, 0, 0, 1},
              .b_stride = {p->keys * p->kv_heads * p->dim, p->dim, 1, p->kv_heads * p->dim},
              .b_group = p->heads / p->kv_heads, .splits = 1, .split_k = p->dim,
              .flags = DLM_MATMUL_N_KV_LEN, .alpha = alpha},
        .b_dtype = l->inputs[y].dtype, .a = x, .b = DLM_INPUT(y), .out = scores, .rows = rows,
    };

    set_queries(p, &product.p.a_lead, product.p.a_stride);
    set_scores(p, product.p.out_stride);
    return dlm_product_lower(l, &product);
}

/* out[b,t,h] = alpha sum_s scores[b,h,t,s] y[b,s,hk] */
static enum dlm_status lower_values(struct dlm_lowering *l, const struct dlm_attention_params *p,
                                    struct dlm_operand scores, int y, float alpha,
                                    struct dlm_operand rows, struct dlm_operand out)
{
    const bool is_whole = p->num == p->queries; /* in parts there are many tiles anyway */
    struct dlm_product product = {
        .p = {.m = p->num, .n = p->dim, .k = p->keys, .batch0 = p->batch, .batch1 = p->heads,
              .a_stride = {0, 0, 0, 1},
              .b_stride = {p->keys * p->kv_heads * p->dim, p->dim, p->kv_heads * p->dim, 1},
              .b_group = p->heads / p->kv_heads, .splits = is_whole ? 0 : 1, .split_k = p->keys,
              .flags = DLM_MATMUL_K_KV_LEN, .alpha = alpha},
        .b_dtype = l->inputs[y].dtype, .a = scores, .b = DLM_INPUT(y), .out = out, .rows = rows,
    };

    set_scores(p, product.p.a_stride);
    set_queries(p, &product.p.out_lead, product.p.out_stride);
    return dlm_product_lower(l, &product);
}

/* Queries [first, first + num): row kernels over their scores. */
static enum dlm_status lower_rows(struct dlm_lowering *l, struct dlm_kernel_call *call,
                                  const struct dlm_attention_params *p, uint32_t rows_of_group)
{
    const uint64_t rows = (uint64_t)p->batch * p->heads * p->num;

    call->groups[0] = (uint32_t)((rows + rows_of_group - 1) / rows_of_group);
    return dlm_lower_call(l, call, p, sizeof(*p));
}

static enum dlm_status lower_forward_products(struct dlm_lowering *l,
                                              struct dlm_attention_params *p)
{
    const bool is_nolocal = l->caps->bits & DLM_CAP_NO_LOCAL;
    enum dlm_status st = DLM_OK;

    choose_num(p);
    const struct dlm_operand scores = scores_temp(l, p);
    struct dlm_kernel_call softmax = {
        .kernel = is_nolocal ? "attention_softmax_nolocal" : "attention_softmax",
        .args = {scores, DLM_INPUT(3), DLM_OUTPUT(1)},
        .num_args = 3,
        .writes = 1u << 0 | 1u << 2,
    };
    for (uint32_t step = p->num; !st && p->first < p->queries; p->first += step) {
        p->num = DLM_MIN(step, p->queries - p->first);
        st = lower_scores(l, p, DLM_INPUT(Q), K, p->scale, DLM_INPUT(3), scores);
        if (!st)
            st = lower_rows(l, &softmax, p, is_nolocal ? 64 : 1);
        if (!st)
            st = lower_values(l, p, scores, V, 1, DLM_INPUT(3), DLM_OUTPUT(0));
    }
    return st;
}

/* CPU: an item takes p.block rows of a kv head, see cpukernels/attention.h. Bindings q, k, v, rows,
 * out, lse. */
static enum dlm_status attention_lower(struct dlm_lowering *l)
{
    static const char *const names[] = {"attention_f32", "attention_f16", "attention_bf16"};
    enum dlm_status st = dlm_lower_check_plain(l);
    if (st)
        return st;
    struct dlm_attention_params p = make_params(l);
    if (has_products(l))
        return lower_forward_products(l, &p);
    if (p.dim > DLM_ATTENTION_MAX_DIM)
        return dlm_lower_unsupported(l, "head size over 256");
    p.block = dlm_attention_cpu_rows(&p);
    struct dlm_kernel_call call = {
        .kernel = names[l->inputs[K].dtype],
        .args = {DLM_INPUT(Q), DLM_INPUT(K), DLM_INPUT(V), DLM_INPUT(3), DLM_OUTPUT(0),
                 DLM_OUTPUT(1)},
        .num_args = 6,
        .writes = 1u << 4 | 1u << 5,
        .groups = {blocks(p.queries * (p.heads / p.kv_heads), p.block), p.kv_heads, p.batch},
        .scratch_bytes = dlm_attention_rows_scratch(&p, 1, 1),
    };
    return dlm_lower_call(l, &call, &p, sizeof(p));
}

static void attention_backward_rule(struct dlm_graph *g, const struct dlm_node *node,
                                    struct dlm_tensor *const *grads,
                                    struct dlm_tensor **input_grads)
{
    struct dlm_tensor *outputs[DLM_MAX_OUTPUTS];
    struct dlm_tensor *inputs[] = {node->inputs[Q],  node->inputs[K],  node->inputs[V],
                                   node->outputs[0], node->outputs[1], grads[0],
                                   node->inputs[3]};

    if (!dlm_graph_emit(g, DLM_OP_attention_backward, &node->attrs, inputs, 7, outputs))
        return;
    for (int i = Q; i <= V; i++)
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
    return dlm_graph_emit(g, DLM_OP_attention, &(union dlm_attrs){.attention = *attrs},
                          (struct dlm_tensor *[]){q, k, v, rows}, 4, NULL);
}

/* Inputs q, k, v, out, lse, dout, rows; outputs dq, dk, dv. */
enum { OUT = 3, LSE, DOUT, ROWS };

static enum dlm_status attention_backward_infer(struct dlm_ctx *ctx, const union dlm_attrs *attrs,
                                                const struct dlm_desc *in, struct dlm_desc *out)
{
    (void)attrs;
    const char *op = "attention_backward";
    struct dlm_desc lse = lse_desc(&in[Q]);

    enum dlm_status st = infer_qkv(ctx, in, &in[ROWS]);
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
    double delta = 0, lse = dlm_host_get(&call->inputs[LSE], (int64_t[]){x->b, x->h, x->t});

    for (int64_t d = 0; d < x->dim; d++)
        delta += q_at(x, DOUT, d) * q_at(x, OUT, d);
    for (int64_t s = 0; s < x->keys; s++) {
        double dp = 0;
        if (!is_allowed(x, s, &call->inputs[ROWS]))
            continue;
        double p = exp(score(x, s) - lse);
        for (int64_t d = 0; d < x->dim; d++)
            dp += q_at(x, DOUT, d) * kv_at(x, V, s, d);
        double ds = p * (dp - delta) * call->attrs->attention.scale;
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

/* delta[b,h,t] (bindings dout, out, delta). */
static enum dlm_status lower_delta(struct dlm_lowering *l, const struct dlm_attention_params *p,
                                   struct dlm_operand *delta)
{
    *delta = dlm_lower_temp(l, (size_t)p->batch * p->heads * p->queries * sizeof(float));
    struct dlm_kernel_call call = {
        .kernel = "attention_delta",
        .args = {DLM_INPUT(DOUT), DLM_INPUT(OUT), *delta},
        .num_args = 3,
        .writes = 1u << 2,
        .groups = {blocks(p->queries, DLM_ATTENTION_QUERIES), p->heads, p->batch},
    };
    if (has_products(l)) {
        call.groups[0] = blocks(p->batch * p->queries * p->heads, 64);
        call.groups[1] = call.groups[2] = 1;
    }
    return dlm_lower_call(l, &call, p, sizeof(*p));
}

/* out[b,s,hk] = alpha sum over the group's heads h and t of scores[b,h,t,s] x[b,t,h]: each head is
 * a part of the sum. When queries come in parts, the heads follow each other and add to what is
 * there. */
static enum dlm_status lower_sums(struct dlm_lowering *l, const struct dlm_attention_params *p,
                                  struct dlm_operand scores, int x, float alpha,
                                  struct dlm_operand out)
{
    const bool is_whole = p->num == p->queries;
    const uint32_t group = p->heads / p->kv_heads, parts = is_whole ? group : 1;
    struct dlm_product product = {
        .p = {.m = p->keys, .n = p->dim, .k = parts * p->num, .batch0 = p->batch,
              .batch1 = p->kv_heads,
              .a_stride = {p->heads * p->num * p->keys, group * p->num * p->keys, 1, p->keys},
              .b_stride = {p->queries * p->heads * p->dim, group * p->dim, p->heads * p->dim, 1},
              .b_group = 1, .splits = parts, .split_k = p->num, .a_split = p->num * p->keys,
              .b_split = p->dim, .flags = is_whole ? DLM_MATMUL_K_NUM_Q : 0, .alpha = alpha,
              .out_stride = {p->keys * p->kv_heads * p->dim, p->dim, p->kv_heads * p->dim},
              .c_stride = {p->keys * p->kv_heads * p->dim, p->dim, p->kv_heads * p->dim, 1}},
        .b_dtype = DLM_DTYPE_F32, .a = scores, .b = DLM_INPUT(x), .out = out, .c = out,
        .rows = DLM_INPUT(ROWS),
    };
    enum dlm_status st = DLM_OK;

    for (uint32_t g = 0; !st && g < group; g += parts) {
        product.p.a_lead = g * p->num * p->keys;
        product.p.b_lead = p->first * p->heads * p->dim + g * p->dim;
        if (g || p->first)
            product.p.flags |= DLM_MATMUL_HAS_C;
        st = dlm_product_lower(l, &product);
    }
    return st;
}

static enum dlm_status lower_backward_products(struct dlm_lowering *l,
                                               struct dlm_attention_params *p)
{
    struct dlm_operand delta;
    enum dlm_status st = lower_delta(l, p, &delta);

    choose_num(p);
    const struct dlm_operand scores = scores_temp(l, p), dscores = scores_temp(l, p);
    struct dlm_kernel_call weigh = {
        .kernel = "attention_dscores",
        .args = {scores, dscores, DLM_INPUT(LSE), delta, DLM_INPUT(ROWS)},
        .num_args = 5,
        .writes = 1u << 0 | 1u << 1,
    };
    for (uint32_t step = p->num; !st && p->first < p->queries; p->first += step) {
        p->num = DLM_MIN(step, p->queries - p->first);
        st = lower_scores(l, p, DLM_INPUT(Q), K, p->scale, DLM_INPUT(ROWS), scores);
        if (!st)
            st = lower_scores(l, p, DLM_INPUT(DOUT), V, 1, DLM_INPUT(ROWS), dscores);
        if (!st)
            st = lower_rows(l, &weigh, p, 1);
        if (!st)
            st = lower_values(l, p, dscores, K, p->scale, DLM_INPUT(ROWS), DLM_OUTPUT(0));
        if (!st)
            st = lower_sums(l, p, dscores, Q, p->scale, DLM_OUTPUT(1));
        if (!st)
            st = lower_sums(l, p, scores, DOUT, 1, DLM_OUTPUT(2));
    }
    return st;
}

/* CPU: delta, then dq (an item: p.block rows of a kv head; bindings q, k, v, dout, lse, delta,
 * rows, dq), then dk and dv (p.block keys of a kv head; q, k, v, dout, lse, delta, rows, dk,
 * dv). */
static enum dlm_status attention_backward_lower(struct dlm_lowering *l)
{
    static const char *const dq_names[] = {"attention_dq_f32", "attention_dq_f16",
                                           "attention_dq_bf16"};
    static const char *const dkv_names[] = {"attention_dkv_f32", "attention_dkv_f16",
                                            "attention_dkv_bf16"};
    struct dlm_operand delta;
    enum dlm_status st = dlm_lower_check_plain(l);
    if (st)
        return st;
    struct dlm_attention_params p = make_params(l);
    if (has_products(l))
        return lower_backward_products(l, &p);
    if (p.dim > DLM_ATTENTION_MAX_DIM)
        return dlm_lower_unsupported(l, "head size over 256");
    st = lower_delta(l, &p, &delta);
    p.block = dlm_attention_cpu_rows(&p);
    struct dlm_kernel_call dq = {
        .kernel = dq_names[l->inputs[K].dtype],
        .args = {DLM_INPUT(Q), DLM_INPUT(K), DLM_INPUT(V), DLM_INPUT(DOUT), DLM_INPUT(LSE), delta,
                 DLM_INPUT(ROWS), DLM_OUTPUT(0)},
        .num_args = 8,
        .writes = 1u << 7,
        .groups = {blocks(p.queries * (p.heads / p.kv_heads), p.block), p.kv_heads, p.batch},
        .scratch_bytes = dlm_attention_rows_scratch(&p, 2, 2),
    };
    struct dlm_kernel_call dkv = dq;
    dkv.kernel = dkv_names[l->inputs[K].dtype];
    dkv.args[7] = DLM_OUTPUT(1);
    dkv.args[8] = DLM_OUTPUT(2);
    dkv.num_args = 9;
    dkv.writes = 1u << 7 | 1u << 8;
    dkv.groups[0] = blocks(p.keys, p.block);
    dkv.scratch_bytes = dlm_attention_keys_scratch(&p);
    if (!st)
        st = dlm_lower_call(l, &dq, &p, sizeof(p));
    return st ? st : dlm_lower_call(l, &dkv, &p, sizeof(p));
}

const struct dlm_op dlm_op_attention_backward = {
    .name = "attention_backward",
    .num_inputs = 7,
    .num_outputs = 3,
    .infer = attention_backward_infer,
    .reference = attention_backward_reference,
    .lower = attention_backward_lower,
};
