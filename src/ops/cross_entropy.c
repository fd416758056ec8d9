/* Log-probability of a label and the gradient of the weighted loss, row by row:
 *
 *     logprob[r] = logits[r][label] - log sum exp(logits[r])
 *     dlogits[r] = weights[r] (softmax(logits[r]) - onehot(label))
 *
 * so that sum_r -weights[r] logprob[r] is the loss and dlogits its gradient:
 * torch.nn.functional.cross_entropy with per-row weights. logits f32 [R, V] contiguous; labels i32
 * [R], a label outside 0..V-1 gives logprob 0 and a zero gradient; weights f32 [R]. dlogits, as
 * large as the logits, is absent where attrs.no_gradient says so: scoring and validation. */
#include <math.h>

#include "ops/op.h"
#include "ops/row_ops.h"

static enum dlm_status cross_entropy_infer(struct dlm_ctx *ctx, const union dlm_attrs *attrs,
                                           const struct dlm_desc *in, struct dlm_desc *out)
{
    enum dlm_status st = dlm_infer_plain(ctx, "cross_entropy", "logits", &in[0]);
    if (!st && in[0].ndim != 2)
        st = dlm_infer_fail(ctx, "cross_entropy", "logits must be [R, V]", &in[0]);
    for (int i = 1; !st && i < 3; i++)
        if (in[i].dtype != (i == 1 ? DLM_DTYPE_I32 : DLM_DTYPE_F32) || in[i].ndim != 1 ||
            in[i].shape[0] != in[0].shape[0] || in[i].stride[0] != 1)
            st = dlm_infer_fail(ctx, "cross_entropy", "labels i32 and weights f32 must be [R]",
                                &in[i]);
    if (!st) {
        out[0] = dlm_desc_make(DLM_DTYPE_F32, 1, in[0].shape);
        out[1] = dlm_desc_make(attrs->cross_entropy.no_gradient ? DLM_DTYPE_COUNT : DLM_DTYPE_F32,
                               2, in[0].shape);
    }
    return st;
}

static void cross_entropy_reference(const struct dlm_reference_call *call)
{
    const int64_t rows = call->inputs[0].desc.shape[0], vocab = call->inputs[0].desc.shape[1];

    for (int64_t r = 0; r < rows; r++) {
        double max = -INFINITY, sum = 0, weight = dlm_host_get_flat(&call->inputs[2], r);
        int64_t label = dlm_host_get_i32(&call->inputs[1], r);
        bool counts = label >= 0 && label < vocab;
        for (int64_t v = 0; v < vocab; v++)
            max = fmax(max, dlm_host_get_flat(&call->inputs[0], r * vocab + v));
        for (int64_t v = 0; v < vocab; v++)
            sum += exp(dlm_host_get_flat(&call->inputs[0], r * vocab + v) - max);
        double lse = max + log(sum);
        dlm_host_set_flat(
            &call->outputs[0], r,
            counts ? dlm_host_get_flat(&call->inputs[0], r * vocab + label) - lse : 0);
        for (int64_t v = 0; v < vocab && !call->attrs->cross_entropy.no_gradient; v++) {
            double p = exp(dlm_host_get_flat(&call->inputs[0], r * vocab + v) - lse);
            dlm_host_set_flat(&call->outputs[1], r * vocab + v,
                              counts ? weight * (p - (v == label ? 1 : 0)) : 0);
        }
    }
}

/* Bindings logits, labels, weights, logprob and, but for the loss alone, dlogits. */
static enum dlm_status cross_entropy_lower(struct dlm_lowering *l)
{
    enum dlm_status st = dlm_lower_check_sizes(l);
    if (st)
        return st;
    struct dlm_cross_entropy_params p = {
        .rows = (uint32_t)l->inputs[0].shape[0],
        .vocab = (uint32_t)l->inputs[0].shape[1],
        .label_lead = (uint32_t)l->inputs[1].lead,
        .weight_lead = (uint32_t)l->inputs[2].lead,
        .logprob_lead = (uint32_t)l->outputs[0].lead,
    };
    const bool has_gradient = !l->attrs->cross_entropy.no_gradient;
    struct dlm_kernel_call call = {
        .args = {DLM_INPUT(0), DLM_INPUT(1), DLM_INPUT(2), DLM_OUTPUT(0), DLM_OUTPUT(1)},
        .num_args = has_gradient ? 5 : 4,
        .writes = 1u << 3 | (has_gradient ? 1u << 4 : 0),
        .groups = {p.rows},
    };
    dlm_row_kernel(l, &call, has_gradient ? "cross_entropy" : "cross_entropy_loss");
    return dlm_lower_call(l, &call, &p, sizeof(p));
}

const struct dlm_op dlm_op_cross_entropy = {
    .name = "cross_entropy",
    .num_inputs = 3,
    .num_outputs = 2,
    .infer = cross_entropy_infer,
    .reference = cross_entropy_reference,
    .lower = cross_entropy_lower,
};

struct dlm_tensor *dlm_cross_entropy(struct dlm_graph *g, struct dlm_tensor *logits,
                                     struct dlm_tensor *labels, struct dlm_tensor *weights,
                                     struct dlm_tensor *logprob, struct dlm_tensor **dlogits)
{
    const union dlm_attrs attrs = {.cross_entropy = {.no_gradient = !dlogits}};
    struct dlm_tensor *inputs[] = {logits, labels, weights};

    if (!logits || !labels || !weights)
        return NULL;
    struct dlm_tensor *out =
        logprob ? dlm_graph_emit_into(g, &dlm_op_cross_entropy, &attrs, inputs, 3, logprob)
                : dlm_graph_emit(g, &dlm_op_cross_entropy, &attrs, inputs, 3, NULL);
    if (out && dlogits)
        *dlogits = dlm_graph_last_output(g, 1);
    return out;
}
