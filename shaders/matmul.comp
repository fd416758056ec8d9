/* matmul for operands with any strides: matmul_<b> and matmul_small_<b> with work-group tiles in
 * shared memory; matvec_<b> for up to 4 rows where a and b are contiguous along k;
 * matmul_<b>_nolocal with register tiles, for devices where barriers are slow, on an a that
 * matmul_pack has rounded.
 *
 * With several splits, slice i of k goes to the i-th part of out: partial sums without addends,
 * which matmul_finish adds in order. */
//! matmul_f32 -DDLM_B=F32 -DTILE=64u -DLANES=128u -DPER_M=8
//! matmul_f16 -DDLM_B=F16 -DTILE=64u -DLANES=128u -DPER_M=8
//! matmul_bf16 -DDLM_B=BF16 -DTILE=64u -DLANES=128u -DPER_M=8
//! matmul_small_f32 -DDLM_B=F32 -DTILE=32u -DLANES=64u -DPER_M=4
//! matmul_small_f16 -DDLM_B=F16 -DTILE=32u -DLANES=64u -DPER_M=4
//! matmul_small_bf16 -DDLM_B=BF16 -DTILE=32u -DLANES=64u -DPER_M=4
//! matvec_f32 -DDLM_B=F32 -DMATVEC -DLANES=64
//! matvec_f16 -DDLM_B=F16 -DMATVEC -DLANES=64
//! matvec_bf16 -DDLM_B=BF16 -DMATVEC -DLANES=64
//! matmul_f32_nolocal -DDLM_B=F32 -DNOLOCAL -DLANES=64
//! matmul_f16_nolocal -DDLM_B=F16 -DNOLOCAL -DLANES=64
//! matmul_bf16_nolocal -DDLM_B=BF16 -DNOLOCAL -DLANES=64
//! matmul_pack -DPACK -DLANES=64
//! matmul_finish -DFINISH -DLANES=64
#version 450
#extension GL_GOOGLE_include_directive : require
#ifdef MATVEC
#define DLM_GROUP_REDUCE
#endif
#include "prelude.glsl"

layout(local_size_x = LANES) in;

#define PASTE_(x, y) x##y
#define PASTE(x, y) PASTE_(x, y)

#if defined(PACK)
DLM_IN(0, float, a)
DLM_OUT(1, float, packed)
#elif defined(FINISH)
DLM_IN(0, float, partial)
DLM_IN(1, float, c)
DLM_IN(2, float, bias)
DLM_OUT(3, float, result)
#else
#define LOAD_B(i) PASTE(DLM_LOAD_, DLM_B)(b, i)
DLM_IN(0, float, a)
DLM_IN(1, PASTE(DLM_T_, DLM_B), b)
DLM_IN(2, float, c)
DLM_IN(3, float, bias)
DLM_OUT(4, float, result)
#endif
DLM_PARAMS(dlm_matmul_params)

/* An element of a as the product takes it. */
float round_a(float x)
{
    if ((p.flags & DLM_MATMUL_A_BF16) != 0u)
        return dlm_bf16_to_f32(dlm_f32_to_bf16(x));
    return (p.flags & DLM_MATMUL_A_F16) != 0u ? dlm_f16_to_f32(dlm_f32_to_f16(x)) : x;
}

/* Where a work-group works: element 0 of each operand of its part of the sum, and its length. */
struct place {
    uint a, b, c, result, k;
};

place find_place(uint z)
{
    const uint split = z % p.splits, batch = z / p.splits, k0 = split * p.split_k;
    const uint i0 = batch / p.batch1, i1 = batch % p.batch1;
    place at;

    at.a = p.a_lead + i0 * p.a_stride[0] + i1 * p.a_stride[1] + k0 * p.a_stride[3];
    at.b = p.b_lead + i0 * p.b_stride[0] + i1 * p.b_stride[1] + k0 * p.b_stride[2];
    at.c = p.c_lead + i0 * p.c_stride[0] + i1 * p.c_stride[1];
    at.result = p.out_lead + i0 * p.out_stride[0] + i1 * p.out_stride[1] + split * p.split_stride;
    at.k = min(p.split_k, p.k - k0);
    return at;
}

#ifndef PACK
/* Writes one result: sum times alpha, plus what is to be added. */
void put(place at, float sum, uint m, uint n)
{
    float value = p.alpha * sum;

    if ((p.flags & DLM_MATMUL_HAS_C) != 0u)
        value += c[at.c + m * p.c_stride[2] + n * p.c_stride[3]];
    if ((p.flags & DLM_MATMUL_HAS_BIAS) != 0u)
        value += bias[n];
    result[at.result + m * p.out_stride[2] + n] = value;
}
#endif

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

#ifdef MATVEC
const int ROWS = int(DLM_MATVEC_ROWS), COLS = int(DLM_MATVEC_COLS);

/* A work-group makes DLM_MATVEC_COLS columns of all rows; lanes run along k. */
void main()
{
    const place at = find_place(gl_WorkGroupID.z);
    const uint n0 = DLM_GROUP_ID() * DLM_MATVEC_COLS, lane = DLM_LOCAL_ID();
    float sum[ROWS][COLS];

    if (n0 >= p.n)
        return;
    for (int m = 0; m < ROWS; m++)
        for (int j = 0; j < COLS; j++)
            sum[m][j] = 0.0;
    uint b_row[COLS]; /* columns past the end repeat the last one */
    for (int j = 0; j < COLS; j++)
        b_row[j] = at.b + min(n0 + j, p.n - 1u) * p.b_stride[3];
    for (uint k = lane; k < at.k; k += 64u) {
        float y[COLS];
        [[unroll]] for (int j = 0; j < COLS; j++)
            y[j] = LOAD_B(b_row[j] + k);
        [[unroll]] for (int m = 0; m < ROWS; m++)
            if (m < p.m) {
                const float x = round_a(a[at.a + m * p.a_stride[2] + k]);
                [[unroll]] for (int j = 0; j < COLS; j++)
                    sum[m][j] += x * y[j];
            }
    }
    for (int m = 0; m < p.m; m++)
        for (int j = 0; j < COLS; j++) {
            const float total = dlm_group_sum(sum[m][j]);
            if (lane == 0u && n0 + j < p.n)
                put(at, total, m, n0 + j);
        }
}
#endif

#ifdef NOLOCAL
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
