/* y = act(gate) * up (GLU variants improve transformer, Shazeer 2020): all f32, of one shape. gate
 * and up may be slices along the last dimension, as of one product that makes both; y has no gaps.
 * Backward: dgate = dy up act'(gate), dup = dy act(gate), both in one pass, with gate and up of
 * f32, f16 or bf16. */
#include "ops/activation.h"
#include "ops/row_ops.h"

enum { GATE, UP, DY };

/* Elements of the last dimension lie side by side, rows of them at one distance. */
static bool is_rows(const struct dlm_desc *d)
{
    if (d->layout != DLM_LAYOUT_STRIDED || (d->stride[d->ndim - 1] != 1 && dlm_desc_cols(d) != 1))
        return false;
    for (int i = 0; i + 2 < d->ndim; i++)
        if (d->shape[i] != 1 && d->stride[i] != d->stride[i + 1] * d->shape[i + 1])
            return false;
    return true;
}

static uint32_t row_stride(const struct dlm_desc *d)
{
    return d->ndim > 1 ? (uint32_t)d->stride[d->ndim - 2] : (uint32_t)d->shape[0]; /* checked */
}

static enum dlm_status gated_activation_infer(struct dlm_ctx *ctx, const union dlm_attrs *attrs,
                                              const struct dlm_desc *in, struct dlm_desc *out)
{
    const char *op = "gated_activation";

    if (in[GATE].dtype != DLM_DTYPE_F32 || !is_rows(&in[GATE]))
        return dlm_infer_fail(ctx, op, "gate must be f32 rows without gaps", &in[GATE]);
    if (in[UP].dtype != DLM_DTYPE_F32 || !is_rows(&in[UP]) ||
        !dlm_desc_same_shape(&in[GATE], &in[UP]))
        return dlm_infer_fail(ctx, op, "up must be f32 rows without gaps, of the gate's shape",
                              &in[UP]);
    if (attrs->activation.kind >= DLM_ACT_COUNT)
        return dlm_infer_fail(ctx, op, "the kind must be in the list", &in[GATE]);
    out[0] = dlm_desc_make(DLM_DTYPE_F32, in[0].ndim, in[0].shape);
    return DLM_OK;
}

static void gated_activation_reference(const struct dlm_reference_call *call)
{
    for (int64_t i = 0; i < dlm_desc_len(&call->outputs[0].desc); i++)
        dlm_host_set_flat(&call->outputs[0], i,
                          dlm_act_f64(call->attrs->activation.kind,
                                      dlm_host_get_flat(&call->inputs[0], i)) *
                              dlm_host_get_flat(&call->inputs[1], i));
}

/* The call of `kernel`: the inputs in order, then the outputs. */
static enum dlm_status lower_rows(struct dlm_lowering *l, const char *kernel,
                                  struct dlm_gated_params p)
{
    struct dlm_kernel_call call = {0};
    enum dlm_status st = dlm_lower_check_sizes(l);

    if (st)
        return st;
    p.rows = (uint32_t)dlm_desc_rows(&l->inputs[GATE]); /* sizes were checked */
    p.cols = (uint32_t)dlm_desc_cols(&l->inputs[GATE]);
    p.kind = l->attrs->activation.kind;
    p.gate_lead = (uint32_t)l->inputs[GATE].lead;
    p.gate_stride = row_stride(&l->inputs[GATE]);
    p.up_lead = (uint32_t)l->inputs[UP].lead;
    p.up_stride = row_stride(&l->inputs[UP]);
    call.groups[0] = p.rows * DLM_ROW_PIECES(p.cols);
    dlm_kernel_for(&call, kernel, &l->inputs[GATE].dtype);
    for (int i = 0; i < l->num_inputs; i++)
        call.args[call.num_args++] = DLM_INPUT(i);
    for (int i = 0; i < l->num_outputs; i++) {
        call.writes |= 1u << call.num_args;
        call.args[call.num_args++] = DLM_OUTPUT(i);
    }
    return dlm_lower_call(l, &call, &p, sizeof(p));
}

static enum dlm_status gated_activation_lower(struct dlm_lowering *l)
{
    if (!dlm_desc_is_contiguous(&l->outputs[0]))
        return dlm_lower_unsupported(l, "way to write a result with gaps");
    return lower_rows(l, "gated_activation", (struct dlm_gated_params){0});
}

/* The halves of one tensor: gradients of gate and up that are halves, too. */
static bool make_halves(struct dlm_graph *g, struct dlm_tensor *const *in, struct dlm_tensor **into)
{
    const int dim = in[GATE]->desc.ndim - 1;
    const struct dlm_tensor *whole = in[GATE]->parent;

    for (int i = GATE; i <= UP; i++)
        if (in[i]->view != DLM_VIEW_SLICE || in[i]->parent != whole || in[i]->view_dim != dim)
            return false;
    const int64_t cols = in[GATE]->desc.shape[dim];
    if (in[GATE]->view_begin || in[UP]->view_begin != cols || whole->desc.shape[dim] != 2 * cols)
        return false;
    const struct dlm_desc desc = dlm_desc_make(DLM_DTYPE_F32, dim + 1, whole->desc.shape);
    struct dlm_tensor *buffer = dlm_graph_buffer(g, &desc);
    into[GATE] = dlm_view_slice(g, buffer, dim, 0, cols);
    into[UP] = dlm_view_slice(g, buffer, dim, cols, cols);
    return true;
}

