/* Rows of a table, or feature slots: torch.nn.functional.embedding with a way in for images.
 *
 *     out[r] = table[ids[r] - first_row] * scale      when that row is in the table
 *     out[r] = features[-1 - ids[r]]                  when ids[r] < 0 (not scaled)
 *     out[r] = base[r], or 0 without base             otherwise
 *
 * ids i32 [R]; table [V, C] f32|f16|bf16, in 4 to 8 bits (base/quant.h), or panels; features f32
 * [F, C], optional; base f32 [R, C], optional: the result of the slab before, so that a split
 * table is a chain of nodes; slot_rows i32 [F], optional: the row that uses a slot, or -1, for the
 * gradient of the features (each slot is used at most once). out f32 [R, C]. The table is
 * frozen. */
#include "ops/op.h"
#include "ops/row_ops.h"

enum { IDS, TABLE, FEATURES, BASE, SLOT_ROWS };

static enum dlm_status infer_optional_rows(struct dlm_ctx *ctx, const char *input,
                                           const struct dlm_desc *d, int64_t cols)
{
    if (dlm_desc_is_absent(d))
        return DLM_OK;
    enum dlm_status st = dlm_infer_plain(ctx, "embedding", input, d);
    if (!st && (d->ndim != 2 || d->shape[1] != cols))
        st = dlm_infer_fail(ctx, "embedding", "features and base must have the table's columns", d);
    return st;
}

static enum dlm_status embedding_infer(struct dlm_ctx *ctx, const union dlm_attrs *attrs,
                                       const struct dlm_desc *in, struct dlm_desc *out)
{
    (void)attrs;
    if (in[IDS].dtype != DLM_DTYPE_I32 || in[IDS].ndim != 1 || !dlm_desc_is_contiguous(&in[IDS]))
        return dlm_infer_fail(ctx, "embedding", "ids must be a contiguous i32 row", &in[IDS]);
    size_t row_bytes;
    const bool is_number =
        dlm_dtype_is_float(in[TABLE].dtype) ||
        (dlm_dtype_is_quant(in[TABLE].dtype) && in[TABLE].ndim == 2 &&
         dlm_dtype_bytes(in[TABLE].dtype, in[TABLE].shape[1], &row_bytes));
    if (in[TABLE].ndim != 2 || !is_number ||
        (in[TABLE].layout == DLM_LAYOUT_STRIDED && !dlm_desc_is_contiguous(&in[TABLE])))
        return dlm_infer_fail(ctx, "embedding", "the table must be f32, f16, bf16 or quantised "
                              "[V, C]", &in[TABLE]);
    enum dlm_status st = infer_optional_rows(ctx, "features", &in[FEATURES], in[TABLE].shape[1]);
    if (!st)
        st = infer_optional_rows(ctx, "base", &in[BASE], in[TABLE].shape[1]);
    if (!st && !dlm_desc_is_absent(&in[BASE]) && in[BASE].shape[0] != in[IDS].shape[0])
        st = dlm_infer_fail(ctx, "embedding", "base must have a row for each id", &in[BASE]);
    if (!st)
        out[0] = dlm_desc_make(DLM_DTYPE_F32, 2,
                               (int64_t[]){in[IDS].shape[0], in[TABLE].shape[1]});
    return st;
}

static double scale_of(const union dlm_attrs *attrs)
{
    return attrs->embedding.scale != 0 ? attrs->embedding.scale : 1;
}

