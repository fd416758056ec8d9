/* Views: other shapes and strides of the same storage. */
#include "ir/view.h"

struct dlm_tensor *dlm_view_transpose(struct dlm_graph *g, struct dlm_tensor *t)
{
    if (!t)
        return NULL;
    struct dlm_desc d = t->desc;
    int a = d.ndim - 2, b = d.ndim - 1;
    if (a < 0) {
        dlm_graph_fail(g, dlm_infer_fail(g->ctx, "transpose", "needs two dimensions", &d));
        return NULL;
    }
    d.shape[a] = t->desc.shape[b];
    d.shape[b] = t->desc.shape[a];
    d.stride[a] = t->desc.stride[b];
    d.stride[b] = t->desc.stride[a];
    return dlm_graph_view(g, t, DLM_VIEW_TRANSPOSE, &d, t->offset);
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
    struct dlm_desc d = t->desc;
    d.shape[dim] = len;
    int64_t offset = t->offset + begin * t->desc.stride[dim];
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
