/* rms_norm and its backward: a work-group of 64 a row. */
//! rms_norm
//! rms_norm_backward -DBACKWARD
#version 450
#extension GL_GOOGLE_include_directive : require
#define DLM_GROUP_REDUCE
#include "prelude.glsl"

layout(local_size_x = 64) in;

DLM_IN(0, float, x)
DLM_IN(1, float, weight)
#ifdef BACKWARD
DLM_IN(2, float, dy)
DLM_OUT(3, float, dx)
#else
DLM_OUT(2, float, y)
#endif
DLM_PARAMS(dlm_rows_params)

/* 1 / sqrt(mean(x^2) + eps) of the group's row, in every lane. */
float reciprocal_rms(uint at)
{
    float sum = 0.0;
    for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u)
        sum += x[at + c] * x[at + c];
    return 1.0 / sqrt(dlm_group_sum(sum) / float(p.cols) + p.eps);
}

void main()
{
    const uint row = DLM_GROUP_ID();
    if (row >= p.rows)
        return;
    const uint at = row * p.cols;
    const float r = reciprocal_rms(at);
    const float one = p.plus_one != 0u ? 1.0 : 0.0;
#ifdef BACKWARD
    float dot_sum = 0.0;
    for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u)
        dot_sum += x[at + c] * (one + weight[c]) * dy[at + c];
    const float k = r * r * r / float(p.cols) * dlm_group_sum(dot_sum);
    for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u)
        dx[at + c] = r * (one + weight[c]) * dy[at + c] - x[at + c] * k;
#else
    for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u)
        y[at + c] = x[at + c] * r * (one + weight[c]);
#endif
}
