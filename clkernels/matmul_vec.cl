/* matmul for few rows, as of one decoded token, where a and b are contiguous along k: matvec_<b>
 * for one row, matvec_8_<b> for up to 8. Their loads of b are 16 bytes wide; matvec_any_<b> does
 * without, for columns that are not aligned. matvec_8_<b>_<type to which its numbers are rounded>
 * are for weights in 4 and 8 bits, of which matmul_vec_quant.cl does one row.
 *
 * The lanes of a group are teams of TEAM, of which each makes PER columns, its lanes running along
 * k, 8 elements each. */
//! matvec_f32 matvec -DDLM_B=F32 -DROWS=1u -DTEAM=128u -DWIDE_B
//! matvec_f16 matvec -DDLM_B=F16 -DROWS=1u -DTEAM=128u -DWIDE_B
//! matvec_bf16 matvec -DDLM_B=BF16 -DROWS=1u -DTEAM=128u -DWIDE_B
//! matvec_8_f32 matvec -DDLM_B=F32 -DROWS=8u -DTEAM=64u -DWIDE_B
//! matvec_8_f16 matvec -DDLM_B=F16 -DROWS=8u -DTEAM=64u -DWIDE_B
//! matvec_8_bf16 matvec -DDLM_B=BF16 -DROWS=8u -DTEAM=64u -DWIDE_B
//! matvec_any_f32 matvec -DDLM_B=F32 -DROWS=8u -DTEAM=64u
//! matvec_any_f16 matvec -DDLM_B=F16 -DROWS=8u -DTEAM=64u
//! matvec_any_bf16 matvec -DDLM_B=BF16 -DROWS=8u -DTEAM=64u
//! matvec_8_q8_0 matvec -DDLM_B=QUANT -DFORM=q8_0 -DROWS=8u -DTEAM=64u
//! matvec_8_nf4 matvec -DDLM_B=QUANT -DFORM=nf4 -DROWS=8u -DTEAM=64u
//! matvec_8_nf4_dq matvec -DDLM_B=QUANT -DFORM=nf4_dq -DROWS=8u -DTEAM=64u
//! matvec_8_q4_0 matvec -DDLM_B=QUANT -DFORM=q4_0 -DROWS=8u -DTEAM=64u
//! matvec_8_q4_k matvec -DDLM_B=QUANT -DFORM=q4_k -DROWS=8u -DTEAM=64u
//! matvec_8_q5_k matvec -DDLM_B=QUANT -DFORM=q5_k -DROWS=8u -DTEAM=64u
//! matvec_8_q6_k matvec -DDLM_B=QUANT -DFORM=q6_k -DROWS=8u -DTEAM=64u
#define DLM_T_QUANT uint
#include "matmul_head.cl"
#include "matmul_quant_head.cl"
#include "matmul_vec_head.cl"

/* Elements k..k+7, of k_len, of a column of b that starts at element `first`; b has b_len. */
static float8 load_b(__global const TYPE_B *b, uint first, uint k, uint k_len, uint b_len)
{
#if defined(FORM)
    return dlm_load8(b, first + k, b_len);
#elif defined(WIDE_B)
    return PASTE(DLM_LOAD8_, DLM_B)(b, first + k);
#else
    float part[8];
    for (uint e = 0; e < 8u; e++)
        part[e] = k + e < k_len ? LOAD_B(b, first + k + e) : 0.0f;
    return vload8(0, part);
#endif
}

/* Elements k..k+7, of k_len, of a row of a that starts at element `first`, rounded. */
static float8 load_a(__global const float *a, uint first, uint k, uint k_len, uint flags)
{
    float part[8];
    for (uint e = 0; e < 8u; e++)
        part[e] = k + e < k_len ? round_a(a[first + k + e], flags) : 0.0f;
    return vload8(0, part);
}

__kernel DLM_LOCAL(LANES) void matvec(MATMUL_ARGS)
{
    __local float part[DLM_MATVEC_COLS * TEAM];
    const struct place at = find_place(&p, DLM_GROUP(2));
    const uint lane = DLM_LOCAL_ID(), n0 = DLM_GROUP_ID() * DLM_MATVEC_COLS;
    uint columns[PER]; /* where each starts; those past the end repeat the last one */
    float sum[ROWS][PER];

    if (n0 >= p.n)
        return;
    for (uint j = 0; j < PER; j++) {
        columns[j] = at.b + min(n0 + lane / TEAM * PER + j, p.n - 1u) * p.b_stride[3];
        for (uint m = 0; m < ROWS; m++)
            sum[m][j] = 0.0f;
    }
    for (uint k = lane % TEAM * 8u; k < at.k; k += TEAM * 8u) {
        float8 y[PER];
        for (uint j = 0; j < PER; j++)
            y[j] = load_b(b, columns[j], k, at.k, p.n * p.k);
        for (uint m = 0; m < ROWS; m++)
            if (m < p.m) {
                const float8 x = load_a(a, at.a + m * p.a_stride[2], k, at.k, p.flags);
                for (uint j = 0; j < PER; j++)
                    sum[m][j] += dot(x.lo, y[j].lo) + dot(x.hi, y[j].hi);
            }
    }
    for (uint m = 0; m < min(ROWS, p.m); m++) {
        const float total = add_lanes(sum[m], part);
        if (lane < DLM_MATVEC_COLS && n0 + lane < p.n)
            put(&p, &at, total, m, n0 + lane, c, bias, out);
    }
}
