/* matmul for one row, as of one decoded token, with a weight in 4 or 8 bits:
 * matvec_<b>_<type to which its numbers are rounded>. Codes come 16 bytes at a time. */
//! matvec_q8_0_f32 matvec_quant -DBITS8 -DTEAM=64u -DFORM=q8_0 -DTO=F32
//! matvec_q8_0_f16 matvec_quant -DBITS8 -DTEAM=64u -DFORM=q8_0 -DTO=F16
//! matvec_q8_0_bf16 matvec_quant -DBITS8 -DTEAM=64u -DFORM=q8_0 -DTO=BF16
//! matvec_nf4_f32 matvec_quant -DLANES=128u -DTEAM=32u -DFORM=nf4 -DTO=F32
//! matvec_nf4_f16 matvec_quant -DLANES=128u -DTEAM=32u -DFORM=nf4 -DTO=F16
//! matvec_nf4_bf16 matvec_quant -DLANES=128u -DTEAM=32u -DFORM=nf4 -DTO=BF16
//! matvec_nf4_dq_f32 matvec_quant -DLANES=128u -DTEAM=32u -DFORM=nf4_dq -DTO=F32
//! matvec_nf4_dq_f16 matvec_quant -DLANES=128u -DTEAM=32u -DFORM=nf4_dq -DTO=F16
//! matvec_nf4_dq_bf16 matvec_quant -DLANES=128u -DTEAM=32u -DFORM=nf4_dq -DTO=BF16
#define DLM_T_QUANT uint
#define DLM_B QUANT
#include "matmul_head.cl"
#include "matmul_quant_head.cl"
#include "matmul_vec_head.cl"

#define SCALE PASTE(dlm_scale_, FORM)
#define ROUND PASTE(DLM_ROUND_, TO)

/* A lane's neighbours along k are a block of the weight, 32 bytes of codes. */
#ifdef BITS8
#define EACH 32u
#define ENTRIES 1u
#else
#define EACH 64u
#define ENTRIES 16u
#endif
#define CHUNK (EACH * TEAM)

/* The CHUNK elements of a row of a from k0 on, rounded: elements 0..3 of each lane, then elements
 * 4..7 and so on, so that neighbouring lanes read neighbouring 16 bytes. */
static void stage(__global const float *a, uint k0, uint k_len, uint flags, __local float *chunk)
{
    for (uint e = DLM_LOCAL_ID(); e < CHUNK; e += LANES)
        chunk[(e % EACH / 4u * TEAM + e / EACH) * 4u + e % 4u] =
            k0 + e < k_len ? round_a(a[k0 + e], flags) : 0.0f;
}

/* Word w of the codes of a block times its elements of a, from x on, a quad every TEAM. entries:
 * the lane's of __local memory, one every LANES. */
#ifdef BITS8
static float multiply_word(uint word, uint w, float scale, __local const float4 *x,
                           __local const float *entries)
{
    const float4 codes = convert_float4(as_char4(word));
    const float8 v = ROUND((float8)(scale * codes, (float4)(0.0f)));
    return dot(x[w * TEAM], v.lo);
}
#else
#define ENTRY(bit) entries[((word >> (bit)) & 15u) * LANES]
static float multiply_word(uint word, uint w, float scale, __local const float4 *x,
                           __local const float *entries)
{
    const float4 low = (float4)(ENTRY(4), ENTRY(0), ENTRY(12), ENTRY(8));
    const float4 high = (float4)(ENTRY(20), ENTRY(16), ENTRY(28), ENTRY(24));
    return dot(x[2u * w * TEAM], low) + dot(x[(2u * w + 1u) * TEAM], high);
}
#endif

/* The 16 numbers that a block in 4 bits can have, of each lane its own: made once a block, so that
 * a code costs one read and no rounding. */
static void make_entries(float scale, __local float *entries)
{
#ifndef BITS8
    for (uint q = 0; q < ENTRIES; q += 8u) {
        float v[8];
        vstore8(ROUND(scale * vload8(0, dlm_nf4 + q)), 0, v);
        for (uint e = 0; e < 8u; e++)
            entries[(q + e) * LANES] = v[e];
    }
#endif
}

/* Block number `block` of b times its elements of a. */
static float multiply_block(__global const uint *b, uint block, uint b_len,
                            __local const float4 *x, __local float *entries)
{
    __global const uint4 *codes = (__global const uint4 *)b + 2u * block;
    const uint4 first = codes[0], second = codes[1];
    const float scale = SCALE(b, EACH * block, b_len);

    make_entries(scale, entries);
    return multiply_word(first.x, 0u, scale, x, entries) +
           multiply_word(first.y, 1u, scale, x, entries) +
           multiply_word(first.z, 2u, scale, x, entries) +
           multiply_word(first.w, 3u, scale, x, entries) +
           multiply_word(second.x, 4u, scale, x, entries) +
           multiply_word(second.y, 5u, scale, x, entries) +
           multiply_word(second.z, 6u, scale, x, entries) +
           multiply_word(second.w, 7u, scale, x, entries);
}

__kernel DLM_LOCAL(LANES) void matvec_quant(MATMUL_ARGS)
{
    __local float4 chunk[CHUNK / 4u];
    __local float entries[ENTRIES * LANES], part[DLM_MATVEC_COLS * TEAM];
    const struct place at = find_place(&p, DLM_GROUP(2));
    const uint lane = DLM_LOCAL_ID(), n0 = DLM_GROUP_ID() * DLM_MATVEC_COLS;
    /* no return from groups past the end: of a loop with barriers after one PoCL 3.1 makes zeros */
    uint columns[PER]; /* the block at which each starts; those past the end repeat the last one */
    float sum[PER];

    for (uint j = 0; j < PER; j++) {
        columns[j] = (at.b + min(n0 + lane / TEAM * PER + j, p.n - 1u) * p.k) / EACH;
        sum[j] = 0.0f;
    }
    for (uint k0 = 0; k0 < at.k; k0 += CHUNK) {
        const uint i = k0 / EACH + lane % TEAM;
        barrier(CLK_LOCAL_MEM_FENCE);
        stage(a + at.a, k0, at.k, p.flags, (__local float *)chunk);
        barrier(CLK_LOCAL_MEM_FENCE);
        for (uint j = 0; EACH * i < at.k && j < PER; j++)
            sum[j] += multiply_block(b, columns[j] + i, p.n * p.k, chunk + lane % TEAM,
                                     entries + lane);
    }
    const float total = add_lanes(sum, part);
    if (lane < DLM_MATVEC_COLS && n0 + lane < p.n)
        put(&p, &at, total, 0u, n0 + lane, c, bias, out);
}
