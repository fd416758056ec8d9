/* y = act(gate) * up (GLU variants improve transformer, Shazeer 2020): all f32, contiguous, of one
 * shape. Backward: dgate = dy up act'(gate), dup = dy act(gate), both in one pass, with gate and up
 * of f32, f16 or bf16. */
#include "ops/activation.h"
#include "ops/broadcast.h"
#include "ops/row_ops.h"

static enum dlm_status gated_activation_infer(struct dlm_ctx *ctx, const union dlm_attrs *attrs,
                                              const struct dlm_desc *in, struct dlm_desc *out)
{
    enum dlm_status st = dlm_infer_plain(ctx, "gated_activation", "gate", &in[0]);
    if (!st)
        st = dlm_infer_plain(ctx, "gated_activation", "up", &in[1]);
    if (!st && !dlm_desc_same_shape(&in[0], &in[1]))
        st = dlm_infer_fail(ctx, "gated_activation", "up must have the gate's shape", &in[1]);
    if (!st && attrs->activation.kind >= DLM_ACT_COUNT)
        st = dlm_infer_fail(ctx, "gated_activation", "the kind must be in the list", &in[0]);
    if (!st)
        out[0] = dlm_desc_make(DLM_DTYPE_F32, in[0].ndim, in[0].shape);
    return st;
}

static void gated_activation_reference(const struct dlm_reference_call *call)
{
    for (int64_t i = 0; i < dlm_desc_len(&call->outputs[0].desc); i++)
        dlm_host_set_flat(&call->outputs[0], i,
                          dlm_act_f64(call->attrs->activation.kind,
                                      dlm_host_get_flat(&call->inputs[0], i)) *
                              dlm_host_get_flat(&call->inputs[1], i));
}

static enum dlm_status gated_activation_lower(struct dlm_lowering *l)
{
    return dlm_map_lower(l, "gated_activation", l->attrs->activation.kind, 0);
}

static void gated_activation_backward_rule(struct dlm_graph *g, const struct dlm_node *node,
                                           struct dlm_tensor *const *grads,
                                           struct dlm_tensor **input_grads)
{
    struct dlm_tensor *outputs[DLM_MAX_OUTPUTS];
    struct dlm_tensor *inputs[] = {node->inputs[0], node->inputs[1], grads[0]};

    if (!dlm_graph_emit(g, &dlm_op_gated_activation_backward, &node->attrs, inputs, 3, outputs))
        return;
    input_grads[0] = outputs[0];
    input_grads[1] = outputs[1];
}

const struct dlm_op dlm_op_gated_activation = {
    .name = "gated_activation",
    .num_inputs = 2,
    .num_outputs = 1,
    .infer = gated_activation_infer,
    .reference = gated_activation_reference,
    .lower = gated_activation_lower,
    .backward = gated_activation_backward_rule,
};

struct dlm_tensor *dlm_gated_activation(struct dlm_graph *g, struct dlm_tensor *gate,
                                        struct dlm_tensor *up, uint32_t kind)
{
    if (!gate || !up)
        return NULL;
    return dlm_graph_emit(g, &dlm_op_gated_activation, &(union dlm_attrs){.activation = {kind}},
                          (struct dlm_tensor *[]){gate, up}, 2, NULL);
}

/* Inputs gate, up, dy; outputs dgate, dup. */
static enum dlm_status gated_activation_backward_infer(struct dlm_ctx *ctx,
                                                       const union dlm_attrs *attrs,
                                                       const struct dlm_desc *in,
                                                       struct dlm_desc *out)
{
    struct dlm_desc saved[2] = {in[0], in[1]};
    enum dlm_status st = DLM_OK;

    if (!dlm_dtype_is_float(in[0].dtype))
        st = dlm_infer_fail(ctx, "gated_activation_backward", "gate must be f32, f16 or bf16",
                            &in[0]);
    else if (in[0].dtype != in[1].dtype)
        st = dlm_infer_fail(ctx, "gated_activation_backward", "up must be like the gate", &in[1]);
    saved[0].dtype = saved[1].dtype = DLM_DTYPE_F32; /* whatever they are, the rest is the same */
    if (!st)
        st = gated_activation_infer(ctx, attrs, saved, out);
    if (!st)
        st = dlm_infer_plain(ctx, "gated_activation_backward", "dy", &in[2]);
    if (!st && !dlm_desc_same_shape(&in[0], &in[2]))
        st = dlm_infer_fail(ctx, "gated_activation_backward", "dy must have the gate's shape",
                            &in[2]);
    out[1] = out[0];
    return st;
}

static void gated_activation_backward_reference(const struct dlm_reference_call *call)
{
    const uint32_t kind = call->attrs->activation.kind;

    for (int64_t i = 0; i < dlm_desc_len(&call->outputs[0].desc); i++) {
        double gate = dlm_host_get_flat(&call->inputs[0], i);
        double up = dlm_host_get_flat(&call->inputs[1], i);
        double dy = dlm_host_get_flat(&call->inputs[2], i);
        dlm_host_set_flat(&call->outputs[0], i, dy * up * dlm_act_grad_f64(kind, gate));
        dlm_host_set_flat(&call->outputs[1], i, dy * dlm_act_f64(kind, gate));
    }
}

static enum dlm_status gated_activation_backward_lower(struct dlm_lowering *l)
{
    return dlm_map_lower(l, "gated_activation_backward_*", l->attrs->activation.kind, 0);
}

const struct dlm_op dlm_op_gated_activation_backward = {
    .name = "gated_activation_backward",
    .num_inputs = 3,
    .num_outputs = 2,
    .infer = gated_activation_backward_infer,
    .reference = gated_activation_backward_reference,
    .lower = gated_activation_backward_lower,
    .half_inputs = 1u << 0 | 1u << 1,
};
