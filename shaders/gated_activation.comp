/* gated_activation and its backward, for gate and up of each type; a work-group does 4096
 * elements. */
//! gated_activation -DTYPE=DLM_T_F32 -DLOAD=DLM_LOAD_F32
//! gated_activation_backward_f32 -DBACKWARD -DTYPE=DLM_T_F32 -DLOAD=DLM_LOAD_F32
//! gated_activation_backward_f16 -DBACKWARD -DTYPE=DLM_T_F16 -DLOAD=DLM_LOAD_F16
//! gated_activation_backward_bf16 -DBACKWARD -DTYPE=DLM_T_BF16 -DLOAD=DLM_LOAD_BF16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "prelude.glsl"

layout(local_size_x = 64) in;

DLM_IN(0, TYPE, gate)
DLM_IN(1, TYPE, up)
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
        const float g = LOAD(gate, at);
#ifdef BACKWARD
        const float d = dy[at];
        dgate[at] = d * LOAD(up, at) * dlm_act_grad(p.kind, g);
        dup[at] = d * dlm_act(p.kind, g);
#else
        y[at] = dlm_act(p.kind, g) * LOAD(up, at);
#endif
    }
}
