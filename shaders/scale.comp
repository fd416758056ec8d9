/* scale: y = x * factor (* t[0] when kind is 1); a work-group does 4096 elements. */
//! scale
#version 450
#extension GL_GOOGLE_include_directive : require
#include "prelude.glsl"

layout(local_size_x = 64) in;

DLM_IN(0, float, x)
DLM_IN(1, float, t)
DLM_OUT(2, float, y)
DLM_PARAMS(dlm_map_params)

void main()
{
    const uint begin = DLM_GROUP_ID() * DLM_GROUP_ELEMS;
    const float factor = p.kind != 0u ? p.factor * t[0] : p.factor;
    for (uint k = DLM_LOCAL_ID(); k < DLM_GROUP_ELEMS; k += 64u) {
        const uint at = begin + k;
        if (at >= p.total)
            return;
        y[at] = x[at] * factor;
    }
}
