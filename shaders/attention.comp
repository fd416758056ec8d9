/* attention and its backward in tiles of scores, which never leave the chip. The queries of a kv
 * head are rows r = t * G + g, G query heads to a kv head. A query sees the first keys only, up to
 * its limit, and the limit grows with t: what a tile may skip is known from its ends.
 *
 * - attention_<kv> (heads up to 256) and attention_128_<kv>: a work-group keeps OWN rows, goes over
 *   tiles of 32 keys and holds the result's sums in registers; attention_dq alike; attention_dkv
 *   keeps OWN keys and goes over the rows of all its query heads in order. Operands come to shared
 *   memory in slices.
 * - *_nolocal, for CPUs, where barriers are slow, and for larger heads: a lane keeps a row (a key)
 *   and its sums in the result itself.
 *
 * Groups: {blocks of rows (keys), kv heads, batch}. */
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
//! attention_f32_nolocal -DDLM_KV=F32 -DFORWARD -DLANES=64
//! attention_f16_nolocal -DDLM_KV=F16 -DFORWARD -DLANES=64
//! attention_bf16_nolocal -DDLM_KV=BF16 -DFORWARD -DLANES=64
//! attention_dq_f32_nolocal -DDLM_KV=F32 -DDQ -DLANES=64
//! attention_dq_f16_nolocal -DDLM_KV=F16 -DDQ -DLANES=64
//! attention_dq_bf16_nolocal -DDLM_KV=BF16 -DDQ -DLANES=64
//! attention_dkv_f32_nolocal -DDLM_KV=F32 -DDKV -DLANES=64
//! attention_dkv_f16_nolocal -DDLM_KV=F16 -DDKV -DLANES=64
//! attention_dkv_bf16_nolocal -DDLM_KV=BF16 -DDKV -DLANES=64
//! attention_delta -DDELTA -DLANES=64
#version 450
#extension GL_GOOGLE_include_directive : require
#include "prelude.glsl"

layout(local_size_x = LANES) in;

#define PASTE_(x, y) x##y
#define PASTE(x, y) PASTE_(x, y)

#if defined(DELTA)
DLM_IN(0, float, dout)
DLM_IN(1, float, result)
DLM_OUT(2, float, delta)
#else
DLM_IN(0, float, q)
DLM_IN(1, PASTE(DLM_T_, DLM_KV), k)
DLM_IN(2, PASTE(DLM_T_, DLM_KV), v)
#if defined(FORWARD)
DLM_IN(3, int, rows)
DLM_OUT(4, float, result)
DLM_OUT(5, float, lse)
#else
DLM_IN(3, float, dout)
DLM_IN(4, float, lse)
DLM_IN(5, float, delta)
DLM_IN(6, int, rows)
#if defined(DQ)
DLM_OUT(7, float, result)
#else
DLM_OUT(7, float, dk)
DLM_OUT(8, float, dv)
#endif
#endif
#endif
DLM_PARAMS(dlm_attention_params)

#define LOWEST (-1.701411733e38) /* half of the lowest float: differences stay finite */
#define NONE 0xffffffffu

#ifndef DELTA
/* Operands by number, so that functions can take them: q and dout, k and v. */
#define X_Q 0u
#define X_DOUT 1u
#define Y_K 0u
#define Y_V 1u

float load_x(uint which, uint at)
{
#ifdef FORWARD
    return q[at];
#else
    return which == X_Q ? q[at] : dout[at];
#endif
}

float load_y(uint which, uint at)
{
    if (which == Y_K)
        return PASTE(DLM_LOAD_, DLM_KV)(k, at);
    return PASTE(DLM_LOAD_, DLM_KV)(v, at);
}

/* The kv head of a work-group, and the mask of its batch row. */
struct kv_head {
    uint batch, index, group; /* group: query heads to a kv head */
    int q_start, prefix_len;
    uint kv_len, num_rows; /* num_rows: those that are computed, T * G at most */
};

kv_head find_head()
{
    kv_head h;

    h.batch = gl_WorkGroupID.z;
    h.index = gl_WorkGroupID.y;
    h.group = p.heads / p.kv_heads;
    h.q_start = rows[4u * h.batch];
    h.kv_len = min(uint(max(rows[4u * h.batch + 1u], 0)), p.keys);
    h.prefix_len = rows[4u * h.batch + 2u];
    h.num_rows = min(uint(max(rows[4u * h.batch + 3u], 0)), p.queries) * h.group;
    return h;
}

