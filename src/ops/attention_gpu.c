/* Lowering of attention to GPUs. */
#include "ops/attention_lower.h"

static uint32_t blocks(uint32_t n, uint32_t block)
{
    return (n + block - 1) / block;
}

static uint32_t rows_of(const struct dlm_attention_params *p)
{
    return p->queries * (p->heads / p->kv_heads);
}

/* A kernel: its name, by head size and type of k and v, and what a work-group keeps; its grid. */
enum kernel_size { SIZE_SMALL, SIZE_LARGE, SIZE_NO_LOCAL, SIZE_SUBGROUP, NUM_SIZES };

struct group_kernel {
    const char *pattern[NUM_SIZES];
    uint32_t own[NUM_SIZES]; /* rows or keys */
};

static const struct group_kernel forward_kernel = {
    {"attention_128_*", "attention_*", "attention_*_nolocal",
     "attention_*_subgroup"},
    {32, 32, 64, 128},
};

static const struct group_kernel dq_kernel = {
    {"attention_dq_128_*", "attention_dq_*", "attention_dq_*_nolocal",
     "attention_dq_*_subgroup"},
    {32, 32, 64, 128},
};

static const struct group_kernel dkv_kernel = {
    {"attention_dkv_128_*", "attention_dkv_*", "attention_dkv_*_nolocal",
     "attention_dkv_*_subgroup"},
    {32, 16, 64, 128},
};

/* Without local memory, and with subgroups: heads in whole fours share loads. */
static bool has_subgroups(const struct dlm_lowering *l, const struct dlm_attention_params *p)
{
    uint32_t all = p->dim | p->q_lead | p->k_lead | p->v_lead | p->out_lead | p->out2_lead;

    for (int i = 0; i < 3; i++)
        all |= p->q_stride[i] | p->kv_stride[i] | p->out_stride[i];
    return l->caps->bits & DLM_CAP_NO_LOCAL && l->caps->bits & DLM_CAP_SUBGROUP && all % 4 == 0;
}

/* num: rows (keys) of a kv head. */
static enum dlm_status lower_groups(struct dlm_lowering *l, const struct group_kernel *kernel,
                                    struct dlm_kernel_call *call,
                                    const struct dlm_attention_params *p, uint32_t num)
{
    const uint32_t most = l->caps->max_groups; /* beyond, one dimension would be folded into two */
    const enum kernel_size size =
        has_subgroups(l, p)                                                  ? SIZE_SUBGROUP
        : l->caps->bits & DLM_CAP_NO_LOCAL || p->dim > DLM_ATTENTION_MAX_DIM ? SIZE_NO_LOCAL
        : p->dim > DLM_ATTENTION_SMALL_DIM                                   ? SIZE_LARGE
                                                                             : SIZE_SMALL;

    dlm_kernel_for(call, kernel->pattern[size], &l->inputs[DLM_ATTENTION_K].dtype);
    call->groups[0] = blocks(num, kernel->own[size]);
    call->groups[1] = p->kv_heads;
    call->groups[2] = p->batch;
    if (call->groups[0] > most || p->kv_heads > most || p->batch > most)
        return dlm_lower_unsupported(l, "grid of that size");
    return dlm_lower_call(l, call, p, sizeof(*p));
}

enum dlm_status dlm_attention_lower_gpu(struct dlm_lowering *l)
{
    struct dlm_attention_params p = dlm_attention_params_of(l);

    dlm_attention_write_rows(&p, l);
    struct dlm_kernel_call call = {
        .args = {DLM_INPUT(DLM_ATTENTION_Q), DLM_INPUT(DLM_ATTENTION_K),
                 DLM_INPUT(DLM_ATTENTION_V), DLM_INPUT(DLM_ATTENTION_ROWS), DLM_OUTPUT(0),
                 DLM_OUTPUT(1)},
        .num_args = 6,
        .writes = 1u << 4 | 1u << 5,
        .work = dlm_attention_work(&p, 2),
    };
    return lower_groups(l, &forward_kernel, &call, &p, rows_of(&p));
}

static enum dlm_status lower_delta(struct dlm_lowering *l, const struct dlm_attention_params *p,
                                   struct dlm_operand *delta)
{
    *delta = dlm_lower_temp(l, (size_t)p->batch * p->heads * p->queries * sizeof(float));
    struct dlm_kernel_call call = {
        .kernel = "attention_delta",
        .args = {DLM_INPUT(DLM_ATTENTION_DOUT), DLM_INPUT(DLM_ATTENTION_OUT), *delta},
        .num_args = 3,
        .writes = 1u << 2,
        .groups = {blocks(p->batch * p->queries * p->heads, 64)},
    };
    return dlm_lower_call(l, &call, p, sizeof(*p));
}

enum dlm_status dlm_attention_backward_lower_gpu(struct dlm_lowering *l)
{
    struct dlm_attention_params p = dlm_attention_params_of(l);
    struct dlm_operand delta;
    enum dlm_status st = lower_delta(l, &p, &delta);

    if (st)
        return st;
    struct dlm_kernel_call dq = dlm_attention_dq_call(l, delta, &p);
    struct dlm_kernel_call dkv = dlm_attention_dkv_call(l, delta, &p);
    dlm_attention_write_rows(&p, l);
    st = lower_groups(l, &dq_kernel, &dq, &p, rows_of(&p));
    dlm_attention_write_keys(&p, l);
    return st ? st : lower_groups(l, &dkv_kernel, &dkv, &p, p.keys);
}
