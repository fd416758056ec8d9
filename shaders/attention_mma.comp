/* attention and its backward by matrix units: operands f16, as attention_mma_pack_* left them, sums
 * f32. A work-group keeps OWN rows (dkv: keys) and goes over tiles of 64 keys (rows). It has as
 * many subgroups as a tile has fragments side by side: each makes the scores of one, and its own
 * columns of the result, so that no two load the same key. Scores become weights in shared memory,
 * a row in neighbouring lanes.
 *
 * q is multiplied by the scale, dout row by row by a power of two (scales). In dkv, which sums over
 * rows, all that a work-group sees get one power, the least: weights beside rows of larger ones are
 * below the sum's rounding before they are below f16's least number.
 *
 * Groups: {blocks of rows (keys), kv heads by p.splits, batch}: each split has its own planes. */
//! attention_mma_fwd needs=matrix_f16,matrix_attention subgroups=8 -DFORWARD
//! attention_mma_dq needs=matrix_f16,matrix_attention subgroups=8 -DDQ
//! attention_mma_dkv needs=matrix_f16,matrix_attention subgroups=8 -DDKV
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_EXT_control_flow_attributes : require

#define ATTENTION_KEPT
#define ATTENTION_ROW uvec4
#define ATTENTION_KEY uvec4
#include "attention_head.glsl"
/* of dout's rows, [B, H, T] */
#ifdef DQ
DLM_IN(8, float, scales)
#endif
#ifdef DKV
DLM_IN(9, float, scales)
#endif

layout(constant_id = 0) const uint SUBGROUP = 32;
layout(local_size_x_id = 1) in;
layout(constant_id = 1) const uint LANES = 128;
layout(constant_id = 2) const uint DEPTH = 128; /* of a head, with zeros: a multiple of 16 */
layout(constant_id = 3) const uint OWN = 32;

#define OTHER DLM_ATTENTION_MMA_OTHER
#define SUBGROUPS (OTHER / MAT_N)
const uint FRAGS = OWN / MAT_M; /* of rows (keys) of the work-group */
const uint COLS = (DEPTH / MAT_N + SUBGROUPS - 1u) / SUBGROUPS; /* of the result's, a subgroup */
const uint RUN = OTHER * OWN / LANES;       /* neighbours in a row of a tile that a lane has */
const uint ROW_LANES = LANES / OWN;         /* lanes of a row */
#define SCORES4 (OTHER / 4u + 1u)           /* fours between rows of scores */
#define WEIGHTS8 (OTHER / 8u + 1u)          /* eights between rows of weights */

#define A_FRAG coopmat<float16_t, gl_ScopeSubgroup, MAT_M, MAT_K, gl_MatrixUseA>
#define B_FRAG coopmat<float16_t, gl_ScopeSubgroup, MAT_K, MAT_N, gl_MatrixUseB>
#define SUM_FRAG coopmat<float, gl_ScopeSubgroup, MAT_M, MAT_N, gl_MatrixUseAccumulator>
#define ROW_MAJOR gl_CooperativeMatrixLayoutRowMajor
#define COLUMN_MAJOR gl_CooperativeMatrixLayoutColumnMajor
#if MAT_K == 16
#define LOOP [[unroll]]
#else
#define LOOP [[dont_unroll]]
#endif
#define FOR(i, n) [[unroll]] for (uint i = 0u; i < (n); i++)

shared vec4 scores[OWN * SCORES4];
shared uvec4 weights[OWN * WEIGHTS8];
#ifndef FORWARD
shared vec4 dscores[OWN * SCORES4];
#endif
#ifdef DKV
shared uvec4 dweights[OWN * WEIGHTS8];
shared vec4 row_lse[OTHER / 4u], row_delta[OTHER / 4u], row_ratio[OTHER / 4u];
shared uvec4 row_begin[OTHER / 4u], row_num[OTHER / 4u];
#endif
shared float lane_stats[LANES];
shared float row_factor[OWN];

