/* attention and its backward in tiles of scores, which never leave the chip. A query sees the keys
 * from its begin (0 without a window) up to its limit, and neither falls from query to query: what
 * a tile may skip is known from its ends.
 *
 * attention_<kv> (heads up to 256) and attention_128_<kv>: a work-group keeps OWN rows, goes over
 * tiles of 32 keys and holds the result's sums in registers; attention_dq alike; attention_dkv
 * keeps OWN keys and goes over the rows of all its query heads in order. Operands come to shared
 * memory in slices. Groups: {blocks of rows (keys), kv heads, batch}. */
//! attention_f32 -DDLM_KV=F32 -DFORWARD -DCHUNKS=4 -DOWN=32u -DLANES=128
//! attention_f16 -DDLM_KV=F16 -DFORWARD -DCHUNKS=4 -DOWN=32u -DLANES=128
//! attention_bf16 -DDLM_KV=BF16 -DFORWARD -DCHUNKS=4 -DOWN=32u -DLANES=128
//! attention_128_f32 -DDLM_KV=F32 -DFORWARD -DCHUNKS=2 -DOWN=32u -DLANES=128
//! attention_128_f16 -DDLM_KV=F16 -DFORWARD -DCHUNKS=2 -DOWN=32u -DLANES=128
//! attention_128_bf16 -DDLM_KV=BF16 -DFORWARD -DCHUNKS=2 -DOWN=32u -DLANES=128
//! attention_dq_f32 -DDLM_KV=F32 -DDQ -DCHUNKS=4 -DOWN=32u -DLANES=128
//! attention_dq_f16 -DDLM_KV=F16 -DDQ -DCHUNKS=4 -DOWN=32u -DLANES=128
//! attention_dq_bf16 -DDLM_KV=BF16 -DDQ -DCHUNKS=4 -DOWN=32u -DLANES=128
//! attention_dq_128_f32 -DDLM_KV=F32 -DDQ -DCHUNKS=2 -DOWN=32u -DLANES=128
//! attention_dq_128_f16 -DDLM_KV=F16 -DDQ -DCHUNKS=2 -DOWN=32u -DLANES=128
//! attention_dq_128_bf16 -DDLM_KV=BF16 -DDQ -DCHUNKS=2 -DOWN=32u -DLANES=128
//! attention_dkv_f32 -DDLM_KV=F32 -DDKV -DCHUNKS=4 -DOWN=16u -DLANES=128
//! attention_dkv_f16 -DDLM_KV=F16 -DDKV -DCHUNKS=4 -DOWN=16u -DLANES=128
//! attention_dkv_bf16 -DDLM_KV=BF16 -DDKV -DCHUNKS=4 -DOWN=16u -DLANES=128
//! attention_dkv_128_f32 -DDLM_KV=F32 -DDKV -DCHUNKS=2 -DOWN=32u -DLANES=128
//! attention_dkv_128_f16 -DDLM_KV=F16 -DDKV -DCHUNKS=2 -DOWN=32u -DLANES=128
//! attention_dkv_128_bf16 -DDLM_KV=BF16 -DDKV -DCHUNKS=2 -DOWN=32u -DLANES=128
#version 450
#extension GL_GOOGLE_include_directive : require
#include "attention_head.glsl"

#define OTHER 32u      /* keys (dkv: rows) of a tile */
#define SLICE 32u      /* of the head's elements in shared memory, for scores */
#define CHUNK 64u      /* the same, for the result's sums */
#define PER int(OWN / 8u) /* own rows (keys) of a lane, 8 apart */
#define PER_OTHER 2    /* scores of a lane in each of them, 16 apart */
#define PER_CHUNK 4    /* results of a lane in each of them and each chunk, 16 apart */
#define FOR(i, n) [[unroll]] for (int i = 0; i < n; i++)

