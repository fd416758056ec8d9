/* y = x * factor * t[0]: x, y f32 contiguous; t f32 [1], optional, a frozen switch of the step (an
 * adapter's strength): it gets no gradient. */
#include "ops/broadcast.h"
#include "ops/row_ops.h"

static enum dlm_status scale_infer(struct dlm_ctx *ctx, const union dlm_attrs *attrs,
                                   const struct dlm_desc *in, struct dlm_desc *out)
{
    (void)attrs;
    enum dlm_status st = dlm_infer_plain(ctx, "scale", "x", &in[0]);
    if (!st && !dlm_desc_is_absent(&in[1])) {
        st = dlm_infer_plain(ctx, "scale", "t", &in[1]);
        if (!st && dlm_desc_len(&in[1]) != 1)
            st = dlm_infer_fail(ctx, "scale", "t must have one element", &in[1]);
    }
    if (!st)
        out[0] = dlm_desc_make(DLM_DTYPE_F32, in[0].ndim, in[0].shape);
    return st;
}

static void scale_reference(const struct dlm_reference_call *call)
{
    double t = dlm_desc_is_absent(&call->inputs[1].desc) ? 1
                                                         : dlm_host_get_flat(&call->inputs[1], 0);

    for (int64_t i = 0; i < dlm_desc_len(&call->outputs[0].desc); i++)
        dlm_host_set_flat(&call->outputs[0], i,
                          dlm_host_get_flat(&call->inputs[0], i) * call->attrs->scale.factor * t);
}

/* Bindings x, t (x again when there is none: kind 0), y. */
static enum dlm_status scale_lower(struct dlm_lowering *l)
{
    enum dlm_status st = dlm_lower_check_plain(l);
    if (st)
        return st;
    bool has_t = !dlm_desc_is_absent(&l->inputs[1]);
    struct dlm_map_params p = {
        .total = (uint32_t)dlm_desc_len(&l->inputs[0]),
        .kind = has_t,
        .factor = l->attrs->scale.factor,
    };
    struct dlm_kernel_call call = {
        .kernel = "scale",
        .args = {DLM_INPUT(0), DLM_INPUT(has_t ? 1 : 0), DLM_OUTPUT(0)},
        .num_args = 3,
        .writes = 1u << 2,
        .groups = {dlm_elem_groups(p.total)},
    };
    return dlm_lower_call(l, &call, &p, sizeof(p));
}

static void scale_backward(struct dlm_graph *g, const struct dlm_node *node,
                           struct dlm_tensor *const *grads, struct dlm_tensor **input_grads)
{
    input_grads[0] = dlm_scale(g, grads[0], node->attrs.scale.factor, node->inputs[1]);
}

const struct dlm_op dlm_op_scale = {
    .name = "scale",
    .num_inputs = 2,
    .num_outputs = 1,
    .infer = scale_infer,
    .reference = scale_reference,
    .lower = scale_lower,
    .backward = scale_backward,
};

struct dlm_tensor *dlm_scale(struct dlm_graph *g, struct dlm_tensor *x, float factor,
                             struct dlm_tensor *t)
{
    if (!x)
        return NULL;
    return dlm_graph_emit(g, &dlm_op_scale, &(union dlm_attrs){.scale = {factor}},
                          (struct dlm_tensor *[]){x, t}, 2, NULL);
}
