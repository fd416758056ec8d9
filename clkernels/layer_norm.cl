/* layer_norm and its backward: a work-group of 64 a row. */
//! layer_norm layer_norm
//! layer_norm_backward layer_norm_backward

/* The mean of the group's row and 1 / sqrt(var + eps), in every lane. */
DLM_INLINE float2 moments(__global const float *x, __local float *tree, uint cols, float eps)
{
    float sum = 0.0f, var = 0.0f;
    for (uint c = DLM_LOCAL_ID(); c < cols; c += 64u)
        sum += x[c];
    const float mean = dlm_group_sum(sum, tree) / (float)cols;
    for (uint c = DLM_LOCAL_ID(); c < cols; c += 64u)
        var += (x[c] - mean) * (x[c] - mean);
    return (float2)(mean, 1.0f / sqrt(dlm_group_sum(var, tree) / (float)cols + eps));
}

__kernel DLM_LOCAL(64) void layer_norm(__global const float *x, __global const float *weight,
                                       __global const float *bias, __global float *y,
                                       const struct dlm_rows_params p)
{
    __local float tree[64];
    const uint row = DLM_GROUP_ID();
    if (row >= p.rows)
        return;
    x += row * p.cols;
    y += row * p.cols;
    const float2 m = moments(x, tree, p.cols, p.eps);
    for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u)
        y[c] = (x[c] - m.x) * m.y * weight[c] + bias[c];
}

__kernel DLM_LOCAL(64) void layer_norm_backward(__global const float *x,
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
    const float2 m = moments(x, tree, p.cols, p.eps);
    float sum = 0.0f, dot = 0.0f;
    for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u) {
        const float wdy = weight[c] * dy[c];
        sum += wdy;
        dot += wdy * (x[c] - m.x);
    }
    const float mean_wdy = dlm_group_sum(sum, tree) / (float)p.cols;
    const float slope = m.y * m.y * dlm_group_sum(dot, tree) / (float)p.cols;
    for (uint c = DLM_LOCAL_ID(); c < p.cols; c += 64u)
        dx[c] = m.y * (weight[c] * dy[c] - mean_wdy - (x[c] - m.x) * slope);
}