shared float slices[OTHER * (CHUNK + 2u)]; /* of rows, of keys; or [OTHER][CHUNK] */
shared float weights[OWN][OTHER + 1u];             /* scores, then what they become */
shared uint q_at[32], dout_at[32]; /* of the rows of the tile; NONE past the end */
shared uint row_begin[32], row_num[32]; /* the keys that a row sees: how many from where */
#ifdef FORWARD
shared float row_max[OWN], row_rescale[OWN];
#endif
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

/* The lane's part of a tile: own rows (keys) own + 8 i; others, and columns, other + 16 j. */
uint own = DLM_LOCAL_ID() / 16u, other = DLM_LOCAL_ID() % 16u;

/* Elements [c0, c0 + width) of the tile's rows, zeros past the ends. */
void stage_rows(uint which, uint to, uint stride, uint width, uint c0)
{
    for (uint e = DLM_LOCAL_ID(); e < TILE_ROWS * width; e += LANES) {
        const uint i = e / width, d = e % width, at = which == X_Q ? q_at[i] : dout_at[i];
        slices[to + i * stride + d] =
            at != NONE && c0 + d < p.dim ? load_x(which, at + c0 + d) : 0.0;
    }
}

/* The same of keys [s0, s0 + TILE_KEYS). */
void stage_keys(kv_head h, uint which, uint to, uint stride, uint width, uint s0, uint c0)
{
    for (uint e = DLM_LOCAL_ID(); e < TILE_KEYS * width; e += LANES) {
        const uint i = e / width, d = e % width;
        float value = 0.0;
        if (s0 + i < h.mask.kv_len && c0 + d < p.dim)
            value = load_y(which, find_key(h, s0 + i) + c0 + d);
        slices[to + i * stride + d] = value;
    }
}

/* sums[i][j] = x . y for the lane's own rows (keys) and the others, x of the tile's rows and y of
 * keys from s0 on. */
void multiply(kv_head h, uint x, uint y, uint s0, out float sums[PER][PER_OTHER])
{
    const uint keys_at = TILE_ROWS * (SLICE + 1u);
#ifdef DKV
    const uint own_at = keys_at + own * (SLICE + 1u), other_at = other * (SLICE + 1u);
#else
    const uint own_at = own * (SLICE + 1u), other_at = keys_at + other * (SLICE + 1u);
#endif

    FOR(i, PER) FOR(j, PER_OTHER) sums[i][j] = 0.0;
    [[dont_unroll]] for (uint c0 = 0u; c0 < p.dim; c0 += SLICE) {
        barrier();
        stage_rows(x, 0u, SLICE + 1u, SLICE, c0);
        stage_keys(h, y, keys_at, SLICE + 1u, SLICE, s0, c0);
        barrier();
        [[dont_unroll]] for (uint d = 0u; d < SLICE; d++) {
            float a[PER], b[PER_OTHER];
            FOR(i, PER) a[i] = slices[own_at + 8 * i * (SLICE + 1u) + d];
            FOR(j, PER_OTHER) b[j] = slices[other_at + 16 * j * (SLICE + 1u) + d];
            FOR(i, PER) FOR(j, PER_OTHER) sums[i][j] = fma(a[i], b[j], sums[i][j]);
        }
    }
}

/* sums += weights times x of the tile's others: keys from s0 on, in dkv rows. */
void accumulate(kv_head h, uint x, uint s0, inout float sums[CHUNKS][PER][PER_CHUNK])
{
    FOR(c, CHUNKS) if (c * CHUNK < p.dim) {
        barrier();
#ifdef DKV
        stage_rows(x, 0u, CHUNK, CHUNK, c * CHUNK);
#else
        stage_keys(h, x, 0u, CHUNK, CHUNK, s0, c * CHUNK);
#endif
        barrier();
        [[dont_unroll]] for (uint o = 0u; o < OTHER; o++) {
            float w[PER], y[PER_CHUNK];
            FOR(i, PER) w[i] = weights[own + 8 * i][o];
            FOR(j, PER_CHUNK) y[j] = slices[o * CHUNK + other + 16 * j];
            FOR(i, PER) FOR(j, PER_CHUNK) sums[c][i][j] = fma(w[i], y[j], sums[c][i][j]);
        }
    }
}

