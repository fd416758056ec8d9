/* dst[start[0] + t] = x[t] for t < start[1], in place: how keys and values enter the cache. dst
 * [S, W] f32|f16|bf16 contiguous; x f32 [T, W], rows of any stride; start i32 [2]: first row and
 * number of rows. Rows outside dst are dropped. 16-bit rows have an even W: two elements share a
 * word. */
#include "ops/op.h"
#include "ops/row_ops.h"

static enum dlm_status store_rows_infer(struct dlm_ctx *ctx, const union dlm_attrs *attrs,
                                        const struct dlm_desc *in, struct dlm_desc *out)
{
    (void)attrs;
    enum dlm_status st = DLM_OK;
    if (in[1].dtype != DLM_DTYPE_F32 || in[1].layout != DLM_LAYOUT_STRIDED || in[1].ndim != 2 ||
        (in[1].stride[1] != 1 && in[1].shape[1] > 1))
        st = dlm_infer_fail(ctx, "store_rows", "x must be f32 [T, W], rows without gaps", &in[1]);
    if (!st && (!dlm_dtype_is_float(in[0].dtype) || in[0].ndim != 2 ||
                !dlm_desc_is_contiguous(&in[0])))
        st = dlm_infer_fail(ctx, "store_rows", "dst must be contiguous f32, f16 or bf16 [S, W]",
                            &in[0]);
    if (!st && in[1].shape[1] != in[0].shape[1])
        st = dlm_infer_fail(ctx, "store_rows", "x must have dst's columns", &in[1]);
    if (!st && in[0].dtype != DLM_DTYPE_F32 && in[0].shape[1] % 2)
        st = dlm_infer_fail(ctx, "store_rows", "16-bit rows must have an even length", &in[0]);
    if (!st && (in[2].dtype != DLM_DTYPE_I32 || dlm_desc_len(&in[2]) != 2 ||
                !dlm_desc_is_contiguous(&in[2])))
        st = dlm_infer_fail(ctx, "store_rows", "start must be i32 [2]", &in[2]);
    if (!st)
        out[0] = in[0];
    return st;
}

static void store_rows_reference(const struct dlm_reference_call *call)
{
    const struct dlm_desc *dst = &call->inputs[0].desc, *x = &call->inputs[1].desc;
    int64_t start = dlm_host_get_i32(&call->inputs[2], 0);
    int64_t num = dlm_host_get_i32(&call->inputs[2], 1);

    for (int64_t t = 0; t < x->shape[0] && t < num; t++) {
        if (start + t < 0 || start + t >= dst->shape[0])
            continue;
        for (int64_t c = 0; c < dst->shape[1]; c++)
            dlm_host_set_flat(&call->outputs[0], (start + t) * dst->shape[1] + c,
                              dlm_host_get_flat(&call->inputs[1], t * dst->shape[1] + c));
    }
}

static enum dlm_status store_rows_lower(struct dlm_lowering *l)
{
    enum dlm_status st = dlm_lower_check_plain(l);
    if (st)
        return st;
    struct dlm_store_rows_params p = {
        .rows = (uint32_t)l->inputs[1].shape[0],
        .cols = (uint32_t)l->inputs[1].shape[1],
        .capacity = (uint32_t)l->inputs[0].shape[0],
        .x_lead = (uint32_t)l->inputs[1].lead,
        .x_stride = (uint32_t)l->inputs[1].stride[0],
    };
    struct dlm_kernel_call call = {
        .args = {DLM_INPUT(1), DLM_INPUT(2), DLM_OUTPUT(0)},
        .num_args = 3,
        .writes = 1u << 2,
        .groups = {p.rows},
        .work = 8 * (uint64_t)p.rows * p.cols, /* some rows of many */
    };
    dlm_kernel_for(&call, "store_rows_*", &l->inputs[0].dtype);
    return dlm_lower_call(l, &call, &p, sizeof(p));
}

const struct dlm_op dlm_op_store_rows = {
    .name = "store_rows",
    .num_inputs = 3,
    .num_outputs = 1,
    .infer = store_rows_infer,
    .reference = store_rows_reference,
    .lower = store_rows_lower,
    .alias = {1},
};

struct dlm_tensor *dlm_store_rows(struct dlm_graph *g, struct dlm_tensor *dst,
                                  struct dlm_tensor *x, struct dlm_tensor *start)
{
    if (!dst || !x || !start)
        return NULL;
    return dlm_graph_emit(g, &dlm_op_store_rows, NULL, (struct dlm_tensor *[]){dst, x, start}, 3,
                          NULL);
}
