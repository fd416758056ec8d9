/* gather_rows: a work-group of 64 fetches one row. */
//! gather_rows
#version 450
#extension GL_GOOGLE_include_directive : require
#include "prelude.glsl"

layout(local_size_x = 64) in;

DLM_IN(0, float, x)
DLM_IN(1, int, idx)
DLM_OUT(2, float, outs)
DLM_PARAMS(dlm_gather_params)

void main()
{
    const uint row = DLM_GROUP_ID();
    if (row >= p.rows_out)
        return;
    const int from = idx[row];
    const bool has_row = from >= 0 && uint(from) < p.rows_in;
    for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u) {
        float value = 0.0;
        if (has_row)
            value = x[uint(from) * p.cols + c];
        outs[row * p.cols + c] = value;
    }
}
