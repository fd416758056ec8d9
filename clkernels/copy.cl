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

#define COPY_KERNEL(name, X, LOAD, Y, STORE)                                                       \
    __kernel DLM_LOCAL(64) void name(__global const X *x, __global Y *out,                         \
                                     const struct dlm_copy_params p)                               \
    {                                                                                              \
        const uint begin = DLM_GROUP_ID() * DLM_GROUP_ELEMS;                                       \
        for (uint k = DLM_LOCAL_ID(); k < DLM_GROUP_ELEMS; k += 64u) {                             \
            const uint at = begin + k;                                                             \
            if (at >= p.total)                                                                     \
                return;                                                                            \
            uint rest = at, ix = p.x_lead, io = p.out_lead;                                        \
            for (int d = 3; d >= 0; d--) {                                                         \
                const uint i = rest % p.shape[d];                                                  \
                rest /= p.shape[d];                                                                \
                ix += i * p.x_stride[d];                                                           \
                io += i * p.out_stride[d];                                                         \
            }                                                                                      \
            STORE(out, io, LOAD(x, ix));                                                           \
        }                                                                                          \
    }

COPY_KERNEL(copy_f32_f32, DLM_T_F32, DLM_LOAD_F32, DLM_T_F32, DLM_STORE_F32)
COPY_KERNEL(copy_f32_f16, DLM_T_F32, DLM_LOAD_F32, DLM_T_F16, DLM_STORE_F16)
COPY_KERNEL(copy_f32_bf16, DLM_T_F32, DLM_LOAD_F32, DLM_T_BF16, DLM_STORE_BF16)
COPY_KERNEL(copy_f16_f32, DLM_T_F16, DLM_LOAD_F16, DLM_T_F32, DLM_STORE_F32)
COPY_KERNEL(copy_f16_f16, DLM_T_F16, DLM_LOAD_F16, DLM_T_F16, DLM_STORE_F16)
COPY_KERNEL(copy_f16_bf16, DLM_T_F16, DLM_LOAD_F16, DLM_T_BF16, DLM_STORE_BF16)
COPY_KERNEL(copy_bf16_f32, DLM_T_BF16, DLM_LOAD_BF16, DLM_T_F32, DLM_STORE_F32)
COPY_KERNEL(copy_bf16_f16, DLM_T_BF16, DLM_LOAD_BF16, DLM_T_F16, DLM_STORE_F16)
COPY_KERNEL(copy_bf16_bf16, DLM_T_BF16, DLM_LOAD_BF16, DLM_T_BF16, DLM_STORE_BF16)
