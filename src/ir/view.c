/* Views: other shapes and strides of the same storage. */
#include "ir/view.h"

#include <string.h>

/* Whether order names each of ndim dimensions once. */
static bool is_order(const int *order, int ndim)
{
    unsigned seen = 0;

    for (int i = 0; i < ndim; i++)
        if (order[i] >= 0 && order[i] < ndim)
            seen |= 1u << order[i];
    return seen == (1u << ndim) - 1;
}

/* Whether order puts the dimensions of t, which is permuted, back as its parent has them. */
static bool undoes(const struct dlm_tensor *t, const int *order)
{
    if (t->view != DLM_VIEW_PERMUTE)
        return false;
    for (int i = 0; i < t->desc.ndim; i++)
        if (t->order[order[i]] != i)
            return false;
    return true;
}

struct dlm_tensor *dlm_view_permute(struct dlm_graph *g, struct dlm_tensor *t, const int *order)
{
    if (!t)
        return NULL;
    struct dlm_desc d = t->desc;
    if (!is_order(order, d.ndim)) {
        dlm_graph_fail(g, dlm_infer_fail(g->ctx, "permute", "must name each dimension once", &d));
        return NULL;
    }
    if (undoes(t, order))
        return t->parent;
    for (int i = 0; i < d.ndim; i++) {
        d.shape[i] = t->desc.shape[order[i]];
        d.stride[i] = t->desc.stride[order[i]];
    }
    struct dlm_tensor *v = dlm_graph_view(g, t, DLM_VIEW_PERMUTE, &d, t->offset);
    if (!v)
        return NULL;
    memcpy(v->order, order, (size_t)d.ndim * sizeof(*order));
    return v;
}

struct dlm_tensor *dlm_view_unpermute(struct dlm_graph *g, struct dlm_tensor *t, const int *order)
{
    int back[DLM_MAX_DIMS];

    if (!t)
        return NULL;
    for (int i = 0; i < t->desc.ndim; i++)
        back[order[i]] = i;
    return dlm_view_permute(g, t, back);
}

struct dlm_tensor *dlm_view_transpose(struct dlm_graph *g, struct dlm_tensor *t)
{
    int order[DLM_MAX_DIMS];

    if (!t)
        return NULL;
    const int ndim = t->desc.ndim;
    if (ndim < 2) {
        dlm_graph_fail(g, dlm_infer_fail(g->ctx, "transpose", "needs two dimensions", &t->desc));
        return NULL;
    }
    for (int i = 0; i < ndim; i++)
        order[i] = i;
    order[ndim - 2] = ndim - 1;
    order[ndim - 1] = ndim - 2;
    return dlm_view_permute(g, t, order);
}

struct dlm_tensor *dlm_view_reshape(struct dlm_graph *g, struct dlm_tensor *t, int ndim,
                                    const int64_t *shape)
{
    if (!t)
        return NULL;
    struct dlm_desc flat = t->desc;
    flat.lead = 0;
    struct dlm_desc d = dlm_desc_make(t->desc.dtype, ndim, shape);
    if (!dlm_desc_is_contiguous(&flat) || dlm_desc_len(&d) != dlm_desc_len(&t->desc)) {
        dlm_graph_fail(g, dlm_infer_fail(g->ctx, "reshape",
                                         "needs a contiguous tensor of the same length", &flat));
        return NULL;
    }
    return dlm_graph_view(g, t, DLM_VIEW_RESHAPE, &d, t->offset);
}

struct dlm_tensor *dlm_view_slice(struct dlm_graph *g, struct dlm_tensor *t, int dim,
                                  int64_t begin, int64_t len)
{
    if (!t)
        return NULL;
    if (dim < 0 || dim >= t->desc.ndim || begin < 0 || len <= 0 ||
        begin > t->desc.shape[dim] - len || t->desc.layout != DLM_LAYOUT_STRIDED) {
        dlm_graph_fail(g, dlm_infer_fail(g->ctx, "slice", "the range must lie inside", &t->desc));
        return NULL;
    }
    if (dlm_dtype_is_quant(t->desc.dtype)) { /* its scales lie behind all of its codes */
        dlm_graph_fail(g, dlm_infer_fail(g->ctx, "slice", "a quantised weight is one piece",
                                         &t->desc));
        return NULL;
    }
    struct dlm_desc d = t->desc;
    d.shape[dim] = len;
    const int64_t offset = t->offset + begin * t->desc.stride[dim];
    struct dlm_tensor *v = dlm_graph_view(g, t, DLM_VIEW_SLICE, &d, offset);
    if (!v)
        return NULL;
    v->view_dim = dim;
    v->view_begin = begin;
    return v;
}

struct dlm_tensor *dlm_view_expand(struct dlm_graph *g, struct dlm_tensor *t, int ndim,
                                   const int64_t *shape)
{
    if (!t)
        return NULL;
    struct dlm_desc d = {.dtype = t->desc.dtype, .ndim = ndim};
    for (int i = 0; i < ndim; i++) {
        int from = i - (ndim - t->desc.ndim);
        int64_t len = from < 0 ? 1 : t->desc.shape[from];
        if (len != 1 && len != shape[i]) {
            dlm_graph_fail(g, dlm_infer_fail(g->ctx, "expand", "does not broadcast", &t->desc));
            return NULL;
        }
        d.shape[i] = shape[i];
        d.stride[i] = len == 1 ? 0 : t->desc.stride[from];
    }
    return dlm_graph_view(g, t, DLM_VIEW_EXPAND, &d, t->offset);
}
