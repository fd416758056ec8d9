/* activation and its backward; a work-group does 4096 elements. */
//! activation
//! activation_backward -DBACKWARD
#version 450
#extension GL_GOOGLE_include_directive : require
#include "prelude.glsl"

layout(local_size_x = 64) in;

DLM_IN(0, float, x)
#ifdef BACKWARD
DLM_IN(1, float, dy)
DLM_OUT(2, float, dx)
#else
DLM_OUT(1, float, y)
#endif
DLM_PARAMS(dlm_map_params)

void main()
{
    const uint begin = DLM_GROUP_ID() * DLM_GROUP_ELEMS;
    for (uint k = DLM_LOCAL_ID(); k < DLM_GROUP_ELEMS; k += 64u) {
        const uint at = begin + k;
        if (at >= p.total)
            return;
#ifdef BACKWARD
        dx[at] = dlm_act_grad(p.kind, x[at]) * dy[at];
#else
        y[at] = dlm_act(p.kind, x[at]);
#endif
    }
}
