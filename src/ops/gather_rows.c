/* out[m] = x[idx[m]], or zeros where idx[m] < 0: torch.index_select along rows. x f32 [R, C]; idx
 * i32 [M]; idx_back i32 [R], optional: the row m that took row r, or -1; the gradient is the same
 * op with the index turned round, so each row may be taken once. out f32 [M, C]. */
#include "ops/op.h"
#include "ops/row_ops.h"

static enum dlm_status gather_rows_infer(struct dlm_ctx *ctx, const union dlm_attrs *attrs,
                                         const struct dlm_desc *in, struct dlm_desc *out)
{
    (void)attrs;
    enum dlm_status st = dlm_infer_plain(ctx, "gather_rows", "x", &in[0]);
    if (!st && in[0].ndim != 2)
        st = dlm_infer_fail(ctx, "gather_rows", "x must be [R, C]", &in[0]);
    if (!st && (in[1].dtype != DLM_DTYPE_I32 || in[1].ndim != 1 || !dlm_desc_is_contiguous(&in[1])))
        st = dlm_infer_fail(ctx, "gather_rows", "idx must be a contiguous i32 row", &in[1]);
    if (!st && !dlm_desc_is_absent(&in[2]) &&
        (in[2].dtype != DLM_DTYPE_I32 || in[2].ndim != 1 || in[2].shape[0] != in[0].shape[0] ||
         !dlm_desc_is_contiguous(&in[2])))
        st = dlm_infer_fail(ctx, "gather_rows", "idx_back must be i32 [R]", &in[2]);
    if (!st)
        out[0] = dlm_desc_make(DLM_DTYPE_F32, 2, (int64_t[]){in[1].shape[0], in[0].shape[1]});
    return st;
}

static void gather_rows_reference(const struct dlm_reference_call *call)
{
    const int64_t rows = call->inputs[0].desc.shape[0], cols = call->inputs[0].desc.shape[1];

    for (int64_t m = 0; m < call->inputs[1].desc.shape[0]; m++) {
        int64_t from = dlm_host_get_i32(&call->inputs[1], m);
        for (int64_t c = 0; c < cols; c++)
            dlm_host_set_flat(&call->outputs[0], m * cols + c,
                              from < 0 || from >= rows
                                  ? 0
                                  : dlm_host_get_flat(&call->inputs[0], from * cols + c));
    }
}

static enum dlm_status gather_rows_lower(struct dlm_lowering *l)
{
    enum dlm_status st = dlm_lower_check_plain(l);
    if (st)
        return st;
    struct dlm_gather_params p = {
        .rows_out = (uint32_t)l->outputs[0].shape[0],
        .rows_in = (uint32_t)l->inputs[0].shape[0],
        .cols = (uint32_t)l->inputs[0].shape[1],
    };
    struct dlm_kernel_call call = {
        .kernel = "gather_rows",
        .args = {DLM_INPUT(0), DLM_INPUT(1), DLM_OUTPUT(0)},
        .num_args = 3,
        .writes = 1u << 2,
        .groups = {p.rows_out},
        .work = 8 * (uint64_t)p.rows_out * p.cols, /* some rows of many */
    };
    return dlm_lower_call(l, &call, &p, sizeof(p));
}

static void gather_rows_backward(struct dlm_graph *g, const struct dlm_node *node,
                                 struct dlm_tensor *const *grads, struct dlm_tensor **input_grads)
{
    if (!node->inputs[2]) {
        dlm_graph_fail(g, dlm_fail(g->ctx, DLM_ERR_UNSUPPORTED,
                                   "op 'gather_rows' has no gradient without idx_back"));
        return;
    }
    input_grads[0] = dlm_gather_rows(g, grads[0], node->inputs[2], NULL);
}

const struct dlm_op dlm_op_gather_rows = {
    .name = "gather_rows",
    .num_inputs = 3,
    .num_outputs = 1,
    .infer = gather_rows_infer,
    .reference = gather_rows_reference,
    .lower = gather_rows_lower,
    .backward = gather_rows_backward,
};

struct dlm_tensor *dlm_gather_rows(struct dlm_graph *g, struct dlm_tensor *x,
                                   struct dlm_tensor *idx, struct dlm_tensor *idx_back)
{
    if (!x || !idx)
        return NULL;
    return dlm_graph_emit(g, &dlm_op_gather_rows, NULL,
                          (struct dlm_tensor *[]){x, idx, idx_back}, 3, NULL);
}
