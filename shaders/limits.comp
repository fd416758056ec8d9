/* Loops that reach a limit of this device and do nothing else. A group of limit_copy and limit_read
 * takes p.rounds KiB; a lane of limit_f32 and limit_f16 does p.rounds times 16 multiply-adds, in 16
 * sums. */
//! limit_copy -DLIMIT=1
//! limit_read -DLIMIT=2
//! limit_f32 -DLIMIT=3 -DVEC=vec4 -DFLOAT=float
//! limit_f16 needs=f16 -DLIMIT=4 -DVEC=f16vec4 -DFLOAT=float16_t
#version 450
#extension GL_GOOGLE_include_directive : require
#if LIMIT == 4
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#endif
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

#if LIMIT >= 3

void main()
{
    const uint i = DLM_GROUP_ID() * 64u + DLM_LOCAL_ID();
    const VEC f = VEC(uintBitsToFloat(x[0]));
    VEC a = VEC(float(i & 1023u)), b = a + FLOAT(1.0), c = a + FLOAT(2.0), d = a + FLOAT(3.0);
    [[dont_unroll]] for (uint n = 0; n < p.rounds; n += 4u) { /* they are a multiple of 4 */
        [[unroll]] for (uint k = 0; k < 4u; k++) {
            a = fma(a, f, f);
            b = fma(b, f, f);
            c = fma(c, f, f);
            d = fma(d, f, f);
        }
    }
    const vec4 sum = vec4(a + b + c + d);
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
