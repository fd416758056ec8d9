/* y = act(x), act one of DLM_ACT_* (base/scalar.h): torch.nn.functional.gelu (tanh, erf) and silu,
 * transformers' QuickGELUActivation, torch.tanh.
 * x, y f32 contiguous. The backward op gives dx = dy act'(x). */
#include <math.h>

#include "ops/activation.h"
#include "ops/broadcast.h"
#include "ops/row_ops.h"

double dlm_act_f64(uint32_t kind, double x)
{
    switch (kind) {
    case DLM_ACT_GELU_TANH:
        return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case DLM_ACT_GELU_ERF:
        return 0.5 * x * (1 + erf(x * M_SQRT1_2));
    case DLM_ACT_QUICK_GELU:
        return x / (1 + exp(-1.702 * x));
    case DLM_ACT_TANH:
        return tanh(x);
    default:
        return x / (1 + exp(-x));
    }
}

double dlm_act_grad_f64(uint32_t kind, double x)
{
    switch (kind) {
    case DLM_ACT_GELU_TANH: {
        double t = tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x));
        return 0.5 * (1 + t) +
               0.5 * x * (1 - t * t) * sqrt(2 / M_PI) * (1 + 3 * 0.044715 * x * x);
    }
    case DLM_ACT_GELU_ERF:
        return 0.5 * (1 + erf(x * M_SQRT1_2)) + x * exp(-0.5 * x * x) / sqrt(2 * M_PI);
    case DLM_ACT_QUICK_GELU: {
        double s = 1 / (1 + exp(-1.702 * x));
        return s * (1 + 1.702 * x * (1 - s));
    }
    case DLM_ACT_TANH:
        return 1 / (cosh(x) * cosh(x));
    default: {
        double s = 1 / (1 + exp(-x));
        return s * (1 + x * (1 - s));
    }
    }
}

static enum dlm_status activation_infer(struct dlm_ctx *ctx, const union dlm_attrs *attrs,
                                        const struct dlm_desc *in, struct dlm_desc *out)
{
    enum dlm_status st = dlm_infer_plain(ctx, "activation", "x", &in[0]);
    if (!st && attrs->activation.kind >= DLM_ACT_COUNT)
        st = dlm_infer_fail(ctx, "activation", "the kind must be in the list", &in[0]);
    if (!st)
        out[0] = dlm_desc_make(DLM_DTYPE_F32, in[0].ndim, in[0].shape);
    return st;
}

static void activation_reference(const struct dlm_reference_call *call)
{
    for (int64_t i = 0; i < dlm_desc_len(&call->outputs[0].desc); i++)
        dlm_host_set_flat(&call->outputs[0], i,
                          dlm_act_f64(call->attrs->activation.kind,
                                      dlm_host_get_flat(&call->inputs[0], i)));
}

static enum dlm_status activation_lower(struct dlm_lowering *l)
{
    return dlm_map_lower(l, "activation", l->attrs->activation.kind, 0);
}

static void activation_backward_rule(struct dlm_graph *g, const struct dlm_node *node,
                                     struct dlm_tensor *const *grads,
                                     struct dlm_tensor **input_grads)
{
    input_grads[0] = dlm_graph_emit(g, &dlm_op_activation_backward, &node->attrs,
                                    (struct dlm_tensor *[]){node->inputs[0], grads[0]}, 2, NULL);
}

const struct dlm_op dlm_op_activation = {
    .name = "activation",
    .num_inputs = 1,
    .num_outputs = 1,
    .infer = activation_infer,
    .reference = activation_reference,
    .lower = activation_lower,
    .backward = activation_backward_rule,
};

struct dlm_tensor *dlm_activation(struct dlm_graph *g, struct dlm_tensor *x, uint32_t kind)
{
    if (!x)
        return NULL;
    return dlm_graph_emit(g, &dlm_op_activation, &(union dlm_attrs){.activation = {kind}},
                          (struct dlm_tensor *[]){x}, 1, NULL);
}

/* Inputs x, dy; output dx. */
static enum dlm_status activation_backward_infer(struct dlm_ctx *ctx, const union dlm_attrs *attrs,
                                                 const struct dlm_desc *in, struct dlm_desc *out)
{
    enum dlm_status st = activation_infer(ctx, attrs, in, out);
    if (!st)
        st = dlm_infer_plain(ctx, "activation_backward", "dy", &in[1]);
    if (!st && !dlm_desc_same_shape(&in[0], &in[1]))
        st = dlm_infer_fail(ctx, "activation_backward", "dy must have x's shape", &in[1]);
    return st;
}

static void activation_backward_reference(const struct dlm_reference_call *call)
{
    for (int64_t i = 0; i < dlm_desc_len(&call->outputs[0].desc); i++)
        dlm_host_set_flat(&call->outputs[0], i,
                          dlm_act_grad_f64(call->attrs->activation.kind,
                                           dlm_host_get_flat(&call->inputs[0], i)) *
                              dlm_host_get_flat(&call->inputs[1], i));
}

static enum dlm_status activation_backward_lower(struct dlm_lowering *l)
{
    return dlm_map_lower(l, "activation_backward", l->attrs->activation.kind, 0);
}

const struct dlm_op dlm_op_activation_backward = {
    .name = "activation_backward",
    .num_inputs = 2,
    .num_outputs = 1,
    .infer = activation_backward_infer,
    .reference = activation_backward_reference,
    .lower = activation_backward_lower,
};