static void gated_activation_backward_rule(struct dlm_graph *g, const struct dlm_node *node,
                                           struct dlm_tensor *const *grads,
                                           struct dlm_tensor **input_grads)
{
    const struct dlm_op *op = &dlm_op_gated_activation_backward;
    struct dlm_tensor *outputs[DLM_MAX_OUTPUTS], *into[2];
    struct dlm_tensor *inputs[] = {node->inputs[GATE], node->inputs[UP], grads[0]};

    const bool ok = make_halves(g, inputs, into)
                        ? dlm_graph_emit_into_all(g, op, &node->attrs, inputs, 3, into, outputs)
                        : dlm_graph_emit(g, op, &node->attrs, inputs, 3, outputs) != NULL;
    if (!ok)
        return;
    input_grads[GATE] = outputs[0];
    input_grads[UP] = outputs[1];
}

const struct dlm_op dlm_op_gated_activation = {
    .name = "gated_activation",
    .num_inputs = 2,
    .num_outputs = 1,
    .infer = gated_activation_infer,
    .reference = gated_activation_reference,
    .lower = gated_activation_lower,
    .backward = gated_activation_backward_rule,
};

struct dlm_tensor *dlm_gated_activation(struct dlm_graph *g, struct dlm_tensor *gate,
                                        struct dlm_tensor *up, uint32_t kind)
{
    if (!gate || !up)
        return NULL;
    return dlm_graph_emit(g, &dlm_op_gated_activation, &(union dlm_attrs){.activation = {kind}},
                          (struct dlm_tensor *[]){gate, up}, 2, NULL);
}

/* Inputs gate, up, dy; outputs dgate, dup. */
static enum dlm_status gated_activation_backward_infer(struct dlm_ctx *ctx,
                                                       const union dlm_attrs *attrs,
                                                       const struct dlm_desc *in,
                                                       struct dlm_desc *out)
{
    struct dlm_desc saved[2] = {in[0], in[1]};
    enum dlm_status st = DLM_OK;

    if (!dlm_dtype_is_float(in[0].dtype))
        st = dlm_infer_fail(ctx, "gated_activation_backward", "gate must be f32, f16 or bf16",
                            &in[0]);
    else if (in[0].dtype != in[1].dtype)
        st = dlm_infer_fail(ctx, "gated_activation_backward", "up must be like the gate", &in[1]);
    saved[0].dtype = saved[1].dtype = DLM_DTYPE_F32; /* whatever they are, the rest is the same */
    if (!st)
        st = gated_activation_infer(ctx, attrs, saved, out);
    if (!st)
        st = dlm_infer_plain(ctx, "gated_activation_backward", "dy", &in[DY]);
    if (!st && !dlm_desc_same_shape(&in[0], &in[DY]))
        st = dlm_infer_fail(ctx, "gated_activation_backward", "dy must have the gate's shape",
                            &in[DY]);
    out[1] = out[0];
    return st;
}

static void gated_activation_backward_reference(const struct dlm_reference_call *call)
{
    const uint32_t kind = call->attrs->activation.kind;

    for (int64_t i = 0; i < dlm_desc_len(&call->outputs[0].desc); i++) {
        double gate = dlm_host_get_flat(&call->inputs[0], i);
        double up = dlm_host_get_flat(&call->inputs[1], i);
        double dy = dlm_host_get_flat(&call->inputs[2], i);
        dlm_host_set_flat(&call->outputs[0], i, dy * up * dlm_act_grad_f64(kind, gate));
        dlm_host_set_flat(&call->outputs[1], i, dy * dlm_act_f64(kind, gate));
    }
}

static enum dlm_status gated_activation_backward_lower(struct dlm_lowering *l)
{
    const struct dlm_desc *dgate = &l->outputs[GATE], *dup = &l->outputs[UP];

    if (!is_rows(dgate) || !is_rows(dup))
        return dlm_lower_unsupported(l, "way to write rows with gaps");
    return lower_rows(l, "gated_activation_backward_*",
                      (struct dlm_gated_params){.dgate_lead = (uint32_t)dgate->lead,
                                                .dgate_stride = row_stride(dgate),
                                                .dup_lead = (uint32_t)dup->lead,
                                                .dup_stride = row_stride(dup)});
}

const struct dlm_op dlm_op_gated_activation_backward = {
    .name = "gated_activation_backward",
    .num_inputs = 3,
    .num_outputs = 2,
    .infer = gated_activation_backward_infer,
    .reference = gated_activation_backward_reference,
    .lower = gated_activation_backward_lower,
    .half_inputs = 1u << 0 | 1u << 1,
};