/* How many keys row r sees. */
uint find_limit(kv_head h, uint r)
{
    const int at = h.q_start + int(r / h.group);
    const int end = at < h.prefix_len ? h.prefix_len : at + 1;

    if (r >= h.num_rows)
        return 0u;
    return p.mode == DLM_ATTENTION_PREFIX_MODE ? min(h.kv_len, uint(max(end, 0))) : h.kv_len;
}

/* The first row that sees key s. */
uint find_first_row(kv_head h, uint s)
{
    if (s >= h.kv_len)
        return h.num_rows;
    if (p.mode != DLM_ATTENTION_PREFIX_MODE || int(s) < h.prefix_len)
        return 0u;
    return min(uint(max(int(s) - h.q_start, 0)) * h.group, h.num_rows);
}

/* Element 0 of row r in q, out and their gradients; of key s in k and v; and r in lse, delta. */
uint find_row(kv_head h, uint r)
{
    const uint t = h.batch * p.queries + r / h.group;
    return (t * p.heads + h.index * h.group + r % h.group) * p.dim;
}

uint find_key(kv_head h, uint s)
{
    return ((h.batch * p.keys + s) * p.kv_heads + h.index) * p.dim;
}

uint find_stat(kv_head h, uint r)
{
    const uint head = h.batch * p.heads + h.index * h.group + r % h.group;
    return head * p.queries + r / h.group;
}
#endif

#ifdef CHUNKS
#define OTHER 32u      /* keys (dkv: rows) of a tile */
#define SLICE 32u      /* of the head's elements in shared memory, for scores */
#define CHUNK 64u      /* the same, for the result's sums */
#define PER int(OWN / 8u) /* own rows (keys) of a lane, 8 apart */
#define PER_OTHER 2    /* scores of a lane in each of them, 16 apart */
#define PER_CHUNK 4    /* results of a lane in each of them and each chunk, 16 apart */
#define FOR(i, n) [[unroll]] for (int i = 0; i < n; i++)

shared float slices[OTHER * (CHUNK + 2u)]; /* of rows, of keys; or [OTHER][CHUNK] */
shared float weights[OWN][OTHER + 1u];             /* scores, then what they become */
shared uint row_at[32]; /* of the rows of the tile; NONE past the end */
shared uint row_limit[32];
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
        const uint i = e / width, d = e % width, at = row_at[i];
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
        if (s0 + i < h.kv_len && c0 + d < p.dim)
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
        row_at[lane] = r < NUM_ROWS(h) ? find_row(h, r) : NONE;
        row_limit[lane] = find_limit(h, r);
    }
    barrier();
}

/* The keys that any row of [r0, r0 + OWN) sees. */
uint find_end(kv_head h, uint r0)
{
    return r0 < h.num_rows ? find_limit(h, min(r0 + OWN, h.num_rows) - 1u) : 0u;
}

#ifndef DKV
/* factor[i] times the sums to own row i. */
void write_sums(float sums[CHUNKS][PER][PER_CHUNK], float factor[PER])
{
    FOR(c, CHUNKS) FOR(i, PER) FOR(j, PER_CHUNK) {
        const uint d = c * CHUNK + other + 16 * j, at = row_at[own + 8 * i];
        if (at != NONE && d < p.dim)
            result[at + d] = factor[i] * sums[c][i][j];
    }
}
#endif

#ifdef FORWARD
/* Scores to exp(score - max of the row so far); max and what it rescales by. */
void soften(uint limit[PER], uint s0, float scores[PER][PER_OTHER])
{
    const uint lane = DLM_LOCAL_ID();

    FOR(i, PER) FOR(j, PER_OTHER) {
        const uint o = other + 16 * j;
        scores[i][j] = s0 + o < limit[i] ? scores[i][j] * p.scale : LOWEST;
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
        weights[own + 8 * i][o] =
            s0 + o < limit[i] ? exp(scores[i][j] - row_max[own + 8 * i]) : 0.0;
    }
    barrier();
}

void main()
{
    const kv_head h = find_head();
    const uint r0 = gl_WorkGroupID.x * OWN, end = find_end(h, r0);
    float sums[CHUNKS][PER][PER_CHUNK], total[PER], factor[PER];
    uint limit[PER];

    if (DLM_LOCAL_ID() < OWN)
        row_max[DLM_LOCAL_ID()] = LOWEST;
    enter_rows(h, r0);
    clear(sums);
    FOR(i, PER) {
        limit[i] = row_limit[own + 8 * i];
        total[i] = 0.0;
    }
    [[dont_unroll]] for (uint s0 = 0u; s0 < end; s0 += OTHER) {
        float scores[PER][PER_OTHER];
        multiply(h, X_Q, Y_K, s0, scores);
        soften(limit, s0, scores);
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
        factor[i] = limit[i] > 0u ? 1.0 / total[i] : 0.0;
        if (row_at[own + 8 * i] != NONE && other == 0u)
            lse[find_stat(h, r0 + own + 8 * i)] =
                limit[i] > 0u ? row_max[own + 8 * i] + log(total[i]) : 0.0;
    }
    write_sums(sums, factor);
}
#endif

