/* Lowering of attention to the CPU: an item takes p.block rows (dkv: keys) of a kv head, see
 * kernels/attention_cpu.h. */
#include "kernels/attention_cpu.h"
#include "ops/attention_lower.h"

/* By what the products are made. */
enum engine { ENGINE_F32, ENGINE_AVX512_BF16, ENGINE_AMX_BF16, NUM_ENGINES };

static enum engine choose_engine(const struct dlm_lowering *l)
{
    if (l->attrs->attention.round != DLM_DTYPE_BF16 ||
        l->inputs[DLM_ATTENTION_K].dtype == DLM_DTYPE_F16)
        return ENGINE_F32;
    if (l->caps->bits & DLM_CAP_AMX_BF16)
        return ENGINE_AMX_BF16;
    return l->caps->bits & DLM_CAP_AVX512_BF16 ? ENGINE_AVX512_BF16 : ENGINE_F32;
}

static enum dlm_status check_dim(const struct dlm_lowering *l)
{
    if (l->inputs[DLM_ATTENTION_Q].shape[3] > DLM_ATTENTION_MAX_DIM)
        return dlm_lower_unsupported(l, "head size over 256");
    return DLM_OK;
}

enum dlm_status dlm_attention_lower_cpu(struct dlm_lowering *l)
{
    static const char *const kernels[NUM_ENGINES] = {"attention_*", "attention_*_avx512bf16",
                                                     "attention_*_amx"};
    struct dlm_attention_params p = dlm_attention_params_of(l);
    enum dlm_status st = check_dim(l);
    if (st)
        return st;
    dlm_attention_write_rows(&p, l);
    p.block = dlm_attention_cpu_rows(&p, dlm_attention_rows(&p), DLM_ATTENTION_CPU_FORWARD_KEYS,
                                     l->caps->num_units);
    struct dlm_kernel_call call = {
        .args = {DLM_INPUT(DLM_ATTENTION_Q), DLM_INPUT(DLM_ATTENTION_K),
                 DLM_INPUT(DLM_ATTENTION_V), DLM_INPUT(DLM_ATTENTION_ROWS), DLM_OUTPUT(0),
                 DLM_OUTPUT(1)},
        .num_args = 6,
        .writes = 1u << 4 | 1u << 5,
        .groups = {dlm_attention_blocks(dlm_attention_rows(&p), p.block), p.kv_heads, p.batch},
        .work = dlm_attention_work(&p, 2),
        .scratch_bytes = dlm_attention_rows_scratch(&p, 1, 1),
    };
    dlm_kernel_for(&call, kernels[choose_engine(l)], &l->inputs[DLM_ATTENTION_K].dtype);
    return dlm_lower_call(l, &call, &p, sizeof(p));
}

enum dlm_status dlm_attention_backward_lower_cpu(struct dlm_lowering *l)
{
    static const char *const dq_kernels[NUM_ENGINES] = {
        "attention_dq_*", "attention_dq_*_avx512bf16", "attention_dq_*_amx"};
    static const char *const dkv_kernels[NUM_ENGINES] = {
        "attention_dkv_*", "attention_dkv_*_avx512bf16", "attention_dkv_*_amx"};
    const enum engine engine = choose_engine(l);
    const enum dlm_dtype *type = &l->inputs[DLM_ATTENTION_K].dtype;
    struct dlm_attention_params p = dlm_attention_params_of(l);
    struct dlm_operand delta;
    enum dlm_status st = check_dim(l);

    if (!st)
        st = dlm_attention_lower_delta(
            l, &p,
            (uint32_t[]){dlm_attention_blocks(p.queries, DLM_ATTENTION_QUERIES), p.heads, p.batch},
            &delta);
    if (st)
        return st;
    p.block = dlm_attention_cpu_rows(&p, dlm_attention_rows(&p), DLM_ATTENTION_CPU_MANY_KEYS,
                                     l->caps->num_units);
    struct dlm_kernel_call dq = dlm_attention_dq_call(l, delta, &p);
    dlm_kernel_for(&dq, dq_kernels[engine], type);
    dq.groups[0] = dlm_attention_blocks(dlm_attention_rows(&p), p.block);
    dq.groups[1] = p.kv_heads;
    dq.groups[2] = p.batch;
    dq.scratch_bytes = dlm_attention_rows_scratch(&p, 2, 2);
    dlm_attention_write_rows(&p, l);
    st = dlm_lower_call(l, &dq, &p, sizeof(p));
    if (st)
        return st;
    p.block = dlm_attention_cpu_rows(&p, p.keys, DLM_ATTENTION_CPU_MANY_KEYS, l->caps->num_units);
    struct dlm_kernel_call dkv = dlm_attention_dkv_call(l, delta, &p);
    dlm_kernel_for(&dkv, dkv_kernels[engine], type);
    dkv.groups[0] = dlm_attention_blocks(p.keys, p.block);
    dkv.scratch_bytes = dlm_attention_keys_scratch(&p);
    dkv.groups[1] = p.kv_heads;
    dkv.groups[2] = p.batch;
    dlm_attention_write_keys(&p, l);
    return dlm_lower_call(l, &dkv, &p, sizeof(p));
}
