/* What every shader starts with. A shader names its modules in comment lines
 * `//! NAME [-Dname=value ...]`; the entry point is main. */
#extension GL_EXT_control_flow_attributes : enable

#define DLM_DIALECT_GLSL
#define patch patch_ /* a keyword of GLSL and a field in params.h */
#include "base/scalar.h"
#include "kernels/params.h"

#include "bindings.glsl"

/* Linear index of the work-group: the host folds large grids into two dimensions. */
#define DLM_GROUP_ID() (gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x)
#define DLM_LOCAL_ID() (gl_LocalInvocationID.x)

/* Element i of an array stored as f32, bf16 or f16, widened to f32. 16-bit arrays are declared as
 * arrays of uint, two elements a word, so that no 16-bit storage feature is needed. */
#define DLM_T_F32 float
#define DLM_T_BF16 uint
#define DLM_T_F16 uint
#define DLM_LOAD_F32(a, i) (a[i])
#define DLM_HALFWORD(a, i) ((a[(i) >> 1] >> (((i) & 1u) << 4)) & 0xffffu)
#define DLM_LOAD_BF16(a, i) dlm_bf16_to_f32(DLM_HALFWORD(a, i))
#define DLM_LOAD_F16(a, i) (unpackHalf2x16(DLM_HALFWORD(a, i)).x)
/* Elements 8 i to 8 i + 7, widened, into vec4 lo and hi: 16 bytes at a time of an array of
 * DLM_V_<X>. */
#define DLM_V_F32 vec4
#define DLM_V_BF16 uvec4
#define DLM_V_F16 uvec4
#define DLM_LOAD8_F32(a, i, lo, hi)                                                                \
    {                                                                                              \
        lo = a[2u * (i)];                                                                          \
        hi = a[2u * (i) + 1u];                                                                     \
    }
#define DLM_LOAD8_BF16(a, i, lo, hi)                                                               \
    {                                                                                              \
        const uvec4 words = a[i], low = words << 16, high = words & 0xffff0000u;                   \
        lo = uintBitsToFloat(uvec4(low.x, high.x, low.y, high.y));                                 \
        hi = uintBitsToFloat(uvec4(low.z, high.z, low.w, high.w));                                 \
    }
#define DLM_LOAD8_F16(a, i, lo, hi)                                                                \
    {                                                                                              \
        const uvec4 words = a[i];                                                                  \
        lo = vec4(unpackHalf2x16(words.x), unpackHalf2x16(words.y));                               \
        hi = vec4(unpackHalf2x16(words.z), unpackHalf2x16(words.w));                               \
    }
/* Two neighbours at an even index i, as they are stored. */
#define DLM_PACK_BF16(lo, hi) (dlm_f32_to_bf16(lo) | (dlm_f32_to_bf16(hi) << 16))
#define DLM_PACK_F16(lo, hi) (dlm_f32_to_f16(lo) | (dlm_f32_to_f16(hi) << 16))

/* Rows of f32 at binding n, read and written in quads: NAME_at() gives elements i..i+3 (i a
 * multiple of 4) of the len that begin at `first`, and `rest` for those past the end; NAME_put()
 * writes them. A row whose length and start are multiples of 4 takes 16 bytes at a time. NAME is
 * the array. */
#define DLM_QUADS_AT(n, name, access)                                                              \
    layout(std430, set = 0, binding = n) access buffer DlmBuffer##n { float name[]; };             \
    layout(std430, set = 0, binding = n) access buffer DlmQuads##n { vec4 name##_quads[]; };
#define DLM_GET_QUADS(name)                                                                        \
    vec4 name##_at(uint first, uint i, uint len, float rest)                                       \
    {                                                                                              \
        if (((first | len) & 3u) == 0u)                                                            \
            return name##_quads[(first + i) >> 2];                                                 \
        const uint at = first + i, last = first + len - 1u;                                        \
        const vec4 quad = vec4(name[at], name[min(at + 1u, last)], name[min(at + 2u, last)],       \
                            name[min(at + 3u, last)]);                                             \
        return mix(vec4(rest), quad, lessThanEqual(uvec4(at) + uvec4(0, 1, 2, 3), uvec4(last)));   \
    }
#define DLM_PUT_QUADS(name)                                                                        \
    void name##_put(uint first, uint i, uint len, vec4 quad)                                       \
    {                                                                                              \
        if (((first | len) & 3u) == 0u) {                                                          \
            name##_quads[(first + i) >> 2] = quad;                                                 \
            return;                                                                                \
        }                                                                                          \
        name[first + i] = quad.x;                                                                  \
        if (i + 1u < len)                                                                          \
            name[first + i + 1u] = quad.y;                                                         \
        if (i + 2u < len)                                                                          \
            name[first + i + 2u] = quad.z;                                                         \
        if (i + 3u < len)                                                                          \
            name[first + i + 3u] = quad.w;                                                         \
    }
#define DLM_IN_QUADS(n, name) DLM_QUADS_AT(n, name, readonly) DLM_GET_QUADS(name)
#define DLM_OUT_QUADS(n, name) DLM_QUADS_AT(n, name, ) DLM_PUT_QUADS(name)
#define DLM_IN_OUT_QUADS(n, name) DLM_QUADS_AT(n, name, ) DLM_GET_QUADS(name) DLM_PUT_QUADS(name)
#define DLM_QUAD_SUM(v) ((v.x + v.y) + (v.z + v.w))
#define DLM_QUAD_MAX(v) max(max(v.x, v.y), max(v.z, v.w))

/* Lanes of a work-group; a shader that has others defines it before the include. */
#ifndef DLM_LANES
#define DLM_LANES 64u
#endif

/* The loop of an elementwise shader over arrays of `total` elements: a quad from element i on. */
#define DLM_FOR_QUADS(i, total)                                                                    \
    for (uint i = DLM_GROUP_ID() * DLM_GROUP_ELEMS + 4u * DLM_LOCAL_ID();                          \
         i < min(DLM_GROUP_ID() * DLM_GROUP_ELEMS + DLM_GROUP_ELEMS, total); i += 4u * DLM_LANES)

/* Sum (maximum) of v over the lanes of a work-group, in every lane; the order is fixed. Every lane
 * must come here. A shader that wants them defines DLM_GROUP_REDUCE before the include. */
#ifdef DLM_GROUP_REDUCE
shared float dlm_tree[DLM_LANES];

float dlm_group_sum(float v)
{
    const uint lane = DLM_LOCAL_ID();
    barrier();
    dlm_tree[lane] = v;
    for (uint half_len = DLM_LANES / 2u; half_len > 0u; half_len >>= 1) {
        barrier();
        if (lane < half_len)
            dlm_tree[lane] += dlm_tree[lane + half_len];
    }
    barrier();
    return dlm_tree[0];
}

float dlm_group_max(float v)
{
    const uint lane = DLM_LOCAL_ID();
    barrier();
    dlm_tree[lane] = v;
    for (uint half_len = DLM_LANES / 2u; half_len > 0u; half_len >>= 1) {
        barrier();
        if (lane < half_len)
            dlm_tree[lane] = max(dlm_tree[lane], dlm_tree[lane + half_len]);
    }
    barrier();
    return dlm_tree[0];
}
#endif

