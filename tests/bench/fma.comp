/* Nothing but fused multiply-adds, 16 independent sums a lane, for bench_fma.c */
//! fma_loop
#version 450
#extension GL_GOOGLE_include_directive : require
#include "prelude.glsl"

layout(local_size_x = 64) in;

struct fma_params {
    uint rounds;
    float factor;
};

DLM_OUT(0, float, out_sums)
DLM_PARAMS(fma_params)

void main()
{
    const uint i = DLM_GROUP_ID() * 64u + DLM_LOCAL_ID();
    const vec4 x = vec4(p.factor);
    vec4 a = vec4(float(i)), b = a + 1.0, c = a + 2.0, d = a + 3.0;
    for (uint k = 0; k < p.rounds; k++) {
        a = fma(a, x, x);
        b = fma(b, x, x);
        c = fma(c, x, x);
        d = fma(d, x, x);
    }
    const vec4 sum = a + b + c + d;
    out_sums[i] = sum.x + sum.y + sum.z + sum.w;
}
