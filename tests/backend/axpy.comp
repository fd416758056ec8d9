/* y[i] = y[i] +- factor * x[i], for test_vulkan.c */
//! axpy -DSIGN=+
//! axpy_minus -DSIGN=-
#version 450
#extension GL_GOOGLE_include_directive : require
#include "prelude.glsl"

layout(local_size_x = 64) in;

struct axpy_params {
    uint total;
    float factor;
};

DLM_IN(0, float, x)
DLM_OUT(1, float, y)
DLM_PARAMS(axpy_params)

void main()
{
    uint i = DLM_GROUP_ID() * 64u + DLM_LOCAL_ID();
    if (i < p.total)
        y[i] = y[i] SIGN p.factor * x[i];
}
