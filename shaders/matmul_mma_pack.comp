/* a of matmul as matmul_mma_<b> wants it: [batch0, batch1, rows, cols] in b's type, zeros past m
 * and k. A lane makes 8 elements of a row. */
//! matmul_mma_pack_f16 -DROUND=dlm_f32_to_f16
//! matmul_mma_pack_bf16 -DROUND=dlm_f32_to_bf16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "prelude.glsl"

layout(local_size_x = 64) in;

DLM_IN(0, float, a)
DLM_OUT(1, uvec4, packed)
DLM_PARAMS(dlm_matmul_pack_params)

uint load(uint at, uint k)
{
    return k < p.k ? ROUND(a[at + k * p.a_stride[3]]) : 0u;
}

void main()
{
    const uint runs = p.cols / 8u, index = DLM_GROUP_ID() * 64u + DLM_LOCAL_ID();
    const uint row = index / runs, k = index % runs * 8u, m = row % p.rows, batch = row / p.rows;
    if (batch >= p.batch0 * p.batch1)
        return;
    const uint at = p.a_lead + batch / p.batch1 * p.a_stride[0] +
                    batch % p.batch1 * p.a_stride[1] + m * p.a_stride[2];
    uvec4 words = uvec4(0u);

    if (m < p.m)
        [[unroll]] for (uint i = 0u; i < 4u; i++)
            words[i] = load(at, k + 2u * i) | (load(at, k + 2u * i + 1u) << 16);
    packed[index] = words;
}
