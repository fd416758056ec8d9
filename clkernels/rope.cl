/* rope: a work-group of 64 turns one row of all heads; those behind the turned ones are copied. */
//! rope rope

__kernel DLM_LOCAL(64) void rope(__global const float *x, __global const float *cosine,
                                 __global const float *sine, __global float *y,
                                 const struct dlm_rope_params p)
{
    const uint row = DLM_GROUP_ID();
    if (row >= p.rows)
        return;
    const float sign = p.inverse ? -1.0f : 1.0f;
    for (uint k = DLM_LOCAL_ID(); k < p.heads * p.half_dim; k += 64u) {
        const uint head = k / p.half_dim, i = k % p.half_dim;
        const uint from = p.x_lead + row * p.x_stride[0] + head * p.x_stride[1] + i;
        const uint to = p.y_lead + row * p.y_stride[0] + head * p.y_stride[1] + i;
        const float a = x[from], b = x[from + p.half_dim];
        float c = 1.0f, s = 0.0f;
        if (head < p.turned) {
            c = cosine[row * p.half_dim + i];
            s = sign * sine[row * p.half_dim + i];
        }
        y[to] = a * c - b * s;
        y[to + p.half_dim] = b * c + a * s;
    }
}
