/* softmax and its backward: a work-group of 64 a row. */
//! softmax
//! softmax_backward -DBACKWARD
#version 450
#extension GL_GOOGLE_include_directive : require
#define DLM_GROUP_REDUCE
#include "prelude.glsl"

layout(local_size_x = 64) in;

#ifdef BACKWARD
DLM_IN(0, float, y)
DLM_IN(1, float, dy)
DLM_OUT(2, float, dx)
#else
DLM_IN(0, float, x)
DLM_OUT(1, float, y)
#endif
DLM_PARAMS(dlm_rows_params)

void main()
{
    const uint row = DLM_GROUP_ID();
    if (row >= p.rows)
        return;
    const uint at = row * p.cols;
    float sum = 0.0;
#ifdef BACKWARD
    for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u)
        sum += y[at + c] * dy[at + c];
    sum = dlm_group_sum(sum);
    for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u)
        dx[at + c] = y[at + c] * (dy[at + c] - sum);
#else
    float largest = x[at];
    for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u)
        largest = max(largest, x[at + c]);
    largest = dlm_group_max(largest);
    for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u)
        sum += exp(x[at + c] - largest);
    sum = dlm_group_sum(sum);
    for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u)
        y[at + c] = exp(x[at + c] - largest) / sum;
#endif
}
