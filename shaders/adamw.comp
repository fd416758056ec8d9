/* adamw, in place; a work-group does 4096 elements. */
//! adamw
#version 450
#extension GL_GOOGLE_include_directive : require
#define DLM_LANES 256u
#include "prelude.glsl"

layout(local_size_x = DLM_LANES) in;

DLM_IN_OUT_QUADS(0, param)
DLM_IN_QUADS(1, grad)
DLM_IN_OUT_QUADS(2, m)
DLM_IN_OUT_QUADS(3, v)
DLM_IN(4, float, coef)
DLM_IN(5, float, hyper)
DLM_PARAMS(dlm_adamw_params)

void main()
{
    const float decay = 1.0 - hyper[0] * hyper[1], b1 = hyper[2], b2 = hyper[3], eps = hyper[4];
    const float rate = hyper[0] / hyper[5], root2 = hyper[6];
    DLM_FOR_QUADS(i, p.total) {
        const vec4 g = grad_at(0u, i, p.total, 0.0) * coef[1];
        const vec4 mean = b1 * m_at(0u, i, p.total, 0.0) + (1.0 - b1) * g;
        const vec4 square = b2 * v_at(0u, i, p.total, 0.0) + (1.0 - b2) * g * g;
        m_put(0u, i, p.total, mean);
        v_put(0u, i, p.total, square);
        param_put(0u, i, p.total,
                  param_at(0u, i, p.total, 0.0) * decay -
                      rate * mean / (sqrt(square) / root2 + eps));
    }
}
