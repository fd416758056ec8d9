/* embedding: a work-group of 64 fetches one row of the result. */
//! embedding_f32 -DTYPE=DLM_T_F32 -DLOAD=DLM_LOAD_F32
//! embedding_f16 -DTYPE=DLM_T_F16 -DLOAD=DLM_LOAD_F16
//! embedding_bf16 -DTYPE=DLM_T_BF16 -DLOAD=DLM_LOAD_BF16
//! embedding_q8_0 -DTYPE=uint -DFORM=q8_0
//! embedding_nf4 -DTYPE=uint -DFORM=nf4
//! embedding_nf4_dq -DTYPE=uint -DFORM=nf4_dq
//! embedding_q4_0 -DTYPE=uint -DFORM=q4_0
//! embedding_q4_k -DTYPE=uint -DFORM=q4_k
//! embedding_q5_k -DTYPE=uint -DFORM=q5_k
//! embedding_q6_k -DTYPE=uint -DFORM=q6_k
#version 450
#extension GL_GOOGLE_include_directive : require
#include "prelude.glsl"

layout(local_size_x = 64) in;

DLM_IN(0, int, ids)
DLM_IN(1, TYPE, table)
DLM_IN(2, float, features)
DLM_IN(3, float, base)
DLM_OUT(4, float, outs)
DLM_PARAMS(dlm_embedding_params)

#ifdef FORM
#define DLM_QUANT_WORD(i) table[i]
#include "quant.glsl"
#endif

/* Row `row` of the table, as row r of the result. */
void fetch(uint row, uint r)
{
#ifdef FORM
    for (uint c = 8u * DLM_LOCAL_ID(); c < p.cols; c += 512u) {
        vec4 low, high;
        dlm_load8(row * p.cols + c, p.table_rows * p.cols, low, high);
        [[unroll]] for (uint e = 0u; e < 4u; e++) {
            outs[r * p.cols + c + e] = low[e] * p.scale;
            outs[r * p.cols + c + 4u + e] = high[e] * p.scale;
        }
    }
#else
    for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u)
        outs[r * p.cols + c] = LOAD(table, row * p.cols + c) * p.scale;
#endif
}

void main()
{
    const uint r = DLM_GROUP_ID();
    if (r >= p.rows)
        return;
    const int id = ids[r];
    /* what lies before the first row is far above the last one */
    const uint slot = uint(-1 - id), row = uint(id) - p.first_row;
    const bool in_table = id >= 0 && row < p.table_rows;
    const bool in_features = id < 0 && slot < p.num_features;
    if (in_table) {
        fetch(row, r);
        return;
    }
    for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u) {
        float value = 0.0;
        if (in_features)
            value = features[slot * p.cols + c];
        else if (p.has_base != 0u)
            value = base[r * p.cols + c];
        outs[r * p.cols + c] = value;
    }
}
