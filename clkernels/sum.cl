/* sum: a work-group of 64 makes one result. */
//! sum sum

__kernel DLM_LOCAL(64) void sum(__global const float *x, __global float *y,
                                const struct dlm_sum_params p)
{
    __local float tree[64];
    const uint o = DLM_GROUP_ID();
    if (o >= p.total)
        return;
    uint rest = o, first = p.x_lead;
    for (int d = 3; d >= 0; d--) {
        first += rest % p.keep_shape[d] * p.keep_stride[d];
        rest /= p.keep_shape[d];
    }
    float total = 0.0f;
    for (uint i = DLM_LOCAL_ID(); i < p.reduced; i += 64u) {
        uint at = first;
        rest = i;
        for (int d = 3; d >= 0; d--) {
            at += rest % p.sum_shape[d] * p.sum_stride[d];
            rest /= p.sum_shape[d];
        }
        total += x[at];
    }
    total = dlm_group_sum(total, tree);
    if (DLM_LOCAL_ID() == 0u)
        y[o] = total;
}
