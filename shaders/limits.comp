/* Loops that reach a limit of this device and do nothing else. A group of limit_copy and limit_read
 * takes p.rounds KiB; a lane of limit_f32 does p.rounds times 16 multiply-adds, in 16 sums. */
//! limit_copy -DLIMIT=1
//! limit_read -DLIMIT=2
//! limit_f32 -DLIMIT=3
#version 450
#extension GL_GOOGLE_include_directive : require
#include "prelude.glsl"

layout(local_size_x = 64) in;

DLM_IN(0, uvec4, x)
#if LIMIT == 1
DLM_OUT(1, uvec4, y)
#else
DLM_OUT(1, uint, y)
#endif
DLM_PARAMS(dlm_limit_params)

#define NEVER 0x7f812345u /* no loop's result: the write that keeps it is never done */

#if LIMIT == 3

void main()
{
    const uint i = DLM_GROUP_ID() * 64u + DLM_LOCAL_ID();
    const vec4 f = uintBitsToFloat(x[0]);
    vec4 a = vec4(float(i)), b = a + 1.0, c = a + 2.0, d = a + 3.0;
    for (uint n = 0; n < p.rounds; n++) {
        a = fma(a, f, f);
        b = fma(b, f, f);
        c = fma(c, f, f);
        d = fma(d, f, f);
    }
    const vec4 sum = a + b + c + d;
    if (floatBitsToUint(sum.x + sum.y + sum.z + sum.w) == NEVER)
        y[0] = i;
}

#else

void main()
{
    const uint begin = DLM_GROUP_ID() * p.rounds * 64u + DLM_LOCAL_ID();
    uvec4 sum = uvec4(0u);
    for (uint n = 0; n < p.rounds; n++) {
        const uint at = begin + n * 64u;
#if LIMIT == 1
        y[at] = x[at];
#else
        sum ^= x[at];
#endif
    }
#if LIMIT == 2
    if ((sum.x ^ sum.y ^ sum.z ^ sum.w) == NEVER)
        y[0] = begin;
#endif
}

#endif