/* The lane's row of the tile, and where in it its run begins. */
uint lane = gl_LocalInvocationID.x;
uint own = lane / ROW_LANES, run = lane % ROW_LANES * RUN;

/* Fragments [FRAGS] of x . y for the tile's rows in x and the subgroup's columns of it in y, both
 * along the head's elements, into `to`. */
#define MULTIPLY(x, x_at, y, y_at, to)                                                             \
    {                                                                                              \
        const uint column = gl_SubgroupID * MAT_N;                                                 \
        SUM_FRAG sums[FRAGS];                                                                      \
        FOR(i, FRAGS) sums[i] = SUM_FRAG(0.0);                                                     \
        LOOP for (uint d = 0u; d < DEPTH; d += MAT_K) {                                            \
            B_FRAG b;                                                                              \
            coopMatLoad(b, y, y_at + (column * DEPTH + d) / 8u, DEPTH / 8u, COLUMN_MAJOR);         \
            FOR(i, FRAGS) {                                                                        \
                A_FRAG a;                                                                          \
                coopMatLoad(a, x, x_at + (i * MAT_M * DEPTH + d) / 8u, DEPTH / 8u, ROW_MAJOR);     \
                sums[i] = coopMatMulAdd(a, b, sums[i]);                                            \
            }                                                                                      \
        }                                                                                          \
        FOR(i, FRAGS) coopMatStore(sums[i], to, i * MAT_M * SCORES4 + column / 4u, SCORES4,        \
                                   ROW_MAJOR);                                                     \
    }

/* sums [COLS][FRAGS] += from . y, y across: column d of the result is a row of y, `stride` eights
 * long. */
#define ACCUMULATE(sums, from, y, y_at, stride)                                                    \
    LOOP for (uint o = 0u; o < OTHER; o += MAT_K) {                                                \
        A_FRAG a[FRAGS];                                                                           \
        FOR(i, FRAGS) coopMatLoad(a[i], from, i * MAT_M * WEIGHTS8 + o / 8u, WEIGHTS8, ROW_MAJOR); \
        FOR(c, COLS) if (is_there(c)) {                                                            \
            B_FRAG b;                                                                              \
            coopMatLoad(b, y, y_at + column_of(c) * stride + o / 8u, stride, COLUMN_MAJOR);        \
            FOR(i, FRAGS) sums[c * FRAGS + i] = coopMatMulAdd(a[i], b, sums[c * FRAGS + i]);       \
        }                                                                                          \
    }

#define CLEAR(sums) FOR(e, COLS * FRAGS) sums[e] = SUM_FRAG(0.0)

/* factor[row] times the sums to `out`, at place_of(row) where it is not NONE. */
#define WRITE(sums, out, place_of)                                                                 \
    FOR(c, COLS) {                                                                                 \
        barrier();                                                                                 \
        if (is_there(c))                                                                           \
            FOR(i, FRAGS) coopMatStore(sums[c * FRAGS + i], scores,                                \
                                       (gl_SubgroupID * OWN + i * MAT_M) * (MAT_N / 4u),           \
                                       MAT_N / 4u, ROW_MAJOR);                                     \
        barrier();                                                                                 \
        for (uint e = gl_SubgroupInvocationID; e < OWN * MAT_N; e += SUBGROUP) {                   \
            const uint i = e / MAT_N, d = column_of(c) + e % MAT_N, at = place_of(i);              \
            if (at != NONE && d < p.dim)                                                           \
                out[at + d] = row_factor[i] * scores[gl_SubgroupID * OWN * MAT_N / 4u + e / 4u]    \
                                                    [e % 4u];                                      \
        }                                                                                          \
    }

/* Of the result's columns the subgroup's number c. */
uint column_of(uint c)
{
    return (c * SUBGROUPS + gl_SubgroupID) * MAT_N;
}

/* False past the head's elements, where those do not come out even. */
bool is_there(uint c)
{
    return COLS * SUBGROUPS * MAT_N == DEPTH || column_of(c) < DEPTH;
}

uint round64(uint n)
{
    return (n + 63u) / 64u * 64u;
}

