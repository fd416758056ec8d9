/* Shared by the elementwise ops. */
#include "ops/broadcast.h"

#include <string.h>

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
static bool can_merge(const struct dlm_walk *w, int d)
{
    if (w->shape[d] == 1 || w->shape[d + 1] == 1)
        return true;
    for (int i = 0; i < w->num; i++)
        if (w->stride[i][d] != w->stride[i][d + 1] * w->shape[d + 1])
            return false;
    return true;
}

/* Dimensions d and d + 1 become d + 1, and what is outside moves in. */
static void merge(struct dlm_walk *w, int d)
{
    for (int i = 0; i < w->num; i++)
        if (w->shape[d + 1] == 1)
            w->stride[i][d + 1] = w->stride[i][d];
    w->shape[d + 1] *= w->shape[d];
    for (int k = d; k > 0; k--) {
        w->shape[k] = w->shape[k - 1];
        for (int i = 0; i < w->num; i++)
            w->stride[i][k] = w->stride[i][k - 1];
    }
    w->shape[0] = 1;
    for (int i = 0; i < w->num; i++)
        w->stride[i][0] = 0;
}

void dlm_walk_init(struct dlm_walk *walk, const struct dlm_desc *to,
                   const struct dlm_desc *const *tensors, int num)
{
    walk->num = num;
    for (int k = 0; k < DLM_MAX_DIMS; k++) {
        const int at = k - (DLM_MAX_DIMS - to->ndim);
        walk->shape[k] = at < 0 ? 1 : (uint32_t)to->shape[at]; /* sizes were checked */
        for (int i = 0; i < num; i++) {
            const int from = k - (DLM_MAX_DIMS - tensors[i]->ndim);
            walk->stride[i][k] = from < 0 || tensors[i]->shape[from] == 1
                                     ? 0
                                     : (uint32_t)tensors[i]->stride[from];
        }
    }
    for (int pair = 0, d = DLM_MAX_DIMS - 2; pair < DLM_MAX_DIMS - 1; pair++) {
        if (can_merge(walk, d))
            merge(walk, d);
        else
            d--;
    }
}

enum { OUTER = DLM_MAX_DIMS - 4 };

uint32_t dlm_walk_outer(const struct dlm_walk *walk)
{
    uint32_t len = 1;

    for (int k = 0; k < OUTER; k++)
        len *= walk->shape[k];
    return len;
}

uint32_t dlm_walk_offset(const struct dlm_walk *walk, int i, uint32_t at)
{
    uint32_t offset = 0;

    for (int k = OUTER - 1; k >= 0; k--) {
        offset += at % walk->shape[k] * walk->stride[i][k];
        at /= walk->shape[k];
    }
    return offset;
}

void dlm_walk_inner(const struct dlm_walk *walk, int i, uint32_t shape[4], uint32_t stride[4])
{
    if (shape)
        memcpy(shape, walk->shape + OUTER, 4 * sizeof(*shape));
    memcpy(stride, walk->stride[i] + OUTER, 4 * sizeof(*stride));
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
    const struct dlm_desc *const tensors[] = {&l->inputs[0], &l->inputs[1], &l->outputs[0]};
    struct dlm_walk walk;
    enum dlm_status st = dlm_lower_check_sizes(l);
    if (st)
        return st;
    dlm_walk_init(&walk, &l->outputs[0], tensors, 3);
    const uint32_t outer = dlm_walk_outer(&walk);
    struct dlm_broadcast_params p = {.total = (uint32_t)dlm_desc_len(&l->outputs[0]) / outer};
    dlm_walk_inner(&walk, 0, p.shape, p.x_stride);
    dlm_walk_inner(&walk, 1, NULL, p.y_stride);
    dlm_walk_inner(&walk, 2, NULL, p.out_stride);
    struct dlm_kernel_call call = {
        .args = {DLM_INPUT(0), DLM_INPUT(1), DLM_OUTPUT(0)},
        .num_args = 3,
        .writes = 1u << 2,
        .groups = {dlm_elem_groups(p.total)},
    };
    dlm_kernel_for(&call, kernel, NULL);
    for (uint32_t at = 0; !st && at < outer; at++) {
        p.x_lead = (uint32_t)l->inputs[0].lead + dlm_walk_offset(&walk, 0, at);
        p.y_lead = (uint32_t)l->inputs[1].lead + dlm_walk_offset(&walk, 1, at);
        p.out_lead = (uint32_t)l->outputs[0].lead + dlm_walk_offset(&walk, 2, at);
        st = dlm_lower_call(l, &call, &p, sizeof(p));
    }
    return st;
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
    struct dlm_kernel_call call = {.groups = {dlm_elem_groups(p.total)}};
    dlm_kernel_for(&call, kernel, &l->inputs[0].dtype);
    for (int i = 0; i < l->num_inputs; i++)
        call.args[call.num_args++] = DLM_INPUT(i);
    for (int i = 0; i < l->num_outputs; i++) {
        call.writes |= 1u << call.num_args;
        call.args[call.num_args++] = DLM_OUTPUT(i);
    }
    return dlm_lower_call(l, &call, &p, sizeof(p));
}
