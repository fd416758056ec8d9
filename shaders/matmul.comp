/* matmul for operands with any strides: matmul_<b> and matmul_small_<b> with work-group tiles in
 * shared memory.
 *
 * With several splits, slice i of k goes to the i-th part of out: partial sums without addends,
 * which matmul_finish adds in order. */
//! matmul_f32 -DDLM_B=F32 -DTILE=64u -DLANES=128u -DPER_M=8
//! matmul_f16 -DDLM_B=F16 -DTILE=64u -DLANES=128u -DPER_M=8
//! matmul_bf16 -DDLM_B=BF16 -DTILE=64u -DLANES=128u -DPER_M=8
//! matmul_small_f32 -DDLM_B=F32 -DTILE=32u -DLANES=64u -DPER_M=4
//! matmul_small_f16 -DDLM_B=F16 -DTILE=32u -DLANES=64u -DPER_M=4
//! matmul_small_bf16 -DDLM_B=BF16 -DTILE=32u -DLANES=64u -DPER_M=4
//! matmul_finish -DFINISH -DLANES=64
#version 450
#extension GL_GOOGLE_include_directive : require
#include "matmul_head.glsl"

#ifdef TILE
#define BK 16u /* of k in shared memory at a time */
#define PER_N 4 /* results of a lane along n, LANES_N apart; along m PER_M, LANES_M apart */
#define LANES_N (TILE / PER_N)
#define LANES_M (TILE / PER_M)

shared float a_tile[BK][TILE + 1u], b_tile[BK][TILE + 1u];

/* Both operands' slices of k from k0 on go to shared memory, zeros past the end. Lanes run along
 * whichever direction is contiguous. */
void stage(place at, uint m0, uint n0, uint k0)
{
    const bool a_along_k = p.a_stride[3] == 1u, b_along_k = p.b_stride[2] == 1u;

    for (uint e = DLM_LOCAL_ID(); e < BK * TILE; e += LANES) {
        const uint i = a_along_k ? e / BK : e % TILE, k = k0 + (a_along_k ? e % BK : e / TILE);
        float x = 0.0;
        if (m0 + i < p.m && k < at.k)
            x = round_a(a[at.a + (m0 + i) * p.a_stride[2] + k * p.a_stride[3]]);
        a_tile[k - k0][i] = x;
    }
    for (uint e = DLM_LOCAL_ID(); e < BK * TILE; e += LANES) {
        const uint j = b_along_k ? e / BK : e % TILE, k = k0 + (b_along_k ? e % BK : e / TILE);
        float y = 0.0;
        if (n0 + j < p.n && k < at.k)
            y = LOAD_B(at.b + k * p.b_stride[2] + (n0 + j) * p.b_stride[3]);
        b_tile[k - k0][j] = y;
    }
}

void main()
{
    const place at = find_place(gl_WorkGroupID.z);
    const uint m0 = gl_WorkGroupID.y * TILE, n0 = gl_WorkGroupID.x * TILE;
    const uint lane_m = DLM_LOCAL_ID() / LANES_N, lane_n = DLM_LOCAL_ID() % LANES_N;
    float sum[PER_M][PER_N];

    if (n0 >= p.n)
        return;
    for (int i = 0; i < PER_M; i++)
        for (int j = 0; j < PER_N; j++)
            sum[i][j] = 0.0;
    [[dont_unroll]] for (uint k0 = 0u; k0 < at.k; k0 += BK) {
        barrier();
        stage(at, m0, n0, k0);
        barrier();
        [[dont_unroll]] for (uint k = 0u; k < BK; k++) {
            float x[PER_M], y[PER_N];
            [[unroll]] for (int i = 0; i < PER_M; i++)
                x[i] = a_tile[k][lane_m + i * LANES_M];
            [[unroll]] for (int j = 0; j < PER_N; j++)
                y[j] = b_tile[k][lane_n + j * LANES_N];
            [[unroll]] for (int i = 0; i < PER_M; i++)
                [[unroll]] for (int j = 0; j < PER_N; j++)
                    sum[i][j] = fma(x[i], y[j], sum[i][j]);
        }
    }
    [[unroll]] for (int i = 0; i < PER_M; i++)
        [[unroll]] for (int j = 0; j < PER_N; j++) {
            const uint m = m0 + lane_m + i * LANES_M, n = n0 + lane_n + j * LANES_N;
            if (m < p.m && n < p.n)
                put(at, sum[i][j], m, n);
        }
}
#endif

#ifdef FINISH
/* The result from the partial sums [splits][batch0 * batch1][m][n], split_stride apart. */
void main()
{
    const uint begin = DLM_GROUP_ID() * DLM_GROUP_ELEMS;

    for (uint e = begin + DLM_LOCAL_ID(); e < begin + DLM_GROUP_ELEMS && e < p.split_stride;
         e += 64u) {
        const uint n = e % p.n, row = e / p.n;
        float sum = 0.0;
        for (uint i = 0u; i < p.splits; i++)
            sum += partial[i * p.split_stride + e];
        put(find_place(row / p.m * p.splits), sum, row % p.m, n);
    }
}
#endif
