/* Products of 16-bit operands by matrix units (matmul_mma_unit.cl), with sums of f32.
 *
 * matmul_mma_pack_<b>: a, rounded to b's type, in the order in which lanes bring it: blocks of 8
 * rows by 16 of k, 128 elements each; zeros past m and k; a lane makes 8 elements.
 * matmul_mma_<b>: a work-group makes 64 x 64 results, a subgroup 32 rows by two columns a lane.
 * b lies along k or along n, as 16 bytes that are 16 bytes in memory. */
//! matmul_mma_bf16 matmul_mma -DDLM_MATRIX -DDLM_B=BF16 -DMAD=bf16_bf16 -DEMULATED=16
//! matmul_mma_f16 matmul_mma -DDLM_MATRIX -DDLM_B=F16 -DMAD=f16_f16 -DEMULATED=8
//! matmul_mma_pack_bf16 matmul_mma_pack -DDLM_MATRIX -DDLM_B=BF16 -DPACK -DEMULATED=16
//! matmul_mma_pack_f16 matmul_mma_pack -DDLM_MATRIX -DDLM_B=F16 -DPACK -DEMULATED=8
#include "matmul_head.cl"
#include "matmul_mma_unit.cl"

#define BLOCK (BLOCK_M * BLOCK_K)

#ifdef PACK
#define ROUND_BF16 dlm_f32_to_bf16
#define ROUND_F16 dlm_f32_to_f16

/* Row and k of element i of a block. */
static uint block_row(uint i)
{
    return SUBGROUP == 16 ? i % 8u : i / 2u % 8u;
}

static uint block_k(uint i)
{
    return SUBGROUP == 16 ? i / 8u : i / 16u * 2u + i % 2u;
}

__kernel DLM_LOCAL(64) void matmul_mma_pack(__global const float *a, __global ushort *packed,
                                            const struct dlm_matmul_pack_params p)
{
    const uint index = DLM_GROUP_ID() * 64u + DLM_LOCAL_ID(), block = index / (BLOCK / 8u);
    const uint row0 = block / (p.cols / BLOCK_K) * BLOCK_M;
    const uint k0 = block % (p.cols / BLOCK_K) * BLOCK_K;
    const uint batch = row0 / p.rows;
    if (row0 >= p.batch0 * p.batch1 * p.rows)
        return;
    const uint at = p.a_lead + batch / p.batch1 * p.a_stride[0] + batch % p.batch1 * p.a_stride[1];

    for (uint i = 0; i < 8u; i++) {
        const uint e = index % (BLOCK / 8u) * 8u + i;
        const uint m = row0 % p.rows + block_row(e), k = k0 + block_k(e);
        const float x = m < p.m && k < p.k ? a[at + m * p.a_stride[2] + k * p.a_stride[3]] : 0.0f;
        packed[index * 8u + i] = (ushort)PASTE(ROUND_, DLM_B)(x);
    }
}
#else

#define PER_M 4u /* blocks of a subgroup */
#define PER_N 2u /* columns of a lane, neighbours */
#define SUBGROUPS_N (64u / (PER_N * SUBGROUP))
#define UNROLLED(i, n) _Pragma("unroll") for (uint i = 0; i < n; i++)

/* Elements [k, k + 16) of the column that starts at `at`; zeros from `end` on, a multiple of 8. */
static int8 load_along_k(__global const TYPE_B *b, uint at, uint k, uint end)
{
    const int4 low = *(__global const int4 *)(b + at + k);
    int4 high = (int4)(0);

    if (k + 8u < end)
        high = *(__global const int4 *)(b + at + k + 8u);
    return (int8)(low, high);
}

/* The same of two columns, elements of each row neighbours; the rows from `end` on are zeros. */
static void load_along_n(__global const TYPE_B *b, uint at, uint step, uint k, uint end, int8 *y)
{
    int words[PER_N][8];

    UNROLLED(i, 8u) {
        uint row[2];
        UNROLLED(j, 2u) {
            const uint r = k + 2u * i + j;
            row[j] = r < end ? *(__global const uint *)(b + at + r * step) : 0u;
        }
        words[0][i] = (int)((row[0] & 0xffffu) | row[1] << 16);
        words[1][i] = (int)(row[0] >> 16 | (row[1] & 0xffff0000u));
    }
    UNROLLED(j, PER_N) y[j] = vload8(0, words[j]);
}

__attribute__((DLM_REQUIRE_SUBGROUP(SUBGROUP)))
__kernel DLM_LOCAL(64) void matmul_mma(__global const ushort *a, __global const TYPE_B *b,
                                       __global const float *c, __global const float *bias,
                                       __global float *out, const struct dlm_matmul_params p)
{
    const struct place at = find_place(&p, DLM_GROUP(2));
    const uint k0 = DLM_GROUP(2) % p.splits * p.split_k, sub = get_sub_group_id();
    const uint m0 = DLM_GROUP(1) * 64u + sub / SUBGROUPS_N * PER_M * BLOCK_M;
    const uint n0 = DLM_GROUP(0) * 64u + (sub % SUBGROUPS_N * SUBGROUP +
                                          get_sub_group_local_id()) * PER_N;
    /* a block of rows has as many elements as 8 rows; at.a counts k0 as elements of one row */
    const uint blocks = m0 * p.a_stride[2], a0 = at.a - k0 + blocks + k0 * BLOCK_M +
                        get_sub_group_local_id() * (BLOCK / SUBGROUP);
    const bool is_along_k = p.b_stride[2] == 1u;
    float8 sum[PER_M][PER_N];
    uint column[PER_N]; /* those past the end repeat others, whose results nobody writes */

    if (DLM_GROUP(0) * 64u >= p.n)
        return;
    UNROLLED(j, PER_N)
        column[j] = at.b + (is_along_k ? min(n0 + j, p.n - 1u) * p.b_stride[3]
                                       : min(n0, p.n - 2u));
    UNROLLED(i, PER_M) UNROLLED(j, PER_N) sum[i][j] = (float8)(0.0f);
    for (uint k = 0; k < at.k; k += BLOCK_K) {
        FRAGMENT x[PER_M];
        int8 y[PER_N];
        UNROLLED(i, PER_M)
            x[i] = *(__global const FRAGMENT *)(a + a0 + (i * p.a_stride[2] + k) * BLOCK_M);
        if (is_along_k)
            UNROLLED(j, PER_N) y[j] = load_along_k(b, column[j], k, at.k);
        else
            load_along_n(b, column[0], p.b_stride[2], k, at.k, y);
        UNROLLED(i, PER_M) UNROLLED(j, PER_N) sum[i][j] = MULTIPLY(x[i], y[j], sum[i][j]);
    }
    UNROLLED(i, PER_M) UNROLLED(j, PER_N) {
        float rows[BLOCK_M];
        vstore8(sum[i][j], 0, rows);
        UNROLLED(r, BLOCK_M)
            if (m0 + i * BLOCK_M + r < p.m && n0 + j < p.n)
                put(&p, &at, rows[r], m0 + i * BLOCK_M + r, n0 + j, c, bias, out);
    }
}
#endif
