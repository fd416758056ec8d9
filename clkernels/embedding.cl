/* embedding: a work-group of 64 fetches one row of the result. */
//! embedding_f32 embedding -DTYPE=DLM_T_F32 -DLOAD=DLM_LOAD_F32
//! embedding_f16 embedding -DTYPE=DLM_T_F16 -DLOAD=DLM_LOAD_F16
//! embedding_bf16 embedding -DTYPE=DLM_T_BF16 -DLOAD=DLM_LOAD_BF16
//! embedding_q8_0 embedding -DTYPE=uint -DFORM=q8_0
//! embedding_nf4 embedding -DTYPE=uint -DFORM=nf4
//! embedding_nf4_dq embedding -DTYPE=uint -DFORM=nf4_dq
//! embedding_q4_0 embedding -DTYPE=uint -DFORM=q4_0
//! embedding_q4_k embedding -DTYPE=uint -DFORM=q4_k
//! embedding_q5_k embedding -DTYPE=uint -DFORM=q5_k
//! embedding_q6_k embedding -DTYPE=uint -DFORM=q6_k
#include "matmul_quant_head.cl"

/* Row `row` of the table, as row r of the result. */
static void fetch(__global const TYPE *table, uint row, __global float *out,
                  const struct dlm_embedding_params *p)
{
#ifdef FORM
    for (uint c = 8u * DLM_LOCAL_ID(); c < p->cols; c += 512u)
        vstore8(dlm_load8(table, row * p->cols + c, p->table_rows * p->cols) * p->scale, 0,
                out + c);
#else
    for (uint c = DLM_LOCAL_ID(); c < p->cols; c += 64u)
        out[c] = LOAD(table, row * p->cols + c) * p->scale;
#endif
}

__kernel DLM_LOCAL(64) void embedding(__global const int *ids, __global const TYPE *table,
                                      __global const float *features, __global const float *base,
                                      __global float *out, const struct dlm_embedding_params p)
{
    const uint r = DLM_GROUP_ID();
    if (r >= p.rows)
        return;
    const int id = ids[r];
    /* what lies before the first row is far above the last one */
    const uint slot = (uint)(-1 - id), row = (uint)id - p.first_row;
    const int in_features = id < 0 && slot < p.num_features;
    if (id >= 0 && row < p.table_rows) {
        fetch(table, row, out + r * p.cols, &p);
        return;
    }
    for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u) {
        float value = 0.0f;
        if (in_features)
            value = features[slot * p.cols + c];
        else if (p.has_base)
            value = base[r * p.cols + c];
        out[r * p.cols + c] = value;
    }
}
