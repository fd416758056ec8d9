/* rope: a work-group of 64 turns one row of all heads. */
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
        const uint i = k % p.half_dim;
        const uint at = row * p.heads * 2u * p.half_dim + k / p.half_dim * 2u * p.half_dim + i;
        const float a = x[at], b = x[at + p.half_dim];
        const float c = cosine[row * p.half_dim + i];
        const float s = sign_of_turn * sine[row * p.half_dim + i];
        y[at] = a * c - b * s;
        y[at + p.half_dim] = b * c + a * s;
    }
}
