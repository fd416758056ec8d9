/* embedding: a work-group of 64 fetches one row of the result. */
//! embedding_f32 embedding_f32
//! embedding_f16 embedding_f16
//! embedding_bf16 embedding_bf16
//! embedding_q8_0 embedding_q8_0
//! embedding_nf4 embedding_nf4
//! embedding_nf4_dq embedding_nf4_dq
#include "matmul_quant_head.cl"

#define EMBEDDING_KERNEL(name, T, LOAD)                                                            \
    __kernel DLM_LOCAL(64) void name(__global const int *ids, __global const T *table,             \
                                     __global const float *features, __global const float *base,   \
                                     __global float *out, const struct dlm_embedding_params p)     \
    {                                                                                              \
        const uint r = DLM_GROUP_ID();                                                             \
        if (r >= p.rows)                                                                           \
            return;                                                                                \
        const int id = ids[r];                                                                     \
        /* what lies before the first row is far above the last one */                             \
        const uint slot = (uint)(-1 - id), row = (uint)id - p.first_row;                           \
        const int in_table = id >= 0 && row < p.table_rows;                                        \
        const int in_features = id < 0 && slot < p.num_features;                                   \
        for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u) {                                      \
            float value = 0.0f;                                                                    \
            if (in_table)                                                                          \
                value = LOAD(table, row * p.cols + c) * p.scale;                                   \
            else if (in_features)                                                                  \
                value = features[slot * p.cols + c];                                               \
            else if (p.has_base)                                                                   \
                value = base[r * p.cols + c];                                                      \
            out[r * p.cols + c] = value;                                                           \
        }                                                                                          \
    }

EMBEDDING_KERNEL(embedding_f32, DLM_T_F32, DLM_LOAD_F32)
EMBEDDING_KERNEL(embedding_f16, DLM_T_F16, DLM_LOAD_F16)
EMBEDDING_KERNEL(embedding_bf16, DLM_T_BF16, DLM_LOAD_BF16)

#define TABLE_LEN (p.table_rows * p.cols)
#define LOAD_Q8_0(w, i) dlm_load_q8_0(w, i, TABLE_LEN)
#define LOAD_NF4(w, i) dlm_load_nf4(w, i, TABLE_LEN)
#define LOAD_NF4_DQ(w, i) dlm_load_nf4_dq(w, i, TABLE_LEN)

EMBEDDING_KERNEL(embedding_q8_0, uint, LOAD_Q8_0)
EMBEDDING_KERNEL(embedding_nf4, uint, LOAD_NF4)
EMBEDDING_KERNEL(embedding_nf4_dq, uint, LOAD_NF4_DQ)
