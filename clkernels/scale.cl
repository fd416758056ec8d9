/* scale: y = x * factor (* t[0] when kind is 1); a work-group does 4096 elements. */
//! scale scale

__kernel DLM_LOCAL(64) void scale(__global const float *x, __global const float *t,
                                  __global float *y, const struct dlm_map_params p)
{
    const uint begin = DLM_GROUP_ID() * DLM_GROUP_ELEMS;
    const float factor = p.kind ? p.factor * t[0] : p.factor;
    for (uint k = DLM_LOCAL_ID(); k < DLM_GROUP_ELEMS; k += 64u) {
        const uint at = begin + k;
        if (at >= p.total)
            return;
        y[at] = x[at] * factor;
    }
}
