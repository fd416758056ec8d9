/* rope: a work-group of 64 turns one row of all heads; those behind the turned ones are copied. */
//! rope
#version 450
#extension GL_GOOGLE_include_directive : require
#include "prelude.glsl"

layout(local_size_x = 64) in;

DLM_IN(0, float, x)
DLM_IN(1, float, cosine)
DLM_IN(2, float, sine)
DLM_OUT(3, float, y)
DLM_PARAMS(dlm_rope_params)

void main()
{
    const uint row = DLM_GROUP_ID();
    if (row >= p.rows)
        return;
    const float sign_of_turn = p.inverse != 0u ? -1.0 : 1.0;
    for (uint k = DLM_LOCAL_ID(); k < p.heads * p.half_dim; k += 64u) {
        const uint head = k / p.half_dim, i = k % p.half_dim;
        const uint from = p.x_lead + row * p.x_stride[0] + head * p.x_stride[1] + i;
        const uint to = p.y_lead + row * p.y_stride[0] + head * p.y_stride[1] + i;
        const float a = x[from], b = x[from + p.half_dim];
        float c = 1.0, s = 0.0;
        if (head < p.turned) {
            c = cosine[row * p.half_dim + i];
            s = sign_of_turn * sine[row * p.half_dim + i];
        }
        y[to] = a * c - b * s;
        y[to + p.half_dim] = b * c + a * s;
    }
}
