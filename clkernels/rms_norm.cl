/* rms_norm and its backward: a work-group of 64 a row. */
//! rms_norm rms_norm
//! rms_norm_backward rms_norm_backward

/* 1 / sqrt(mean(x^2) + eps) of the group's row, in every lane. */
DLM_INLINE float reciprocal_rms(__global const float *x, __local float *tree, uint cols,
                                float eps)
{
    float sum = 0.0f;
    for (uint c = DLM_LOCAL_ID(); c < cols; c += 64u)
        sum += x[c] * x[c];
    return 1.0f / sqrt(dlm_group_sum(sum, tree) / (float)cols + eps);
}

__kernel DLM_LOCAL(64) void rms_norm(__global const float *x, __global const float *weight,
                                     __global float *y, const struct dlm_rows_params p)
{
    __local float tree[64];
    const uint row = DLM_GROUP_ID();
    if (row >= p.rows)
        return;
    x += row * p.cols;
    y += row * p.cols;
    const float r = reciprocal_rms(x, tree, p.cols, p.eps);
    const float one = p.plus_one ? 1.0f : 0.0f;
    for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u)
        y[c] = x[c] * r * (one + weight[c]);
}

__kernel DLM_LOCAL(64) void rms_norm_backward(__global const float *x,
                                              __global const float *weight,
                                              __global const float *dy, __global float *dx,
                                              const struct dlm_rows_params p)
{
    __local float tree[64];
    const uint row = DLM_GROUP_ID();
    if (row >= p.rows)
        return;
    x += row * p.cols;
    dy += row * p.cols;
    dx += row * p.cols;
    const float r = reciprocal_rms(x, tree, p.cols, p.eps);
    const float one = p.plus_one ? 1.0f : 0.0f;
    float dot = 0.0f;
    for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u)
        dot += x[c] * (one + weight[c]) * dy[c];
    const float k = r * r * r / (float)p.cols * dlm_group_sum(dot, tree);
    for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u)
        dx[c] = r * (one + weight[c]) * dy[c] - x[c] * k;
}
