/* attention and its backward in tiles of scores, which never leave the chip. A query sees the keys
 * from its begin (0 without a window) up to its limit, and neither falls from query to query: what
 * a tile may skip is known from its ends.
 *
 * attention_<kv> (heads up to 256) and attention_128_<kv>: a work-group keeps OWN rows, goes over
 * tiles of 64 keys and holds the result's sums in registers; attention_dq alike; attention_dkv
 * keeps OWN keys and goes over the rows of all its query heads in order. attention_split: 8 rows
 * and a part of their keys, for attention_merge. Operands come to shared memory in slices, 16
 * bytes at a time: dims, strides and leads are multiples of that. Groups: {blocks of rows (keys)
 * by parts (splits), kv heads, batch}. */
//! attention_f32 -DF32 -DFORWARD -DCHUNKS=4 -DOWN=32
//! attention_f16 -DF16 -DFORWARD -DCHUNKS=4 -DOWN=32
//! attention_bf16 -DBF16 -DFORWARD -DCHUNKS=4 -DOWN=32
//! attention_128_f32 -DF32 -DFORWARD -DCHUNKS=2 -DOWN=32
//! attention_128_f16 -DF16 -DFORWARD -DCHUNKS=2 -DOWN=32
//! attention_128_bf16 -DBF16 -DFORWARD -DCHUNKS=2 -DOWN=32
//! attention_split_f32 -DF32 -DFORWARD -DSPLIT -DCHUNKS=4 -DOWN=8
//! attention_split_f16 -DF16 -DFORWARD -DSPLIT -DCHUNKS=4 -DOWN=8
//! attention_split_bf16 -DBF16 -DFORWARD -DSPLIT -DCHUNKS=4 -DOWN=8
//! attention_dq_f32 -DF32 -DDQ -DCHUNKS=4 -DOWN=32
//! attention_dq_f16 -DF16 -DDQ -DCHUNKS=4 -DOWN=32
//! attention_dq_bf16 -DBF16 -DDQ -DCHUNKS=4 -DOWN=32
//! attention_dq_128_f32 -DF32 -DDQ -DCHUNKS=2 -DOWN=32
//! attention_dq_128_f16 -DF16 -DDQ -DCHUNKS=2 -DOWN=32
//! attention_dq_128_bf16 -DBF16 -DDQ -DCHUNKS=2 -DOWN=32
//! attention_dkv_f32 -DF32 -DDKV -DCHUNKS=4 -DOWN=16
//! attention_dkv_f16 -DF16 -DDKV -DCHUNKS=4 -DOWN=16
//! attention_dkv_bf16 -DBF16 -DDKV -DCHUNKS=4 -DOWN=16
//! attention_dkv_128_f32 -DF32 -DDKV -DCHUNKS=2 -DOWN=32
//! attention_dkv_128_f16 -DF16 -DDKV -DCHUNKS=2 -DOWN=32
//! attention_dkv_128_bf16 -DBF16 -DDKV -DCHUNKS=2 -DOWN=32
#version 450
#extension GL_GOOGLE_include_directive : require

/* 16 bytes of k or v, widened: WIDE vectors of four. */
#define ATTENTION_ROW vec4
#ifdef F32
#define ATTENTION_KEY vec4
#define WIDE 1
#else
#define ATTENTION_KEY uvec4
#define WIDE 2
#endif
#define LANES 128
#include "attention_head.glsl"

#define OTHER 64    /* keys (dkv: rows) of a tile */
#define SLICE4 8    /* fours of the head's elements in shared memory, for scores */
#define STRIDE4 9   /* between its rows: neighbouring lanes read other banks */
#define CHUNK4 16   /* fours of the head's elements, for the result's sums */
#define WEIGHTS4 17 /* between rows of weights */
#define PER (OWN / 8)     /* own rows (keys) of a lane, 8 apart */
#define UNROLL (PER > 2 ? 2 : 4) /* steps of a turn of the inner loops: about 128 multiply-adds */
#define FOR(i, n) [[unroll]] for (int i = 0; i < n; i++)
#define FOR4(i) FOR(i, 4)

