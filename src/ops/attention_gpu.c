/* Lowering of attention to GPUs. */
#include "ops/attention_lower.h"

/* True when a lane can load 16 bytes of every operand at a time. */
static bool is_wide(const struct dlm_lowering *l, const struct dlm_attention_params *p)
{
    const bool is_half = l->inputs[DLM_ATTENTION_K].dtype != DLM_DTYPE_F32;
    uint32_t rows = p->q_lead | p->dim, keys = p->k_lead | p->v_lead | p->dim;

    for (int i = 0; i < 3; i++) {
        rows |= p->q_stride[i];
        keys |= p->kv_stride[i];
    }
    return rows % 4 == 0 && keys % (is_half ? 8 : 4) == 0;
}

/* Kernels by what they take: heads up to 128 and up to 256; any, and any in whole fours. */
enum kernel_size { SIZE_SMALL, SIZE_LARGE, SIZE_NO_LOCAL, SIZE_SUBGROUP, NUM_SIZES };

/* Without local memory, and with subgroups: heads in whole fours share loads. */
static bool has_subgroups(const struct dlm_lowering *l, const struct dlm_attention_params *p)
{
    uint32_t all = p->dim | p->q_lead | p->k_lead | p->v_lead | p->out_lead | p->out2_lead;

    for (int i = 0; i < 3; i++)
        all |= p->q_stride[i] | p->kv_stride[i] | p->out_stride[i];
    return l->caps->bits & DLM_CAP_NO_LOCAL && l->caps->bits & DLM_CAP_SUBGROUP && all % 4 == 0;
}

/* p with the places of the results. */
static enum kernel_size size_for(const struct dlm_lowering *l,
                                 const struct dlm_attention_params *p)
{
    if (has_subgroups(l, p))
        return SIZE_SUBGROUP;
    if (l->caps->bits & DLM_CAP_NO_LOCAL || p->dim > DLM_ATTENTION_MAX_DIM || !is_wide(l, p))
        return SIZE_NO_LOCAL;
    return p->dim > DLM_ATTENTION_SMALL_DIM ? SIZE_LARGE : SIZE_SMALL;
}

/* A kernel: its name, by size and type of k and v, and the rows or keys that a work-group keeps. */
struct group_kernel {
    const char *pattern[NUM_SIZES];
    uint32_t own[NUM_SIZES];
};

static const struct group_kernel forward_kernel = {
    {"attention_128_*", "attention_*", "attention_*_nolocal", "attention_*_subgroup"},
    {32, 32, 64, 128},
};

static const struct group_kernel dq_kernel = {
    {"attention_dq_128_*", "attention_dq_*", "attention_dq_*_nolocal", "attention_dq_*_subgroup"},
    {32, 32, 64, 128},
};

static const struct group_kernel dkv_kernel = {
    {"attention_dkv_128_*", "attention_dkv_*", "attention_dkv_*_nolocal",
     "attention_dkv_*_subgroup"},
    {32, 16, 64, 128},
};

static enum dlm_status lower_groups(struct dlm_lowering *l, struct dlm_kernel_call *call,
                                    const struct dlm_attention_params *p, uint32_t num_blocks)
{
    enum dlm_status st = dlm_attention_set_groups(l, p, num_blocks, p->kv_heads, call);
    return st ? st : dlm_lower_call(l, call, p, sizeof(*p));
}

/* Kernels that take parts, and those that put the parts together. */
static bool has_parts(const struct dlm_lowering *l, enum kernel_size size)
{
    return size < SIZE_NO_LOCAL && dlm_device_has_kernel(l->device, "attention_merge");
}

static uint32_t split_blocks(const struct dlm_attention_params *p)
{
    return dlm_attention_blocks(dlm_attention_rows(p), DLM_ATTENTION_SPLIT_ROWS);
}

/* Parts of the keys that work-groups of few rows take apart: none (1) where rows alone fill the
 * device, or keys are few. */
static uint32_t parts_for(const struct dlm_attention_params *p)
{
    const uint32_t wanted = DLM_ATTENTION_WANTED_GROUPS;
    const uint64_t groups = (uint64_t)split_blocks(p) * p->kv_heads * p->batch;

    if (p->queries > DLM_ATTENTION_SPLIT_QUERIES || groups >= wanted)
        return 1;
    return DLM_MIN(dlm_attention_blocks(wanted, (uint32_t)groups), /* fewer than wanted */
                   dlm_attention_blocks(p->keys, DLM_ATTENTION_SPLIT_KEYS));
}

