/* matmul for one row, as of one decoded token, with a weight in 4 to 8 bits: matvec_<b>. Codes come
 * 16 bytes at a time and are multiplied as they are: what scales them does so to sums of 16. */
//! matvec_q8_0 -DFORM=q8_0
//! matvec_nf4 -DFORM=nf4
//! matvec_nf4_dq -DFORM=nf4_dq
//! matvec_q4_0 -DFORM=q4_0
//! matvec_q4_k -DFORM=q4_k
//! matvec_q5_k -DFORM=q5_k
//! matvec_q6_k -DFORM=q6_k
#version 450
#extension GL_GOOGLE_include_directive : require
#define LANES 256u
#define TEAM 64u
#define EACH 32u
#define ROWS 1u
#define STEPS 1u
#define WIDE_B
#define DLM_B BF16 /* b is an array of 16 bytes */
#include "matmul_vec_head.glsl"

layout(std430, set = 0, binding = 1) readonly buffer Words { uint words[]; };
#define DLM_QUANT_WORD(i) words[i]
shared float nf4[16];
#define DLM_NF4(q) nf4[q]
#include "quant.glsl"

uint columns[PER]; /* the run at which each starts; those past the end repeat the last one */

/* A run of a column, of EACH elements. */
struct run {
    uvec4 codes[DLM_CODE_WORDS];
    uvec2 upper;
    vec4 lines;
};

run load_run(uint i, uint len)
{
    run r;

    [[unroll]] for (uint c = 0u; c < DLM_CODE_WORDS; c++)
        r.codes[c] = b[DLM_CODE_WORDS * i + c];
    r.upper = dlm_upper(i, len);
    r.lines = dlm_lines(i, len);
    return r;
}

/* Elements 8 g to 8 g + 7 of a run, as codes, times theirs of a. */
float multiply_codes(run r, uint g, vec4 x, vec4 y)
{
    const uint w = g * DLM_CODE_WORDS, c = w / 4u;
    vec4 low, high;
    float part = 0.0;

    dlm_codes(uvec2(r.codes[c][w % 4u], r.codes[c][(w + DLM_CODE_WORDS - 1u) % 4u]), r.upper, g,
              low, high);
    [[unroll]] for (uint e = 0u; e < 4u; e++)
        part = fma(x[e], low[e], part);
    [[unroll]] for (uint e = 0u; e < 4u; e++)
        part = fma(y[e], high[e], part);
    return part;
}

/* Run i of each column. */
void multiply(uint i, uint len)
{
    const uint lane = DLM_LOCAL_ID() % TEAM;
    run r[PER];

    [[unroll]] for (uint j = 0u; j < PER; j++)
        r[j] = load_run(columns[j] + i, len);
    [[unroll]] for (uint s = 0u; s < 2u; s++) {
        vec4 x[4];
        [[unroll]] for (uint q = 0u; q < 4u; q++)
            x[q] = QUAD(0u, 0u, 4u * s + q, lane);
        const vec4 quads = (x[0] + x[1]) + (x[2] + x[3]);
        const float total = DLM_QUAD_SUM(quads);
        [[unroll]] for (uint j = 0u; j < PER; j++) {
            const float part = multiply_codes(r[j], 2u * s, x[0], x[1]) +
                               multiply_codes(r[j], 2u * s + 1u, x[2], x[3]);
            const vec2 line = s == 0u ? r[j].lines.xy : r[j].lines.zw;
            sum[0][j] = fma(line.x, part, fma(-line.y, total, sum[0][j]));
        }
    }
}

void main()
{
    const place at = find_place(gl_WorkGroupID.z);
    const uint n0 = DLM_GROUP_ID() * DLM_MATVEC_COLS, team = DLM_LOCAL_ID() / TEAM;
    if (n0 >= p.n)
        return;
    if (DLM_LOCAL_ID() < 16u)
        nf4[DLM_LOCAL_ID()] = dlm_nf4[DLM_LOCAL_ID()];
    [[unroll]] for (uint j = 0u; j < PER; j++) {
        columns[j] = (at.b + min(n0 + team * PER + j, p.n - 1u) * p.k) / EACH;
        sum[0][j] = 0.0;
    }
    [[dont_unroll]] for (uint k0 = 0u; k0 < at.k; k0 += CHUNK) {
        barrier();
        stage(at, k0);
        barrier();
        /* lanes past the end multiply the last run by zeros */
        multiply(min(k0 + EACH * (DLM_LOCAL_ID() % TEAM), at.k - EACH) / EACH, p.n * p.k);
    }
    finish(at, 0u, n0);
}
