/* matmul by register tiles with explicit vectors, for operands with any strides, where barriers are
 * slow or local memory is none. matmul_k_* has vectors along k (a and b contiguous along k: the
 * forward of a linear layer), matmul_n_* vectors along n (b contiguous along n: its backward),
 * matmul_*_nolocal takes what is left. They do not round a: matmul_pack does beforehand. */
//! matmul_k_f32_nolocal matmul_k -DDLM_B=F32
//! matmul_k_f16_nolocal matmul_k -DDLM_B=F16
//! matmul_k_bf16_nolocal matmul_k -DDLM_B=BF16
//! matmul_n_f32_nolocal matmul_n -DDLM_B=F32
//! matmul_n_f16_nolocal matmul_n -DDLM_B=F16
//! matmul_n_bf16_nolocal matmul_n -DDLM_B=BF16
//! matmul_f32_nolocal matmul_any -DDLM_B=F32
//! matmul_f16_nolocal matmul_any -DDLM_B=F16
//! matmul_bf16_nolocal matmul_any -DDLM_B=BF16
//! matmul_pack matmul_pack -DDLM_B=F32
#include "matmul_head.cl"

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
