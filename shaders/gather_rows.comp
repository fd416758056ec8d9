/* gather_rows: a work-group of 64 fetches one row, four elements a lane. */
//! gather_rows
#version 450
#extension GL_GOOGLE_include_directive : require
#include "prelude.glsl"

layout(local_size_x = 64) in;

DLM_IN_QUADS(0, x)
DLM_IN(1, int, idx)
DLM_OUT_QUADS(2, outs)
DLM_PARAMS(dlm_gather_params)

void main()
{
    const uint row = DLM_GROUP_ID();
    if (row >= p.rows_out)
        return;
    const int from = idx[row];
    const bool has_row = from >= 0 && uint(from) < p.rows_in;
    for (uint c = 4u * DLM_LOCAL_ID(); c < p.cols; c += 4u * DLM_LANES) {
        vec4 value = vec4(0.0);
        if (has_row)
            value = x_at(uint(from) * p.cols, c, p.cols, 0.0);
        outs_put(row * p.cols, c, p.cols, value);
    }
}
