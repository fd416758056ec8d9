/* attention and its backward in tiles of scores, which never leave the chip. A query sees the keys
 * from its begin (0 without a window) up to its limit, and neither falls from query to query: what
 * a tile may skip is known from its ends.
 *
 * attention_<kv> (heads up to 256) and attention_128_<kv>: a work-group keeps OWN rows, goes over
 * tiles of 64 keys and holds the result's sums in registers; attention_dq alike; attention_dkv
 * keeps OWN keys and goes over the rows of all its query heads in order. attention_split: 8 rows
 * and a part of their keys, for attention_merge. Operands come to local memory in slices, 16 bytes
 * at a time: dims, strides and leads are multiples of that. Groups: {blocks of rows (keys) by
 * parts (splits), kv heads, batch}. */
//! attention_f32 attention -DDLM_KV=F32 -DKV_F32 -DFORWARD -DCHUNKS=4u -DOWN=32u
//! attention_f16 attention -DDLM_KV=F16 -DFORWARD -DCHUNKS=4u -DOWN=32u
//! attention_bf16 attention -DDLM_KV=BF16 -DFORWARD -DCHUNKS=4u -DOWN=32u
//! attention_128_f32 attention -DDLM_KV=F32 -DKV_F32 -DFORWARD -DCHUNKS=2u -DOWN=32u
//! attention_128_f16 attention -DDLM_KV=F16 -DFORWARD -DCHUNKS=2u -DOWN=32u
//! attention_128_bf16 attention -DDLM_KV=BF16 -DFORWARD -DCHUNKS=2u -DOWN=32u
//! attention_split_f32 attention -DDLM_KV=F32 -DKV_F32 -DFORWARD -DSPLIT -DCHUNKS=4u -DOWN=8u
//! attention_split_f16 attention -DDLM_KV=F16 -DFORWARD -DSPLIT -DCHUNKS=4u -DOWN=8u
//! attention_split_bf16 attention -DDLM_KV=BF16 -DFORWARD -DSPLIT -DCHUNKS=4u -DOWN=8u
//! attention_dq_f32 attention_dq -DDLM_KV=F32 -DKV_F32 -DDQ -DCHUNKS=4u -DOWN=32u
//! attention_dq_f16 attention_dq -DDLM_KV=F16 -DDQ -DCHUNKS=4u -DOWN=32u
//! attention_dq_bf16 attention_dq -DDLM_KV=BF16 -DDQ -DCHUNKS=4u -DOWN=32u
//! attention_dq_128_f32 attention_dq -DDLM_KV=F32 -DKV_F32 -DDQ -DCHUNKS=2u -DOWN=32u
//! attention_dq_128_f16 attention_dq -DDLM_KV=F16 -DDQ -DCHUNKS=2u -DOWN=32u
//! attention_dq_128_bf16 attention_dq -DDLM_KV=BF16 -DDQ -DCHUNKS=2u -DOWN=32u
//! attention_dkv_f32 attention_dkv -DDLM_KV=F32 -DKV_F32 -DDKV -DCHUNKS=4u -DOWN=16u
//! attention_dkv_f16 attention_dkv -DDLM_KV=F16 -DDKV -DCHUNKS=4u -DOWN=16u
//! attention_dkv_bf16 attention_dkv -DDLM_KV=BF16 -DDKV -DCHUNKS=4u -DOWN=16u
//! attention_dkv_128_f32 attention_dkv -DDLM_KV=F32 -DKV_F32 -DDKV -DCHUNKS=2u -DOWN=32u
//! attention_dkv_128_f16 attention_dkv -DDLM_KV=F16 -DDKV -DCHUNKS=2u -DOWN=32u
//! attention_dkv_128_bf16 attention_dkv -DDLM_KV=BF16 -DDKV -DCHUNKS=2u -DOWN=32u
#include "attention_head.cl"