/* Eight weights as halves. */
uvec4 pack8(vec4 lo, vec4 hi)
{
    return uvec4(packHalf2x16(lo.xy), packHalf2x16(lo.zw), packHalf2x16(hi.xy),
                 packHalf2x16(hi.zw));
}

#define PUT_WEIGHTS(to, x)                                                                         \
    FOR(i, RUN / 8u) to[own * WEIGHTS8 + run / 8u + i] = pack8(x[2u * i], x[2u * i + 1u]);

/* The lane's run of scores. */
#define TAKE_SCORES(to)                                                                            \
    FOR(i, RUN / 4u) to[i] = scores[own * SCORES4 + run / 4u + i];                                 \
    if (p.softcap != 0.0)                                                                          \
        FOR(i, RUN / 4u) FOR(j, 4u) to[i][j] = dlm_attention_cap(p.softcap, to[i][j]);

/* The largest (least, sum) of what the lanes of the lane's row bring. */
#define GATHER(result, value, combine)                                                             \
    lane_stats[lane] = value;                                                                      \
    barrier();                                                                                     \
    result = lane_stats[own * ROW_LANES];                                                          \
    FOR(l, ROW_LANES - 1u) result = combine(result, lane_stats[own * ROW_LANES + l + 1u]);

float add(float x, float y)
{
    return x + y;
}

/* The group's place in the packed operands: of its plane of rows, and of keys. */
struct place {
    kv_head h;
    uint rows, keys; /* of a plane */
    uint row_plane, key_plane;
    uint row_across, key_across; /* where those that lie across begin, in eights */
};

place find_place()
{
    place at;

    at.h = find_head(gl_WorkGroupID.y / p.splits, gl_WorkGroupID.y % p.splits);
    at.rows = round64(p.queries * at.h.group);
    at.keys = round64(p.keys);
    at.row_plane = at.h.batch * p.kv_heads * p.splits + gl_WorkGroupID.y;
    at.key_plane = at.h.batch * p.kv_heads + at.h.index;
    at.row_across = p.batch * p.kv_heads * p.splits * at.rows * (DEPTH / 8u);
    at.key_across = p.batch * p.kv_heads * at.keys * (DEPTH / 8u);
    return at;
}

/* The tiles of others that begin in [x, y). Where none is to be seen that is the first one, of
 * which nothing counts: lavapipe 26.1 reads through a descriptor that it never loaded in a loop
 * that no lane enters. */
uvec2 find_tiles(uint begin, uint end)
{
    return end > begin ? uvec2(begin / OTHER * OTHER, end) : uvec2(0u, 1u);
}

#ifndef DKV
/* Of the keys that any row of [r0, r0 + OWN) sees. */
uvec2 find_keys(kv_head h, uint r0)
{
    return find_tiles(find_begin(h, r0),
                      r0 < h.num_rows ? find_limit(h, min(r0 + OWN, h.num_rows) - 1u) : 0u);
}
#endif

/* Element 0 of row i of the tile in the result. */
uint first_row;
kv_head result_head;
uint place_of_row(uint i)
{
    const uint r = first_row + i;
    return r < p.queries * result_head.group ? find_out(result_head, r) : NONE;
}

#ifdef DKV
uint first_key, split_at;
uint place_of_key(uint i)
{
    return first_key + i < p.keys ? split_at + find_dkey(result_head, first_key + i) : NONE;
}

uint place_of_dk(uint i)
{
    const uint at = place_of_key(i);
    return at == NONE ? NONE : p.out_lead + at;
}

uint place_of_dv(uint i)
{
    const uint at = place_of_key(i);
    return at == NONE ? NONE : p.out2_lead + at;
}
#endif

/* What gradients of scores are multiplied by; a branch that all lanes take alike. */
vec4 slope_of(vec4 score)
{
    vec4 slope = vec4(1.0);

    if (p.softcap != 0.0)
        FOR(j, 4u) slope[j] = slope_of(score[j]);
    return slope;
}

#ifdef FORWARD
shared vec4 rescale[OWN * MAT_N / 4u]; /* a row's factor in each of its columns */

