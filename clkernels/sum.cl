/* sum: a work-group of 64 makes one result, or 64 results of a row. */
//! sum sum
//! sum_columns sum_columns

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

__kernel DLM_LOCAL(64) void sum_columns(__global const float *x, __global float *y,
                                        const struct dlm_sum_params p)
{
    const uint cols = p.keep_shape[3], blocks = (cols + DLM_SUM_COLUMNS - 1u) / DLM_SUM_COLUMNS;
    const uint row = DLM_GROUP_ID() / blocks;
    const uint col = DLM_GROUP_ID() % blocks * DLM_SUM_COLUMNS + DLM_LOCAL_ID();
    if (row >= p.total / cols || col >= cols)
        return;
    uint rest = row, first = p.x_lead + col;
    for (int d = 2; d >= 0; d--) {
        first += rest % p.keep_shape[d] * p.keep_stride[d];
        rest /= p.keep_shape[d];
    }
    float total = 0.0f;
    for (uint i = 0u; i < p.sum_shape[0]; i++)
        for (uint j = 0u; j < p.sum_shape[1]; j++)
            for (uint k = 0u; k < p.sum_shape[2]; k++)
                total += x[first + i * p.sum_stride[0] + j * p.sum_stride[1] +
                           k * p.sum_stride[2]];
    y[row * cols + col] = total;
}
