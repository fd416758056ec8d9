/* What the lowering of attention to the CPU and to GPUs has in common. */
#include "ops/attention_lower.h"

/* Strides of batch rows, of queries or keys, of heads. Sizes were checked to fit 32 bits. */
static void copy_strides(uint32_t *to, const struct dlm_desc *d)
{
    for (int i = 0; i < 3; i++)
        to[i] = (uint32_t)d->stride[i];
}

struct dlm_attention_params dlm_attention_params_of(const struct dlm_lowering *l)
{
    const struct dlm_desc *q = &l->inputs[DLM_ATTENTION_Q], *k = &l->inputs[DLM_ATTENTION_K];
    struct dlm_attention_params p = {
        .batch = (uint32_t)q->shape[0],
        .queries = (uint32_t)q->shape[1],
        .keys = (uint32_t)k->shape[1],
        .heads = (uint32_t)q->shape[2],
        .kv_heads = (uint32_t)k->shape[2],
        .dim = (uint32_t)q->shape[3],
        .mode = l->attrs->attention.mode,
        .scale = l->attrs->attention.scale,
        .softcap = l->attrs->attention.softcap,
        .window = l->attrs->attention.window,
        .splits = 1,
        .parts = 1,
        .q_lead = (uint32_t)q->lead,
        .k_lead = (uint32_t)k->lead,
        .v_lead = (uint32_t)l->inputs[DLM_ATTENTION_V].lead,
    };

    copy_strides(p.q_stride, q);
    copy_strides(p.kv_stride, k);
    return p;
}

void dlm_attention_write_rows(struct dlm_attention_params *p, const struct dlm_lowering *l)
{
    p->out_lead = (uint32_t)l->outputs[0].lead;
    copy_strides(p->out_stride, &l->outputs[0]);
}

void dlm_attention_write_keys(struct dlm_attention_params *p, const struct dlm_lowering *l)
{
    p->out_lead = (uint32_t)l->outputs[DLM_ATTENTION_K].lead;
    p->out2_lead = (uint32_t)l->outputs[DLM_ATTENTION_V].lead;
    copy_strides(p->out_stride, &l->outputs[DLM_ATTENTION_K]);
}

uint64_t dlm_attention_work(const struct dlm_attention_params *p, uint32_t products)
{
    return (uint64_t)products * p->batch * p->queries * p->heads * p->dim * p->keys;
}

struct dlm_kernel_call dlm_attention_dq_call(const struct dlm_lowering *l, struct dlm_operand delta,
                                             const struct dlm_attention_params *p)
{
    struct dlm_kernel_call call = {
        .args = {DLM_INPUT(DLM_ATTENTION_Q), DLM_INPUT(DLM_ATTENTION_K),
                 DLM_INPUT(DLM_ATTENTION_V), DLM_INPUT(DLM_ATTENTION_DOUT),
                 DLM_INPUT(DLM_ATTENTION_LSE), delta, DLM_INPUT(DLM_ATTENTION_BACKWARD_ROWS),
                 DLM_OUTPUT(0)},
        .num_args = 8,
        .writes = 1u << 7,
        .work = dlm_attention_work(p, 3),
    };

    dlm_kernel_for(&call, "attention_dq_*", &l->inputs[DLM_ATTENTION_K].dtype);
    return call;
}

struct dlm_kernel_call dlm_attention_dkv_call(const struct dlm_lowering *l,
                                              struct dlm_operand delta,
                                              const struct dlm_attention_params *p)
{
    struct dlm_kernel_call call = dlm_attention_dq_call(l, delta, p);

    call.args[7] = DLM_OUTPUT(DLM_ATTENTION_K);
    call.args[8] = DLM_OUTPUT(DLM_ATTENTION_V);
    call.num_args = 9;
    call.writes = 1u << 7 | 1u << 8;
    call.work = dlm_attention_work(p, 4);
    dlm_kernel_for(&call, "attention_dkv_*", &l->inputs[DLM_ATTENTION_K].dtype);
    return call;
}

enum dlm_status dlm_attention_set_groups(const struct dlm_lowering *l,
                                         const struct dlm_attention_params *p,
                                         uint32_t num_blocks, uint32_t num_heads,
                                         struct dlm_kernel_call *call)
{
    const uint32_t most = l->caps->max_groups; /* beyond, one dimension would be folded into two */

    call->groups[0] = num_blocks;
    call->groups[1] = num_heads;
    call->groups[2] = p->batch;
    if (num_blocks > most || num_heads > most || p->batch > most)
        return dlm_lower_unsupported(l, "grid of that size");
    return DLM_OK;
}

uint32_t dlm_attention_splits(const struct dlm_attention_params *p, uint32_t key_blocks)
{
    const uint32_t group = p->heads / p->kv_heads;
    const uint64_t groups = (uint64_t)key_blocks * p->kv_heads * p->batch;

    for (uint32_t splits = 1; splits < group; splits++)
        if (group % splits == 0 && groups * splits >= DLM_ATTENTION_WANTED_GROUPS)
            return splits;
    return group;
}

enum dlm_status dlm_attention_lower_dkv(struct dlm_lowering *l, struct dlm_kernel_call *call,
                                        const struct dlm_attention_params *p)
{
    struct dlm_attention_params part = *p;
    if (p->splits == 1)
        return dlm_lower_call(l, call, p, sizeof(*p));
    part.split_stride = p->batch * p->keys * p->kv_heads * p->dim;
    part.out_lead = part.out2_lead = 0;
    part.out_stride[2] = p->dim;
    part.out_stride[1] = p->kv_heads * p->dim;
    part.out_stride[0] = p->keys * part.out_stride[1];
    const size_t bytes = sizeof(float) * p->splits * part.split_stride;
    const struct dlm_kernel_call sum = {
        .kernel = "attention_dkv_sum",
        .args = {dlm_lower_temp(l, bytes), dlm_lower_temp(l, bytes), DLM_OUTPUT(DLM_ATTENTION_K),
                 DLM_OUTPUT(DLM_ATTENTION_V)},
        .num_args = 4,
        .writes = 1u << 2 | 1u << 3,
        .groups = {p->batch * p->keys * p->kv_heads},
    };
    struct dlm_attention_params whole = *p;

    whole.split_stride = part.split_stride;
    call->args[7] = sum.args[0];
    call->args[8] = sum.args[1];
    enum dlm_status st = dlm_lower_call(l, call, &part, sizeof(part));
    return st ? st : dlm_lower_call(l, &sum, &whole, sizeof(whole));
}

enum dlm_status dlm_attention_lower_delta(struct dlm_lowering *l,
                                          const struct dlm_attention_params *p,
                                          const uint32_t groups[3], struct dlm_operand *delta)
{
    *delta = dlm_lower_temp(l, (size_t)p->batch * p->heads * p->queries * sizeof(float));
    struct dlm_kernel_call call = {
        .kernel = "attention_delta",
        .args = {DLM_INPUT(DLM_ATTENTION_DOUT), DLM_INPUT(DLM_ATTENTION_OUT), *delta},
        .num_args = 3,
        .writes = 1u << 2,
        .groups = {groups[0], groups[1], groups[2]},
    };
    return dlm_lower_call(l, &call, p, sizeof(*p));
}
