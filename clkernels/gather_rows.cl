/* gather_rows: a work-group of 64 fetches one row. */
//! gather_rows gather_rows

__kernel DLM_LOCAL(64) void gather_rows(__global const float *x, __global const int *idx,
                                        __global float *out, const struct dlm_gather_params p)
{
    const uint row = DLM_GROUP_ID();
    if (row >= p.rows_out)
        return;
    const int from = idx[row];
    const int has_row = from >= 0 && (uint)from < p.rows_in;
    for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u) {
        float value = 0.0f;
        if (has_row)
            value = x[(uint)from * p.cols + c];
        out[row * p.cols + c] = value;
    }
}
