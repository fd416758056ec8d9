/* patchify: a work-group of 64 fetches one patch. */
//! patchify
#version 450
#extension GL_GOOGLE_include_directive : require
#include "prelude.glsl"

layout(local_size_x = 64) in;

DLM_IN(0, float, pixels)
DLM_OUT(1, float, outs)
DLM_PARAMS(dlm_patchify_params)

void main()
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
        outs[row * cols + k] = pixels[line * p.width + j * p.patch + x];
    }
}
