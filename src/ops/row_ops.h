/* What the row-wise ops share: one work-group (64 lanes), or CPU work item, a row. */
#ifndef DLM_OPS_ROW_OPS_H
#define DLM_OPS_ROW_OPS_H

#include "ops/op.h"

/* x is f32, contiguous: else DLM_ERR_INVALID naming op and input. */
enum dlm_status dlm_infer_plain(struct dlm_ctx *ctx, const char *op, const char *input,
                                const struct dlm_desc *x) DLM_CHECK_RESULT;

/* v is f32|f16|bf16, contiguous [cols of x]. */
enum dlm_status dlm_infer_row_vector(struct dlm_ctx *ctx, const char *op, const char *input,
                                     const struct dlm_desc *x,
                                     const struct dlm_desc *v) DLM_CHECK_RESULT;

/* Names the call's kernel, whose work-group does a row: `name`, or where barriers are slow
 * name_nolocal, with fewer lanes. */
void dlm_row_kernel(const struct dlm_lowering *l, struct dlm_kernel_call *call, const char *name);

/* Lowers `kernel` with struct dlm_rows_params over the rows of input 0: the inputs in order, then
 * the outputs. */
enum dlm_status dlm_rows_lower(struct dlm_lowering *l, const char *kernel, float eps,
                               bool plus_one);

#endif
