/* Views: other shapes and strides of a tensor's memory. Errors stick as with builders: NULL gives
 * NULL, and a view that cannot be fails the graph. */
#ifndef DLM_IR_VIEW_H
#define DLM_IR_VIEW_H

#include "ir/graph.h"

/* Views: no node, no memory. Offsets and lengths in elements of the dimension. */
/* Dimension i of the view is dimension order[i] of t: torch.permute. order: [ndim] */
struct dlm_tensor *dlm_view_permute(struct dlm_graph *g, struct dlm_tensor *t, const int *order);
/* The inverse of a permute by a valid order. */
struct dlm_tensor *dlm_view_unpermute(struct dlm_graph *g, struct dlm_tensor *t, const int *order);
struct dlm_tensor *dlm_view_transpose(struct dlm_graph *g, struct dlm_tensor *t); /* last two */
struct dlm_tensor *dlm_view_reshape(struct dlm_graph *g, struct dlm_tensor *t, int ndim,
                                    const int64_t *shape); /* t contiguous */
struct dlm_tensor *dlm_view_slice(struct dlm_graph *g, struct dlm_tensor *t, int dim,
                                  int64_t begin, int64_t len);
/* Repeats dimensions of length 1 up to shape. */
struct dlm_tensor *dlm_view_expand(struct dlm_graph *g, struct dlm_tensor *t, int ndim,
                                   const int64_t *shape);

#endif
