/* Loops that reach a limit of this device and do nothing else. A group of limit_copy and limit_read
 * takes p.rounds KiB; a lane of limit_f32 does p.rounds times 16 multiply-adds, in 16 sums. */
//! limit_copy limit_copy
//! limit_read limit_read
//! limit_f32 limit_f32

#define NEVER 0x7f812345u /* no loop's result: the write that keeps it is never done */

__kernel DLM_LOCAL(64) void limit_copy(__global const uint4 *x, __global uint4 *y,
                                       const struct dlm_limit_params p)
{
    const uint begin = DLM_GROUP_ID() * p.rounds * 64u + DLM_LOCAL_ID();
    for (uint n = 0; n < p.rounds; n++)
        y[begin + n * 64u] = x[begin + n * 64u];
}

__kernel DLM_LOCAL(64) void limit_read(__global const uint4 *x, __global uint *y,
                                       const struct dlm_limit_params p)
{
    const uint begin = DLM_GROUP_ID() * p.rounds * 64u + DLM_LOCAL_ID();
    uint4 sum = (uint4)(0u);
    for (uint n = 0; n < p.rounds; n++)
        sum ^= x[begin + n * 64u];
    if ((sum.x ^ sum.y ^ sum.z ^ sum.w) == NEVER)
        y[0] = begin;
}

#define ROUND a = fma(a, f, f), b = fma(b, f, f), c = fma(c, f, f), d = fma(d, f, f);

__kernel DLM_LOCAL(64) void limit_f32(__global const float4 *x, __global uint *y,
                                      const struct dlm_limit_params p)
{
    const uint i = DLM_GROUP_ID() * 64u + DLM_LOCAL_ID();
    const float4 f = x[0];
    float4 a = (float4)((float)i), b = a + 1.0f, c = a + 2.0f, d = a + 3.0f;
    for (uint n = 0; n < p.rounds; n += 4u) { /* they are a multiple of 4 */
        ROUND ROUND ROUND ROUND
    }
    const float4 sum = a + b + c + d;
    if (as_uint(sum.x + sum.y + sum.z + sum.w) == NEVER)
        y[0] = i;
}
