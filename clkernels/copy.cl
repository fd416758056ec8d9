/* copy, for each pair of f32, f16 and bf16; a work-group does 4096 elements. */
//! copy_f32_f32 copy_f32_f32
//! copy_f32_f16 copy_f32_f16
//! copy_f32_bf16 copy_f32_bf16
//! copy_f16_f32 copy_f16_f32
//! copy_f16_f16 copy_f16_f16
//! copy_f16_bf16 copy_f16_bf16
//! copy_bf16_f32 copy_bf16_f32
//! copy_bf16_f16 copy_bf16_f16
//! copy_bf16_bf16 copy_bf16_bf16

#define COPY_KERNEL(name, X, LOAD, LOAD_RUN, Y, STORE, STORE_RUN)                                  \
    __kernel DLM_LOCAL(64) void name(__global const X *x, __global Y *out,                         \
                                     const struct dlm_copy_params p)                               \
    {                                                                                              \
        if (p.x_stride[3] == 1u && p.out_stride[3] == 1u &&                                        \
            dlm_walks_in_runs(p.total, p.shape, p.x_stride, p.x_lead) &&                           \
            dlm_walks_in_runs(p.total, p.shape, p.out_stride, p.out_lead)) {                       \
            DLM_FOR_RUNS(at, p.total) {                                                            \
                const uint num = DLM_RUN_LEN(at, p.total);                                         \
                STORE_RUN(out, dlm_walk(at, p.shape, p.out_stride, p.out_lead), num,               \
                          LOAD_RUN(x, dlm_walk(at, p.shape, p.x_stride, p.x_lead), num));          \
            }                                                                                      \
            return;                                                                                \
        }                                                                                          \
        const uint begin = DLM_GROUP_ID() * DLM_GROUP_ELEMS;                                       \
        for (uint at = begin + DLM_LOCAL_ID(); at < min(begin + DLM_GROUP_ELEMS, p.total);         \
             at += 64u)                                                                            \
            STORE(out, dlm_walk(at, p.shape, p.out_stride, p.out_lead),                            \
                  LOAD(x, dlm_walk(at, p.shape, p.x_stride, p.x_lead)));                           \
    }

COPY_KERNEL(copy_f32_f32, DLM_T_F32, DLM_LOAD_F32, dlm_load_run_f32, DLM_T_F32, DLM_STORE_F32,
            dlm_store_run_f32)
COPY_KERNEL(copy_f32_f16, DLM_T_F32, DLM_LOAD_F32, dlm_load_run_f32, DLM_T_F16, DLM_STORE_F16,
            dlm_store_run_f16)
COPY_KERNEL(copy_f32_bf16, DLM_T_F32, DLM_LOAD_F32, dlm_load_run_f32, DLM_T_BF16, DLM_STORE_BF16,
            dlm_store_run_bf16)
COPY_KERNEL(copy_f16_f32, DLM_T_F16, DLM_LOAD_F16, dlm_load_run_f16, DLM_T_F32, DLM_STORE_F32,
            dlm_store_run_f32)
COPY_KERNEL(copy_f16_f16, DLM_T_F16, DLM_LOAD_F16, dlm_load_run_f16, DLM_T_F16, DLM_STORE_F16,
            dlm_store_run_f16)
COPY_KERNEL(copy_f16_bf16, DLM_T_F16, DLM_LOAD_F16, dlm_load_run_f16, DLM_T_BF16, DLM_STORE_BF16,
            dlm_store_run_bf16)
COPY_KERNEL(copy_bf16_f32, DLM_T_BF16, DLM_LOAD_BF16, dlm_load_run_bf16, DLM_T_F32, DLM_STORE_F32,
            dlm_store_run_f32)
COPY_KERNEL(copy_bf16_f16, DLM_T_BF16, DLM_LOAD_BF16, dlm_load_run_bf16, DLM_T_F16, DLM_STORE_F16,
            dlm_store_run_f16)
COPY_KERNEL(copy_bf16_bf16, DLM_T_BF16, DLM_LOAD_BF16, dlm_load_run_bf16, DLM_T_BF16,
            DLM_STORE_BF16, dlm_store_run_bf16)
