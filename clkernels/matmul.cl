/* matmul for operands with any strides. Two families:
 *
 * - work-group tiles in local memory, for GPUs: matmul_<b> (64 x 64 results) and matmul_small_<b>
 *   (32 x 32, for few rows or columns).
 * - *_nolocal: register tiles with explicit vectors, for CPUs, where barriers are slow. matmul_k_*
 *   has vectors along k (a and b contiguous along k: the forward of a linear layer), matmul_n_*
 *   vectors along n (b contiguous along n: its backward), matmul_*_nolocal takes what is left.
 *   They do not round a: matmul_pack does beforehand.
 *
 * With several splits, slice i of k goes to the i-th part of out: partial sums without addends,
 * which matmul_finish adds in order. */
//! matmul_f32 matmul -DDLM_B=F32 -DTILE=64u -DLANES=128u -DPER_M=8u
//! matmul_f16 matmul -DDLM_B=F16 -DTILE=64u -DLANES=128u -DPER_M=8u
//! matmul_bf16 matmul -DDLM_B=BF16 -DTILE=64u -DLANES=128u -DPER_M=8u
//! matmul_small_f32 matmul -DDLM_B=F32 -DTILE=32u -DLANES=64u -DPER_M=4u
//! matmul_small_f16 matmul -DDLM_B=F16 -DTILE=32u -DLANES=64u -DPER_M=4u
//! matmul_small_bf16 matmul -DDLM_B=BF16 -DTILE=32u -DLANES=64u -DPER_M=4u
//! matmul_k_f32_nolocal matmul_k -DDLM_B=F32 -DNOLOCAL
//! matmul_k_f16_nolocal matmul_k -DDLM_B=F16 -DNOLOCAL
//! matmul_k_bf16_nolocal matmul_k -DDLM_B=BF16 -DNOLOCAL
//! matmul_n_f32_nolocal matmul_n -DDLM_B=F32 -DNOLOCAL
//! matmul_n_f16_nolocal matmul_n -DDLM_B=F16 -DNOLOCAL
//! matmul_n_bf16_nolocal matmul_n -DDLM_B=BF16 -DNOLOCAL
//! matmul_f32_nolocal matmul_any -DDLM_B=F32 -DNOLOCAL
//! matmul_f16_nolocal matmul_any -DDLM_B=F16 -DNOLOCAL
//! matmul_bf16_nolocal matmul_any -DDLM_B=BF16 -DNOLOCAL
//! matmul_pack matmul_pack -DDLM_B=F32
//! matmul_finish matmul_finish -DDLM_B=F32

#include "matmul_head.cl"

#ifdef TILE
#define BK 16u     /* of k in local memory at a time */
#define PER_N 4u   /* results of a lane along n, LANES_N apart; along m PER_M, LANES_M apart */
#define LANES_N (TILE / PER_N)
#define LANES_M (TILE / PER_M)

/* Both operands' slices of k from k0 on go to local memory, zeros past the end. Lanes run along
 * whichever direction is contiguous. */
static void stage(__local float (*a_tile)[TILE + 1], __local float (*b_tile)[TILE + 1],
                  __global const float *a, __global const TYPE_B *b,
                  const struct dlm_matmul_params *p, const struct place *at, uint m0, uint n0,
                  uint k0)
{
    const bool a_along_k = p->a_stride[3] == 1u, b_along_k = p->b_stride[2] == 1u;

    for (uint e = DLM_LOCAL_ID(); e < BK * TILE; e += LANES) {
        const uint i = a_along_k ? e / BK : e % TILE, k = k0 + (a_along_k ? e % BK : e / TILE);
        float x = 0.0f;
        if (m0 + i < p->m && k < at->k)
            x = round_a(a[at->a + (m0 + i) * p->a_stride[2] + k * p->a_stride[3]], p->flags);
        a_tile[k - k0][i] = x;
    }
    for (uint e = DLM_LOCAL_ID(); e < BK * TILE; e += LANES) {
        const uint j = b_along_k ? e / BK : e % TILE, k = k0 + (b_along_k ? e % BK : e / TILE);
        float y = 0.0f;
        if (n0 + j < p->n && k < at->k)
            y = LOAD_B(b, at->b + k * p->b_stride[2] + (n0 + j) * p->b_stride[3]);
        b_tile[k - k0][j] = y;
    }
}

