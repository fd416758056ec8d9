/* scale: y = x * factor (* t[0] when kind is 1); a work-group does 4096 elements. */
//! scale
#version 450
#extension GL_GOOGLE_include_directive : require
#define DLM_LANES 256u
#include "prelude.glsl"

layout(local_size_x = DLM_LANES) in;

DLM_IN_QUADS(0, x)
DLM_IN(1, float, t)
DLM_OUT_QUADS(2, y)
DLM_PARAMS(dlm_map_params)

void main()
{
    const float factor = p.kind != 0u ? p.factor * t[0] : p.factor;
    DLM_FOR_QUADS(i, p.total)
        y_put(0u, i, p.total, x_at(0u, i, p.total, 0.0) * factor);
}
