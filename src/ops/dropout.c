/* Inverted dropout: y = x / (1 - p) where kept, else 0; each element is kept with probability 1 - p
 * (torch.nn.functional.dropout, with its own random numbers).
 *
 * The mask is a pure function of (seed, step, batch row, module, element): Philox4x32-10 with key
 * (seed) and counter (t * C + c, row id, module, step), so that recomputation, another plan or a
 * resumed run see the same mask, and the backward rule is the op itself.
 * x, y f32 [R, C] contiguous; rng u32 [4]: seed low, seed high, step, unused; row_ids u32 [B]. */
#include "ops/op.h"
#include "ops/row_ops.h"

static enum dlm_status dropout_infer(struct dlm_ctx *ctx, const union dlm_attrs *attrs,
                                     const struct dlm_desc *in, struct dlm_desc *out)
{
    const struct dlm_dropout_attrs *a = &attrs->dropout;

    enum dlm_status st = dlm_infer_plain(ctx, "dropout", "x", &in[0]);
    if (!st && (in[0].ndim != 2 || !(a->p >= 0 && a->p < 1) || !a->rows_per_batch))
        st = dlm_infer_fail(ctx, "dropout", "x must be [R, C], p in [0, 1)", &in[0]);
    if (!st && (in[1].dtype != DLM_DTYPE_U32 || dlm_desc_len(&in[1]) != 4 ||
                !dlm_desc_is_contiguous(&in[1])))
        st = dlm_infer_fail(ctx, "dropout", "rng must be u32 [4]", &in[1]);
    if (!st && (in[2].dtype != DLM_DTYPE_U32 || !dlm_desc_is_contiguous(&in[2]) ||
                dlm_desc_len(&in[2]) * a->rows_per_batch < a->first_row + in[0].shape[0]))
        st = dlm_infer_fail(ctx, "dropout", "row_ids must be u32 [B]", &in[2]);
    if (!st)
        out[0] = dlm_desc_make(DLM_DTYPE_F32, 2, in[0].shape);
    return st;
}

static void dropout_reference(const struct dlm_reference_call *call)
{
    const int64_t rows = call->inputs[0].desc.shape[0], cols = call->inputs[0].desc.shape[1];
    const struct dlm_dropout_attrs *a = &call->attrs->dropout;
    uint32_t rng[3];

    for (int i = 0; i < 3; i++)
        rng[i] = (uint32_t)dlm_host_get_flat(&call->inputs[1], i);
    for (int64_t r = 0; r < rows; r++) {
        const int64_t row = a->first_row + r;
        uint32_t id = (uint32_t)dlm_host_get_flat(&call->inputs[2], row / a->rows_per_batch);
        for (int64_t c = 0; c < cols; c++) {
            /* within a batch row there are fewer than 2^32 elements */
            uint32_t element = (uint32_t)(row % a->rows_per_batch * cols + c);
            uint32_t word = dlm_philox(element, id, a->module, rng[2], rng[0], rng[1]);
            double x = dlm_host_get_flat(&call->inputs[0], r * cols + c);
            dlm_host_set_flat(&call->outputs[0], r * cols + c,
                              dlm_uniform(word) >= a->p ? x / (1 - (double)a->p) : 0);
        }
    }
}

static enum dlm_status dropout_lower(struct dlm_lowering *l)
{
    enum dlm_status st = dlm_lower_check_plain(l);
    if (st)
        return st;
    struct dlm_dropout_params p = {
        .rows = (uint32_t)l->inputs[0].shape[0],
        .cols = (uint32_t)l->inputs[0].shape[1],
        .rows_per_batch = l->attrs->dropout.rows_per_batch,
        .first_row = l->attrs->dropout.first_row,
        .module = l->attrs->dropout.module,
        .p = l->attrs->dropout.p,
    };
    struct dlm_kernel_call call = {
        .kernel = "dropout",
        .args = {DLM_INPUT(0), DLM_INPUT(1), DLM_INPUT(2), DLM_OUTPUT(0)},
        .num_args = 4,
        .writes = 1u << 3,
        .groups = {p.rows},
    };
    return dlm_lower_call(l, &call, &p, sizeof(p));
}

static void dropout_backward(struct dlm_graph *g, const struct dlm_node *node,
                             struct dlm_tensor *const *grads, struct dlm_tensor **input_grads)
{
    input_grads[0] =
        dlm_dropout(g, grads[0], node->inputs[1], node->inputs[2], &node->attrs.dropout);
}

const struct dlm_op dlm_op_dropout = {
    .name = "dropout",
    .num_inputs = 3,
    .num_outputs = 1,
    .infer = dropout_infer,
    .reference = dropout_reference,
    .lower = dropout_lower,
    .backward = dropout_backward,
};

struct dlm_tensor *dlm_dropout(struct dlm_graph *g, struct dlm_tensor *x, struct dlm_tensor *rng,
                               struct dlm_tensor *row_ids, const struct dlm_dropout_attrs *attrs)
{
    if (!x || !rng || !row_ids)
        return NULL;
    return dlm_graph_emit(g, &dlm_op_dropout, &(union dlm_attrs){.dropout = *attrs},
                          (struct dlm_tensor *[]){x, rng, row_ids}, 3, NULL);
}
