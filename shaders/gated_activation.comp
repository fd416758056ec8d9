/* gated_activation and its backward; a work-group does 4096 elements. */
//! gated_activation
//! gated_activation_backward -DBACKWARD
#version 450
#extension GL_GOOGLE_include_directive : require
#include "prelude.glsl"

layout(local_size_x = 64) in;

DLM_IN(0, float, gate)
DLM_IN(1, float, up)
#ifdef BACKWARD
DLM_IN(2, float, dy)
DLM_OUT(3, float, dgate)
DLM_OUT(4, float, dup)
#else
DLM_OUT(2, float, y)
#endif
DLM_PARAMS(dlm_map_params)

void main()
{
    const uint begin = DLM_GROUP_ID() * DLM_GROUP_ELEMS;
    for (uint k = DLM_LOCAL_ID(); k < DLM_GROUP_ELEMS; k += 64u) {
        const uint at = begin + k;
        if (at >= p.total)
            return;
        const float g = gate[at];
#ifdef BACKWARD
        const float d = dy[at];
        dgate[at] = d * up[at] * dlm_act_grad(p.kind, g);
        dup[at] = d * dlm_act(p.kind, g);
#else
        y[at] = dlm_act(p.kind, g) * up[at];
#endif
    }
}
