/* Descriptors: type, shape and strides of a tensor, without its memory. */
#ifndef DLM_IR_DESC_H
#define DLM_IR_DESC_H

#include "base/dtype.h"
#include "base/log.h"

#define DLM_MAX_DIMS 6 /* ops say where they take fewer */

/* How a tensor lies in memory. */
enum dlm_layout {
    DLM_LAYOUT_STRIDED, /* element (i0, i1, ..) at lead + sum i_d * stride_d */
    DLM_LAYOUT_PANEL,   /* a matmul weight in the CPU's packed form (kernels/panel.h); strides
                           then only say which dimension is K (stride 1) */
};

/* A tensor as an op sees it. dtype DLM_DTYPE_COUNT: an optional input or output
 * that is absent. */
struct dlm_desc {
    enum dlm_dtype dtype;
    enum dlm_layout layout;
    int ndim;                     /* 1..DLM_MAX_DIMS */
    int64_t shape[DLM_MAX_DIMS];  /* > 0 */
    int64_t stride[DLM_MAX_DIMS]; /* in elements, >= 0; 0 repeats */
    int64_t lead;                 /* elements between the binding's start and element 0 */
};

/* A contiguous row-major tensor. */
struct dlm_desc dlm_desc_make(enum dlm_dtype dtype, int ndim, const int64_t *shape);
bool dlm_desc_is_absent(const struct dlm_desc *d);
bool dlm_desc_is_contiguous(const struct dlm_desc *d); /* and without lead */
bool dlm_desc_same_shape(const struct dlm_desc *a, const struct dlm_desc *b);
int64_t dlm_desc_len(const struct dlm_desc *d); /* elements */
int64_t dlm_desc_rows(const struct dlm_desc *d); /* product of all but the last dimension */
int64_t dlm_desc_cols(const struct dlm_desc *d); /* the last dimension */
/* "f32[2,3]" into text. */
void dlm_desc_text(const struct dlm_desc *d, char *text, size_t text_bytes);

/* The error of a shape rule or a view: logs and returns DLM_ERR_INVALID naming op and tensor. */
enum dlm_status dlm_infer_fail(struct dlm_ctx *ctx, const char *op, const char *what,
                               const struct dlm_desc *d) DLM_CHECK_RESULT;

#endif
