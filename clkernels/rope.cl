/* rope: a work-group of 64 turns one row of all heads. */
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
        const uint i = k % p.half_dim;
        const uint at = row * p.heads * 2u * p.half_dim + k / p.half_dim * 2u * p.half_dim + i;
        const float a = x[at], b = x[at + p.half_dim];
        const float c = cosine[row * p.half_dim + i], s = sign * sine[row * p.half_dim + i];
        y[at] = a * c - b * s;
        y[at + p.half_dim] = b * c + a * s;
    }
}
