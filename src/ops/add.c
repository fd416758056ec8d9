/* out = x + y with NumPy broadcasting: torch.add. x, y f32, any strides; out f32 contiguous. */
#include "ops/broadcast.h"

static enum dlm_status add_infer(struct dlm_ctx *ctx, const union dlm_attrs *attrs,
                                 const struct dlm_desc *in, struct dlm_desc *out)
{
    (void)attrs;
    return dlm_broadcast_infer(ctx, "add", in, out);
}

static double sum(double x, double y)
{
    return x + y;
}

static void add_reference(const struct dlm_reference_call *call)
{
    dlm_broadcast_reference(call, sum);
}

static enum dlm_status add_lower(struct dlm_lowering *l)
{
    return dlm_broadcast_lower(l, "add");
}

static void add_backward(struct dlm_graph *g, const struct dlm_node *node,
                         struct dlm_tensor *const *grads, struct dlm_tensor **input_grads)
{
    for (int i = 0; i < 2; i++)
        if (dlm_tensor_needs_grad(node->inputs[i]))
            input_grads[i] = dlm_reduce_to(g, grads[0], &node->inputs[i]->desc);
}

const struct dlm_op dlm_op_add = {
    .name = "add",
    .num_inputs = 2,
    .num_outputs = 1,
    .infer = add_infer,
    .reference = add_reference,
    .lower = add_lower,
    .backward = add_backward,
    .reads_strided_grads = true,
};

struct dlm_tensor *dlm_add(struct dlm_graph *g, struct dlm_tensor *x, struct dlm_tensor *y)
{
    if (!x || !y)
        return NULL;
    return dlm_graph_emit(g, &dlm_op_add, NULL, (struct dlm_tensor *[]){x, y}, 2, NULL);
}
