/* activation and its backward; a work-group does 4096 elements. */
//! activation activation
//! activation_backward activation_backward

DLM_MAP_KERNEL(activation, dlm_act(p.kind, x))

__kernel DLM_LOCAL(64) void activation_backward(__global const float *x, __global const float *dy,
                                                __global float *dx, const struct dlm_map_params p)
{
    const uint begin = DLM_GROUP_ID() * DLM_GROUP_ELEMS;
    for (uint k = DLM_LOCAL_ID(); k < DLM_GROUP_ELEMS; k += 64u) {
        const uint at = begin + k;
        if (at >= p.total)
            return;
        dx[at] = dlm_act_grad(p.kind, x[at]) * dy[at];
    }
}
