/* Rotary position embedding (Su et al., RoFormer, 2021), "rotate half" pairing of transformers'
 * apply_rotary_pos_emb: with a = x[i], b = x[i + D/2] of a head,
 *
 *     y[i] = a cos - b sin,   y[i + D/2] = b cos + a sin
 *
 * x, y f32 [R, H, D], without gaps in a head; cos, sin f32 [R, D/2] (which rotation a row gets is
 * data: 1-D, 2-D and M-RoPE are the same op). Of a joined product of queries, keys and values only
 * the first heads are turned, the others copied. inverse turns the other way, and is the backward
 * rule. */
#include "ops/op.h"
#include "ops/row_ops.h"

static bool is_heads(const struct dlm_desc *d)
{
    return d->layout == DLM_LAYOUT_STRIDED && d->ndim == 3 && d->stride[2] == 1;
}

/* 0 means all. */
static int64_t turned_heads(const union dlm_attrs *attrs, const struct dlm_desc *x)
{
    return attrs->rope.turned ? attrs->rope.turned : x->shape[1];
}

static enum dlm_status rope_infer(struct dlm_ctx *ctx, const union dlm_attrs *attrs,
                                  const struct dlm_desc *in, struct dlm_desc *out)
{
    enum dlm_status st = DLM_OK;
    if (in[0].dtype != DLM_DTYPE_F32 || !is_heads(&in[0]) || in[0].shape[2] % 2)
        st = dlm_infer_fail(ctx, "rope",
                            "x must be f32 [R, H, D] with an even D, heads without gaps", &in[0]);
    if (!st && (attrs->rope.turned < 0 || attrs->rope.turned > in[0].shape[1]))
        st = dlm_infer_fail(ctx, "rope", "not more heads can be turned than there are", &in[0]);
    for (int i = 1; !st && i < 3; i++) {
        st = dlm_infer_plain(ctx, "rope", i == 1 ? "cos" : "sin", &in[i]);
        if (!st && (in[i].ndim != 2 || in[i].shape[0] != in[0].shape[0] ||
                    in[i].shape[1] * 2 != in[0].shape[2]))
            st = dlm_infer_fail(ctx, "rope", "cos and sin must be [R, D/2]", &in[i]);
    }
    if (!st)
        out[0] = dlm_desc_make(DLM_DTYPE_F32, 3, in[0].shape);
    return st;
}

static void rope_reference(const struct dlm_reference_call *call)
{
    const int64_t *s = call->inputs[0].desc.shape, half = s[2] / 2;
    const int64_t turned = turned_heads(call->attrs, &call->inputs[0].desc);

    for (int64_t r = 0; r < s[0]; r++)
        for (int64_t h = 0; h < s[1]; h++)
            for (int64_t i = 0; i < half; i++) {
                int64_t at = (r * s[1] + h) * s[2] + i;
                double a = dlm_host_get_flat(&call->inputs[0], at);
                double b = dlm_host_get_flat(&call->inputs[0], at + half);
                double c = dlm_host_get_flat(&call->inputs[1], r * half + i);
                double n = dlm_host_get_flat(&call->inputs[2], r * half + i);
                if (call->attrs->rope.inverse)
                    n = -n;
                if (h >= turned) {
                    c = 1;
                    n = 0;
                }
                dlm_host_set_flat(&call->outputs[0], at, a * c - b * n);
                dlm_host_set_flat(&call->outputs[0], at + half, b * c + a * n);
            }
}

static enum dlm_status rope_lower(struct dlm_lowering *l)
{
    const struct dlm_desc *x = &l->inputs[0], *y = &l->outputs[0];
    enum dlm_status st = dlm_lower_check_sizes(l);
    if (!st && !is_heads(y))
        st = dlm_lower_unsupported(l, "way to write heads with gaps");
    if (st)
        return st;
    struct dlm_rope_params p = {
        .rows = (uint32_t)x->shape[0],
        .heads = (uint32_t)x->shape[1],
        .turned = (uint32_t)turned_heads(l->attrs, x),
        .half_dim = (uint32_t)(x->shape[2] / 2),
        .inverse = l->attrs->rope.inverse,
        .x_lead = (uint32_t)x->lead,
        .x_stride = {(uint32_t)x->stride[0], (uint32_t)x->stride[1]},
        .y_lead = (uint32_t)y->lead,
        .y_stride = {(uint32_t)y->stride[0], (uint32_t)y->stride[1]},
    };
    struct dlm_kernel_call call = {
        .kernel = "rope",
        .args = {DLM_INPUT(0), DLM_INPUT(1), DLM_INPUT(2), DLM_OUTPUT(0)},
        .num_args = 4,
        .writes = 1u << 3,
        .groups = {p.rows},
    };
    return dlm_lower_call(l, &call, &p, sizeof(p));
}

static struct dlm_tensor *emit(struct dlm_graph *g, struct dlm_tensor *x, struct dlm_tensor *cos,
                               struct dlm_tensor *sin, const struct dlm_rope_attrs *attrs)
{
    if (!x || !cos || !sin)
        return NULL;
    return dlm_graph_emit(g, &dlm_op_rope, &(union dlm_attrs){.rope = *attrs},
                          (struct dlm_tensor *[]){x, cos, sin}, 3, NULL);
}

static void rope_backward(struct dlm_graph *g, const struct dlm_node *node,
                          struct dlm_tensor *const *grads, struct dlm_tensor **input_grads)
{
    struct dlm_rope_attrs attrs = node->attrs.rope;

    attrs.inverse = !attrs.inverse;
    input_grads[0] = emit(g, grads[0], node->inputs[1], node->inputs[2], &attrs);
}

const struct dlm_op dlm_op_rope = {
    .name = "rope",
    .num_inputs = 3,
    .num_outputs = 1,
    .infer = rope_infer,
    .reference = rope_reference,
    .lower = rope_lower,
    .backward = rope_backward,
};

struct dlm_tensor *dlm_rope(struct dlm_graph *g, struct dlm_tensor *x, struct dlm_tensor *cos,
                            struct dlm_tensor *sin, bool inverse)
{
    return emit(g, x, cos, sin, &(struct dlm_rope_attrs){.inverse = inverse});
}

struct dlm_tensor *dlm_rope_some(struct dlm_graph *g, struct dlm_tensor *x, struct dlm_tensor *cos,
                                 struct dlm_tensor *sin, int64_t turned)
{
    return emit(g, x, cos, sin, &(struct dlm_rope_attrs){.turned = turned});
}
