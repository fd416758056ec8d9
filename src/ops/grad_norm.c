/* The norm of a gradient and the factor that clips it: torch.nn.utils.clip_grad_norm_.
 *
 *     out[0] = sqrt(sum g^2),   out[1] = min(1, max_norm / (out[0] + 1e-6)), 1 when max_norm is 0
 *
 * g f32 [P] contiguous; out f32 [2]. The sum is a fixed number of partial sums on every device. */
#include <math.h>

#include "ops/op.h"
#include "ops/row_ops.h"

#define PARTIALS 256

static enum dlm_status grad_norm_infer(struct dlm_ctx *ctx, const union dlm_attrs *attrs,
                                       const struct dlm_desc *in, struct dlm_desc *out)
{
    (void)attrs;
    enum dlm_status st = dlm_infer_plain(ctx, "grad_norm", "g", &in[0]);
    if (!st)
        out[0] = dlm_desc_make(DLM_DTYPE_F32, 1, (int64_t[]){2});
    return st;
}

static void grad_norm_reference(const struct dlm_reference_call *call)
{
    double sum = 0, max = call->attrs->grad_norm.max_norm;

    for (int64_t i = 0; i < dlm_desc_len(&call->inputs[0].desc); i++)
        sum += pow(dlm_host_get_flat(&call->inputs[0], i), 2);
    double norm = sqrt(sum);
    dlm_host_set_flat(&call->outputs[0], 0, norm);
    dlm_host_set_flat(&call->outputs[0], 1, max > 0 ? fmin(1, max / (norm + 1e-6)) : 1);
}

static enum dlm_status grad_norm_lower(struct dlm_lowering *l)
{
    enum dlm_status st = dlm_lower_check_plain(l);
    if (st)
        return st;
    struct dlm_grad_norm_params p = {
        .total = (uint32_t)dlm_desc_len(&l->inputs[0]),
        .partials = PARTIALS,
        .max_norm = l->attrs->grad_norm.max_norm,
    };
    struct dlm_operand partials = dlm_lower_temp(l, PARTIALS * sizeof(float));
    struct dlm_kernel_call first = {
        .kernel = "grad_norm_partial", /* partial i: a contiguous share of ceil(total/partials) */
        .args = {DLM_INPUT(0), partials},
        .num_args = 2,
        .writes = 1u << 1,
        .groups = {PARTIALS},
    };
    struct dlm_kernel_call second = {
        .kernel = "grad_norm_final",
        .args = {partials, DLM_OUTPUT(0)},
        .num_args = 2,
        .writes = 1u << 1,
        .groups = {1},
    };
    st = dlm_lower_call(l, &first, &p, sizeof(p));
    return st ? st : dlm_lower_call(l, &second, &p, sizeof(p));
}

const struct dlm_op dlm_op_grad_norm = {
    .name = "grad_norm",
    .num_inputs = 1,
    .num_outputs = 1,
    .infer = grad_norm_infer,
    .reference = grad_norm_reference,
    .lower = grad_norm_lower,
};

struct dlm_tensor *dlm_grad_norm(struct dlm_graph *g, struct dlm_tensor *grad, float max_norm)
{
    if (!grad)
        return NULL;
    return dlm_graph_emit(g, &dlm_op_grad_norm, &(union dlm_attrs){.grad_norm = {max_norm}},
                          (struct dlm_tensor *[]){grad}, 1, NULL);
}
