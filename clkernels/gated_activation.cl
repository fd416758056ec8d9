/* gated_activation and its backward; a work-group does 4096 elements. */
//! gated_activation gated_activation
//! gated_activation_backward gated_activation_backward

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

__kernel DLM_LOCAL(64) void gated_activation_backward(__global const float *gate,
                                                      __global const float *up,
                                                      __global const float *dy,
                                                      __global float *dgate, __global float *dup,
                                                      const struct dlm_map_params p)
{
    const uint begin = DLM_GROUP_ID() * DLM_GROUP_ELEMS;
    for (uint k = DLM_LOCAL_ID(); k < DLM_GROUP_ELEMS; k += 64u) {
        const uint at = begin + k;
        if (at >= p.total)
            return;
        const float g = gate[at], d = dy[at];
        dgate[at] = d * up[at] * dlm_act_grad(p.kind, g);
        dup[at] = d * dlm_act(p.kind, g);
    }
}
