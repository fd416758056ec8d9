/* store_rows: a work-group of 64 stores one row of x. */
//! store_rows_f32 store_rows_f32
//! store_rows_f16 store_rows_f16
//! store_rows_bf16 store_rows_bf16

#define STORE_ROWS_KERNEL(name, T, STORE)                                                          \
    __kernel DLM_LOCAL(64) void name(__global const float *x, __global const int *start,           \
                                     __global T *dst, const struct dlm_store_rows_params p)        \
    {                                                                                              \
        const uint row = DLM_GROUP_ID();                                                           \
        if (row >= p.rows || start[1] <= 0 || row >= (uint)start[1])                               \
            return;                                                                                \
        const uint to = (uint)start[0] + row; /* below 0: above any capacity */                    \
        if (to >= p.capacity)                                                                      \
            return;                                                                                \
        for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u)                                        \
            STORE(dst, to * p.cols + c, x[p.x_lead + row * p.x_stride + c]);                       \
    }

STORE_ROWS_KERNEL(store_rows_f32, DLM_T_F32, DLM_STORE_F32)
STORE_ROWS_KERNEL(store_rows_f16, DLM_T_F16, DLM_STORE_F16)
STORE_ROWS_KERNEL(store_rows_bf16, DLM_T_BF16, DLM_STORE_BF16)