#define LANES 128u
#define OTHER 64u    /* keys (dkv: rows) of a tile */
#define SLICE4 8u    /* fours of the head's elements in local memory, for scores */
#define STRIDE4 9u   /* between its rows: neighbouring lanes read other banks */
#define CHUNK4 16u   /* fours of the head's elements, for the result's sums */
#define WEIGHTS4 17u /* between rows of weights */
#define PER (OWN / 8u)    /* own rows (keys) of a lane, 8 apart */
#define FOR(i, n) _Pragma("unroll") for (uint i = 0; i < n; i++)

#ifdef DKV
#define TILE_ROWS OTHER
#define TILE_KEYS OWN
#define NUM_ROWS(p, h) ((h)->num_rows)
#else
#define TILE_ROWS OWN
#define TILE_KEYS OTHER
#define NUM_ROWS(p, h) ((p)->queries * (h)->group) /* zeros are written to the others */
#endif

/* What the lanes of a work-group share. */
struct shared {
    float4 slices[OTHER * CHUNK4]; /* of rows and of keys, own ones first; or [OTHER][CHUNK4] */
    float4 weights[OWN * WEIGHTS4];            /* what scores become */
    float4 stats[OWN * 5u];                    /* of a row one from each of its lanes */
    uint q_at[TILE_ROWS], dout_at[TILE_ROWS];  /* of the tile's rows; NONE past the end */
    uint begin[TILE_ROWS], num[TILE_ROWS];     /* the keys that a row sees: from, how many */
    float lse[TILE_ROWS], delta[TILE_ROWS];    /* backward */
};

/* The lane's part of a tile: own rows (keys) own + 8 i; of the others four, 4 other + j, and of the
 * elements in a chunk as well. */
#define LANE_OWN (DLM_LOCAL_ID() / 16u)
#define LANE_OTHER (DLM_LOCAL_ID() % 16u)

/* 16 bytes of k or v, widened, to WIDE neighbours. */
static void load_keys(__local float4 *to, __global const TYPE_KV *y, uint at)
{
#ifdef KV_F32
    to[0] = *(__global const float4 *)(y + at);
#else
    const float8 eight = PASTE(DLM_LOAD8_, DLM_KV)(y, at);
    to[0] = eight.lo;
    to[1] = eight.hi;
#endif
}

#ifdef KV_F32
#define WIDE 1u
#else
#define WIDE 2u
#endif

/* Where row i of a slice lies. The lanes' fours of the others are a stride of 16 apart, so that
 * lanes read neighbours. */
static uint slot_of(uint i, bool is_other)
{
    return is_other ? OWN + i % 4u * 16u + i / 4u : i;
}

/* Elements from 4 c0 on, `width` fours, of the tile's rows; zeros past the ends. */
static void stage_rows(__local struct shared *l, __local const uint *x_at,
                       __global const float *x, bool is_product, uint width, uint c0, uint dim)
{
    for (uint e = DLM_LOCAL_ID(); e < TILE_ROWS * width; e += LANES) {
        const uint i = e / width, d = e % width, at = x_at[i];
        const uint to = is_product ? slot_of(i, TILE_ROWS == OTHER) * STRIDE4 : i * width;
        float4 value = (float4)(0.0f);
        if (at != NONE && 4u * (c0 + d) < dim)
            value = *(__global const float4 *)(x + at + 4u * (c0 + d));
        l->slices[to + d] = value;
    }
}

/* The same of keys [s0, s0 + TILE_KEYS). */
static void stage_keys(const struct dlm_attention_params *p, const struct head *h,
                       __local struct shared *l, __global const TYPE_KV *y, bool is_product,
                       uint width, uint s0, uint c0)
{
    const uint units = width / WIDE;

    for (uint e = DLM_LOCAL_ID(); e < TILE_KEYS * units; e += LANES) {
        const uint i = e / units, d = e % units * WIDE;
        const uint to = is_product ? slot_of(i, TILE_KEYS == OTHER) * STRIDE4 : i * width;
        if (s0 + i < h->mask.kv_len && 4u * (c0 + d) < p->dim)
            load_keys(l->slices + to + d, y, find_key(p, h, s0 + i) + 4u * (c0 + d));
        else
            FOR(w, WIDE) l->slices[to + d + w] = (float4)(0.0f);
    }
}

