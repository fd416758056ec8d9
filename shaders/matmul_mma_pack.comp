/* Operands of matmul as matmul_mma_<b> wants them.
 *
 * matmul_mma_pack_<b>: a, rounded, [batch0, batch1, rows, cols] in b's type, zeros past m and k; a
 * lane makes 8 elements of a row. matmul_mma_pack_bf16_f16: the same for matmul_mma_bf16_f16, as
 * f16 whose scale is found by row; a work-group makes a row. matmul_mma_max: the largest magnitudes
 * of parts of b (bf16). */
//! matmul_mma_pack_f16 -DROUND=dlm_f32_to_f16
//! matmul_mma_pack_bf16 -DROUND=dlm_f32_to_bf16
//! matmul_mma_pack_bf16_f16 -DROUND=dlm_f32_to_bf16 -DSCALED
//! matmul_mma_max -DMAX
#version 450
#extension GL_GOOGLE_include_directive : require
#if defined(SCALED) || defined(MAX)
#define DLM_GROUP_REDUCE
#endif
#include "prelude.glsl"
#include "matmul_mma_scale.glsl"

layout(local_size_x = 64) in;

#ifdef MAX
DLM_IN(0, uvec4, b)
DLM_OUT(1, uint, most)
DLM_PARAMS(dlm_matmul_max_params)

void main()
{
    const uint chunks = p.batch0 * p.batch1 * p.rows * p.chunks;
    uint found = 0u;

    for (uint i = DLM_GROUP_ID() * 64u + DLM_LOCAL_ID(); i < chunks;
         i += DLM_MATMUL_MMA_MAXIMA * 64u) {
        const uint row = i / p.chunks, batch = row / p.rows;
        const uvec4 v = b[(p.b_lead + batch / p.batch1 * p.b_stride[0] +
                           batch % p.batch1 * p.b_stride[1] + row % p.rows * p.b_stride[2]) / 8u +
                          i % p.chunks];
        for (uint w = 0u; w < 4u; w++)
            found = max(found, max(magnitude(v[w]), magnitude(v[w] >> 16)));
    }
    /* small whole numbers, so exact as f32 */
    const float all = dlm_group_max(float(found));
    if (DLM_LOCAL_ID() == 0u && DLM_GROUP_ID() < DLM_MATMUL_MMA_MAXIMA)
        most[DLM_GROUP_ID()] = uint(all);
}
#else
DLM_IN(0, float, a)
DLM_OUT(1, uvec4, packed)
#ifdef SCALED
DLM_OUT(2, int, scale) /* [batch0, batch1, rows] */
#endif
DLM_PARAMS(dlm_matmul_pack_params)

/* Element 0 of a row of a. */
uint find_row(uint row)
{
    const uint batch = row / p.rows;

    return p.a_lead + batch / p.batch1 * p.a_stride[0] + batch % p.batch1 * p.a_stride[1] +
           row % p.rows * p.a_stride[2];
}

uint load(uint at, uint k)
{
    return k < p.k ? ROUND(a[at + k * p.a_stride[3]]) : 0u;
}

uvec4 load_chunk(uint at, uint k)
{
    uvec4 words;

    [[unroll]] for (uint i = 0u; i < 4u; i++)
        words[i] = load(at, k + 2u * i) | (load(at, k + 2u * i + 1u) << 16);
    return words;
}

#ifdef SCALED
void main()
{
    const uint row = DLM_GROUP_ID(), at = find_row(row);
    uint found = 0u;

    if (row >= p.batch0 * p.batch1 * p.rows)
        return;
    const bool is_there = row % p.rows < p.m;
    for (uint k = DLM_LOCAL_ID(); is_there && k < p.k; k += 64u)
        found = max(found, magnitude(load(at, k)));
    const int e = scale_for(uint(dlm_group_max(float(found))));
    if (DLM_LOCAL_ID() == 0u)
        scale[row] = e;
    for (uint k = DLM_LOCAL_ID() * 8u; k < p.cols; k += 64u * 8u) {
        uvec4 words = is_there ? load_chunk(at, k) : uvec4(0u);
        for (uint i = 0u; i < 4u; i++)
            words[i] = scale_pair(words[i], exp2_of(e));
        packed[(row * p.cols + k) / 8u] = words;
    }
}
#else
void main()
{
    const uint runs = p.cols / 8u, index = DLM_GROUP_ID() * 64u + DLM_LOCAL_ID();
    const uint row = index / runs;
    if (row >= p.batch0 * p.batch1 * p.rows)
        return;
    packed[index] = row % p.rows < p.m ? load_chunk(find_row(row), index % runs * 8u) : uvec4(0u);
}
#endif
#endif