/* Rows and keys for scores, own ones first; or [OTHER][CHUNK4]. */
shared vec4 slices[OTHER * CHUNK4];
shared vec4 weights[OWN * WEIGHTS4];       /* what scores become */
#ifdef DKV
#define TILE_ROWS OTHER
#define TILE_KEYS OWN
#define NUM_ROWS(h) (h).num_rows
shared float row_lse[OTHER], row_delta[OTHER];
#else
#define TILE_ROWS OWN
#define TILE_KEYS OTHER
#define NUM_ROWS(h) (p.queries * (h).group) /* zeros are written to the others */
#endif
shared uint q_at[TILE_ROWS], dout_at[TILE_ROWS]; /* of the tile's rows; NONE past the end */
shared uint row_begin[TILE_ROWS], row_num[TILE_ROWS]; /* the keys that a row sees: from, how many */

/* The lane's part of a tile: own rows (keys) own + 8 i; of the others four, 4 other + j, and of the
 * elements in a chunk as well. */
uint own = DLM_LOCAL_ID() / 16u, other = DLM_LOCAL_ID() % 16u;

/* Where row i of a slice lies. The lanes' fours of the others are a stride of 16 apart, so that
 * lanes read neighbours. */
uint slot_of(uint i, bool is_other)
{
    return is_other ? OWN + i % 4u * 16u + i / 4u : i;
}

/* Elements from 4 c0 on, `width` fours, of the tile's rows; zeros past the ends. */
void stage_rows(uint which, bool is_product, uint width, uint c0)
{
    for (uint e = DLM_LOCAL_ID(); e < TILE_ROWS * width; e += LANES) {
        const uint i = e / width, d = e % width, at = which == X_Q ? q_at[i] : dout_at[i];
        vec4 value = vec4(0.0);
        if (at != NONE && 4u * (c0 + d) < p.dim) {
#ifdef FORWARD
            value = q[at / 4u + c0 + d];
#else
            value = which == X_Q ? q[at / 4u + c0 + d] : dout[at / 4u + c0 + d];
#endif
        }
        slices[is_product ? slot_of(i, TILE_ROWS == OTHER) * STRIDE4 + d : i * width + d] = value;
    }
}

/* The same of keys [s0, s0 + TILE_KEYS). */
void stage_keys(kv_head h, uint which, bool is_product, uint width, uint s0, uint c0)
{
    const uint units = width / WIDE, lead = which == Y_K ? p.k_lead : p.v_lead;

    for (uint e = DLM_LOCAL_ID(); e < TILE_KEYS * units; e += LANES) {
        const uint i = e / units, d = e % units * WIDE;
        vec4 value[WIDE];
        FOR(w, WIDE) value[w] = vec4(0.0);
        if (s0 + i < h.mask.kv_len && 4u * (c0 + d) < p.dim) {
            const uint at = (lead + find_key(h, s0 + i)) / 4u + c0 + d;
#ifdef F32
            value[0] = which == Y_K ? k[at] : v[at];
#else
            const uvec4 u = which == Y_K ? k[at / 2u] : v[at / 2u];
#ifdef BF16
            value[0] = uintBitsToFloat(uvec4(u.x << 16, u.x & 0xffff0000u, u.y << 16,
                                             u.y & 0xffff0000u));
            value[1] = uintBitsToFloat(uvec4(u.z << 16, u.z & 0xffff0000u, u.w << 16,
                                             u.w & 0xffff0000u));
#else
            value[0] = vec4(unpackHalf2x16(u.x), unpackHalf2x16(u.y));
            value[1] = vec4(unpackHalf2x16(u.z), unpackHalf2x16(u.w));
#endif
#endif
        }
        const uint to = is_product ? slot_of(i, TILE_KEYS == OTHER) * STRIDE4 : i * width;
        FOR(w, WIDE) slices[to + d + w] = value[w];
    }
}

/* sums[i][j] = x . y for the lane's own rows (keys) and the others, x of the tile's rows and y of
 * keys from s0 on. */