void main()
{
    const place at = find_place();
    const kv_head h = at.h;
    const uint r0 = gl_WorkGroupID.x * OWN, r = r0 + own;
    const uint q_at = (at.row_plane * at.rows + r0) * (DEPTH / 8u);
    const uint k_at = at.key_plane * at.keys * (DEPTH / 8u);
    const uint v_at = at.key_across + at.key_plane * at.keys * (DEPTH / 8u);
    const uint begin = find_begin(h, r), num = find_limit(h, r) - begin;
    const uvec2 keys = find_keys(h, r0);
    SUM_FRAG sums[COLS * FRAGS];
    float most = LOWEST, total = 0.0;

    CLEAR(sums);
    [[dont_unroll]] for (uint s0 = keys.x; s0 < keys.y; s0 += OTHER) {
        MULTIPLY(q, q_at, k, (k_at + s0 * (DEPTH / 8u)), scores)
        barrier();
        const float before = most;
        vec4 x[RUN / 4u];
        float best = LOWEST;
        TAKE_SCORES(x)
        FOR(i, RUN / 4u) {
            FOR(j, 4u) x[i][j] = s0 + run + 4u * i + j - begin < num ? x[i][j] : LOWEST;
            best = max(best, max(max(x[i].x, x[i].y), max(x[i].z, x[i].w)));
        }
        GATHER(most, best, max)
        most = max(before, most);
        const float factor = exp(before - most);
        total *= factor;
        FOR(i, RUN / 4u) {
            FOR(j, 4u) x[i][j] = x[i][j] != LOWEST ? exp(x[i][j] - most) : 0.0;
            total += x[i].x + x[i].y + (x[i].z + x[i].w);
        }
        PUT_WEIGHTS(weights, x)
        for (uint e = lane % ROW_LANES; e < MAT_N / 4u; e += ROW_LANES)
            rescale[own * (MAT_N / 4u) + e] = vec4(factor);
        barrier();
        FOR(i, FRAGS) {
            SUM_FRAG f;
            coopMatLoad(f, rescale, i * MAT_M * (MAT_N / 4u), MAT_N / 4u, ROW_MAJOR);
            FOR(c, COLS) sums[c * FRAGS + i] = sums[c * FRAGS + i] * f;
        }
        ACCUMULATE(sums, weights, v, (v_at + s0 / 8u), (at.keys / 8u))
    }
    barrier();
    float sum;
    GATHER(sum, total, add)
    if (run == 0u) {
        row_factor[own] = num > 0u ? 1.0 / sum : 0.0;
        if (r < p.queries * h.group)
            lse[find_stat(h, r)] = num > 0u ? most + log(sum) : 0.0;
    }
    first_row = r0;
    result_head = h;
    WRITE(sums, result, place_of_row)
}
#endif

#ifdef DQ
void main()
{
    const place at = find_place();
    const kv_head h = at.h;
    const uint r0 = gl_WorkGroupID.x * OWN, r = r0 + own;
    const uint q_at = (at.row_plane * at.rows + r0) * (DEPTH / 8u);
    const uint k_at = at.key_plane * at.keys * (DEPTH / 8u);
    const uint begin = find_begin(h, r), num = find_limit(h, r) - begin;
    const uvec2 keys = find_keys(h, r0);
    const uint stat = r < p.queries * h.group ? find_stat(h, r) : 0u;
    const float scale_of_row = scales[stat];
    const float own_lse = lse[stat], own_delta = delta[stat] * scale_of_row;
    SUM_FRAG sums[COLS * FRAGS];

    CLEAR(sums);
    [[dont_unroll]] for (uint s0 = keys.x; s0 < keys.y; s0 += OTHER) {
        MULTIPLY(q, q_at, k, (k_at + s0 * (DEPTH / 8u)), scores)
        MULTIPLY(dout, q_at, v, (k_at + s0 * (DEPTH / 8u)), dscores)
        barrier();
        vec4 x[RUN / 4u];
        TAKE_SCORES(x)
        FOR(i, RUN / 4u) {
            const vec4 d = dscores[own * SCORES4 + run / 4u + i] - own_delta;
            const vec4 weight = exp(x[i] - own_lse) * d * slope_of(x[i]);
            FOR(j, 4u) x[i][j] = s0 + run + 4u * i + j - begin < num ? weight[j] : 0.0;
        }
        PUT_WEIGHTS(weights, x)
        barrier();
        ACCUMULATE(sums, weights, k, (at.key_across + k_at + s0 / 8u), (at.keys / 8u))
    }
    if (run == 0u)
        row_factor[own] = p.scale / scale_of_row;
    first_row = r0;
    result_head = h;
    WRITE(sums, result, place_of_row)
}
#endif

