/* patchify: a work-group of 64 fetches one patch. */
//! patchify patchify

__kernel DLM_LOCAL(64) void patchify(__global const float *pixels, __global float *out,
                                     const struct dlm_patchify_params p)
{
    const uint row = DLM_GROUP_ID();
    const uint high = p.height / p.patch, wide = p.width / p.patch;
    if (row >= p.batch * high * wide)
        return;
    const uint b = row / (high * wide), i = row / wide % high, j = row % wide;
    const uint area = p.patch * p.patch, cols = p.channels * area;
    for (uint k = DLM_LOCAL_ID(); k < cols; k += 64u) {
        const uint c = k / area, y = k / p.patch % p.patch, x = k % p.patch;
        const uint line = (b * p.channels + c) * p.height + i * p.patch + y;
        out[row * cols + k] = pixels[line * p.width + j * p.patch + x];
    }
}