void multiply(kv_head h, uint x, uint y, uint s0, out vec4 sums[PER])
{
    const uint other_at = (OWN + other) * STRIDE4, own_at = own * STRIDE4, num4 = (p.dim + 3u) / 4u;

    FOR(i, PER) sums[i] = vec4(0.0);
    [[dont_unroll]] for (uint c0 = 0u; c0 < num4; c0 += SLICE4) {
        barrier();
        stage_rows(x, true, SLICE4, c0);
        stage_keys(h, y, true, SLICE4, s0, c0);
        barrier();
        const uint end = min(num4 - c0, SLICE4);
        [[dont_unroll]] for (uint d0 = 0u; d0 < end; d0 += UNROLL) FOR(u, UNROLL) {
            const uint d = d0 + u; /* of zeros, if it is the end */
            vec4 a[PER], b[4];
            FOR(i, PER) a[i] = slices[own_at + 8 * i * STRIDE4 + d];
            FOR4(j) b[j] = slices[other_at + 16 * j * STRIDE4 + d];
            FOR4(k) FOR(i, PER) FOR4(j) sums[i][j] = fma(a[i][k], b[j][k], sums[i][j]);
        }
    }
}

/* sums += weights times chunk c of x of the tile's others: keys from s0 on, in dkv rows. */
void accumulate_chunk(kv_head h, uint x, uint s0, uint c, inout vec4 sums[PER])
{
    if (c * CHUNK4 * 4u >= p.dim)
        return;
    barrier();
#ifdef DKV
    stage_rows(x, false, CHUNK4, c * CHUNK4);
#else
    stage_keys(h, x, false, CHUNK4, s0, c * CHUNK4);
#endif
    barrier();
    [[dont_unroll]] for (uint o0 = 0u; o0 < OTHER / 4; o0 += UNROLL) FOR(u, UNROLL) {
        const uint o = o0 + u;
        vec4 w[PER], y[4];
        FOR(i, PER) w[i] = weights[(own + 8 * i) * WEIGHTS4 + o];
        FOR4(k) y[k] = slices[(4u * o + k) * CHUNK4 + other];
        FOR4(k) FOR(i, PER) sums[i] = fma(vec4(w[i][k]), y[k], sums[i]);
    }
}

/* The same of all chunks. Not a loop: RADV 26.1 would not unroll it, and select every sum. */
void accumulate(kv_head h, uint x, uint s0, inout vec4 sums[CHUNKS][PER])
{
    accumulate_chunk(h, x, s0, 0u, sums[0]);
    accumulate_chunk(h, x, s0, 1u, sums[1]);
#if CHUNKS == 4
    accumulate_chunk(h, x, s0, 2u, sums[2]);
    accumulate_chunk(h, x, s0, 3u, sums[3]);
#endif
}

void clear(out vec4 sums[CHUNKS][PER])
{
    FOR(c, CHUNKS) FOR(i, PER) sums[c][i] = vec4(0.0);
}

/* The tile's rows begin at r0. */
void enter_rows(kv_head h, uint r0)
{
    const uint lane = DLM_LOCAL_ID(), r = r0 + lane;

    if (lane < TILE_ROWS) {
        q_at[lane] = r < NUM_ROWS(h) ? find_q(h, r) : NONE;
        dout_at[lane] = r < NUM_ROWS(h) ? find_dout(h, r) : NONE;
        row_begin[lane] = find_begin(h, r);
        row_num[lane] = find_limit(h, r) - row_begin[lane];
    }
    barrier();
}

/* Keys [x, y) are those that any row of [r0, r0 + OWN) sees, from the begin of a tile. */
uvec2 find_keys(kv_head h, uint r0)
{
    return uvec2(find_begin(h, r0) / OTHER * OTHER,
                 r0 < h.num_rows ? find_limit(h, min(r0 + OWN, h.num_rows) - 1u) : 0u);
}

#ifndef DKV
/* factor[i] times the sums to own row i of those from r0 on. */
void write_sums(kv_head h, uint r0, uint part, vec4 sums[CHUNKS][PER], float factor[PER])
{
    FOR(i, PER) {
        const uint r = r0 + own + 8 * i;
        if (r < NUM_ROWS(h)) {
#ifdef SPLIT
            const uint at = part * p.split_stride + find_stat(h, r) * p.dim;
#else
            const uint at = find_out(h, r);
#endif
            FOR(c, CHUNKS) FOR4(j) {
                const uint d = (c * CHUNK4 + other) * 4u + j;
                if (d < p.dim)
                    result[at + d] = factor[i] * sums[c][i][j];
            }
        }
    }
}
#endif