static void embedding_reference(const struct dlm_reference_call *call)
{
    const struct dlm_host_tensor *in = call->inputs;
    const int64_t cols = in[TABLE].desc.shape[1];

    for (int64_t r = 0; r < in[IDS].desc.shape[0]; r++) {
        int64_t id = dlm_host_get_i32(&in[IDS], r);
        int64_t row = id - call->attrs->embedding.first_row;
        for (int64_t c = 0; c < cols; c++) {
            double value = 0;
            if (id < 0 && !dlm_desc_is_absent(&in[FEATURES].desc) &&
                -1 - id < in[FEATURES].desc.shape[0])
                value = dlm_host_get_flat(&in[FEATURES], (-1 - id) * cols + c);
            else if (id >= 0 && row >= 0 && row < in[TABLE].desc.shape[0])
                value = dlm_host_get_flat(&in[TABLE], row * cols + c) * scale_of(call->attrs);
            else if (!dlm_desc_is_absent(&in[BASE].desc))
                value = dlm_host_get_flat(&in[BASE], r * cols + c);
            dlm_host_set_flat(&call->outputs[0], r * cols + c, value);
        }
    }
}

/* Bindings ids, table, features, base (ids where absent), out. */
static enum dlm_status embedding_lower(struct dlm_lowering *l)
{
    const struct dlm_desc *in = l->inputs;
    enum dlm_status st = dlm_lower_check_plain(l);
    if (st)
        return st;
    bool has_features = !dlm_desc_is_absent(&in[FEATURES]);
    bool has_base = !dlm_desc_is_absent(&in[BASE]);
    struct dlm_embedding_params p = {
        .rows = (uint32_t)in[IDS].shape[0],
        .cols = (uint32_t)in[TABLE].shape[1],
        .first_row = (uint32_t)l->attrs->embedding.first_row,
        .table_rows = (uint32_t)in[TABLE].shape[0],
        .num_features = has_features ? (uint32_t)in[FEATURES].shape[0] : 0,
        .has_base = has_base,
        .scale = (float)scale_of(l->attrs),
    };
    struct dlm_kernel_call call = {
        .args = {DLM_INPUT(IDS), DLM_INPUT(TABLE), DLM_INPUT(has_features ? FEATURES : IDS),
                 DLM_INPUT(has_base ? BASE : IDS), DLM_OUTPUT(0)},
        .num_args = 5,
        .writes = 1u << 4,
        .groups = {p.rows},
        .work = 8 * (uint64_t)p.rows * p.cols, /* not the whole table */
    };
    const bool is_panel = in[TABLE].layout == DLM_LAYOUT_PANEL;
    dlm_kernel_for(&call, is_panel ? "embedding_panel_*" : "embedding_*", &in[TABLE].dtype);
    return dlm_lower_call(l, &call, &p, sizeof(p));
}

static void embedding_backward(struct dlm_graph *g, const struct dlm_node *node,
                               struct dlm_tensor *const *grads, struct dlm_tensor **input_grads)
{
    /* a row of the chain belongs to one slab or to a slot: base gets the whole gradient, since what
     * a later slab overwrites was zero before and depends on nothing */
    if (dlm_tensor_needs_grad(node->inputs[BASE]))
        input_grads[BASE] = grads[0];
    if (dlm_tensor_needs_grad(node->inputs[FEATURES]))
        input_grads[FEATURES] = dlm_gather_rows(g, grads[0], node->inputs[SLOT_ROWS], NULL);
}

const struct dlm_op dlm_op_embedding = {
    .name = "embedding",
    .num_inputs = 5,
    .num_outputs = 1,
    .infer = embedding_infer,
    .reference = embedding_reference,
    .lower = embedding_lower,
    .backward = embedding_backward,
};

struct dlm_tensor *dlm_embedding(struct dlm_graph *g, struct dlm_tensor *ids,
                                 struct dlm_tensor *table, struct dlm_tensor *features,
                                 struct dlm_tensor *base, struct dlm_tensor *slot_rows,
                                 const struct dlm_embedding_attrs *attrs)
{
    if (!ids || !table)
        return NULL;
    return dlm_graph_emit(g, &dlm_op_embedding, &(union dlm_attrs){.embedding = *attrs},
                          (struct dlm_tensor *[]){ids, table, features, base, slot_rows}, 5, NULL);
}
