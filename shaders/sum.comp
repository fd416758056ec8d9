/* sum: a work-group of 64 makes one result. */
//! sum
#version 450
#extension GL_GOOGLE_include_directive : require
#define DLM_GROUP_REDUCE
#include "prelude.glsl"

layout(local_size_x = 64) in;

DLM_IN(0, float, x)
DLM_OUT(1, float, y)
DLM_PARAMS(dlm_sum_params)

void main()
{
    const uint o = DLM_GROUP_ID();
    if (o >= p.total)
        return;
    uint rest = o, first = p.x_lead;
    for (int d = 3; d >= 0; d--) {
        first += rest % p.keep_shape[d] * p.keep_stride[d];
        rest /= p.keep_shape[d];
    }
    float total = 0.0;
    for (uint i = DLM_LOCAL_ID(); i < p.reduced; i += 64u) {
        uint at = first;
        rest = i;
        for (int d = 3; d >= 0; d--) {
            at += rest % p.sum_shape[d] * p.sum_stride[d];
            rest /= p.sum_shape[d];
        }
        total += x[at];
    }
    total = dlm_group_sum(total);
    if (DLM_LOCAL_ID() == 0u)
        y[o] = total;
}