#ifdef FORWARD
shared vec4 lane_stats[OWN * 5]; /* of a row one from each of its lanes; a stride of 20 */

/* Of each own row the largest (the sum) of what its lanes bring. */
void gather(float mine[PER], bool is_sum, out float all[PER])
{
    FOR(i, PER) lane_stats[(own + 8 * i) * 5 + other / 4u][other % 4u] = mine[i];
    barrier();
    FOR(i, PER) {
        vec4 x[4];
        FOR4(k) x[k] = lane_stats[(own + 8 * i) * 5 + k];
        const vec4 sum = x[0] + x[1] + (x[2] + x[3]);
        const vec4 most = max(max(x[0], x[1]), max(x[2], x[3]));
        all[i] = is_sum ? sum.x + sum.y + (sum.z + sum.w)
                        : max(max(most.x, most.y), max(most.z, most.w));
    }
}

void main()
{
#ifdef SPLIT
    const uint parts = p.parts;
#else
    const uint parts = 1u;
#endif
    const kv_head h = find_head();
    const uint r0 = gl_WorkGroupID.x / parts * OWN, part = gl_WorkGroupID.x % parts;
    const uvec2 keys = find_keys(h, r0);
    const uint tiles = keys.y > keys.x ? (keys.y - keys.x + OTHER - 1u) / OTHER : 0u;
    const uint s_begin = keys.x + (tiles + parts - 1u) / parts * part * OTHER;
    const uint s_end = min(keys.y, s_begin + (tiles + parts - 1u) / parts * OTHER);
    vec4 sums[CHUNKS][PER];
    float total[PER], most[PER], factor[PER];
    uint begin[PER], num[PER];

    enter_rows(h, r0);
    clear(sums);
    FOR(i, PER) {
        begin[i] = row_begin[own + 8 * i];
        num[i] = row_num[own + 8 * i];
        total[i] = 0.0;
        most[i] = LOWEST;
    }
    [[dont_unroll]] for (uint s0 = s_begin; s0 < s_end; s0 += OTHER) {
        const uint s = s0 + 4u * other;
        vec4 scores[PER];
        float best[PER];
        multiply(h, X_Q, Y_K, s0, scores);
        FOR(i, PER) {
            FOR4(j) scores[i][j] =
                s + j - begin[i] < num[i] ? score_of(scores[i][j]) : LOWEST;
            best[i] = max(max(scores[i].x, scores[i].y), max(scores[i].z, scores[i].w));
        }
        gather(best, false, best);
        FOR(i, PER) {
            const float before = most[i];
            most[i] = max(before, best[i]);
            const float rescale = exp(before - most[i]);
            vec4 e = exp(scores[i] - most[i]);
            FOR4(j) e[j] = s + j - begin[i] < num[i] ? e[j] : 0.0;
            weights[(own + 8 * i) * WEIGHTS4 + other] = e;
            total[i] = total[i] * rescale + (e.x + e.y + (e.z + e.w));
            FOR(c, CHUNKS) sums[c][i] *= rescale;
        }
        accumulate(h, Y_V, s0, sums);
    }
    barrier();
    gather(total, true, total);
    FOR(i, PER) {
        const uint r = r0 + own + 8 * i;
        const bool writes = r < NUM_ROWS(h) && other == 0u;
#ifdef SPLIT
        factor[i] = 1.0;
        if (writes) {
            const uint at = 2u * (part * (p.split_stride / p.dim) + find_stat(h, r));
            lse[at] = most[i];
            lse[at + 1u] = total[i];
        }
#else
        factor[i] = num[i] > 0u ? 1.0 / total[i] : 0.0;
        if (writes)
            lse[find_stat(h, r)] = num[i] > 0u ? most[i] + log(total[i]) : 0.0;
#endif
    }
    write_sums(h, r0, part, sums, factor);
}
#endif

