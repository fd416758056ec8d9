/* rms_norm and its backward: a work-group of 256 a row, or of 8 where barriers are slow. */
//! rms_norm -DDLM_LANES=256u
//! rms_norm_backward -DDLM_LANES=256u -DBACKWARD
//! rms_norm_nolocal -DDLM_LANES=8u
//! rms_norm_backward_nolocal -DDLM_LANES=8u -DBACKWARD
#version 450
#extension GL_GOOGLE_include_directive : require
#define DLM_GROUP_REDUCE
#include "prelude.glsl"

layout(local_size_x = DLM_LANES) in;

DLM_IN_QUADS(0, x)
DLM_IN_QUADS(1, weight)
#ifdef BACKWARD
DLM_IN_QUADS(2, dy)
DLM_OUT_QUADS(3, dx)
#else
DLM_OUT_QUADS(2, y)
#endif
DLM_PARAMS(dlm_rows_params)

#define FOR_QUADS(c) for (uint c = 4u * DLM_LOCAL_ID(); c < p.cols; c += 4u * DLM_LANES)

void main()
{
    const uint row = DLM_GROUP_ID();
    if (row >= p.rows)
        return;
    const uint at = row * p.cols;
    const float one = p.plus_one != 0u ? 1.0 : 0.0;
    float squares = 0.0;
    FOR_QUADS(c) {
        const vec4 v = x_at(at, c, p.cols, 0.0);
        squares += dot(v, v);
    }
    const float r = 1.0 / sqrt(dlm_group_sum(squares) / float(p.cols) + p.eps);
#ifdef BACKWARD
    float dot_sum = 0.0;
    FOR_QUADS(c) {
        const vec4 wdy = (one + weight_at(0u, c, p.cols, 0.0)) * dy_at(at, c, p.cols, 0.0);
        dot_sum += dot(x_at(at, c, p.cols, 0.0), wdy);
    }
    const float k = r * r * r / float(p.cols) * dlm_group_sum(dot_sum);
    FOR_QUADS(c) {
        const vec4 wdy = (one + weight_at(0u, c, p.cols, 0.0)) * dy_at(at, c, p.cols, 0.0);
        dx_put(at, c, p.cols, r * wdy - x_at(at, c, p.cols, 0.0) * k);
    }
#else
    FOR_QUADS(c)
        y_put(at, c, p.cols,
              x_at(at, c, p.cols, 0.0) * r * (one + weight_at(0u, c, p.cols, 0.0)));
#endif
}
