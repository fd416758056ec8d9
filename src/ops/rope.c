/* Rotary position embedding (Su et al., RoFormer, 2021), "rotate half" pairing of transformers'
 * apply_rotary_pos_emb: with a = x[i], b = x[i + D/2] of a head,
 *
 *     y[i] = a cos - b sin,   y[i + D/2] = b cos + a sin
 *
 * x, y f32 [R, H, D] contiguous; cos, sin f32 [R, D/2] (which rotation a row gets is data: 1-D, 2-D
 * and M-RoPE are the same op). inverse turns the other way, and is the backward rule. */
#include "ops/op.h"
#include "ops/row_ops.h"

static enum dlm_status rope_infer(struct dlm_ctx *ctx, const union dlm_attrs *attrs,
                                  const struct dlm_desc *in, struct dlm_desc *out)
{
    (void)attrs;
    enum dlm_status st = dlm_infer_plain(ctx, "rope", "x", &in[0]);
    if (!st && (in[0].ndim != 3 || in[0].shape[2] % 2))
        st = dlm_infer_fail(ctx, "rope", "x must be [R, H, D] with an even D", &in[0]);
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
                dlm_host_set_flat(&call->outputs[0], at, a * c - b * n);
                dlm_host_set_flat(&call->outputs[0], at + half, b * c + a * n);
            }
}

static enum dlm_status rope_lower(struct dlm_lowering *l)
{
    enum dlm_status st = dlm_lower_check_plain(l);
    if (st)
        return st;
    struct dlm_rope_params p = {
        .rows = (uint32_t)l->inputs[0].shape[0],
        .heads = (uint32_t)l->inputs[0].shape[1],
        .half_dim = (uint32_t)(l->inputs[0].shape[2] / 2),
        .inverse = l->attrs->rope.inverse,
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

static void rope_backward(struct dlm_graph *g, const struct dlm_node *node,
                          struct dlm_tensor *const *grads, struct dlm_tensor **input_grads)
{
    input_grads[0] = dlm_rope(g, grads[0], node->inputs[1], node->inputs[2],
                              !node->attrs.rope.inverse);
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
    if (!x || !cos || !sin)
        return NULL;
    return dlm_graph_emit(g, &dlm_op_rope, &(union dlm_attrs){.rope = {inverse}},
                          (struct dlm_tensor *[]){x, cos, sin}, 3, NULL);
}
