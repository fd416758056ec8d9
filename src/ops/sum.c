/* Sum over some dimensions, which become 1: torch.sum(x, axes, keepdim=True). x f32, any strides;
 * y f32 contiguous. */
#include "ops/op.h"

static enum dlm_status sum_infer(struct dlm_ctx *ctx, const union dlm_attrs *attrs,
                                 const struct dlm_desc *in, struct dlm_desc *out)
{
    int64_t shape[DLM_MAX_DIMS];

    if (in[0].dtype != DLM_DTYPE_F32 || in[0].layout != DLM_LAYOUT_STRIDED || in[0].ndim > 4)
        return dlm_infer_fail(ctx, "sum", "x must be f32 with at most four dimensions", &in[0]);
    for (int i = 0; i < in[0].ndim; i++)
        shape[i] = attrs->sum.axes >> i & 1 ? 1 : in[0].shape[i];
    out[0] = dlm_desc_make(DLM_DTYPE_F32, in[0].ndim, shape);
    return DLM_OK;
}

static void sum_reference(const struct dlm_reference_call *call)
{
    const struct dlm_desc *x = &call->inputs[0].desc, *y = &call->outputs[0].desc;

    for (int64_t o = 0; o < dlm_desc_len(y); o++) {
        double sum = 0;
        for (int64_t i = 0; i < dlm_desc_len(x); i++) {
            int64_t rest = i, kept = 0, scale = 1;
            for (int d = x->ndim - 1; d >= 0; d--) {
                kept += (call->attrs->sum.axes >> d & 1 ? 0 : rest % x->shape[d]) * scale;
                scale *= y->shape[d];
                rest /= x->shape[d];
            }
            if (kept == o)
                sum += dlm_host_get_flat(&call->inputs[0], i);
        }
        dlm_host_set_flat(&call->outputs[0], o, sum);
    }
}

/* A work-group of `sum` makes one result, its lanes sharing the elements; where neighbouring
 * results come from neighbouring elements, one of `sum_columns` makes DLM_SUM_COLUMNS of a row. */
static enum dlm_status sum_lower(struct dlm_lowering *l)
{
    const struct dlm_desc *x = &l->inputs[0];
    enum dlm_status st = dlm_lower_check_plain(l);
    if (st)
        return st;
    struct dlm_sum_params p = {
        .total = (uint32_t)dlm_desc_len(&l->outputs[0]),
        .reduced = (uint32_t)(dlm_desc_len(x) / dlm_desc_len(&l->outputs[0])),
        .keep_shape = {1, 1, 1, 1},
        .sum_shape = {1, 1, 1, 1},
        .x_lead = (uint32_t)x->lead,
    };
    for (int i = 0; i < x->ndim; i++) {
        int at = i + 4 - x->ndim;
        bool summed = l->attrs->sum.axes >> i & 1;
        (summed ? p.sum_shape : p.keep_shape)[at] = (uint32_t)x->shape[i];
        (summed ? p.sum_stride : p.keep_stride)[at] = (uint32_t)x->stride[i];
    }
    const uint32_t cols = p.keep_shape[3], blocks = (cols + DLM_SUM_COLUMNS - 1) / DLM_SUM_COLUMNS;
    const bool by_columns = cols > 1 && p.keep_stride[3] == 1;
    struct dlm_kernel_call call = {
        .args = {DLM_INPUT(0), DLM_OUTPUT(0)},
        .num_args = 2,
        .writes = 1u << 1,
        .groups = {by_columns ? p.total / cols * blocks : p.total},
    };
    dlm_kernel_for(&call, by_columns ? "sum_columns" : "sum", NULL);
    return dlm_lower_call(l, &call, &p, sizeof(p));
}

static void sum_backward(struct dlm_graph *g, const struct dlm_node *node,
                         struct dlm_tensor *const *grads, struct dlm_tensor **input_grads)
{
    const struct dlm_desc *x = &node->inputs[0]->desc;

    input_grads[0] =
        dlm_copy(g, dlm_view_expand(g, grads[0], x->ndim, x->shape), DLM_DTYPE_F32);
}

const struct dlm_op dlm_op_sum = {
    .name = "sum",
    .num_inputs = 1,
    .num_outputs = 1,
    .infer = sum_infer,
    .reference = sum_reference,
    .lower = sum_lower,
    .backward = sum_backward,
    .reads_strided_grads = true,
};

struct dlm_tensor *dlm_sum(struct dlm_graph *g, struct dlm_tensor *x, uint32_t axes)
{
    if (!x)
        return NULL;
    return dlm_graph_emit(g, &dlm_op_sum, &(union dlm_attrs){.sum = {axes}},
                          (struct dlm_tensor *[]){x}, 1, NULL);
}

struct dlm_tensor *dlm_reduce_to(struct dlm_graph *g, struct dlm_tensor *grad,
                                 const struct dlm_desc *to)
{
    uint32_t axes = 0;

    if (!grad)
        return NULL;
    const struct dlm_desc *d = &grad->desc;
    int extra = d->ndim - to->ndim;
    for (int i = 0; i < d->ndim; i++)
        if (i < extra || (to->shape[i - extra] == 1 && d->shape[i] != 1))
            axes |= 1u << i;
    if (axes)
        grad = dlm_sum(g, grad, axes);
    return extra ? dlm_view_reshape(g, grad, to->ndim, to->shape) : grad;
}
