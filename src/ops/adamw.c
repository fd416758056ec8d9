/* One AdamW step, in place: torch.optim.AdamW (decoupled decay; eps after the bias correction).
 *
 *     g' = coef[1] g;   p *= 1 - lr wd;   m = b1 m + (1 - b1) g';   v = b2 v + (1 - b2) g'^2
 *     p -= lr / bias1 * m / (sqrt(v) / root2 + eps)
 *
 * p, grad, m, v f32 [P]; coef f32 [2] (grad_norm: norm, clipping factor); hyper f32 [8]: lr, wd,
 * b1, b2, eps, bias1 = 1 - b1^t, root2 = sqrt(1 - b2^t), unused. */
#include <math.h>

#include "ops/broadcast.h"
#include "ops/row_ops.h"

enum { P, GRAD, M, V, COEF, HYPER };

static enum dlm_status adamw_infer(struct dlm_ctx *ctx, const union dlm_attrs *attrs,
                                   const struct dlm_desc *in, struct dlm_desc *out)
{
    static const char *const names[] = {"p", "grad", "m", "v", "coef", "hyper"};
    enum dlm_status st = DLM_OK;

    (void)attrs;
    for (int i = 0; !st && i <= HYPER; i++)
        st = dlm_infer_plain(ctx, "adamw", names[i], &in[i]);
    for (int i = GRAD; !st && i <= V; i++)
        if (!dlm_desc_same_shape(&in[i], &in[P]))
            st = dlm_infer_fail(ctx, "adamw", "grad, m and v must have p's shape", &in[i]);
    if (!st && (dlm_desc_len(&in[COEF]) != 2 || dlm_desc_len(&in[HYPER]) != 8))
        st = dlm_infer_fail(ctx, "adamw", "coef must be [2], hyper [8]", &in[COEF]);
    out[0] = in[P];
    out[1] = in[M];
    out[2] = in[V];
    return st;
}

static void adamw_reference(const struct dlm_reference_call *call)
{
    double h[7], coef = dlm_host_get_flat(&call->inputs[COEF], 1);

    for (int i = 0; i < 7; i++)
        h[i] = dlm_host_get_flat(&call->inputs[HYPER], i);
    for (int64_t i = 0; i < dlm_desc_len(&call->inputs[P].desc); i++) {
        double g = dlm_host_get_flat(&call->inputs[GRAD], i) * coef;
        double m = h[2] * dlm_host_get_flat(&call->inputs[M], i) + (1 - h[2]) * g;
        double v = h[3] * dlm_host_get_flat(&call->inputs[V], i) + (1 - h[3]) * g * g;
        double p = dlm_host_get_flat(&call->inputs[P], i) * (1 - h[0] * h[1]);
        p -= h[0] / h[5] * m / (sqrt(v) / h[6] + h[4]);
        dlm_host_set_flat(&call->outputs[0], i, p);
        dlm_host_set_flat(&call->outputs[1], i, m);
        dlm_host_set_flat(&call->outputs[2], i, v);
    }
}

/* Bindings p, grad, m, v, coef, hyper. */
static enum dlm_status adamw_lower(struct dlm_lowering *l)
{
    enum dlm_status st = dlm_lower_check_plain(l);
    if (st)
        return st;
    struct dlm_adamw_params p = {.total = (uint32_t)dlm_desc_len(&l->inputs[P])};
    struct dlm_kernel_call call = {
        .kernel = "adamw",
        .args = {DLM_OUTPUT(0), DLM_INPUT(GRAD), DLM_OUTPUT(1), DLM_OUTPUT(2), DLM_INPUT(COEF),
                 DLM_INPUT(HYPER)},
        .num_args = 6,
        .writes = 1u << 0 | 1u << 2 | 1u << 3,
        .groups = {dlm_elem_groups(p.total)},
    };
    return dlm_lower_call(l, &call, &p, sizeof(p));
}

const struct dlm_op dlm_op_adamw = {
    .name = "adamw",
    .num_inputs = 6,
    .num_outputs = 3,
    .infer = adamw_infer,
    .reference = adamw_reference,
    .lower = adamw_lower,
    .alias = {P + 1, M + 1, V + 1},
};

void dlm_adamw(struct dlm_graph *g, struct dlm_tensor *p, struct dlm_tensor *grad,
               struct dlm_tensor *m, struct dlm_tensor *v, struct dlm_tensor *coef,
               struct dlm_tensor *hyper)
{
    if (p && grad && m && v && coef && hyper)
        dlm_graph_emit(g, &dlm_op_adamw, NULL,
                       (struct dlm_tensor *[]){p, grad, m, v, coef, hyper}, 6, NULL);
}
