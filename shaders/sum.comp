/* sum: a work-group of 64 makes one result, or 64 results of a row. */
//! sum
//! sum_columns -DCOLUMNS
#version 450
#extension GL_GOOGLE_include_directive : require
#define DLM_GROUP_REDUCE
#include "prelude.glsl"

layout(local_size_x = 64) in;

DLM_IN(0, float, x)
DLM_OUT(1, float, y)
DLM_PARAMS(dlm_sum_params)

#ifdef COLUMNS
void main()
{
    const uint cols = p.keep_shape[3], blocks = (cols + DLM_SUM_COLUMNS - 1u) / DLM_SUM_COLUMNS;
    const uint row = DLM_GROUP_ID() / blocks;
    const uint col = DLM_GROUP_ID() % blocks * DLM_SUM_COLUMNS + DLM_LOCAL_ID();
    if (row >= p.total / cols || col >= cols)
        return;
    uint rest = row, first = p.x_lead + col;
    for (int d = 2; d >= 0; d--) {
        first += rest % p.keep_shape[d] * p.keep_stride[d];
        rest /= p.keep_shape[d];
    }
    float total = 0.0;
    for (uint i = 0u; i < p.sum_shape[0]; i++)
        for (uint j = 0u; j < p.sum_shape[1]; j++)
            for (uint k = 0u; k < p.sum_shape[2]; k++)
                total += x[first + i * p.sum_stride[0] + j * p.sum_stride[1] +
                           k * p.sum_stride[2]];
    y[row * cols + col] = total;
}
#else
void main()
{
    const uint o = DLM_GROUP_ID();
    if (o >= p.total)
        return;
    uint rest = o, first = p.x_lead;
    for (int d = 3; d >= 0; d--) {
        first += rest % p.keep_shape[d] * p.keep_stride[d];
        rest /= p.keep_shape[d];
    }
    float total = 0.0;
    for (uint i = DLM_LOCAL_ID(); i < p.reduced; i += 64u) {
        uint at = first;
        rest = i;
        for (int d = 3; d >= 0; d--) {
            at += rest % p.sum_shape[d] * p.sum_stride[d];
            rest /= p.sum_shape[d];
        }
        total += x[at];
    }
    total = dlm_group_sum(total);
    if (DLM_LOCAL_ID() == 0u)
        y[o] = total;
}
#endif
