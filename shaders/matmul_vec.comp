/* matmul for few rows, as of one decoded token, where a and b are contiguous along k: matvec_<b>
 * for one row, matvec_8_<b> for up to 8. Their loads of b are 16 bytes wide; matvec_any_<b> does
 * without, for columns that are not aligned.
 *
 * The lanes of a group are teams of TEAM, of which each makes PER columns, its lanes running along
 * k. The rows of a, rounded, lie in shared memory, CHUNK of k at a time. */
//! matvec_f32 -DDLM_B=F32 -DROWS=1u -DTEAM=128u
//! matvec_f16 -DDLM_B=F16 -DROWS=1u -DTEAM=128u
//! matvec_bf16 -DDLM_B=BF16 -DROWS=1u -DTEAM=128u
//! matvec_8_f32 -DDLM_B=F32 -DROWS=8u -DTEAM=64u
//! matvec_8_f16 -DDLM_B=F16 -DROWS=8u -DTEAM=64u
//! matvec_8_bf16 -DDLM_B=BF16 -DROWS=8u -DTEAM=64u
//! matvec_any_f32 -DDLM_B=F32 -DROWS=8u -DTEAM=64u -DANY
//! matvec_any_f16 -DDLM_B=F16 -DROWS=8u -DTEAM=64u -DANY
//! matvec_any_bf16 -DDLM_B=BF16 -DROWS=8u -DTEAM=64u -DANY
#version 450
#extension GL_GOOGLE_include_directive : require
#define LANES 256u
#ifndef ANY
#define WIDE_B
#endif
#include "matmul_head.glsl"

const uint PER = DLM_MATVEC_COLS / (LANES / TEAM); /* columns of a team of lanes */
const uint BLOCK = 8u * TEAM, STEPS = ROWS == 1u ? 2u : 1u, CHUNK = STEPS * BLOCK;

/* A block of a row of a: elements 0..3 of each lane's 8, then elements 4..7, so that neighbouring
 * lanes read neighbouring 16 bytes. */
shared vec4 a_chunk[ROWS * CHUNK / 4u];
#define QUAD(m, step, part, lane) a_chunk[(((m) * STEPS + (step)) * 2u + (part)) * TEAM + (lane)]

void stage(place at, uint k0)
{
    [[dont_unroll]] for (uint m = 0u; m < min(ROWS, p.m); m++)
        for (uint e = DLM_LOCAL_ID(); e < CHUNK; e += LANES) {
            float x = 0.0;
            if (k0 + e < at.k)
                x = round_a(a[at.a + m * p.a_stride[2] + k0 + e]);
            QUAD(m, e / BLOCK, (e >> 2) & 1u, e % BLOCK >> 3)[e & 3u] = x;
        }
}

float sum[ROWS][PER];
uint columns[PER]; /* where each starts, in units of UNIT; those past the end repeat the last one */

/* Elements 8 i to 8 i + 7 of column j of b, of k_len. */
#ifdef WIDE_B
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

/* The lanes' parts of a row's sums, added in three stages; a_chunk holds them. */
#define PART(i) a_chunk[(i) >> 2][(i) & 3u]
void finish(place at, uint m, uint n0)
{
    const uint lane = DLM_LOCAL_ID(), column = lane / 16u, first = column * TEAM + lane % 16u;

    barrier();
    [[unroll]] for (uint j = 0u; j < PER; j++)
        PART((lane / TEAM * PER + j) * TEAM + lane % TEAM) = sum[m][j];
    barrier();
    float part = 0.0;
    [[unroll]] for (uint i = 0u; i < TEAM; i += 16u)
        part += PART(first + i);
    barrier();
    PART(lane) = part;
    barrier();
    if (lane < DLM_MATVEC_COLS && n0 + lane < p.n) {
        float total = 0.0;
        for (uint i = 0u; i < 16u; i++)
            total += PART(lane * 16u + i);
        put(at, total, m, n0 + lane);
    }
}

void main()
{
    const place at = find_place(gl_WorkGroupID.z);
    const uint n0 = DLM_GROUP_ID() * DLM_MATVEC_COLS, team = DLM_LOCAL_ID() / TEAM;
    uint k0 = 0u, i = DLM_LOCAL_ID() % TEAM;

    if (n0 >= p.n)
        return;
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