__kernel DLM_LOCAL(LANES) void matmul(MATMUL_ARGS)
{
    __local float a_tile[BK][TILE + 1], b_tile[BK][TILE + 1];
    const struct place at = find_place(&p, DLM_GROUP(2));
    const uint m0 = DLM_GROUP(1) * TILE, n0 = DLM_GROUP(0) * TILE;
    const uint lane_m = DLM_LOCAL_ID() / LANES_N, lane_n = DLM_LOCAL_ID() % LANES_N;
    float sum[PER_M][PER_N];

    if (n0 >= p.n)
        return;
    for (uint i = 0; i < PER_M; i++)
        for (uint j = 0; j < PER_N; j++)
            sum[i][j] = 0.0f;
    for (uint k0 = 0; k0 < at.k; k0 += BK) {
        barrier(CLK_LOCAL_MEM_FENCE);
        stage(a_tile, b_tile, a, b, &p, &at, m0, n0, k0);
        barrier(CLK_LOCAL_MEM_FENCE);
        for (uint k = 0; k < BK; k++) {
            float x[PER_M], y[PER_N];
            for (uint i = 0; i < PER_M; i++)
                x[i] = a_tile[k][lane_m + i * LANES_M];
            for (uint j = 0; j < PER_N; j++)
                y[j] = b_tile[k][lane_n + j * LANES_N];
            for (uint i = 0; i < PER_M; i++)
                for (uint j = 0; j < PER_N; j++)
                    sum[i][j] = fma(x[i], y[j], sum[i][j]);
        }
    }
    for (uint i = 0; i < PER_M; i++)
        for (uint j = 0; j < PER_N; j++) {
            const uint m = m0 + lane_m + i * LANES_M, n = n0 + lane_n + j * LANES_N;
            if (m < p.m && n < p.n)
                put(&p, &at, sum[i][j], m, n, c, bias, out);
        }
}
#endif

#ifdef NOLOCAL
/* 16 neighbours of b, widened. */
#define LOAD16_F32(p, i) vload16(0, (p) + (i))
#define LOAD16_BF16(p, i) as_float16(convert_uint16(vload16(0, (p) + (i))) << 16)
#define LOAD16_F16(p, i) vload_half16(0, (__global const half *)(p) + (i))
#define LOAD16_B(p, i) PASTE(LOAD16_, DLM_B)(p, i)

/* num <= 16 elements of an operand from `from` on, zeros behind. */
#define DEFINE_LOAD_PART(name, type, load)                                                         \
    static float16 name(__global const type *p, uint from, uint num)                               \
    {                                                                                              \
        float part[16];                                                                            \
        for (uint i = 0; i < 16u; i++)                                                             \
            part[i] = i < num ? load(p, from + i) : 0.0f;                                          \
        return vload16(0, part);                                                                   \
    }
DEFINE_LOAD_PART(load_part_a, float, DLM_LOAD_F32)
DEFINE_LOAD_PART(load_part_b, TYPE_B, LOAD_B)

static float sum16(float16 v)
{
    const float8 v8 = v.lo + v.hi;
    const float4 v4 = v8.lo + v8.hi;
    return v4.x + v4.y + (v4.z + v4.w);
}

#define FOR_4(i) _Pragma("unroll") for (uint i = 0; i < 4u; i++)

/* A work-item makes 4 x 4 results, a work-group 32 x 32. */
__kernel DLM_LOCAL(64) void matmul_k(MATMUL_ARGS)
{
    const struct place at = find_place(&p, DLM_GROUP(2));
    const uint m0 = DLM_GROUP(1) * DLM_MATMUL_TILE_K + DLM_LOCAL_ID() % 8u * 4u;
    const uint n0 = DLM_GROUP(0) * DLM_MATMUL_TILE_K + DLM_LOCAL_ID() / 8u * 4u;
    if (m0 >= p.m || n0 >= p.n)
        return;
    uint a_row[4], b_row[4]; /* rows past the end repeat the last one */
    float16 sum[4][4];

    FOR_4(i) {
        a_row[i] = at.a + min(m0 + i, p.m - 1u) * p.a_stride[2];
        b_row[i] = at.b + min(n0 + i, p.n - 1u) * p.b_stride[3];
        FOR_4(j) sum[i][j] = (float16)(0.0f);
    }
    uint k = 0;
    for (; k + 16u <= at.k; k += 16u) {
        float16 y[4];
        FOR_4(j) y[j] = LOAD16_B(b, b_row[j] + k);
        FOR_4(i) {
            const float16 x = vload16(0, a + a_row[i] + k);
            FOR_4(j) sum[i][j] = fma(x, y[j], sum[i][j]);
        }
    }
    if (k < at.k) {
        float16 y[4];
        FOR_4(j) y[j] = load_part_b(b, b_row[j] + k, at.k - k);
        FOR_4(i) {
            const float16 x = load_part_a(a, a_row[i] + k, at.k - k);
            FOR_4(j) sum[i][j] = fma(x, y[j], sum[i][j]);
        }
    }
    FOR_4(i) FOR_4(j) if (m0 + i < p.m && n0 + j < p.n)
        put(&p, &at, sum16(sum[i][j]), m0 + i, n0 + j, c, bias, out);
}

#define ROWS_N 8u
#define FOR_ROWS(i) _Pragma("unroll") for (uint i = 0; i < ROWS_N; i++)

