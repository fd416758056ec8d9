/* softmax and its backward: a work-group of 64 a row. */
//! softmax softmax
//! softmax_backward softmax_backward

__kernel DLM_LOCAL(64) void softmax(__global const float *x, __global float *y,
                                    const struct dlm_rows_params p)
{
    __local float tree[64];
    const uint row = DLM_GROUP_ID();
    if (row >= p.rows)
        return;
    x += row * p.cols;
    y += row * p.cols;
    float largest = -INFINITY, sum = 0.0f;
    for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u)
        largest = fmax(largest, x[c]);
    largest = dlm_group_max(largest, tree);
    for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u)
        sum += exp(x[c] - largest);
    sum = dlm_group_sum(sum, tree);
    for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u)
        y[c] = exp(x[c] - largest) / sum;
}

__kernel DLM_LOCAL(64) void softmax_backward(__global const float *y, __global const float *dy,
                                             __global float *dx, const struct dlm_rows_params p)
{
    __local float tree[64];
    const uint row = DLM_GROUP_ID();
    if (row >= p.rows)
        return;
    y += row * p.cols;
    dy += row * p.cols;
    dx += row * p.cols;
    float sum = 0.0f;
    for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u)
        sum += y[c] * dy[c];
    sum = dlm_group_sum(sum, tree);
    for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u)
        dx[c] = y[c] * (dy[c] - sum);
}
