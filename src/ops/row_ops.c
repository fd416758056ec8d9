/* Shared by the row-wise ops. */
#include "ops/row_ops.h"

#include <stdio.h>
#include <string.h>

enum dlm_status dlm_infer_plain(struct dlm_ctx *ctx, const char *op, const char *input,
                                const struct dlm_desc *x)
{
    char what[64];

    if (x->dtype == DLM_DTYPE_F32 && dlm_desc_is_contiguous(x))
        return DLM_OK;
    snprintf(what, sizeof(what), "%s must be f32 and contiguous", input);
    return dlm_infer_fail(ctx, op, what, x);
}

enum dlm_status dlm_infer_row_vector(struct dlm_ctx *ctx, const char *op, const char *input,
                                     const struct dlm_desc *x, const struct dlm_desc *v)
{
    char what[64];

    if (v->dtype == DLM_DTYPE_F32 && v->ndim == 1 && v->shape[0] == dlm_desc_cols(x) &&
        dlm_desc_is_contiguous(v))
        return DLM_OK;
    snprintf(what, sizeof(what), "%s must be a contiguous f32 row", input);
    return dlm_infer_fail(ctx, op, what, v);
}

void dlm_row_kernel(const struct dlm_lowering *l, struct dlm_kernel_call *call, const char *name)
{
    dlm_kernel_for(call, name, NULL);
    if (l->caps->bits & DLM_CAP_NO_LOCAL)
        strcat(call->kernel, "_nolocal");
}

enum dlm_status dlm_rows_lower(struct dlm_lowering *l, const char *kernel, float eps, bool plus_one)
{
    enum dlm_status st = dlm_lower_check_plain(l);
    if (st)
        return st;
    struct dlm_rows_params p = {
        .rows = (uint32_t)dlm_desc_rows(&l->inputs[0]), /* sizes were checked */
        .cols = (uint32_t)dlm_desc_cols(&l->inputs[0]),
        .eps = eps,
        .plus_one = plus_one,
    };
    struct dlm_kernel_call call = {.groups = {p.rows}};
    dlm_row_kernel(l, &call, kernel);
    for (int i = 0; i < l->num_inputs; i++)
        call.args[call.num_args++] = DLM_INPUT(i);
    for (int i = 0; i < l->num_outputs; i++) {
        call.writes |= 1u << call.num_args;
        call.args[call.num_args++] = DLM_OUTPUT(i);
    }
    return dlm_lower_call(l, &call, &p, sizeof(p));
}
