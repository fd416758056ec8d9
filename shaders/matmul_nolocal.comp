/* matmul where barriers are slow: matmul_<b>_nolocal with register tiles, on an a that matmul_pack
 * has rounded. */
//! matmul_f32_nolocal -DDLM_B=F32 -DLANES=64
//! matmul_f16_nolocal -DDLM_B=F16 -DLANES=64
//! matmul_bf16_nolocal -DDLM_B=BF16 -DLANES=64
//! matmul_pack -DPACK -DLANES=64
#version 450
#extension GL_GOOGLE_include_directive : require
#include "matmul_head.glsl"

#ifndef PACK
const int PER = int(DLM_MATMUL_ANY_PER);

/* A lane makes PER x PER results. Loads are what costs: lavapipe does them lane by lane. */
void main()
{
    const place at = find_place(gl_WorkGroupID.z);
    const uint lanes_n = DLM_MATMUL_ANY_LANES_N(p.m, p.n), lanes_m = 64u / lanes_n;
    const uint m0 = (gl_WorkGroupID.y * lanes_m + DLM_LOCAL_ID() / lanes_n) * PER;
    const uint n0 = (gl_WorkGroupID.x * lanes_n + DLM_LOCAL_ID() % lanes_n) * PER;
    if (m0 >= p.m || n0 >= p.n)
        return;
    uint a_at[PER], b_at[PER]; /* rows and columns past the end repeat the last one */
    float sum[PER][PER];

    for (int i = 0; i < PER; i++)
        a_at[i] = at.a + min(m0 + i, p.m - 1u) * p.a_stride[2];
    for (int j = 0; j < PER; j++)
        b_at[j] = at.b + min(n0 + j, p.n - 1u) * p.b_stride[3];
    for (int i = 0; i < PER; i++)
        for (int j = 0; j < PER; j++)
            sum[i][j] = 0.0;
    [[dont_unroll]] for (uint k = 0u; k < at.k; k++) {
        float y[PER];
        [[unroll]] for (int j = 0; j < PER; j++) {
            y[j] = LOAD_B(b_at[j]);
            b_at[j] += p.b_stride[2];
        }
        [[unroll]] for (int i = 0; i < PER; i++) {
            const float x = a[a_at[i]];
            a_at[i] += p.a_stride[3];
            [[unroll]] for (int j = 0; j < PER; j++)
                sum[i][j] = fma(x, y[j], sum[i][j]);
        }
    }
    [[unroll]] for (int i = 0; i < PER; i++)
        [[unroll]] for (int j = 0; j < PER; j++)
            if (m0 + i < p.m && n0 + j < p.n)
                put(at, sum[i][j], m0 + i, n0 + j);
}
#endif

#ifdef PACK
/* a, rounded, as contiguous [batch0, batch1, m, k]; a lane does a run of a row. */
void main()
{
    const uint runs = (p.k + DLM_MATMUL_PACK_RUN - 1u) / DLM_MATMUL_PACK_RUN;
    const uint index = DLM_GROUP_ID() * 64u + DLM_LOCAL_ID(), row = index / runs;
    if (row >= p.batch0 * p.batch1 * p.m)
        return;
    const uint begin = index % runs * DLM_MATMUL_PACK_RUN;
    const uint num = min(DLM_MATMUL_PACK_RUN, p.k - begin), step = p.a_stride[3];
    const uint from = find_place(row / p.m).a + row % p.m * p.a_stride[2] + begin * step;

    for (uint i = 0u; i < num; i++)
        packed[row * p.k + begin + i] = round_a(a[from + i * step]);
}
#endif
