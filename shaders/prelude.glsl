/* What every shader starts with. A shader names its modules in comment lines
 * `//! NAME [-Dname=value ...]`; the entry point is main. */
#extension GL_EXT_control_flow_attributes : enable

#define DLM_DIALECT_GLSL
#define patch patch_ /* a keyword of GLSL and a field in params.h */
#include "base/scalar.h"
#include "kernels/params.h"

/* Storage buffer number n, an array of type; read-only, written, or both. */
#define DLM_IN(n, type, name)                                                                      \
    layout(std430, set = 0, binding = n) readonly buffer DlmBuffer##n { type name[]; };
#define DLM_OUT(n, type, name)                                                                     \
    layout(std430, set = 0, binding = n) buffer DlmBuffer##n { type name[]; };

/* The push constants: struct `type` of kernels/params.h, reached as p. */
#define DLM_PARAMS(type)                                                                           \
    layout(push_constant) uniform DlmPush { type p; };

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
/* Two neighbours at an even index i, as they are stored. */
#define DLM_PACK_BF16(lo, hi) (dlm_f32_to_bf16(lo) | (dlm_f32_to_bf16(hi) << 16))
#define DLM_PACK_F16(lo, hi) (dlm_f32_to_f16(lo) | (dlm_f32_to_f16(hi) << 16))

/* Sum (maximum) of v over the 64 lanes of a work-group, in every lane; the order is fixed. Every
 * lane must come here. A shader that wants them defines DLM_GROUP_REDUCE before the include. */
#ifdef DLM_GROUP_REDUCE
shared float dlm_tree[64];

float dlm_group_sum(float v)
{
    const uint lane = DLM_LOCAL_ID();
    barrier();
    dlm_tree[lane] = v;
    for (uint half_len = 32u; half_len > 0u; half_len >>= 1) {
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
    for (uint half_len = 32u; half_len > 0u; half_len >>= 1) {
        barrier();
        if (lane < half_len)
            dlm_tree[lane] = max(dlm_tree[lane], dlm_tree[lane + half_len]);
    }
    barrier();
    return dlm_tree[0];
}
#endif

