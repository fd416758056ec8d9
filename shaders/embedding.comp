/* embedding: a work-group of 64 fetches one row of the result. */
//! embedding_f32 -DTYPE=DLM_T_F32 -DLOAD=DLM_LOAD_F32
//! embedding_f16 -DTYPE=DLM_T_F16 -DLOAD=DLM_LOAD_F16
//! embedding_bf16 -DTYPE=DLM_T_BF16 -DLOAD=DLM_LOAD_BF16
//! embedding_q8_0 -DTYPE=uint -DQUANT=dlm_load_q8_0
//! embedding_nf4 -DTYPE=uint -DQUANT=dlm_load_nf4
//! embedding_nf4_dq -DTYPE=uint -DQUANT=dlm_load_nf4_dq
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

#ifdef QUANT
#define DLM_QUANT_WORD(i) table[i]
#define LOAD(table, i) QUANT(i, p.table_rows * p.cols)
#include "quant.glsl"
#endif

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
    for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u) {
        float value = 0.0;
        if (in_table)
            value = LOAD(table, row * p.cols + c) * p.scale;
        else if (in_features)
            value = features[slot * p.cols + c];
        else if (p.has_base != 0u)
            value = base[r * p.cols + c];
        outs[r * p.cols + c] = value;
    }
}