/* sums[i][j] = x . y for the lane's own rows (keys) and the others, x of the tile's rows and y of
 * keys from s0 on. */
DLM_INLINE void multiply(const struct dlm_attention_params *p, const struct head *h,
                         __local struct shared *l, __local const uint *x_at,
                         __global const float *x, __global const TYPE_KV *y, uint s0,
                         float (*sums)[4])
{
    __local const float4 *const own_slice = l->slices + LANE_OWN * STRIDE4;
    __local const float4 *const other_slice = l->slices + (OWN + LANE_OTHER) * STRIDE4;
    const uint num4 = (p->dim + 3u) / 4u;

    FOR(i, PER) FOR(j, 4u) sums[i][j] = 0.0f;
    for (uint c0 = 0; c0 < num4; c0 += SLICE4) {
        barrier(CLK_LOCAL_MEM_FENCE);
        stage_rows(l, x_at, x, true, SLICE4, c0, p->dim);
        stage_keys(p, h, l, y, true, SLICE4, s0, c0);
        barrier(CLK_LOCAL_MEM_FENCE);
        const uint end = min(num4 - c0, SLICE4);
        for (uint d = 0; d < end; d++) {
            float4 a[PER], b[4];
            FOR(i, PER) a[i] = own_slice[8u * i * STRIDE4 + d];
            FOR(j, 4u) b[j] = other_slice[16u * j * STRIDE4 + d];
            FOR(i, PER) FOR(j, 4u) sums[i][j] = fma(a[i].x, b[j].x, sums[i][j]);
            FOR(i, PER) FOR(j, 4u) sums[i][j] = fma(a[i].y, b[j].y, sums[i][j]);
            FOR(i, PER) FOR(j, 4u) sums[i][j] = fma(a[i].z, b[j].z, sums[i][j]);
            FOR(i, PER) FOR(j, 4u) sums[i][j] = fma(a[i].w, b[j].w, sums[i][j]);
        }
    }
}

/* Products to scores: scaled, and with the soft cap. */
DLM_INLINE void scale_scores(const struct dlm_attention_params *p, float (*scores)[4])
{
    FOR(i, PER) FOR(j, 4u) scores[i][j] *= p->scale;
    if (p->softcap != 0.0f)
        FOR(i, PER) FOR(j, 4u) scores[i][j] = dlm_attention_cap(p->softcap, scores[i][j]);
}

/* sums[c] += weights times what is staged of chunk c. */
DLM_INLINE void add_chunk(__local struct shared *l, float4 *sums)
{
    for (uint o = 0; o < OTHER / 4u; o++) {
        float4 w[PER], y[4];
        FOR(i, PER) w[i] = l->weights[(LANE_OWN + 8u * i) * WEIGHTS4 + o];
        FOR(k, 4u) y[k] = l->slices[(4u * o + k) * CHUNK4 + LANE_OTHER];
        FOR(i, PER) sums[i] = fma((float4)(w[i].x), y[0], sums[i]);
        FOR(i, PER) sums[i] = fma((float4)(w[i].y), y[1], sums[i]);
        FOR(i, PER) sums[i] = fma((float4)(w[i].z), y[2], sums[i]);
        FOR(i, PER) sums[i] = fma((float4)(w[i].w), y[3], sums[i]);
    }
}

/* sums += weights times x of the tile's others: keys from s0 on, in dkv rows. */
#ifdef DKV
DLM_INLINE void accumulate(const struct dlm_attention_params *p, __local struct shared *l,
                           __local const uint *x_at, __global const float *x,
                           float4 (*sums)[PER])
{
    FOR(c, CHUNKS) {
        barrier(CLK_LOCAL_MEM_FENCE);
        stage_rows(l, x_at, x, false, CHUNK4, c * CHUNK4, p->dim);
        barrier(CLK_LOCAL_MEM_FENCE);
        if (4u * c * CHUNK4 < p->dim)
            add_chunk(l, sums[c]);
    }
}
#else
DLM_INLINE void accumulate(const struct dlm_attention_params *p, const struct head *h,
                           __local struct shared *l, __global const TYPE_KV *x, uint s0,
                           float4 (*sums)[PER])
{
    FOR(c, CHUNKS) {
        barrier(CLK_LOCAL_MEM_FENCE);
        stage_keys(p, h, l, x, false, CHUNK4, s0, c * CHUNK4);
        barrier(CLK_LOCAL_MEM_FENCE);
        if (4u * c * CHUNK4 < p->dim)
            add_chunk(l, sums[c]);
    }
}
#endif

