/* matmul for few rows, as of one decoded token, where a and b are contiguous along k: matvec_<b>
 * for one row, matvec_8_<b> for up to 8. Their loads of b are 16 bytes wide; matvec_any_<b> does
 * without, for columns that are not aligned. matvec_8_<b>_<type to which its numbers are rounded>
 * are for weights in 4 and 8 bits, of which matmul_vec_quant.comp does one row. */
//! matvec_f32 -DDLM_B=F32 -DROWS=1u -DTEAM=128u
//! matvec_f16 -DDLM_B=F16 -DROWS=1u -DTEAM=128u
//! matvec_bf16 -DDLM_B=BF16 -DROWS=1u -DTEAM=128u
//! matvec_8_f32 -DDLM_B=F32 -DROWS=8u -DTEAM=64u
//! matvec_8_f16 -DDLM_B=F16 -DROWS=8u -DTEAM=64u
//! matvec_8_bf16 -DDLM_B=BF16 -DROWS=8u -DTEAM=64u
//! matvec_any_f32 -DDLM_B=F32 -DROWS=8u -DTEAM=64u -DANY
//! matvec_any_f16 -DDLM_B=F16 -DROWS=8u -DTEAM=64u -DANY
//! matvec_any_bf16 -DDLM_B=BF16 -DROWS=8u -DTEAM=64u -DANY
//! matvec_8_q8_0 -DDLM_B=QUANT -DFORM=q8_0 -DROWS=8u -DTEAM=64u
//! matvec_8_nf4 -DDLM_B=QUANT -DFORM=nf4 -DROWS=8u -DTEAM=64u
//! matvec_8_nf4_dq -DDLM_B=QUANT -DFORM=nf4_dq -DROWS=8u -DTEAM=64u
//! matvec_8_q4_0 -DDLM_B=QUANT -DFORM=q4_0 -DROWS=8u -DTEAM=64u
//! matvec_8_q4_k -DDLM_B=QUANT -DFORM=q4_k -DROWS=8u -DTEAM=64u
//! matvec_8_q5_k -DDLM_B=QUANT -DFORM=q5_k -DROWS=8u -DTEAM=64u
//! matvec_8_q6_k -DDLM_B=QUANT -DFORM=q6_k -DROWS=8u -DTEAM=64u
#version 450
#extension GL_GOOGLE_include_directive : require
#define LANES 256u
#define EACH 8u
#define STEPS (ROWS == 1u ? 2u : 1u)
#ifdef FORM
#define DLM_T_QUANT uint
#elif !defined(ANY)
#define WIDE_B
#endif
#include "matmul_vec_head.glsl"

#ifdef FORM
shared float nf4[16];
#define DLM_NF4(q) nf4[q]
#define DLM_QUANT_WORD(i) b[i]
#include "quant.glsl"
#endif

uint columns[PER]; /* where each starts, in units of UNIT; those past the end repeat the last one */

/* Elements 8 i to 8 i + 7 of column j of b, of k_len. */
#if defined(FORM)
#define UNIT 8u
void load_b(uint j, uint i, uint k_len, out vec4 lo, out vec4 hi)
{
    dlm_load8(8u * (columns[j] + i), p.n * p.k, lo, hi);
}
#elif defined(WIDE_B)
#define UNIT 8u
void load_b(uint j, uint i, uint k_len, out vec4 lo, out vec4 hi)
{
    PASTE(DLM_LOAD8_, DLM_B)(b, columns[j] + i, lo, hi);
}
#else
#define UNIT 1u
void load_b(uint j, uint i, uint k_len, out vec4 lo, out vec4 hi)
{
    [[unroll]] for (uint e = 0u; e < 4u; e++) {
        const uint k = 8u * i + e;
        lo[e] = k < k_len ? LOAD_B(columns[j] + k) : 0.0;
        hi[e] = k + 4u < k_len ? LOAD_B(columns[j] + k + 4u) : 0.0;
    }
}
#endif

/* Step s of a chunk: elements 8 i to 8 i + 7 of each column. */
void multiply(uint s, uint i, uint k_len)
{
    const uint lane = DLM_LOCAL_ID() % TEAM;
    vec4 lo[PER], hi[PER];

    [[unroll]] for (uint j = 0u; j < PER; j++)
        load_b(j, i, k_len, lo[j], hi[j]);
    [[unroll]] for (uint m = 0u; m < ROWS; m++)
        if (ROWS == 1u || m < p.m) {
            const vec4 x = QUAD(m, s, 0u, lane), y = QUAD(m, s, 1u, lane);
            [[unroll]] for (uint j = 0u; j < PER; j++)
                [[unroll]] for (uint e = 0u; e < 4u; e++) {
                    sum[m][j] = fma(x[e], lo[j][e], sum[m][j]);
                    sum[m][j] = fma(y[e], hi[j][e], sum[m][j]);
                }
        }
}

void main()
{
    const place at = find_place(gl_WorkGroupID.z);
    const uint n0 = DLM_GROUP_ID() * DLM_MATVEC_COLS, team = DLM_LOCAL_ID() / TEAM;
    uint k0 = 0u, i = DLM_LOCAL_ID() % TEAM;

    if (n0 >= p.n)
        return;
#ifdef FORM
    if (DLM_LOCAL_ID() < 16u)
        nf4[DLM_LOCAL_ID()] = dlm_nf4[DLM_LOCAL_ID()];
#endif
    [[unroll]] for (uint j = 0u; j < PER; j++) {
        columns[j] = at.b + min(n0 + team * PER + j, p.n - 1u) * p.b_stride[3];
        columns[j] /= UNIT;
        [[unroll]] for (uint m = 0u; m < ROWS; m++)
            sum[m][j] = 0.0;
    }
    [[dont_unroll]] for (; k0 + CHUNK <= at.k; k0 += CHUNK) {
        barrier();
        stage(at, k0);
        barrier();
        [[unroll]] for (uint s = 0u; s < STEPS; s++, i += TEAM)
            multiply(s, i, at.k);
    }
    if (k0 < at.k) {
        barrier();
        stage(at, k0);
        barrier();
        [[dont_unroll]] for (uint s = 0u; 8u * i < at.k; s++, i += TEAM)
            multiply(s, i, at.k);
    }
    [[unroll]] for (uint m = 0u; m < ROWS; m++)
        if (m < p.m)
            finish(at, m, n0);
}
