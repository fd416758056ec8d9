/* layer_norm and its backward: a work-group of 64 a row. */
//! layer_norm
//! layer_norm_backward -DBACKWARD
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
DLM_IN(2, float, bias)
DLM_OUT(3, float, y)
#endif
DLM_PARAMS(dlm_rows_params)

/* The mean of the group's row and 1 / sqrt(var + eps), in every lane. */
vec2 moments(uint at)
{
    float sum = 0.0, var = 0.0;
    for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u)
        sum += x[at + c];
    const float mean = dlm_group_sum(sum) / float(p.cols);
    for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u)
        var += (x[at + c] - mean) * (x[at + c] - mean);
    return vec2(mean, 1.0 / sqrt(dlm_group_sum(var) / float(p.cols) + p.eps));
}

void main()
{
    const uint row = DLM_GROUP_ID();
    if (row >= p.rows)
        return;
    const uint at = row * p.cols;
    const vec2 m = moments(at);
#ifdef BACKWARD
    float sum = 0.0, dot_sum = 0.0;
    for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u) {
        const float wdy = weight[c] * dy[at + c];
        sum += wdy;
        dot_sum += wdy * (x[at + c] - m.x);
    }
    const float mean_wdy = dlm_group_sum(sum) / float(p.cols);
    const float slope = m.y * m.y * dlm_group_sum(dot_sum) / float(p.cols);
    for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u)
        dx[at + c] = m.y * (weight[c] * dy[at + c] - mean_wdy - (x[at + c] - m.x) * slope);
#else
    for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u)
        y[at + c] = (x[at + c] - m.x) * m.y * weight[c] + bias[c];
#endif
}
