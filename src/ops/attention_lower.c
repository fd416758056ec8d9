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
