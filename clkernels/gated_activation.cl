/* gated_activation and its backward, for gate and up of each type; a work-group does 4096
 * elements. */
//! gated_activation gated_activation
//! gated_activation_backward_f32 gated_activation_backward_f32
//! gated_activation_backward_f16 gated_activation_backward_f16
//! gated_activation_backward_bf16 gated_activation_backward_bf16

__kernel DLM_LOCAL(64) void gated_activation(__global const float *gate, __global const float *up,
                                             __global float *y, const struct dlm_map_params p)
{
    const uint begin = DLM_GROUP_ID() * DLM_GROUP_ELEMS;
    for (uint k = DLM_LOCAL_ID(); k < DLM_GROUP_ELEMS; k += 64u) {
        const uint at = begin + k;
        if (at >= p.total)
            return;
        y[at] = dlm_act(p.kind, gate[at]) * up[at];
    }
}

#define BACKWARD_KERNEL(name, X, LOAD)                                                             \
    __kernel DLM_LOCAL(64) void name(__global const X *gate, __global const X *up,                 \
                                     __global const float *dy, __global float *dgate,              \
                                     __global float *dup, const struct dlm_map_params p)           \
    {                                                                                              \
        const uint begin = DLM_GROUP_ID() * DLM_GROUP_ELEMS;                                       \
        for (uint k = DLM_LOCAL_ID(); k < DLM_GROUP_ELEMS; k += 64u) {                             \
            const uint at = begin + k;                                                             \
            if (at >= p.total)                                                                     \
                return;                                                                            \
            const float g = LOAD(gate, at), d = dy[at];                                            \
            dgate[at] = d * LOAD(up, at) * dlm_act_grad(p.kind, g);                                \
            dup[at] = d * dlm_act(p.kind, g);                                                      \
        }                                                                                          \
    }

BACKWARD_KERNEL(gated_activation_backward_f32, DLM_T_F32, DLM_LOAD_F32)
BACKWARD_KERNEL(gated_activation_backward_f16, DLM_T_F16, DLM_LOAD_F16)
BACKWARD_KERNEL(gated_activation_backward_bf16, DLM_T_BF16, DLM_LOAD_BF16)
