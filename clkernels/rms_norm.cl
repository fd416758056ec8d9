/* rms_norm and its backward: a work-group of 256 a row, or of 8 where barriers are slow. */
//! rms_norm rms_norm -DLANES=256
//! rms_norm_backward rms_norm_backward -DLANES=256
//! rms_norm_nolocal rms_norm -DLANES=8
//! rms_norm_backward_nolocal rms_norm_backward -DLANES=8

#define FOR_QUADS(c, cols) for (uint c = 4u * DLM_LOCAL_ID(); c < cols; c += 4u * LANES)

/* 1 / sqrt(mean(x^2) + eps) of the group's row, in every lane. */
DLM_INLINE float reciprocal_rms(__global const float *x, __local float *tree, uint cols,
                                float eps)
{
    float sum = 0.0f;
    FOR_QUADS(c, cols) {
        const float4 v = dlm_quad_at(x, c, cols, 0.0f);
        sum += dot(v, v);
    }
    return 1.0f / sqrt(dlm_lanes_sum(sum, tree, LANES) / (float)cols + eps);
}

__kernel DLM_LOCAL(LANES) void rms_norm(__global const float *x, __global const float *weight,
                                        __global float *y, const struct dlm_rows_params p)
{
    __local float tree[LANES];
    const uint row = DLM_GROUP_ID();
    if (row >= p.rows)
        return;
    x += row * p.cols;
    y += row * p.cols;
    const float r = reciprocal_rms(x, tree, p.cols, p.eps);
    const float one = p.plus_one ? 1.0f : 0.0f;
    FOR_QUADS(c, p.cols)
        dlm_quad_put(y, c, p.cols,
                     dlm_quad_at(x, c, p.cols, 0.0f) * r *
                         (one + dlm_quad_at(weight, c, p.cols, 0.0f)));
}

__kernel DLM_LOCAL(LANES) void rms_norm_backward(__global const float *x,
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
    const float r = reciprocal_rms(x, tree, p.cols, p.eps);
    const float one = p.plus_one ? 1.0f : 0.0f;
    float sum = 0.0f;
    FOR_QUADS(c, p.cols) {
        const float4 wdy =
            (one + dlm_quad_at(weight, c, p.cols, 0.0f)) * dlm_quad_at(dy, c, p.cols, 0.0f);
        sum += dot(dlm_quad_at(x, c, p.cols, 0.0f), wdy);
    }
    const float k = r * r * r / (float)p.cols * dlm_lanes_sum(sum, tree, LANES);
    FOR_QUADS(c, p.cols) {
        const float4 wdy =
            (one + dlm_quad_at(weight, c, p.cols, 0.0f)) * dlm_quad_at(dy, c, p.cols, 0.0f);
        dlm_quad_put(dx, c, p.cols, r * wdy - dlm_quad_at(x, c, p.cols, 0.0f) * k);
    }
}
