/* y[i] after `rounds` of a slow recurrence, for test_vulkan.c */
//! spin
#version 450
#extension GL_GOOGLE_include_directive : require
#include "prelude.glsl"

layout(local_size_x = 64) in;

struct spin_params {
    uint total;
    uint rounds;
};

DLM_OUT(0, float, y)
DLM_PARAMS(spin_params)

void main()
{
    uint i = DLM_GROUP_ID() * 64u + DLM_LOCAL_ID();
    if (i >= p.total)
        return;
    float v = y[i];
    for (uint k = 0; k < p.rounds; k++)
        v = v * 0.999 + 0.001 * float(k & 7u);
    y[i] = v;
}