static void clear(float4 (*sums)[PER])
{
    FOR(c, CHUNKS) FOR(i, PER) sums[c][i] = (float4)(0.0f);
}

/* factor times the sums of own row (key) i to `out` where it begins. */
static void write_row(float4 (*sums)[PER], uint i, float factor, uint dim, __global float *out)
{
    FOR(c, CHUNKS) {
        const uint d = 4u * (c * CHUNK4 + LANE_OTHER);
        const float4 v = factor * sums[c][i];
        if (d < dim) { /* a multiple of 4; out may lie anywhere */
            out[d] = v.x;
            out[d + 1u] = v.y;
            out[d + 2u] = v.z;
            out[d + 3u] = v.w;
        }
    }
}

/* The tile's rows begin at r0. */
DLM_INLINE void enter_rows(const struct dlm_attention_params *p, const struct head *h,
                           __local struct shared *l, uint r0)
{
    const uint lane = DLM_LOCAL_ID(), r = r0 + lane;

    if (lane < TILE_ROWS) {
        l->q_at[lane] = r < NUM_ROWS(p, h) ? find_q(p, h, r) : NONE;
        l->dout_at[lane] = r < NUM_ROWS(p, h) ? find_dout(p, h, r) : NONE;
        l->begin[lane] = find_begin(h, r);
        l->num[lane] = find_limit(h, r) - l->begin[lane];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
}

/* Keys [begin, end) are those that any row of [r0, r0 + OWN) sees, from the begin of a tile. */
static uint find_start(const struct head *h, uint r0)
{
    return find_begin(h, r0) / OTHER * OTHER;
}

static uint find_end(const struct head *h, uint r0)
{
    return r0 < h->num_rows ? find_limit(h, min(r0 + OWN, h->num_rows) - 1u) : 0u;
}

#ifdef FORWARD
/* Of each own row the largest (the sum) of what its lanes bring. */
DLM_INLINE void gather(__local struct shared *l, const float *mine, bool is_sum, float *all)
{
    __local float *const stats = (__local float *)l->stats;

    FOR(i, PER) stats[(LANE_OWN + 8u * i) * 20u + LANE_OTHER] = mine[i];
    barrier(CLK_LOCAL_MEM_FENCE);
    FOR(i, PER) {
        __local const float4 *const x = l->stats + (LANE_OWN + 8u * i) * 5u;
        const float4 sum = x[0] + x[1] + (x[2] + x[3]);
        const float4 most = fmax(fmax(x[0], x[1]), fmax(x[2], x[3]));
        all[i] = is_sum ? DLM_QUAD_SUM(sum) : DLM_QUAD_MAX(most);
    }
}

__kernel DLM_LOCAL(LANES) void attention(FORWARD_ARGS)
{
    __local struct shared l;
#ifdef SPLIT
    const uint parts = p.parts;
#else
    const uint parts = 1u;
#endif
    const struct head h = find_head(&p, rows);
    const uint r0 = DLM_GROUP(0) / parts * OWN, part = DLM_GROUP(0) % parts;
    const uint start = find_start(&h, r0), limit = find_end(&h, r0);
    const uint tiles = limit > start ? (limit - start + OTHER - 1u) / OTHER : 0u;
    const uint s_begin = start + (tiles + parts - 1u) / parts * part * OTHER;
    const uint s_end = min(limit, s_begin + (tiles + parts - 1u) / parts * OTHER);
    float4 sums[CHUNKS][PER];
    float total[PER], most[PER];
    uint begin[PER], num[PER];

    enter_rows(&p, &h, &l, r0);
    clear(sums);
    FOR(i, PER) {
        begin[i] = l.begin[LANE_OWN + 8u * i];
        num[i] = l.num[LANE_OWN + 8u * i];
        total[i] = 0.0f;
        most[i] = LOWEST;
    }
    for (uint s0 = s_begin; s0 < s_end; s0 += OTHER) {
        float scores[PER][4], best[PER];
        multiply(&p, &h, &l, l.q_at, q, k + p.k_lead, s0, scores);
        scale_scores(&p, scores);
        FOR(i, PER) {
            FOR(j, 4u) {
                const uint s = s0 + 4u * LANE_OTHER + j;
                scores[i][j] = s - begin[i] < num[i] ? scores[i][j] : LOWEST;
            }
            best[i] = fmax(fmax(scores[i][0], scores[i][1]), fmax(scores[i][2], scores[i][3]));
        }
        gather(&l, best, false, best);
        FOR(i, PER) {
            const float before = most[i];
            float e[4];
            most[i] = fmax(before, best[i]);
            const float rescale = exp(before - most[i]);
            FOR(j, 4u) {
                const uint s = s0 + 4u * LANE_OTHER + j;
                const float x = exp(scores[i][j] - most[i]);
                e[j] = s - begin[i] < num[i] ? x : 0.0f;
            }
            l.weights[(LANE_OWN + 8u * i) * WEIGHTS4 + LANE_OTHER] =
                (float4)(e[0], e[1], e[2], e[3]);
            total[i] = total[i] * rescale + (e[0] + e[1] + (e[2] + e[3]));
            FOR(c, CHUNKS) sums[c][i] *= rescale;
        }
        accumulate(&p, &h, &l, v + p.v_lead, s0, sums);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    gather(&l, total, true, total);
    FOR(i, PER) {
        const uint r = r0 + LANE_OWN + 8u * i;
        if (r < NUM_ROWS(&p, &h)) {
            const uint stat = find_stat(&p, &h, r);
#ifdef SPLIT
            const uint at = 2u * (part * (p.split_stride / p.dim) + stat);
            lse[at] = most[i];
            lse[at + 1u] = total[i];
            write_row(sums, i, 1.0f, p.dim, out + part * p.split_stride + stat * p.dim);
#else
            lse[stat] = num[i] > 0u ? most[i] + log(total[i]) : 0.0f;
            write_row(sums, i, num[i] > 0u ? 1.0f / total[i] : 0.0f, p.dim,
                      out + find_out(&p, &h, r));
#endif
        }
    }
}
#endif

#ifdef DQ
__kernel DLM_LOCAL(LANES) void attention_dq(BACKWARD_ARGS, __global float *dq,
                                            const struct dlm_attention_params p)
{
    __local struct shared l;
    const struct head h = find_head(&p, rows);
    const uint r0 = DLM_GROUP(0) * OWN, end = find_end(&h, r0);
    float4 sums[CHUNKS][PER];
    float row_lse[PER], row_delta[PER];
    uint begin[PER], num[PER];

    enter_rows(&p, &h, &l, r0);
    clear(sums);
    FOR(i, PER) {
        const uint r = r0 + LANE_OWN + 8u * i;
        const uint stat = r < NUM_ROWS(&p, &h) ? find_stat(&p, &h, r) : 0u;
        begin[i] = l.begin[LANE_OWN + 8u * i];
        num[i] = l.num[LANE_OWN + 8u * i];
        row_lse[i] = lse[stat];
        row_delta[i] = delta[stat];
    }
    for (uint s0 = find_start(&h, r0); s0 < end; s0 += OTHER) {
        float scores[PER][4], dscores[PER][4];
        multiply(&p, &h, &l, l.q_at, q, k + p.k_lead, s0, scores);
        scale_scores(&p, scores);
        multiply(&p, &h, &l, l.dout_at, dout, v + p.v_lead, s0, dscores);
        FOR(i, PER) {
            FOR(j, 4u) {
                const uint s = s0 + 4u * LANE_OTHER + j;
                /* Of what is not seen too, which may overflow and is dropped: LLVM 18 (PoCL 6)
                 * gives up on an exp() behind a branch in this loop, and on two comparisons with
                 * the ends. */
                const float e = exp(scores[i][j] - row_lse[i]);
                const float d = (dscores[i][j] - row_delta[i]) *
                                dlm_attention_uncap(p.softcap, scores[i][j]);
                dscores[i][j] = s - begin[i] < num[i] ? e * d : 0.0f;
            }
            l.weights[(LANE_OWN + 8u * i) * WEIGHTS4 + LANE_OTHER] =
                (float4)(dscores[i][0], dscores[i][1], dscores[i][2], dscores[i][3]);
        }
        accumulate(&p, &h, &l, k + p.k_lead, s0, sums);
    }
    FOR(i, PER) {
        const uint r = r0 + LANE_OWN + 8u * i;
        if (r < NUM_ROWS(&p, &h))
            write_row(sums, i, p.scale, p.dim, dq + find_out(&p, &h, r));
    }
}
#endif

#ifdef DKV
__kernel DLM_LOCAL(LANES) void attention_dkv(BACKWARD_ARGS, __global float *dk,
                                             __global float *dv,
                                             const struct dlm_attention_params p)
{
    __local struct shared l;
    const uint split = DLM_GROUP(0) % p.splits, lane = DLM_LOCAL_ID();
    const struct head h = find_part(&p, rows, split);
    const uint s0 = DLM_GROUP(0) / p.splits * OWN, end = find_end_row(&h, s0 + OWN - 1u);
    float4 dk_sums[CHUNKS][PER], dv_sums[CHUNKS][PER];

    clear(dk_sums);
    clear(dv_sums);
    for (uint r0 = find_first_row(&h, s0); r0 < end; r0 += OTHER) {
        float scores[PER][4], dscores[PER][4];
        barrier(CLK_LOCAL_MEM_FENCE);
        if (lane < OTHER) {
            const uint r = min(r0 + lane, h.num_rows - 1u);
            l.lse[lane] = lse[find_stat(&p, &h, r)];
            l.delta[lane] = delta[find_stat(&p, &h, r)];
        }
        enter_rows(&p, &h, &l, r0);
        multiply(&p, &h, &l, l.q_at, q, k + p.k_lead, s0, scores);
        scale_scores(&p, scores);
        multiply(&p, &h, &l, l.dout_at, dout, v + p.v_lead, s0, dscores);
        FOR(i, PER) {
            FOR(j, 4u) {
                const uint o = 4u * LANE_OTHER + j, s = s0 + LANE_OWN + 8u * i;
                float e = 0.0f, d = 0.0f;
                if (s - l.begin[o] < l.num[o]) {
                    e = exp(scores[i][j] - l.lse[o]);
                    d = e * (dscores[i][j] - l.delta[o]) *
                        dlm_attention_uncap(p.softcap, scores[i][j]);
                }
                scores[i][j] = e;
                dscores[i][j] = d;
            }
            l.weights[(LANE_OWN + 8u * i) * WEIGHTS4 + LANE_OTHER] =
                (float4)(scores[i][0], scores[i][1], scores[i][2], scores[i][3]);
        }
        accumulate(&p, &l, l.dout_at, dout, dv_sums);
        barrier(CLK_LOCAL_MEM_FENCE);
        FOR(i, PER) l.weights[(LANE_OWN + 8u * i) * WEIGHTS4 + LANE_OTHER] =
            (float4)(dscores[i][0], dscores[i][1], dscores[i][2], dscores[i][3]);
        accumulate(&p, &l, l.q_at, q, dk_sums);
    }
    FOR(i, PER) {
        const uint s = s0 + LANE_OWN + 8u * i;
        if (s < p.keys) {
            const uint at = split * p.split_stride + find_dkey(&p, &h, s);
            write_row(dk_sums, i, p.scale, p.dim, dk + p.out_lead + at);
            write_row(dv_sums, i, 1.0f, p.dim, dv + p.out2_lead + at);
        }
    }
}
#endif
