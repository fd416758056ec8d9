/* A tensor with one value everywhere: torch.full. f32, contiguous. */
#include "ops/broadcast.h"

static enum dlm_status fill_infer(struct dlm_ctx *ctx, const union dlm_attrs *attrs,
                                  const struct dlm_desc *in, struct dlm_desc *out)
{
    (void)attrs;
    struct dlm_desc flat = in[0];

    flat.lead = 0;
    if (in[0].dtype != DLM_DTYPE_F32 || !dlm_desc_is_contiguous(&flat))
        return dlm_infer_fail(ctx, "fill", "the destination must be f32 and contiguous", &in[0]);
    out[0] = dlm_desc_make(DLM_DTYPE_F32, in[0].ndim, in[0].shape);
    return DLM_OK;
}

static void fill_reference(const struct dlm_reference_call *call)
{
    for (int64_t i = 0; i < dlm_desc_len(&call->outputs[0].desc); i++)
        dlm_host_set_flat(&call->outputs[0], i, call->attrs->fill.value);
}

static enum dlm_status fill_lower(struct dlm_lowering *l)
{
    enum dlm_status st = dlm_lower_check_sizes(l);
    if (st)
        return st;
    struct dlm_fill_params p = {
        .total = (uint32_t)dlm_desc_len(&l->outputs[0]),
        .lead = (uint32_t)l->outputs[0].lead,
        .word = DLM_AS_U32(l->attrs->fill.value),
    };
    struct dlm_kernel_call call = {
        .kernel = "fill",
        .args = {DLM_OUTPUT(0)},
        .num_args = 1,
        .writes = 1,
        .groups = {dlm_elem_groups(p.total)},
    };
    return dlm_lower_call(l, &call, &p, sizeof(p));
}

/* The destination is an input written in place, so that shapes flow one way only. */
const struct dlm_op dlm_op_fill = {
    .name = "fill",
    .num_inputs = 1,
    .num_outputs = 1,
    .infer = fill_infer,
    .reference = fill_reference,
    .lower = fill_lower,
    .alias = {1},
};

struct dlm_tensor *dlm_fill_into(struct dlm_graph *g, struct dlm_tensor *into, float value)
{
    if (!into)
        return NULL;
    return dlm_graph_emit(g, &dlm_op_fill, &(union dlm_attrs){.fill = {value}},
                          (struct dlm_tensor *[]){into}, 1, NULL);
}