/* A work-item makes 8 x 16 results, a work-group 64 x 128. */
__kernel DLM_LOCAL(64) void matmul_n(MATMUL_ARGS)
{
    const struct place at = find_place(&p, DLM_GROUP(2));
    const uint m0 = DLM_GROUP(1) * DLM_MATMUL_TILE_NM + DLM_LOCAL_ID() % 8u * ROWS_N;
    const uint n0 = DLM_GROUP(0) * DLM_MATMUL_TILE_NN + DLM_LOCAL_ID() / 8u * 16u;
    if (m0 >= p.m || n0 >= p.n)
        return;
    const uint cols = min(16u, p.n - n0), b_k = p.b_stride[2], a_k = p.a_stride[3];
    /* where 16 elements of b are inside the tensor, though perhaps not in the row */
    uint k_vec = at.k;
    while (k_vec > 0 && (k_vec - 1u) * b_k + n0 + 16u > (at.k - 1u) * b_k + p.n)
        k_vec--;
    uint a_row[ROWS_N];
    float16 sum[ROWS_N];

    FOR_ROWS(i) {
        a_row[i] = at.a + min(m0 + i, p.m - 1u) * p.a_stride[2];
        sum[i] = (float16)(0.0f);
    }
    for (uint k = 0; k < k_vec; k++) {
        const float16 y = LOAD16_B(b, at.b + k * b_k + n0);
        FOR_ROWS(i) sum[i] = fma((float16)(a[a_row[i] + k * a_k]), y, sum[i]);
    }
    for (uint k = k_vec; k < at.k; k++) {
        const float16 y = load_part_b(b, at.b + k * b_k + n0, cols);
        FOR_ROWS(i) sum[i] = fma((float16)(a[a_row[i] + k * a_k]), y, sum[i]);
    }
    FOR_ROWS(i) {
        float row[16];
        vstore16(sum[i], 0, row);
        for (uint j = 0; j < cols && m0 + i < p.m; j++)
            put(&p, &at, row[j], m0 + i, n0 + j, c, bias, out);
    }
}

#define PER DLM_MATMUL_ANY_PER

/* A work-item makes PER x PER results, one element of a and b at a time. */
__kernel DLM_LOCAL(64) void matmul_any(MATMUL_ARGS)
{
    const struct place at = find_place(&p, DLM_GROUP(2));
    const uint lanes_n = DLM_MATMUL_ANY_LANES_N(p.m, p.n), lanes_m = 64u / lanes_n;
    const uint m0 = (DLM_GROUP(1) * lanes_m + DLM_LOCAL_ID() / lanes_n) * PER;
    const uint n0 = (DLM_GROUP(0) * lanes_n + DLM_LOCAL_ID() % lanes_n) * PER;
    if (m0 >= p.m || n0 >= p.n)
        return;
    float sum[PER][PER];

    for (uint i = 0; i < PER; i++)
        for (uint j = 0; j < PER; j++)
            sum[i][j] = 0.0f;
    for (uint k = 0; k < at.k; k++) {
        float y[PER]; /* rows and columns past the end repeat the last one */
        for (uint j = 0; j < PER; j++)
            y[j] = LOAD_B(b, at.b + min(n0 + j, p.n - 1u) * p.b_stride[3] + k * p.b_stride[2]);
        for (uint i = 0; i < PER; i++) {
            const float x = a[at.a + min(m0 + i, p.m - 1u) * p.a_stride[2] + k * p.a_stride[3]];
            for (uint j = 0; j < PER; j++)
                sum[i][j] = fma(x, y[j], sum[i][j]);
        }
    }
    for (uint i = 0; i < PER && m0 + i < p.m; i++)
        for (uint j = 0; j < PER && n0 + j < p.n; j++)
            put(&p, &at, sum[i][j], m0 + i, n0 + j, c, bias, out);
}
#endif

/* a, rounded, as contiguous [batch0, batch1, m, k]; a lane does a run of a row. */
__kernel DLM_LOCAL(64) void matmul_pack(__global const float *a, __global float *packed,
                                        const struct dlm_matmul_params p)
{
    const uint runs = (p.k + DLM_MATMUL_PACK_RUN - 1u) / DLM_MATMUL_PACK_RUN;
    const uint index = DLM_GROUP_ID() * 64u + DLM_LOCAL_ID(), row = index / runs;
    if (row >= p.batch0 * p.batch1 * p.m)
        return;
    const struct place at = find_place(&p, row / p.m);
    const uint begin = index % runs * DLM_MATMUL_PACK_RUN;
    const uint num = min(DLM_MATMUL_PACK_RUN, p.k - begin), step = p.a_stride[3];

    a += at.a + row % p.m * p.a_stride[2] + begin * step;
    packed += row * p.k + begin;
    for (uint i = 0; i < num; i++)
        packed[i] = round_a(a[i * step], p.flags);
}

/* out from the partial sums [splits][batch0 * batch1][m][n], split_stride apart. */
__kernel DLM_LOCAL(64) void matmul_finish(__global const float *partial, __global const float *c,
                                          __global const float *bias, __global float *out,
                                          const struct dlm_matmul_params p)
{
    const uint begin = DLM_GROUP_ID() * DLM_GROUP_ELEMS;

    for (uint e = begin + DLM_LOCAL_ID(); e < begin + DLM_GROUP_ELEMS && e < p.split_stride;
         e += 64u) {
        const uint n = e % p.n, row = e / p.n;
        const struct place at = find_place(&p, row / p.m * p.splits);
        float sum = 0.0f;
        for (uint i = 0; i < p.splits; i++)
            sum += partial[i * p.split_stride + e];
        put(&p, &at, sum, row % p.m, n, c, bias, out);
    }
}
