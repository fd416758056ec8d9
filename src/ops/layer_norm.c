/* Layer norm over the last dimension: torch.nn.functional.layer_norm (biased variance).
 *
 *     y = (x - mean) / sqrt(var + eps) * weight + bias
 *
 * x, y f32 [..., C] contiguous; weight, bias f32 [C], frozen. Backward, with xh = (y - bias)/weight
 * and r = 1/sqrt(var + eps):
 *
 *     dx = r (w dy - mean(w dy) - xh mean(w dy xh)) */
#include <math.h>

#include "ops/op.h"
#include "ops/row_ops.h"

static enum dlm_status layer_norm_infer(struct dlm_ctx *ctx, const union dlm_attrs *attrs,
                                        const struct dlm_desc *in, struct dlm_desc *out)
{
    (void)attrs;
    enum dlm_status st = dlm_infer_plain(ctx, "layer_norm", "x", &in[0]);
    if (!st)
        st = dlm_infer_row_vector(ctx, "layer_norm", "weight", &in[0], &in[1]);
    if (!st)
        st = dlm_infer_row_vector(ctx, "layer_norm", "bias", &in[0], &in[2]);
    if (!st)
        out[0] = dlm_desc_make(DLM_DTYPE_F32, in[0].ndim, in[0].shape);
    return st;
}

static void moments(const struct dlm_reference_call *call, int64_t row, int64_t cols, double *mean,
                    double *r)
{
    double sum = 0, var = 0;

    for (int64_t c = 0; c < cols; c++)
        sum += dlm_host_get_flat(&call->inputs[0], row * cols + c);
    *mean = sum / (double)cols;
    for (int64_t c = 0; c < cols; c++) {
        double d = dlm_host_get_flat(&call->inputs[0], row * cols + c) - *mean;
        var += d * d;
    }
    *r = 1.0 / sqrt(var / (double)cols + call->attrs->norm.eps);
}

static void layer_norm_reference(const struct dlm_reference_call *call)
{
    int64_t rows = dlm_desc_rows(&call->inputs[0].desc);
    int64_t cols = dlm_desc_cols(&call->inputs[0].desc);
    double mean, r;

    for (int64_t row = 0; row < rows; row++) {
        moments(call, row, cols, &mean, &r);
        for (int64_t c = 0; c < cols; c++) {
            double x = dlm_host_get_flat(&call->inputs[0], row * cols + c);
            double y = (x - mean) * r * dlm_host_get_flat(&call->inputs[1], c) +
                       dlm_host_get_flat(&call->inputs[2], c);
            dlm_host_set_flat(&call->outputs[0], row * cols + c, y);
        }
    }
}

static enum dlm_status layer_norm_lower(struct dlm_lowering *l)
{
    return dlm_rows_lower(l, "layer_norm", l->attrs->norm.eps, false);
}

static void layer_norm_backward_rule(struct dlm_graph *g, const struct dlm_node *node,
                                     struct dlm_tensor *const *grads,
                                     struct dlm_tensor **input_grads)
{
    struct dlm_tensor *inputs[] = {node->inputs[0], node->inputs[1], grads[0]};

    input_grads[0] = dlm_graph_emit(g, &dlm_op_layer_norm_backward, &node->attrs, inputs, 3, NULL);
}

const struct dlm_op dlm_op_layer_norm = {
    .name = "layer_norm",
    .num_inputs = 3,
    .num_outputs = 1,
    .infer = layer_norm_infer,
    .reference = layer_norm_reference,
    .lower = layer_norm_lower,
    .backward = layer_norm_backward_rule,
};

struct dlm_tensor *dlm_layer_norm(struct dlm_graph *g, struct dlm_tensor *x,
                                  struct dlm_tensor *weight, struct dlm_tensor *bias,
                                  const struct dlm_norm_attrs *attrs)
{
    if (!x || !weight || !bias)
        return NULL;
    return dlm_graph_emit(g, &dlm_op_layer_norm, &(union dlm_attrs){.norm = *attrs},
                          (struct dlm_tensor *[]){x, weight, bias}, 3, NULL);
}

/* Inputs x, weight, dy; output dx. */
static enum dlm_status layer_norm_backward_infer(struct dlm_ctx *ctx, const union dlm_attrs *attrs,
                                                 const struct dlm_desc *in, struct dlm_desc *out)
{
    (void)attrs;
    enum dlm_status st = dlm_infer_plain(ctx, "layer_norm_backward", "x", &in[0]);
    if (!st)
        st = dlm_infer_row_vector(ctx, "layer_norm_backward", "weight", &in[0], &in[1]);
    if (!st)
        st = dlm_infer_plain(ctx, "layer_norm_backward", "dy", &in[2]);
    if (!st && !dlm_desc_same_shape(&in[0], &in[2]))
        st = dlm_infer_fail(ctx, "layer_norm_backward", "dy must have x's shape", &in[2]);
    if (!st)
        out[0] = dlm_desc_make(DLM_DTYPE_F32, in[0].ndim, in[0].shape);
    return st;
}

static void layer_norm_backward_reference(const struct dlm_reference_call *call)
{
    int64_t rows = dlm_desc_rows(&call->inputs[0].desc);
    int64_t cols = dlm_desc_cols(&call->inputs[0].desc);
    double mean, r;

    for (int64_t row = 0; row < rows; row++) {
        double sum = 0, dot = 0;
        moments(call, row, cols, &mean, &r);
        for (int64_t c = 0; c < cols; c++) {
            double wdy = dlm_host_get_flat(&call->inputs[1], c) *
                         dlm_host_get_flat(&call->inputs[2], row * cols + c);
            sum += wdy;
            dot += wdy * (dlm_host_get_flat(&call->inputs[0], row * cols + c) - mean) * r;
        }
        for (int64_t c = 0; c < cols; c++) {
            double wdy = dlm_host_get_flat(&call->inputs[1], c) *
                         dlm_host_get_flat(&call->inputs[2], row * cols + c);
            double xh = (dlm_host_get_flat(&call->inputs[0], row * cols + c) - mean) * r;
            dlm_host_set_flat(&call->outputs[0], row * cols + c,
                              r * (wdy - sum / (double)cols - xh * dot / (double)cols));
        }
    }
}

static enum dlm_status layer_norm_backward_lower(struct dlm_lowering *l)
{
    return dlm_rows_lower(l, "layer_norm_backward", l->attrs->norm.eps, false);
}

const struct dlm_op dlm_op_layer_norm_backward = {
    .name = "layer_norm_backward",
    .num_inputs = 3,
    .num_outputs = 1,
    .infer = layer_norm_backward_infer,
    .reference = layer_norm_backward_reference,
    .lower = layer_norm_backward_lower,
    .exact_inputs = 1u << 0,
};
