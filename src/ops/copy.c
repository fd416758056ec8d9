/* A contiguous copy of a strided tensor, converted to attrs.copy_dtype (round to nearest even):
 * permute, slice, concat (into slices of one buffer) and casts. Types: f32, bf16, f16 to each other
 * by way of f32; a 16-bit result must be contiguous, start at an even element and have an even
 * length, or be the end of its storage: two elements share a word. */
#include <stdio.h>

#include "ops/broadcast.h"
#include "ops/copy.h"

static enum dlm_status copy_infer(struct dlm_ctx *ctx, const union dlm_attrs *attrs,
                                  const struct dlm_desc *in, struct dlm_desc *out)
{
    if (!dlm_dtype_is_float(in[0].dtype) || in[0].layout != DLM_LAYOUT_STRIDED ||
        !dlm_dtype_is_float(attrs->copy_dtype))
        return dlm_infer_fail(ctx, "copy", "x and the result must be f32, bf16 or f16", &in[0]);
    out[0] = dlm_desc_make(attrs->copy_dtype, in[0].ndim, in[0].shape);
    return DLM_OK;
}

static void copy_reference(const struct dlm_reference_call *call)
{
    for (int64_t i = 0; i < dlm_desc_len(&call->outputs[0].desc); i++)
        dlm_host_set_flat(&call->outputs[0], i, dlm_host_get_flat(&call->inputs[0], i));
}

enum dlm_status dlm_lower_copy(struct dlm_lowering *l, const struct dlm_desc *x,
                               struct dlm_operand from, const struct dlm_desc *out,
                               struct dlm_operand to)
{
    const struct dlm_desc *const tensors[] = {x, out};
    struct dlm_walk walk;

    dlm_walk_init(&walk, out, tensors, 2);
    const uint32_t outer = dlm_walk_outer(&walk);
    struct dlm_copy_params p = {.total = (uint32_t)dlm_desc_len(out) / outer};
    if (outer > 1 && out->dtype != DLM_DTYPE_F32 && p.total % 2)
        return dlm_lower_unsupported(l, "16-bit store in parts of odd length");
    dlm_walk_inner(&walk, 0, p.shape, p.x_stride);
    dlm_walk_inner(&walk, 1, NULL, p.out_stride);
    struct dlm_kernel_call call = {
        .args = {from, to},
        .num_args = 2,
        .writes = 1u << 1,
        .groups = {dlm_elem_groups(p.total)},
    };
    dlm_kernel_for(&call, "copy_*_*", (enum dlm_dtype[]){x->dtype, out->dtype});
    enum dlm_status st = DLM_OK;
    for (uint32_t at = 0; !st && at < outer; at++) {
        p.x_lead = (uint32_t)x->lead + dlm_walk_offset(&walk, 0, at);
        p.out_lead = (uint32_t)out->lead + dlm_walk_offset(&walk, 1, at);
        st = dlm_lower_call(l, &call, &p, sizeof(p));
    }
    return st;
}

static enum dlm_status copy_lower(struct dlm_lowering *l)
{
    const struct dlm_desc *out = &l->outputs[0];
    struct dlm_desc flat = *out;

    enum dlm_status st = dlm_lower_check_sizes(l);
    if (st)
        return st;
    flat.lead = 0;
    if (out->dtype != DLM_DTYPE_F32 && (!dlm_desc_is_contiguous(&flat) || out->lead % 2))
        return dlm_lower_unsupported(l, "16-bit store to a strided place");
    return dlm_lower_copy(l, &l->inputs[0], DLM_INPUT(0), out, DLM_OUTPUT(0));
}

static void copy_backward(struct dlm_graph *g, const struct dlm_node *node,
                          struct dlm_tensor *const *grads, struct dlm_tensor **input_grads)
{
    (void)g;
    (void)node;
    input_grads[0] = grads[0];
}

const struct dlm_op dlm_op_copy = {
    .name = "copy",
    .num_inputs = 1,
    .num_outputs = 1,
    .infer = copy_infer,
    .reference = copy_reference,
    .lower = copy_lower,
    .backward = copy_backward,
    .reads_strided_grads = true,
};

struct dlm_tensor *dlm_copy(struct dlm_graph *g, struct dlm_tensor *x, enum dlm_dtype dtype)
{
    if (!x)
        return NULL;
    return dlm_graph_emit(g, &dlm_op_copy, &(union dlm_attrs){.copy_dtype = dtype},
                          (struct dlm_tensor *[]){x}, 1, NULL);
}

struct dlm_tensor *dlm_copy_into(struct dlm_graph *g, struct dlm_tensor *x, struct dlm_tensor *into)
{
    if (!x || !into)
        return NULL;
    union dlm_attrs attrs = {.copy_dtype = into->desc.dtype};
    return dlm_graph_emit_into(g, &dlm_op_copy, &attrs, (struct dlm_tensor *[]){x}, 1, into);
}