void clear(out float sums[CHUNKS][PER][PER_CHUNK])
{
    FOR(c, CHUNKS) FOR(i, PER) FOR(j, PER_CHUNK) sums[c][i][j] = 0.0;
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

/* The tile of keys with which rows from r0 on begin. */
uint find_start(kv_head h, uint r0)
{
    return find_begin(h, r0) / OTHER * OTHER;
}

/* The end of the keys that any row of [r0, r0 + OWN) sees. */
uint find_end(kv_head h, uint r0)
{
    return r0 < h.num_rows ? find_limit(h, min(r0 + OWN, h.num_rows) - 1u) : 0u;
}

#ifndef DKV
/* factor[i] times the sums to own row i of those from r0 on. */
void write_sums(kv_head h, uint r0, float sums[CHUNKS][PER][PER_CHUNK], float factor[PER])
{
    FOR(i, PER) {
        const uint r = r0 + own + 8 * i, at = find_out(h, r);
        FOR(c, CHUNKS) FOR(j, PER_CHUNK) {
            const uint d = c * CHUNK + other + 16 * j;
            if (r < NUM_ROWS(h) && d < p.dim)
                result[at + d] = factor[i] * sums[c][i][j];
        }
    }
}
#endif

#ifdef FORWARD
/* Scores to exp(score - max of the row so far); max and what it rescales by. */
void soften(uint begin[PER], uint num[PER], uint s0, float scores[PER][PER_OTHER])
{
    const uint lane = DLM_LOCAL_ID();

    FOR(i, PER) FOR(j, PER_OTHER) {
        const uint o = other + 16 * j;
        const bool is_seen = s0 + o - begin[i] < num[i];
        scores[i][j] = is_seen ? score_of(scores[i][j]) : LOWEST;
        weights[own + 8 * i][o] = scores[i][j];
    }
    barrier();
    if (lane < OWN) {
        const float before = row_max[lane];
        float most = before;
        for (uint o = 0u; o < OTHER; o++)
            most = max(most, weights[lane][o]);
        row_max[lane] = most;
        row_rescale[lane] = exp(before - most);
    }
    barrier();
    FOR(i, PER) FOR(j, PER_OTHER) {
        const uint o = other + 16 * j;
        const bool is_seen = s0 + o - begin[i] < num[i];
        weights[own + 8 * i][o] = is_seen ? exp(scores[i][j] - row_max[own + 8 * i]) : 0.0;
    }
    barrier();
}

void main()
{
    const kv_head h = find_head();
    const uint r0 = gl_WorkGroupID.x * OWN, end = find_end(h, r0);
    float sums[CHUNKS][PER][PER_CHUNK], total[PER], factor[PER];
    uint begin[PER], num[PER];

    if (DLM_LOCAL_ID() < OWN)
        row_max[DLM_LOCAL_ID()] = LOWEST;
    enter_rows(h, r0);
    clear(sums);
    FOR(i, PER) {
        begin[i] = row_begin[own + 8 * i];
        num[i] = row_num[own + 8 * i];
        total[i] = 0.0;
    }
    [[dont_unroll]] for (uint s0 = find_start(h, r0); s0 < end; s0 += OTHER) {
        float scores[PER][PER_OTHER];
        multiply(h, X_Q, Y_K, s0, scores);
        soften(begin, num, s0, scores);
        FOR(i, PER) {
            const float rescale = row_rescale[own + 8 * i];
            total[i] *= rescale;
            [[dont_unroll]] for (uint o = 0u; o < OTHER; o++)
                total[i] += weights[own + 8 * i][o];
            FOR(c, CHUNKS) FOR(j, PER_CHUNK) sums[c][i][j] *= rescale;
        }
        accumulate(h, Y_V, s0, sums);
    }
    FOR(i, PER) {
        factor[i] = num[i] > 0u ? 1.0 / total[i] : 0.0;
        if (q_at[own + 8 * i] != NONE && other == 0u)
            lse[find_stat(h, r0 + own + 8 * i)] =
                num[i] > 0u ? row_max[own + 8 * i] + log(total[i]) : 0.0;
    }
    write_sums(h, r0, sums, factor);
}
#endif

#ifdef DQ
void main()
{
    const kv_head h = find_head();
    const uint r0 = gl_WorkGroupID.x * OWN, end = find_end(h, r0);
    float sums[CHUNKS][PER][PER_CHUNK], own_lse[PER], own_delta[PER], factor[PER];
    uint begin[PER], num[PER];

    enter_rows(h, r0);
    clear(sums);
    FOR(i, PER) {
        const uint stat = q_at[own + 8 * i] != NONE ? find_stat(h, r0 + own + 8 * i) : 0u;
        begin[i] = row_begin[own + 8 * i];
        num[i] = row_num[own + 8 * i];
        own_lse[i] = lse[stat];
        own_delta[i] = delta[stat];
        factor[i] = p.scale;
    }
    [[dont_unroll]] for (uint s0 = find_start(h, r0); s0 < end; s0 += OTHER) {
        float scores[PER][PER_OTHER], dscores[PER][PER_OTHER];
        multiply(h, X_Q, Y_K, s0, scores);
        multiply(h, X_DOUT, Y_V, s0, dscores);
        FOR(i, PER) FOR(j, PER_OTHER) {
            const uint o = other + 16 * j;
            float weight = 0.0;
            if (s0 + o - begin[i] < num[i]) {
                const float score = score_of(scores[i][j]);
                weight = exp(score - own_lse[i]) * (dscores[i][j] - own_delta[i]) * slope_of(score);
            }
            weights[own + 8 * i][o] = weight;
        }
        accumulate(h, Y_K, s0, sums);
    }
    write_sums(h, r0, sums, factor);
}
#endif

#ifdef DKV
void main()
{
    const kv_head h = find_head();
    const uint s0 = gl_WorkGroupID.x * OWN, lane = DLM_LOCAL_ID();
    const uint end = find_end_row(h, s0 + OWN - 1u);
    float dk_sums[CHUNKS][PER][PER_CHUNK], dv_sums[CHUNKS][PER][PER_CHUNK];

    clear(dk_sums);
    clear(dv_sums);
    [[dont_unroll]] for (uint r0 = find_first_row(h, s0); r0 < end; r0 += OTHER) {
        float scores[PER][PER_OTHER], dscores[PER][PER_OTHER];
        barrier();
        if (lane < OTHER && r0 + lane < h.num_rows) {
            row_lse[lane] = lse[find_stat(h, r0 + lane)];
            row_delta[lane] = delta[find_stat(h, r0 + lane)];
        }
        enter_rows(h, r0);
        multiply(h, X_Q, Y_K, s0, scores);
        multiply(h, X_DOUT, Y_V, s0, dscores);
        FOR(i, PER) FOR(j, PER_OTHER) {
            const uint o = other + 16 * j, s = s0 + own + 8 * i;
            float e = 0.0, d = 0.0;
            if (s - row_begin[o] < row_num[o]) {
                const float score = score_of(scores[i][j]);
                e = exp(score - row_lse[o]);
                d = e * (dscores[i][j] - row_delta[o]) * slope_of(score);
            }
            dscores[i][j] = d;
            weights[own + 8 * i][o] = e;
        }
        accumulate(h, X_DOUT, s0, dv_sums);
        barrier();
        FOR(i, PER) FOR(j, PER_OTHER) weights[own + 8 * i][other + 16 * j] = dscores[i][j];
        accumulate(h, X_Q, s0, dk_sums);
    }
    FOR(c, CHUNKS) FOR(i, PER) FOR(j, PER_CHUNK) {
        const uint d = c * CHUNK + other + 16 * j, s = s0 + own + 8 * i;
        if (s < p.keys && d < p.dim) {
            dk[p.out_lead + find_dkey(h, s) + d] = p.scale * dk_sums[c][i][j];
            dv[p.out2_lead + find_dkey(h, s) + d] = dv_sums[c][i][j];
        }
    }
}
#endif
