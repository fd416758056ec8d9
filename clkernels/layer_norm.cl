/* layer_norm and its backward: a work-group of 256 a row, or of 8 where barriers are slow. */
//! layer_norm layer_norm -DLANES=256
//! layer_norm_backward layer_norm_backward -DLANES=256
//! layer_norm_nolocal layer_norm -DLANES=8
//! layer_norm_backward_nolocal layer_norm_backward -DLANES=8

#define FOR_QUADS(c, cols) for (uint c = 4u * DLM_LOCAL_ID(); c < cols; c += 4u * LANES)

/* The mean of the group's row and 1 / sqrt(var + eps), in every lane. */
DLM_INLINE float2 moments(__global const float *x, __local float *tree, uint cols, float eps)
{
    float sum = 0.0f, squares = 0.0f;
    FOR_QUADS(c, cols) {
        const float4 v = dlm_quad_at(x, c, cols, 0.0f);
        sum += DLM_QUAD_SUM(v);
    }
    const float mean = dlm_lanes_sum(sum, tree, LANES) / (float)cols;
    FOR_QUADS(c, cols) {
        const float4 v = dlm_quad_at(x, c, cols, mean) - mean;
        squares += dot(v, v);
    }
    const float var = dlm_lanes_sum(squares, tree, LANES) / (float)cols;
    return (float2)(mean, 1.0f / sqrt(var + eps));
}

__kernel DLM_LOCAL(LANES) void layer_norm(__global const float *x, __global const float *weight,
                                          __global const float *bias, __global float *y,
                                          const struct dlm_rows_params p)
{
    __local float tree[LANES];
    const uint row = DLM_GROUP_ID();
    if (row >= p.rows)
        return;
    x += row * p.cols;
    y += row * p.cols;
    const float2 m = moments(x, tree, p.cols, p.eps);
    FOR_QUADS(c, p.cols)
        dlm_quad_put(y, c, p.cols,
                     (dlm_quad_at(x, c, p.cols, m.x) - m.x) * m.y *
                             dlm_quad_at(weight, c, p.cols, 0.0f) +
                         dlm_quad_at(bias, c, p.cols, 0.0f));
}

__kernel DLM_LOCAL(LANES) void layer_norm_backward(__global const float *x,
                                                   __global const float *weight,
                                                   __global const float *dy, __global float *dx,
                                                   const struct dlm_rows_params p)
{
    __local float tree[LANES];
    const uint row = DLM_GROUP_ID();
    if (row >= p.rows)
        return;
    x += row * p.cols;
    dy += row * p.cols;
    dx += row * p.cols;
    const float2 m = moments(x, tree, p.cols, p.eps);
    float sum = 0.0f, along_x = 0.0f;
    FOR_QUADS(c, p.cols) {
        const float4 wdy =
            dlm_quad_at(weight, c, p.cols, 0.0f) * dlm_quad_at(dy, c, p.cols, 0.0f);
        sum += DLM_QUAD_SUM(wdy);
        along_x += dot(wdy, dlm_quad_at(x, c, p.cols, m.x) - m.x);
    }
    const float mean_wdy = dlm_lanes_sum(sum, tree, LANES) / (float)p.cols;
    const float slope = m.y * m.y * dlm_lanes_sum(along_x, tree, LANES) / (float)p.cols;
    FOR_QUADS(c, p.cols) {
        const float4 wdy =
            dlm_quad_at(weight, c, p.cols, 0.0f) * dlm_quad_at(dy, c, p.cols, 0.0f);
        const float4 centred = dlm_quad_at(x, c, p.cols, m.x) - m.x;
        dlm_quad_put(dx, c, p.cols, m.y * (wdy - mean_wdy - centred * slope));
    }
}
