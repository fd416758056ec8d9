/* y = exp(x - max) / sum over the last dimension: torch.softmax(x, -1). x, y f32 contiguous.
 * Backward from the result: dx = y (dy - sum(dy y)). */
#include <math.h>

#include "ops/op.h"
#include "ops/row_ops.h"

static enum dlm_status softmax_infer(struct dlm_ctx *ctx, const union dlm_attrs *attrs,
                                     const struct dlm_desc *in, struct dlm_desc *out)
{
    (void)attrs;
    enum dlm_status st = dlm_infer_plain(ctx, "softmax", "x", &in[0]);
    if (!st)
        out[0] = dlm_desc_make(DLM_DTYPE_F32, in[0].ndim, in[0].shape);
    return st;
}

static void softmax_reference(const struct dlm_reference_call *call)
{
    int64_t rows = dlm_desc_rows(&call->inputs[0].desc);
    int64_t cols = dlm_desc_cols(&call->inputs[0].desc);

    for (int64_t row = 0; row < rows; row++) {
        double max = -INFINITY, sum = 0;
        for (int64_t c = 0; c < cols; c++)
            max = fmax(max, dlm_host_get_flat(&call->inputs[0], row * cols + c));
        for (int64_t c = 0; c < cols; c++)
            sum += exp(dlm_host_get_flat(&call->inputs[0], row * cols + c) - max);
        for (int64_t c = 0; c < cols; c++)
            dlm_host_set_flat(&call->outputs[0], row * cols + c,
                              exp(dlm_host_get_flat(&call->inputs[0], row * cols + c) - max) / sum);
    }
}

static enum dlm_status softmax_lower(struct dlm_lowering *l)
{
    return dlm_rows_lower(l, "softmax", 0, false);
}

static void softmax_backward_rule(struct dlm_graph *g, const struct dlm_node *node,
                                  struct dlm_tensor *const *grads, struct dlm_tensor **input_grads)
{
    input_grads[0] = dlm_graph_emit(g, &dlm_op_softmax_backward, NULL,
                                    (struct dlm_tensor *[]){node->outputs[0], grads[0]}, 2, NULL);
}

const struct dlm_op dlm_op_softmax = {
    .name = "softmax",
    .num_inputs = 1,
    .num_outputs = 1,
    .infer = softmax_infer,
    .reference = softmax_reference,
    .lower = softmax_lower,
    .backward = softmax_backward_rule,
};

struct dlm_tensor *dlm_softmax(struct dlm_graph *g, struct dlm_tensor *x)
{
    if (!x)
        return NULL;
    return dlm_graph_emit(g, &dlm_op_softmax, NULL, (struct dlm_tensor *[]){x}, 1, NULL);
}

/* Inputs y, dy; output dx. */
static enum dlm_status softmax_backward_infer(struct dlm_ctx *ctx, const union dlm_attrs *attrs,
                                              const struct dlm_desc *in, struct dlm_desc *out)
{
    enum dlm_status st = softmax_infer(ctx, attrs, in, out);
    if (!st)
        st = dlm_infer_plain(ctx, "softmax_backward", "dy", &in[1]);
    if (!st && !dlm_desc_same_shape(&in[0], &in[1]))
        st = dlm_infer_fail(ctx, "softmax_backward", "dy must have y's shape", &in[1]);
    return st;
}

static void softmax_backward_reference(const struct dlm_reference_call *call)
{
    int64_t rows = dlm_desc_rows(&call->inputs[0].desc);
    int64_t cols = dlm_desc_cols(&call->inputs[0].desc);

    for (int64_t row = 0; row < rows; row++) {
        double dot = 0;
        for (int64_t c = 0; c < cols; c++)
            dot += dlm_host_get_flat(&call->inputs[0], row * cols + c) *
                   dlm_host_get_flat(&call->inputs[1], row * cols + c);
        for (int64_t c = 0; c < cols; c++)
            dlm_host_set_flat(&call->outputs[0], row * cols + c,
                              dlm_host_get_flat(&call->inputs[0], row * cols + c) *
                                  (dlm_host_get_flat(&call->inputs[1], row * cols + c) - dot));
    }
}

static enum dlm_status softmax_backward_lower(struct dlm_lowering *l)
{
    return dlm_rows_lower(l, "softmax_backward", 0, false);
}

const struct dlm_op dlm_op_softmax_backward = {
    .name = "softmax_backward",
    .num_inputs = 2,
    .num_outputs = 1,
    .infer = softmax_backward_infer,
    .reference = softmax_backward_reference,
    .lower = softmax_backward_lower,
    .exact_inputs = 1u << 0,
};