#ifdef DQ
void main()
{
    const kv_head h = find_head();
    const uint r0 = gl_WorkGroupID.x * OWN, end = find_end(h, r0);
    float sums[CHUNKS][PER][PER_CHUNK], own_lse[PER], own_delta[PER], factor[PER];
    uint limit[PER];

    enter_rows(h, r0);
    clear(sums);
    FOR(i, PER) {
        const uint stat = row_at[own + 8 * i] != NONE ? find_stat(h, r0 + own + 8 * i) : 0u;
        limit[i] = row_limit[own + 8 * i];
        own_lse[i] = lse[stat];
        own_delta[i] = delta[stat];
        factor[i] = p.scale;
    }
    [[dont_unroll]] for (uint s0 = 0u; s0 < end; s0 += OTHER) {
        float scores[PER][PER_OTHER], dscores[PER][PER_OTHER];
        multiply(h, X_Q, Y_K, s0, scores);
        multiply(h, X_DOUT, Y_V, s0, dscores);
        FOR(i, PER) FOR(j, PER_OTHER) {
            const uint o = other + 16 * j;
            float weight = 0.0;
            if (s0 + o < limit[i])
                weight = exp(scores[i][j] * p.scale - own_lse[i]) * (dscores[i][j] - own_delta[i]);
            weights[own + 8 * i][o] = weight;
        }
        accumulate(h, Y_K, s0, sums);
    }
    write_sums(sums, factor);
}
#endif

#ifdef DKV
void main()
{
    const kv_head h = find_head();
    const uint s0 = gl_WorkGroupID.x * OWN, lane = DLM_LOCAL_ID();
    float dk_sums[CHUNKS][PER][PER_CHUNK], dv_sums[CHUNKS][PER][PER_CHUNK];

    clear(dk_sums);
    clear(dv_sums);
    [[dont_unroll]] for (uint r0 = find_first_row(h, s0); r0 < h.num_rows; r0 += OTHER) {
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
            const uint o = other + 16 * j;
            float e = 0.0, d = 0.0;
            if (s0 + own + 8 * i < row_limit[o]) {
                e = exp(scores[i][j] * p.scale - row_lse[o]);
                d = e * (dscores[i][j] - row_delta[o]);
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
            dk[find_key(h, s) + d] = p.scale * dk_sums[c][i][j];
            dv[find_key(h, s) + d] = dv_sums[c][i][j];
        }
    }
}
#endif
#elif !defined(DELTA)
#define TILE 16 /* keys (dkv: rows) at a time */
#define FOR_TILE(j) [[unroll]] for (int j = 0; j < TILE; j++)

#ifndef DKV
/* scores[j] = x . y for the lane's row and keys from s0 on; those past the last one repeat it. */
void multiply(kv_head h, uint x, uint x_at, uint y, uint s0, out float scores[TILE])
{
    uint y_at[TILE];

    FOR_TILE(j) {
        y_at[j] = find_key(h, min(s0 + j, h.kv_len - 1u));
        scores[j] = 0.0;
    }
    [[dont_unroll]] for (uint d = 0u; d < p.dim; d++) {
        const float a = load_x(x, x_at + d);
        FOR_TILE(j) scores[j] = fma(a, load_y(y, y_at[j] + d), scores[j]);
    }
}

/* The row at `at` of the result: factor times what it was (0: nothing) plus weights times y. */
void accumulate(kv_head h, uint at, float factor, float weights[TILE], uint y, uint s0)
{
    uint y_at[TILE];

    FOR_TILE(j) y_at[j] = find_key(h, min(s0 + j, h.kv_len - 1u));
    [[dont_unroll]] for (uint d = 0u; d < p.dim; d++) {
        float sum = factor != 0.0 ? factor * result[at + d] : 0.0;
        FOR_TILE(j) sum = fma(weights[j], load_y(y, y_at[j] + d), sum);
        result[at + d] = sum;
    }
}
#endif

