/* rope: a work-group of 64 turns one row of all heads, four pairs a lane; heads behind the turned
 * ones are copied. */
//! rope
#version 450
#extension GL_GOOGLE_include_directive : require
#include "prelude.glsl"

layout(local_size_x = 64) in;

DLM_IN_QUADS(0, x)
DLM_IN_QUADS(1, cosine)
DLM_IN_QUADS(2, sine)
DLM_OUT_QUADS(3, y)
DLM_PARAMS(dlm_rope_params)

void main()
{
    const uint row = DLM_GROUP_ID();
    if (row >= p.rows)
        return;
    const float sign_of_turn = p.inverse != 0u ? -1.0 : 1.0;
    const uint len = p.half_dim, quads = (len + 3u) / 4u;
    for (uint k = DLM_LOCAL_ID(); k < p.heads * quads; k += DLM_LANES) {
        const uint head = k / quads, i = k % quads * 4u;
        const uint from = p.x_lead + row * p.x_stride[0] + head * p.x_stride[1];
        const uint to = p.y_lead + row * p.y_stride[0] + head * p.y_stride[1];
        const vec4 a = x_at(from, i, len, 0.0), b = x_at(from + len, i, len, 0.0);
        vec4 c = vec4(1.0), s = vec4(0.0);
        if (head < p.turned) {
            c = cosine_at(row * len, i, len, 0.0);
            s = sign_of_turn * sine_at(row * len, i, len, 0.0);
        }
        y_put(to, i, len, a * c - b * s);
        y_put(to + len, i, len, b * c + a * s);
    }
}
