/* matmul for one row, as of one decoded token, with a weight in 4 to 8 bits: matvec_<b>. Codes come
 * 16 bytes at a time and are multiplied as they are: what scales them does so to sums of 16. */
//! matvec_q8_0 matvec_quant -DTEAM=64u -DFORM=q8_0
//! matvec_nf4 matvec_quant -DTEAM=64u -DFORM=nf4
//! matvec_nf4_dq matvec_quant -DTEAM=64u -DFORM=nf4_dq
//! matvec_q4_0 matvec_quant -DTEAM=64u -DFORM=q4_0
//! matvec_q4_k matvec_quant -DTEAM=64u -DFORM=q4_k
//! matvec_q5_k matvec_quant -DTEAM=64u -DFORM=q5_k
//! matvec_q6_k matvec_quant -DTEAM=64u -DFORM=q6_k
#define DLM_T_QUANT uint
#define DLM_B QUANT
#include "matmul_head.cl"
#include "matmul_quant_head.cl"
#include "matmul_vec_head.cl"

#define EACH 32u /* neighbours of a lane along k: a run */
#define CHUNK (EACH * TEAM)

/* The CHUNK elements of a row of a from k0 on, rounded: elements 0..3 of each lane, then elements
 * 4..7 and so on, so that neighbouring lanes read neighbouring 16 bytes. */
static void stage(__global const float *a, uint k0, uint k_len, uint flags, __local float *chunk)
{
    for (uint e = DLM_LOCAL_ID(); e < CHUNK; e += LANES)
        chunk[(e % EACH / 4u * TEAM + e / EACH) * 4u + e % 4u] =
            k0 + e < k_len ? round_a(a[k0 + e], flags) : 0.0f;
}

/* Sum of the 16 elements of a from x on, a quad every TEAM. */
static float add_quads(__local const float4 *x)
{
    const float4 v = (x[0] + x[TEAM]) + (x[2u * TEAM] + x[3u * TEAM]);
    return DLM_QUAD_SUM(v);
}

/* Elements 8 g to 8 g + 7 of a run, as codes, times theirs of a. */
static float multiply_codes(uint2 words, uint2 upper, uint g, __local const float4 *x,
                            __local const float *nf4)
{
    const float8 codes = dlm_codes(words, upper, g, nf4);
    return dot(x[2u * g * TEAM], codes.lo) + dot(x[(2u * g + 1u) * TEAM], codes.hi);
}

/* A run of b times its elements of a; totals: those of its halves, which begin at x. */
static float multiply_run(__global const uint *b, uint run, uint b_len, __local const float4 *x,
                          float2 totals, __local const float *nf4)
{
    __global const uint4 *codes = (__global const uint4 *)b + DLM_CODE_WORDS * run;
    const uint4 first = codes[0], last = codes[DLM_CODE_WORDS - 1u];
    const uint2 upper = dlm_upper(b, run, b_len);
    const float4 lines = dlm_lines(b, run, b_len);
    const uint8 words = DLM_CODE_WORDS == 2u ? (uint8)(first, last)
                                             : (uint8)(first.xxyy, first.zzww);
    const float low = multiply_codes(words.s01, upper, 0u, x, nf4) +
                      multiply_codes(words.s23, upper, 1u, x, nf4);
    const float high = multiply_codes(words.s45, upper, 2u, x, nf4) +
                       multiply_codes(words.s67, upper, 3u, x, nf4);

    return lines.x * low - lines.y * totals.x + (lines.z * high - lines.w * totals.y);
}

__kernel DLM_LOCAL(LANES) void matvec_quant(MATMUL_ARGS)
{
    __local float4 chunk[CHUNK / 4u];
    __local float part[DLM_MATVEC_COLS * TEAM], nf4[16];
    const struct place at = find_place(&p, DLM_GROUP(2));
    const uint lane = DLM_LOCAL_ID(), n0 = DLM_GROUP_ID() * DLM_MATVEC_COLS;
    __local const float4 *x = chunk + lane % TEAM;
    /* no return from groups past the end: of a loop with barriers after one PoCL 3.1 makes zeros */
    uint columns[PER]; /* the run at which each starts; those past the end repeat the last one */
    float sum[PER];

    if (lane < 16u)
        nf4[lane] = dlm_nf4[lane];
    for (uint j = 0; j < PER; j++) {
        columns[j] = (at.b + min(n0 + lane / TEAM * PER + j, p.n - 1u) * p.k) / EACH;
        sum[j] = 0.0f;
    }
    for (uint k0 = 0; k0 < at.k; k0 += CHUNK) {
        const uint i = k0 / EACH + lane % TEAM;
        barrier(CLK_LOCAL_MEM_FENCE);
        stage(a + at.a, k0, at.k, p.flags, (__local float *)chunk);
        barrier(CLK_LOCAL_MEM_FENCE);
        const float2 totals = (float2)(add_quads(x), add_quads(x + 4u * TEAM));
        for (uint j = 0; EACH * i < at.k && j < PER; j++)
            sum[j] += multiply_run(b, columns[j] + i, p.n * p.k, x, totals, nf4);
    }
    const float total = add_lanes(sum, part);
    if (lane < DLM_MATVEC_COLS && n0 + lane < p.n)
        put(&p, &at, total, 0u, n0 + lane, c, bias, out);
}