#ifdef FORWARD
void main()
{
    const kv_head h = find_head();
    const uint r = gl_WorkGroupID.x * LANES + DLM_LOCAL_ID();
    if (r >= p.queries * h.group)
        return;
    const uint at = find_row(h, r), limit = find_limit(h, r);
    float most = LOWEST, total = 0.0;

    [[dont_unroll]] for (uint s0 = 0u; s0 < limit; s0 += TILE) {
        float weights[TILE];
        const float before = most;
        multiply(h, X_Q, at, Y_K, s0, weights);
        FOR_TILE(j) {
            weights[j] *= p.scale;
            most = s0 + j < limit ? max(most, weights[j]) : most;
        }
        const float rescale = exp(before - most);
        total *= rescale;
        FOR_TILE(j) {
            weights[j] = s0 + j < limit ? exp(weights[j] - most) : 0.0;
            total += weights[j];
        }
        accumulate(h, at, s0 > 0u ? rescale : 0.0, weights, Y_V, s0);
    }
    for (uint d = 0u; d < p.dim; d++)
        result[at + d] = limit > 0u ? result[at + d] / total : 0.0;
    lse[find_stat(h, r)] = limit > 0u ? most + log(total) : 0.0;
}
#endif

#ifdef DQ
void main()
{
    const kv_head h = find_head();
    const uint r = gl_WorkGroupID.x * LANES + DLM_LOCAL_ID();
    if (r >= p.queries * h.group)
        return;
    const uint at = find_row(h, r), stat = find_stat(h, r), limit = find_limit(h, r);

    for (uint d = 0u; limit == 0u && d < p.dim; d++)
        result[at + d] = 0.0;
    [[dont_unroll]] for (uint s0 = 0u; s0 < limit; s0 += TILE) {
        float weights[TILE], dscores[TILE];
        multiply(h, X_Q, at, Y_K, s0, weights);
        multiply(h, X_DOUT, at, Y_V, s0, dscores);
        FOR_TILE(j) {
            const float e = exp(p.scale * weights[j] - lse[stat]) * (dscores[j] - delta[stat]);
            weights[j] = s0 + j < limit ? p.scale * e : 0.0;
        }
        accumulate(h, at, s0 > 0u ? 1.0 : 0.0, weights, Y_K, s0);
    }
}
#endif

#ifdef DKV
/* A lane keeps a key; rows before the one that its group starts with see none of the group's. */
void main()
{
    const kv_head h = find_head();
    const uint s0 = gl_WorkGroupID.x * LANES, s = s0 + DLM_LOCAL_ID();
    if (s >= p.keys)
        return;
    const uint at = find_key(h, s);

    for (uint d = 0u; d < p.dim; d++)
        dk[at + d] = dv[at + d] = 0.0;
    [[dont_unroll]] for (uint r0 = find_first_row(h, s0); r0 < h.num_rows; r0 += TILE) {
        float weights[TILE], dscores[TILE];
        uint row_at[TILE];
        FOR_TILE(j) {
            row_at[j] = find_row(h, min(r0 + j, h.num_rows - 1u));
            weights[j] = dscores[j] = 0.0;
        }
        [[dont_unroll]] for (uint d = 0u; d < p.dim; d++) {
            const float a = load_y(Y_K, at + d), b = load_y(Y_V, at + d);
            FOR_TILE(j) {
                weights[j] = fma(a, load_x(X_Q, row_at[j] + d), weights[j]);
                dscores[j] = fma(b, load_x(X_DOUT, row_at[j] + d), dscores[j]);
            }
        }
        FOR_TILE(j) {
            const uint r = min(r0 + j, h.num_rows - 1u), stat = find_stat(h, r);
            const bool is_seen = r0 + j < h.num_rows && s < find_limit(h, r);
            weights[j] = is_seen ? exp(p.scale * weights[j] - lse[stat]) : 0.0;
            dscores[j] = is_seen ? p.scale * weights[j] * (dscores[j] - delta[stat]) : 0.0;
        }
        [[dont_unroll]] for (uint d = 0u; d < p.dim; d++) {
            float dk_sum = dk[at + d], dv_sum = dv[at + d];
            FOR_TILE(j) {
                dk_sum = fma(dscores[j], load_x(X_Q, row_at[j] + d), dk_sum);
                dv_sum = fma(weights[j], load_x(X_DOUT, row_at[j] + d), dv_sum);
            }
            dk[at + d] = dk_sum;
            dv[at + d] = dv_sum;
        }
    }
}
#endif
#endif

#ifdef DELTA
/* delta[b, h, t] = sum_d dout out; a lane a row of 64. */
void main()
{
    const uint index = DLM_GROUP_ID() * 64u + DLM_LOCAL_ID();
    if (index >= p.batch * p.queries * p.heads)
        return;
    const uint h = index % p.heads, bt = index / p.heads;
    float sum = 0.0;

    for (uint d = 0u; d < p.dim; d++)
        sum += dout[index * p.dim + d] * result[index * p.dim + d];
    delta[(bt / p.queries * p.heads + h) * p.queries + bt % p.queries] = sum;
}
#endif
