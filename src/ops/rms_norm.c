/* Root mean square norm over the last dimension (Zhang and Sennrich, 2019):
 *
 *     y = x / sqrt(mean(x^2) + eps) * g,   g = weight, or 1 + weight (Gemma, plus_one)
 *
 * x, y f32 [..., C] contiguous; weight f32 [C]. Agrees with transformers' GemmaRMSNorm (plus_one)
 * and torch.nn.functional.rms_norm. Backward, with r = 1/sqrt(mean(x^2) + eps):
 *
 *     dx = r g dy - x r^3 / C * sum(x g dy)
 *
 * The weight is frozen: it gets no gradient. */
#include <math.h>

#include "ops/op.h"
#include "ops/row_ops.h"

static enum dlm_status rms_norm_infer(struct dlm_ctx *ctx, const union dlm_attrs *attrs,
                                      const struct dlm_desc *in, struct dlm_desc *out)
{
    (void)attrs;
    enum dlm_status st = dlm_infer_plain(ctx, "rms_norm", "x", &in[0]);
    if (!st)
        st = dlm_infer_row_vector(ctx, "rms_norm", "weight", &in[0], &in[1]);
    if (!st)
        out[0] = dlm_desc_make(DLM_DTYPE_F32, in[0].ndim, in[0].shape);
    return st;
}

static double gain(const struct dlm_reference_call *call, int64_t c)
{
    return dlm_host_get_flat(&call->inputs[1], c) + (call->attrs->norm.plus_one ? 1.0 : 0.0);
}

static double reciprocal_rms(const struct dlm_reference_call *call, int64_t row, int64_t cols)
{
    double sum = 0;

    for (int64_t c = 0; c < cols; c++) {
        double x = dlm_host_get_flat(&call->inputs[0], row * cols + c);
        sum += x * x;
    }
    return 1.0 / sqrt(sum / (double)cols + call->attrs->norm.eps);
}

static void rms_norm_reference(const struct dlm_reference_call *call)
{
    int64_t rows = dlm_desc_rows(&call->inputs[0].desc);
    int64_t cols = dlm_desc_cols(&call->inputs[0].desc);

    for (int64_t row = 0; row < rows; row++) {
        double r = reciprocal_rms(call, row, cols);
        for (int64_t c = 0; c < cols; c++) {
            double x = dlm_host_get_flat(&call->inputs[0], row * cols + c);
            dlm_host_set_flat(&call->outputs[0], row * cols + c, x * r * gain(call, c));
        }
    }
}

static enum dlm_status rms_norm_lower(struct dlm_lowering *l)
{
    return dlm_rows_lower(l, "rms_norm", l->attrs->norm.eps, l->attrs->norm.plus_one);
}

static void rms_norm_backward_rule(struct dlm_graph *g, const struct dlm_node *node,
                                   struct dlm_tensor *const *grads, struct dlm_tensor **input_grads)
{
    struct dlm_tensor *inputs[] = {node->inputs[0], node->inputs[1], grads[0]};

    input_grads[0] = dlm_graph_emit(g, &dlm_op_rms_norm_backward, &node->attrs, inputs, 3, NULL);
}

const struct dlm_op dlm_op_rms_norm = {
    .name = "rms_norm",
    .num_inputs = 2,
    .num_outputs = 1,
    .infer = rms_norm_infer,
    .reference = rms_norm_reference,
    .lower = rms_norm_lower,
    .backward = rms_norm_backward_rule,
};

struct dlm_tensor *dlm_rms_norm(struct dlm_graph *g, struct dlm_tensor *x,
                                struct dlm_tensor *weight, const struct dlm_norm_attrs *attrs)
{
    if (!x || !weight)
        return NULL;
    return dlm_graph_emit(g, &dlm_op_rms_norm, &(union dlm_attrs){.norm = *attrs},
                          (struct dlm_tensor *[]){x, weight}, 2, NULL);
}

/* Inputs x, weight, dy; output dx. */
static enum dlm_status rms_norm_backward_infer(struct dlm_ctx *ctx, const union dlm_attrs *attrs,
                                               const struct dlm_desc *in, struct dlm_desc *out)
{
    enum dlm_status st = rms_norm_infer(ctx, attrs, in, out);
    if (!st)
        st = dlm_infer_plain(ctx, "rms_norm_backward", "dy", &in[2]);
    if (!st && !dlm_desc_same_shape(&in[0], &in[2]))
        st = dlm_infer_fail(ctx, "rms_norm_backward", "dy must have x's shape", &in[2]);
    return st;
}

static void rms_norm_backward_reference(const struct dlm_reference_call *call)
{
    int64_t rows = dlm_desc_rows(&call->inputs[0].desc);
    int64_t cols = dlm_desc_cols(&call->inputs[0].desc);

    for (int64_t row = 0; row < rows; row++) {
        double r = reciprocal_rms(call, row, cols), dot = 0;
        for (int64_t c = 0; c < cols; c++)
            dot += dlm_host_get_flat(&call->inputs[0], row * cols + c) * gain(call, c) *
                   dlm_host_get_flat(&call->inputs[2], row * cols + c);
        for (int64_t c = 0; c < cols; c++) {
            double x = dlm_host_get_flat(&call->inputs[0], row * cols + c);
            double dy = dlm_host_get_flat(&call->inputs[2], row * cols + c);
            double dx = r * gain(call, c) * dy - x * r * r * r / (double)cols * dot;
            dlm_host_set_flat(&call->outputs[0], row * cols + c, dx);
        }
    }
}

static enum dlm_status rms_norm_backward_lower(struct dlm_lowering *l)
{
    return dlm_rows_lower(l, "rms_norm_backward", l->attrs->norm.eps, l->attrs->norm.plus_one);
}

const struct dlm_op dlm_op_rms_norm_backward = {
    .name = "rms_norm_backward",
    .num_inputs = 3,
    .num_outputs = 1,
    .infer = rms_norm_backward_infer,
    .reference = rms_norm_backward_reference,
    .lower = rms_norm_backward_lower,
    .exact_inputs = 1u << 0,
};
