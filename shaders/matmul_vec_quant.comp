/* matmul for one row, as of one decoded token, with a weight in 4 or 8 bits:
 * matvec_<b>_<type to which its numbers are rounded>. Codes come 16 bytes at a time. */
//! matvec_q8_0_f32 -DBITS8 -DFORM=q8_0 -DTO=F32
//! matvec_q8_0_f16 -DBITS8 -DFORM=q8_0 -DTO=F16
//! matvec_q8_0_bf16 -DBITS8 -DFORM=q8_0 -DTO=BF16
//! matvec_nf4_f32 -DFORM=nf4 -DTO=F32
//! matvec_nf4_f16 -DFORM=nf4 -DTO=F16
//! matvec_nf4_bf16 -DFORM=nf4 -DTO=BF16
//! matvec_nf4_dq_f32 -DFORM=nf4_dq -DTO=F32
//! matvec_nf4_dq_f16 -DFORM=nf4_dq -DTO=F16
//! matvec_nf4_dq_bf16 -DFORM=nf4_dq -DTO=BF16
#version 450
#extension GL_GOOGLE_include_directive : require
/* A lane's neighbours are a block of the weight, 32 bytes of codes. */
#ifdef BITS8
#define LANES 256u
#define TEAM 64u
#define EACH 32u
#else
#define LANES 128u
#define TEAM 32u
#define EACH 64u
#endif
#define ROWS 1u
#define STEPS 1u
#define WIDE_B
#define DLM_B BF16 /* b is an array of 16 bytes */
#include "matmul_vec_head.glsl"
#define SCALE PASTE(dlm_scale_, FORM)
#define ROUND PASTE(DLM_ROUND_, TO)

layout(std430, set = 0, binding = 1) readonly buffer Words { uint words[]; };
#define DLM_QUANT_WORD(i) words[i]
#include "quant.glsl"

uint columns[PER]; /* the block at which each starts; those past the end repeat the last one */

void add_quad(uint j, uint part, uint lane, vec4 numbers)
{
    const vec4 x = QUAD(0u, 0u, part, lane);

    [[unroll]] for (uint e = 0u; e < 4u; e++)
        sum[0][j] = fma(x[e], numbers[e], sum[0][j]);
}

#ifdef BITS8
struct block {
    float scale;
};

block make_block(float scale)
{
    return block(scale);
}

/* Adds word w of the codes times its quad of a. Codes + 128 are converted, which devices can do
 * from any byte of a word; a fused multiply-add takes the 128 off without an error. */
void multiply_word(uint j, block by, uint word, uint w, uint lane)
{
    const uint u = word ^ 0x80808080u;
    const vec4 codes = vec4(u & 255u, (u >> 8) & 255u, (u >> 16) & 255u, u >> 24);

    add_quad(j, w, lane, ROUND(fma(codes, vec4(by.scale), vec4(-128.0 * by.scale))));
}
#else
/* The 16 numbers that a block can have, of each lane its own: made once a block, so that a code
 * costs one read and no rounding. */
shared float entries[16][LANES];
struct block {
    uint lane;
};

block make_block(float scale)
{
    const block made = block(DLM_LOCAL_ID());

    [[unroll]] for (uint q = 0u; q < 16u; q += 4u) {
        const vec4 v = ROUND(scale * vec4(dlm_nf4[q], dlm_nf4[q + 1u], dlm_nf4[q + 2u],
                                          dlm_nf4[q + 3u]));
        [[unroll]] for (uint e = 0u; e < 4u; e++)
            entries[q + e][made.lane] = v[e];
    }
    return made;
}

#define ENTRY(bit) entries[(word >> (bit)) & 15u][by.lane]
/* Adds word w of the codes times its two quads of a. */
void multiply_word(uint j, block by, uint word, uint w, uint lane)
{
    const vec4 low = vec4(ENTRY(4), ENTRY(0), ENTRY(12), ENTRY(8));
    const vec4 high = vec4(ENTRY(20), ENTRY(16), ENTRY(28), ENTRY(24));

    add_quad(j, 2u * w, lane, low);
    add_quad(j, 2u * w + 1u, lane, high);
}
#endif

/* Block i of each column. */
void multiply(uint i)
{
    const uint lane = DLM_LOCAL_ID() % TEAM;
    uvec4 first[PER], second[PER];
    float scale[PER];

    [[unroll]] for (uint j = 0u; j < PER; j++) {
        first[j] = b[2u * (columns[j] + i)];
        second[j] = b[2u * (columns[j] + i) + 1u];
        scale[j] = SCALE(EACH * (columns[j] + i), p.n * p.k);
    }
    [[unroll]] for (uint j = 0u; j < PER; j++) {
        const block by = make_block(scale[j]);
        [[unroll]] for (uint w = 0u; w < 4u; w++)
            multiply_word(j, by, first[j][w], w, lane);
        [[unroll]] for (uint w = 0u; w < 4u; w++)
            multiply_word(j, by, second[j][w], w + 4u, lane);
    }
}

void main()
{
    const place at = find_place(gl_WorkGroupID.z);
    const uint n0 = DLM_GROUP_ID() * DLM_MATVEC_COLS, team = DLM_LOCAL_ID() / TEAM;
    if (n0 >= p.n)
        return;
    [[unroll]] for (uint j = 0u; j < PER; j++) {
        columns[j] = (at.b + min(n0 + team * PER + j, p.n - 1u) * p.k) / EACH;
        sum[0][j] = 0.0;
    }
    [[dont_unroll]] for (uint k0 = 0u; k0 < at.k; k0 += CHUNK) {
        barrier();
        stage(at, k0);
        barrier();
        /* lanes past the end multiply the last block by zeros */
        multiply(min(k0 + EACH * (DLM_LOCAL_ID() % TEAM), at.k - EACH) / EACH);
    }
    finish(at, 0u, n0);
}
