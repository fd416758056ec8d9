/* Shared by the elementwise ops. */
#include "ops/broadcast.h"

bool dlm_broadcast_shape(const struct dlm_desc *a, const struct dlm_desc *b, struct dlm_desc *out)
{
    int ndim = DLM_MAX(a->ndim, b->ndim);
    int64_t shape[DLM_MAX_DIMS];

    for (int i = 0; i < ndim; i++) {
        int ia = i - (ndim - a->ndim), ib = i - (ndim - b->ndim);
        int64_t la = ia < 0 ? 1 : a->shape[ia], lb = ib < 0 ? 1 : b->shape[ib];
        if (la != lb && la != 1 && lb != 1)
            return false;
        shape[i] = DLM_MAX(la, lb);
    }
    *out = dlm_desc_make(DLM_DTYPE_F32, ndim, shape);
    return true;
}

void dlm_broadcast_strides(const struct dlm_desc *d, const struct dlm_desc *to, uint32_t shape[4],
                           uint32_t stride[4])
{
    for (int i = 0; i < 4; i++) {
        int id = i - (4 - d->ndim), it = i - (4 - to->ndim);
        if (shape)
            shape[i] = it < 0 ? 1 : (uint32_t)to->shape[it]; /* sizes were checked */
        stride[i] = id < 0 || d->shape[id] == 1 ? 0 : (uint32_t)d->stride[id];
    }
}

void dlm_host_expand(struct dlm_host_tensor *t, const struct dlm_desc *to)
{
    struct dlm_desc d = *to;

    d.dtype = t->desc.dtype;
    d.lead = t->desc.lead;
    for (int i = 0; i < to->ndim; i++) {
        int from = i - (to->ndim - t->desc.ndim);
        d.stride[i] = from < 0 || t->desc.shape[from] == 1 ? 0 : t->desc.stride[from];
    }
    t->desc = d;
}

/* Whether, in every tensor, dimension d + 1 follows on from dimension d. */
static bool can_merge(const uint32_t shape[4], uint32_t *const *strides, int num, int d)
{
    if (shape[d] == 1 || shape[d + 1] == 1)
        return true;
    for (int i = 0; i < num; i++)
        if (strides[i][d] != strides[i][d + 1] * shape[d + 1])
            return false;
    return true;
}

void dlm_merge_dims(uint32_t shape[4], uint32_t *const *strides, int num)
{
    for (int pair = 0, d = 2; pair < 3; pair++) {
        if (!can_merge(shape, strides, num, d)) {
            d--;
            continue;
        }
        for (int i = 0; i < num; i++)
            if (shape[d + 1] == 1)
                strides[i][d + 1] = strides[i][d];
        shape[d + 1] *= shape[d];
        for (int k = d; k > 0; k--) { /* what is outside moves in */
            shape[k] = shape[k - 1];
            for (int i = 0; i < num; i++)
                strides[i][k] = strides[i][k - 1];
        }
        shape[0] = 1;
        for (int i = 0; i < num; i++)
            strides[i][0] = 0;
    }
}

uint32_t dlm_elem_groups(int64_t n)
{
    return (uint32_t)((n + DLM_GROUP_ELEMS - 1) / DLM_GROUP_ELEMS); /* n fits 32 bits */
}

enum dlm_status dlm_broadcast_infer(struct dlm_ctx *ctx, const char *op, const struct dlm_desc *in,
                                    struct dlm_desc *out)
{
    if (in[0].dtype != DLM_DTYPE_F32 || in[1].dtype != DLM_DTYPE_F32)
        return dlm_infer_fail(ctx, op, "x and y must be f32", &in[in[0].dtype == DLM_DTYPE_F32]);
    if (!dlm_broadcast_shape(&in[0], &in[1], &out[0]))
        return dlm_infer_fail(ctx, op, "y must broadcast with x", &in[1]);
    return DLM_OK;
}

void dlm_broadcast_reference(const struct dlm_reference_call *call, double (*f)(double, double))
{
    struct dlm_host_tensor x = call->inputs[0], y = call->inputs[1];
    const struct dlm_desc *out = &call->outputs[0].desc;

    dlm_host_expand(&x, out);
    dlm_host_expand(&y, out);
    for (int64_t i = 0; i < dlm_desc_len(out); i++)
        dlm_host_set_flat(&call->outputs[0], i,
                          f(dlm_host_get_flat(&x, i), dlm_host_get_flat(&y, i)));
}

enum dlm_status dlm_broadcast_lower(struct dlm_lowering *l, const char *kernel)
{
    enum dlm_status st = dlm_lower_check_sizes(l);
    if (st)
        return st;
    struct dlm_broadcast_params p = {
        .total = (uint32_t)dlm_desc_len(&l->outputs[0]),
        .x_lead = (uint32_t)l->inputs[0].lead,
        .y_lead = (uint32_t)l->inputs[1].lead,
        .out_lead = (uint32_t)l->outputs[0].lead,
    };
    dlm_broadcast_strides(&l->inputs[0], &l->outputs[0], p.shape, p.x_stride);
    dlm_broadcast_strides(&l->inputs[1], &l->outputs[0], NULL, p.y_stride);
    dlm_broadcast_strides(&l->outputs[0], &l->outputs[0], NULL, p.out_stride);
    dlm_merge_dims(p.shape, (uint32_t *[]){p.x_stride, p.y_stride, p.out_stride}, 3);
    struct dlm_kernel_call call = {
        .kernel = kernel,
        .args = {DLM_INPUT(0), DLM_INPUT(1), DLM_OUTPUT(0)},
        .num_args = 3,
        .writes = 1u << 2,
        .groups = {dlm_elem_groups(p.total)},
    };
    return dlm_lower_call(l, &call, &p, sizeof(p));
}

enum dlm_status dlm_map_lower(struct dlm_lowering *l, const char *kernel, uint32_t kind,
                              float factor)
{
    enum dlm_status st = dlm_lower_check_plain(l);
    if (st)
        return st;
    struct dlm_map_params p = {
        .total = (uint32_t)dlm_desc_len(&l->inputs[0]),
        .kind = kind,
        .factor = factor,
    };
    struct dlm_kernel_call call = {.kernel = kernel, .groups = {dlm_elem_groups(p.total)}};
    for (int i = 0; i < l->num_inputs; i++)
        call.args[call.num_args++] = DLM_INPUT(i);
    for (int i = 0; i < l->num_outputs; i++) {
        call.writes |= 1u << call.num_args;
        call.args[call.num_args++] = DLM_OUTPUT(i);
    }
    return dlm_lower_call(l, &call, &p, sizeof(p));
}
