/* dropout: a work-group of 64 a row. */
//! dropout dropout

__kernel DLM_LOCAL(64) void dropout(__global const float *x, __global const uint *rng,
                                    __global const uint *row_ids, __global float *y,
                                    const struct dlm_dropout_params p)
{
    const uint row = DLM_GROUP_ID();
    if (row >= p.rows)
        return;
    const uint id = row_ids[(p.first_row + row) / p.rows_per_batch];
    const uint first = (p.first_row + row) % p.rows_per_batch * p.cols;
    const float keep = 1.0f / (1.0f - p.p);
    for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u) {
        const uint word = dlm_philox(first + c, id, p.module, rng[2], rng[0], rng[1]);
        y[row * p.cols + c] = dlm_uniform(word) >= p.p ? x[row * p.cols + c] * keep : 0.0f;
    }
}