#ifdef DQ
void main()
{
    const kv_head h = find_head();
    const uint r0 = gl_WorkGroupID.x * OWN;
    const uvec2 keys = find_keys(h, r0);
    vec4 sums[CHUNKS][PER];
    float own_lse[PER], own_delta[PER], factor[PER];
    uint begin[PER], num[PER];

    enter_rows(h, r0);
    clear(sums);
    FOR(i, PER) {
        const uint r = r0 + own + 8 * i, stat = r < NUM_ROWS(h) ? find_stat(h, r) : 0u;
        begin[i] = row_begin[own + 8 * i];
        num[i] = row_num[own + 8 * i];
        own_lse[i] = lse[stat];
        own_delta[i] = delta[stat];
        factor[i] = p.scale;
    }
    [[dont_unroll]] for (uint s0 = keys.x; s0 < keys.y; s0 += OTHER) {
        vec4 scores[PER], dscores[PER];
        multiply(h, X_Q, Y_K, s0, scores);
        multiply(h, X_DOUT, Y_V, s0, dscores);
        FOR(i, PER) {
            vec4 weight;
            FOR4(j) {
                const float score = score_of(scores[i][j]);
                const float e = exp(score - own_lse[i]) * (dscores[i][j] - own_delta[i]);
                weight[j] = s0 + 4u * other + j - begin[i] < num[i] ? e * slope_of(score) : 0.0;
            }
            weights[(own + 8 * i) * WEIGHTS4 + other] = weight;
        }
        accumulate(h, Y_K, s0, sums);
    }
    write_sums(h, r0, 0u, sums, factor);
}
#endif

#ifdef DKV
void main()
{
    const uint split = gl_WorkGroupID.x % p.splits;
    const kv_head h = find_head(gl_WorkGroupID.y, split);
    const uint s0 = gl_WorkGroupID.x / p.splits * OWN, lane = DLM_LOCAL_ID();
    const uint end = find_end_row(h, s0 + OWN - 1u);
    vec4 dk_sums[CHUNKS][PER], dv_sums[CHUNKS][PER];

    clear(dk_sums);
    clear(dv_sums);
    [[dont_unroll]] for (uint r0 = find_first_row(h, s0); r0 < end; r0 += OTHER) {
        vec4 scores[PER], dscores[PER];
        barrier();
        if (lane < OTHER && r0 + lane < h.num_rows) {
            row_lse[lane] = lse[find_stat(h, r0 + lane)];
            row_delta[lane] = delta[find_stat(h, r0 + lane)];
        }
        enter_rows(h, r0);
        multiply(h, X_Q, Y_K, s0, scores);
        multiply(h, X_DOUT, Y_V, s0, dscores);
        FOR(i, PER) {
            vec4 weight;
            FOR4(j) {
                const uint o = 4u * other + j, s = s0 + own + 8 * i;
                const bool is_seen = s - row_begin[o] < row_num[o];
                const float score = score_of(scores[i][j]);
                const float e = is_seen ? exp(score - row_lse[o]) : 0.0;
                const float d = e * (dscores[i][j] - row_delta[o]) * slope_of(score);
                weight[j] = e;
                dscores[i][j] = is_seen ? d : 0.0;
            }
            weights[(own + 8 * i) * WEIGHTS4 + other] = weight;
        }
        accumulate(h, X_DOUT, s0, dv_sums);
        barrier();
        FOR(i, PER) weights[(own + 8 * i) * WEIGHTS4 + other] = dscores[i];
        accumulate(h, X_Q, s0, dk_sums);
    }
    FOR(c, CHUNKS) FOR(i, PER) FOR4(j) {
        const uint d = (c * CHUNK4 + other) * 4u + j, s = s0 + own + 8 * i;
        if (s < p.keys && d < p.dim) {
            const uint at = split * p.split_stride + find_dkey(h, s) + d;
            dk[p.out_lead + at] = p.scale * dk_sums[c][i][j];
            dv[p.out2_lead + at] = dv_sums[c][i][j];
        }
    }
}
#endif
