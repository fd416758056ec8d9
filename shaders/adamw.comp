/* adamw, in place; a work-group does 4096 elements. */
//! adamw
#version 450
#extension GL_GOOGLE_include_directive : require
#include "prelude.glsl"

layout(local_size_x = 64) in;

DLM_OUT(0, float, param)
DLM_IN(1, float, grad)
DLM_OUT(2, float, m)
DLM_OUT(3, float, v)
DLM_IN(4, float, coef)
DLM_IN(5, float, hyper)
DLM_PARAMS(dlm_adamw_params)

void main()
{
    const uint begin = DLM_GROUP_ID() * DLM_GROUP_ELEMS;
    const float decay = 1.0 - hyper[0] * hyper[1], b1 = hyper[2], b2 = hyper[3], eps = hyper[4];
    const float rate = hyper[0] / hyper[5], root2 = hyper[6];
    for (uint k = DLM_LOCAL_ID(); k < DLM_GROUP_ELEMS; k += 64u) {
        const uint at = begin + k;
        if (at >= p.total)
            return;
        const float g = grad[at] * coef[1];
        const float mean = b1 * m[at] + (1.0 - b1) * g;
        const float square = b2 * v[at] + (1.0 - b2) * g * g;
        m[at] = mean;
        v[at] = square;
        param[at] = param[at] * decay - rate * mean / (sqrt(square) / root2 + eps);
    }
}