#ifdef DKV
void main()
{
    const place at = find_place();
    const kv_head h = at.h;
    const uint s0 = gl_WorkGroupID.x * OWN, s = s0 + own;
    const uint q_at = at.row_plane * at.rows * (DEPTH / 8u);
    const uint k_at = (at.key_plane * at.keys + s0) * (DEPTH / 8u);
    const uint first = find_first_row(h, s0), end = find_end_row(h, s0 + OWN - 1u);
    const uvec2 tiles = find_tiles(first, end);
    SUM_FRAG dk_sums[COLS * FRAGS], dv_sums[COLS * FRAGS];
    float least = uintBitsToFloat(253u << 23); /* 2^126 */

    CLEAR(dk_sums);
    CLEAR(dv_sums);
    for (uint r = first + lane; r < end; r += LANES)
        least = min(least, scales[find_stat(h, r)]);
    lane_stats[lane] = least;
    barrier();
    for (uint l = 0u; l < LANES; l++)
        least = min(least, lane_stats[l]);
    [[dont_unroll]] for (uint r0 = tiles.x; r0 < tiles.y; r0 += OTHER) {
        for (uint o = lane; o < OTHER; o += LANES) {
            const uint r = r0 + o, stat = r < h.num_rows ? find_stat(h, r) : 0u;
            const uint begin = find_begin(h, r);
            row_begin[o / 4u][o % 4u] = begin;
            row_num[o / 4u][o % 4u] = find_limit(h, r) - begin;
            row_lse[o / 4u][o % 4u] = lse[stat];
            row_delta[o / 4u][o % 4u] = delta[stat] * least;
            row_ratio[o / 4u][o % 4u] = least / scales[stat];
        }
        MULTIPLY(k, k_at, q, (q_at + r0 * (DEPTH / 8u)), scores)
        MULTIPLY(v, k_at, dout, (q_at + r0 * (DEPTH / 8u)), dscores)
        barrier();
        vec4 x[RUN / 4u], dx[RUN / 4u];
        TAKE_SCORES(x)
        FOR(i, RUN / 4u) {
            const uint o4 = run / 4u + i;
            const vec4 ratio = row_ratio[o4], weight = exp(x[i] - row_lse[o4]);
            const vec4 d = dscores[own * SCORES4 + o4] * ratio - row_delta[o4];
            const bvec4 is_seen = lessThan(uvec4(s) - row_begin[o4], row_num[o4]);
            dx[i] = mix(vec4(0.0), weight * d * slope_of(x[i]), is_seen);
            x[i] = mix(vec4(0.0), weight * ratio, is_seen);
        }
        PUT_WEIGHTS(weights, x)
        PUT_WEIGHTS(dweights, dx)
        barrier();
        ACCUMULATE(dv_sums, weights, dout, (at.row_across + q_at + r0 / 8u), (at.rows / 8u))
        ACCUMULATE(dk_sums, dweights, q, (at.row_across + q_at + r0 / 8u), (at.rows / 8u))
    }
    if (run == 0u)
        row_factor[own] = 1.0 / least;
    first_key = s0;
    split_at = gl_WorkGroupID.y % p.splits * p.split_stride;
    result_head = h;
    WRITE(dk_sums, dk, place_of_dk)
    WRITE(dv_sums, dv, place_of_dv)
}
#endif