/* Rows by 8, their keys in parts, then the sum of the parts. */
static enum dlm_status lower_split(struct dlm_lowering *l, struct dlm_kernel_call *call,
                                   struct dlm_attention_params *p)
{
    const uint32_t rows = p->batch * p->heads * p->queries; /* sizes were checked */
    const struct dlm_operand partial =
        dlm_lower_temp(l, sizeof(float) * p->parts * rows * p->dim);
    const struct dlm_operand stats = dlm_lower_temp(l, sizeof(float) * 2 * p->parts * rows);
    const struct dlm_kernel_call merge = {
        .kernel = "attention_merge",
        .args = {partial, stats, DLM_OUTPUT(0), DLM_OUTPUT(1)},
        .num_args = 4,
        .writes = 1u << 2 | 1u << 3,
        .groups = {rows},
    };

    p->split_stride = rows * p->dim;
    call->args[4] = partial;
    call->args[5] = stats;
    dlm_kernel_for(call, "attention_split_*", &l->inputs[DLM_ATTENTION_K].dtype);
    enum dlm_status st = lower_groups(l, call, p, split_blocks(p) * p->parts);
    return st ? st : dlm_lower_call(l, &merge, p, sizeof(*p));
}

enum dlm_status dlm_attention_lower_gpu(struct dlm_lowering *l)
{
    struct dlm_attention_params p = dlm_attention_params_of(l);

    dlm_attention_write_rows(&p, l);
    if (dlm_attention_is_for_mma(l, &p))
        return dlm_attention_lower_mma(l, &p);
    const enum kernel_size size = size_for(l, &p);
    p.parts = has_parts(l, size) ? parts_for(&p) : 1;
    struct dlm_kernel_call call = {
        .args = {DLM_INPUT(DLM_ATTENTION_Q), DLM_INPUT(DLM_ATTENTION_K),
                 DLM_INPUT(DLM_ATTENTION_V), DLM_INPUT(DLM_ATTENTION_ROWS), DLM_OUTPUT(0),
                 DLM_OUTPUT(1)},
        .num_args = 6,
        .writes = 1u << 4 | 1u << 5,
        .work = dlm_attention_work(&p, 2),
    };
    if (p.parts > 1)
        return lower_split(l, &call, &p);
    dlm_kernel_for(&call, forward_kernel.pattern[size], &l->inputs[DLM_ATTENTION_K].dtype);
    return lower_groups(l, &call, &p,
                        dlm_attention_blocks(dlm_attention_rows(&p), forward_kernel.own[size]));
}

static enum dlm_status lower_dkv(struct dlm_lowering *l, struct dlm_operand delta,
                                 struct dlm_attention_params *p)
{
    struct dlm_kernel_call call = dlm_attention_dkv_call(l, delta, p);

    dlm_attention_write_keys(p, l);
    const enum kernel_size size = size_for(l, p);
    const uint32_t key_blocks = dlm_attention_blocks(p->keys, dkv_kernel.own[size]);
    dlm_kernel_for(&call, dkv_kernel.pattern[size], &l->inputs[DLM_ATTENTION_K].dtype);
    if (has_parts(l, size))
        p->splits = dlm_attention_splits(p, key_blocks);
    enum dlm_status st =
        dlm_attention_set_groups(l, p, key_blocks * p->splits, p->kv_heads, &call);
    return st ? st : dlm_attention_lower_dkv(l, &call, p);
}

enum dlm_status dlm_attention_backward_lower_gpu(struct dlm_lowering *l)
{
    struct dlm_attention_params p = dlm_attention_params_of(l);
    struct dlm_operand delta;
    enum dlm_status st = dlm_attention_lower_delta(
        l, &p, (uint32_t[]){dlm_attention_blocks(p.batch * p.queries * p.heads, 64), 0, 0}, &delta);

    if (st)
        return st;
    if (dlm_attention_is_for_mma(l, &p))
        return dlm_attention_backward_lower_mma(l, delta, &p);
    struct dlm_kernel_call dq = dlm_attention_dq_call(l, delta, &p);
    dlm_attention_write_rows(&p, l);
    const enum kernel_size size = size_for(l, &p);
    dlm_kernel_for(&dq, dq_kernel.pattern[size], &l->inputs[DLM_ATTENTION_K].dtype);
    st = lower_groups(
        l, &dq, &p, dlm_attention_blocks(dlm_attention_rows(&p), dq_kernel.own[size]));
    return st ? st : lower_dkv(l, delta, &p);
}
