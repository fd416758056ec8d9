/* attention and its backward in tiles of scores, which never leave the chip. A query sees the keys
 * from its begin (0 without a window) up to its limit, and neither falls from query to query: what
 * a tile may skip is known from its ends.
 *
 * attention_<kv> (heads up to 256) and attention_128_<kv>: a work-group keeps OWN rows, goes over
 * tiles of 32 keys and holds the result's sums in registers; attention_dq alike; attention_dkv
 * keeps OWN keys and goes over the rows of all its query heads in order. Operands come to local
 * memory in slices. Groups: {blocks of rows (keys), kv heads, batch}. */
//! attention_f32 attention -DDLM_KV=F32 -DFORWARD -DCHUNKS=4u -DOWN=32u
//! attention_f16 attention -DDLM_KV=F16 -DFORWARD -DCHUNKS=4u -DOWN=32u
//! attention_bf16 attention -DDLM_KV=BF16 -DFORWARD -DCHUNKS=4u -DOWN=32u
//! attention_128_f32 attention -DDLM_KV=F32 -DFORWARD -DCHUNKS=2u -DOWN=32u
//! attention_128_f16 attention -DDLM_KV=F16 -DFORWARD -DCHUNKS=2u -DOWN=32u
//! attention_128_bf16 attention -DDLM_KV=BF16 -DFORWARD -DCHUNKS=2u -DOWN=32u
//! attention_dq_f32 attention_dq -DDLM_KV=F32 -DDQ -DCHUNKS=4u -DOWN=32u
//! attention_dq_f16 attention_dq -DDLM_KV=F16 -DDQ -DCHUNKS=4u -DOWN=32u
//! attention_dq_bf16 attention_dq -DDLM_KV=BF16 -DDQ -DCHUNKS=4u -DOWN=32u
//! attention_dq_128_f32 attention_dq -DDLM_KV=F32 -DDQ -DCHUNKS=2u -DOWN=32u
//! attention_dq_128_f16 attention_dq -DDLM_KV=F16 -DDQ -DCHUNKS=2u -DOWN=32u
//! attention_dq_128_bf16 attention_dq -DDLM_KV=BF16 -DDQ -DCHUNKS=2u -DOWN=32u
//! attention_dkv_f32 attention_dkv -DDLM_KV=F32 -DDKV -DCHUNKS=4u -DOWN=16u
//! attention_dkv_f16 attention_dkv -DDLM_KV=F16 -DDKV -DCHUNKS=4u -DOWN=16u
//! attention_dkv_bf16 attention_dkv -DDLM_KV=BF16 -DDKV -DCHUNKS=4u -DOWN=16u
//! attention_dkv_128_f32 attention_dkv -DDLM_KV=F32 -DDKV -DCHUNKS=2u -DOWN=32u
//! attention_dkv_128_f16 attention_dkv -DDLM_KV=F16 -DDKV -DCHUNKS=2u -DOWN=32u
//! attention_dkv_128_bf16 attention_dkv -DDLM_KV=BF16 -DDKV -DCHUNKS=2u -DOWN=32u
#include "attention_head.cl"

#define LANES 128u
#define OTHER 32u   /* keys (dkv: rows) of a tile */
#define SLICE 32u   /* of the head's elements in local memory, for scores */
#define CHUNK 64u   /* the same, for the result's sums */
#define PER (OWN / 8u) /* own rows (keys) of a lane, 8 apart */
#define PER_OTHER 2u   /* scores of a lane in each of them, 16 apart */
#define PER_CHUNK 4u   /* results of a lane in each of them and each chunk, 16 apart */
#define FOR(i, n) _Pragma("unroll") for (uint i = 0; i < n; i++)

/* What the lanes of a work-group share. */
struct shared {
    float slices[OTHER * (CHUNK + 2u)]; /* of rows, of keys; or [OTHER][CHUNK] */
    float weights[OWN][OTHER + 1u];             /* scores, then what they become */
    uint q_at[32], dout_at[32];                 /* of the rows of the tile; NONE past the end */
    float max[32], rescale[32];                 /* forward */
    float lse[32], delta[32];                   /* backward: of the rows of the tile */
    uint begin[32], num[32]; /* the keys that a row sees: [begin, begin + num) */
};

#ifdef DKV
#define TILE_ROWS OTHER
#define TILE_KEYS OWN
#define TYPE_OTHER float
#define NUM_ROWS(p, h) ((h)->num_rows)
#else
#define TILE_ROWS OWN
#define TILE_KEYS OTHER
#define TYPE_OTHER TYPE_KV
#define NUM_ROWS(p, h) ((p)->queries * (h)->group) /* zeros are written to the others */
#endif

/* Elements [c0, c0 + width) of the tile's rows, zeros past the ends. */
static void stage_rows(__local const uint *x_at, __local float *to, uint stride, uint width,
                       __global const float *x, uint c0, uint dim)
{
    for (uint e = DLM_LOCAL_ID(); e < TILE_ROWS * width; e += LANES) {
        const uint i = e / width, d = e % width, at = x_at[i];
        to[i * stride + d] = at != NONE && c0 + d < dim ? x[at + c0 + d] : 0.0f;
    }
}

/* The same of keys [s0, s0 + TILE_KEYS). */
static void stage_keys(const struct dlm_attention_params *p, const struct head *h,
                       __local float *to, uint stride, uint width, __global const TYPE_KV *y,
                       uint s0, uint c0)
{
    for (uint e = DLM_LOCAL_ID(); e < TILE_KEYS * width; e += LANES) {
        const uint i = e / width, d = e % width;
        float value = 0.0f;
        if (s0 + i < h->mask.kv_len && c0 + d < p->dim)
            value = LOAD_KV(y, find_key(p, h, s0 + i) + c0 + d);
        to[i * stride + d] = value;
    }
}

/* sums[i][j] = x . y for the lane's own rows (keys) and the others, x of the tile's rows and y of
 * keys from s0 on. */
DLM_INLINE void multiply(const struct dlm_attention_params *p, const struct head *h,
                         __local struct shared *l, __local const uint *x_at,
                         __global const float *x, __global const TYPE_KV *y, uint s0,
                         float (*sums)[PER_OTHER])
{
    const uint own = DLM_LOCAL_ID() / 16u, other = DLM_LOCAL_ID() % 16u;
    __local float *const row_slice = l->slices;
    __local float *const key_slice = l->slices + TILE_ROWS * (SLICE + 1u);
#ifdef DKV
    __local const float *const own_slice = key_slice, *const other_slice = row_slice;
#else
    __local const float *const own_slice = row_slice, *const other_slice = key_slice;
#endif

    FOR(i, PER) FOR(j, PER_OTHER) sums[i][j] = 0.0f;
    for (uint c0 = 0; c0 < p->dim; c0 += SLICE) {
        barrier(CLK_LOCAL_MEM_FENCE);
        stage_rows(x_at, row_slice, SLICE + 1u, SLICE, x, c0, p->dim);
        stage_keys(p, h, key_slice, SLICE + 1u, SLICE, y, s0, c0);
        barrier(CLK_LOCAL_MEM_FENCE);
        for (uint d = 0; d < SLICE; d++) {
            float a[PER], b[PER_OTHER];
            FOR(i, PER) a[i] = own_slice[(own + 8u * i) * (SLICE + 1u) + d];
            FOR(j, PER_OTHER) b[j] = other_slice[(other + 16u * j) * (SLICE + 1u) + d];
            FOR(i, PER) FOR(j, PER_OTHER) sums[i][j] = fma(a[i], b[j], sums[i][j]);
        }
    }
}

/* Products to scores: scaled, and with the soft cap. */
DLM_INLINE void scale_scores(const struct dlm_attention_params *p, float (*scores)[PER_OTHER])
{
    FOR(i, PER) FOR(j, PER_OTHER) scores[i][j] *= p->scale;
    if (p->softcap != 0.0f)
        FOR(i, PER) FOR(j, PER_OTHER)
            scores[i][j] = dlm_attention_cap(p->softcap, scores[i][j]);
}

/* sums += weights times x of the tile's others: keys from s0 on, in dkv rows. */
DLM_INLINE void accumulate(const struct dlm_attention_params *p, const struct head *h,
                           __local struct shared *l, __local const uint *x_at,
                           __global const TYPE_OTHER *x, uint s0, float (*sums)[PER][PER_CHUNK])
{
    const uint own = DLM_LOCAL_ID() / 16u, col = DLM_LOCAL_ID() % 16u;

    FOR(c, CHUNKS) {
        const uint others = c * CHUNK < p->dim ? OTHER : 0u;
        barrier(CLK_LOCAL_MEM_FENCE);
#ifdef DKV
        if (others > 0u)
            stage_rows(x_at, l->slices, CHUNK, CHUNK, x, c * CHUNK, p->dim);
#else
        if (others > 0u)
            stage_keys(p, h, l->slices, CHUNK, CHUNK, x, s0, c * CHUNK);
#endif
        barrier(CLK_LOCAL_MEM_FENCE);
        for (uint o = 0; o < others; o++) {
            float w[PER], y[PER_CHUNK];
            FOR(i, PER) w[i] = l->weights[own + 8u * i][o];
            FOR(j, PER_CHUNK) y[j] = l->slices[o * CHUNK + col + 16u * j];
            FOR(i, PER) FOR(j, PER_CHUNK) sums[c][i][j] = fma(w[i], y[j], sums[c][i][j]);
        }
    }
}

static void clear(float (*sums)[PER][PER_CHUNK])
{
    FOR(c, CHUNKS) FOR(i, PER) FOR(j, PER_CHUNK) sums[c][i][j] = 0.0f;
}

/* factor[i] times the sums to own row (key) i, which begins at at[i]. */
static void write_sums(const struct dlm_attention_params *p, float (*sums)[PER][PER_CHUNK],
                       const uint *at, const float *factor, __global float *out)
{
    const uint col = DLM_LOCAL_ID() % 16u;

    FOR(c, CHUNKS) FOR(i, PER) FOR(j, PER_CHUNK) {
        const uint d = c * CHUNK + col + 16u * j;
        if (at[i] != NONE && d < p->dim)
            out[at[i] + d] = factor[i] * sums[c][i][j];
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

/* The tile of keys with which rows from r0 on begin. */
static uint find_start(const struct head *h, uint r0)
{
    return find_begin(h, r0) / OTHER * OTHER;
}

/* The end of the keys that any row of [r0, r0 + OWN) sees. */
static uint find_end(const struct head *h, uint r0)
{
    return r0 < h->num_rows ? find_limit(h, min(r0 + OWN, h->num_rows) - 1u) : 0u;
}

#ifdef FORWARD
/* Scores to exp(score - max of the row so far); max and what it rescales by. */
DLM_INLINE void soften(__local struct shared *l, const uint *begin, const uint *num, uint s0,
                       float (*scores)[PER_OTHER])
{
    const uint own = DLM_LOCAL_ID() / 16u, other = DLM_LOCAL_ID() % 16u, lane = DLM_LOCAL_ID();

    FOR(i, PER) FOR(j, PER_OTHER) {
        const uint o = other + 16u * j;
        scores[i][j] = s0 + o - begin[i] < num[i] ? scores[i][j] : LOWEST;
        l->weights[own + 8u * i][o] = scores[i][j];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    if (lane < OWN) {
        const float before = l->max[lane];
        float most = before;
        for (uint o = 0; o < OTHER; o++)
            most = fmax(most, l->weights[lane][o]);
        l->max[lane] = most;
        l->rescale[lane] = exp(before - most);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    FOR(i, PER) FOR(j, PER_OTHER) {
        const uint o = other + 16u * j;
        const float e = exp(scores[i][j] - l->max[own + 8u * i]);
        l->weights[own + 8u * i][o] = s0 + o - begin[i] < num[i] ? e : 0.0f;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
}

__kernel DLM_LOCAL(LANES) void attention(FORWARD_ARGS)
{
    __local struct shared l;
    const struct head h = find_head(&p, rows);
    const uint r0 = DLM_GROUP(0) * OWN, own = DLM_LOCAL_ID() / 16u, end = find_end(&h, r0);
    float sums[CHUNKS][PER][PER_CHUNK], total[PER], factor[PER];
    uint at[PER], begin[PER], num[PER];

    if (DLM_LOCAL_ID() < OWN)
        l.max[DLM_LOCAL_ID()] = LOWEST;
    enter_rows(&p, &h, &l, r0);
    clear(sums);
    FOR(i, PER) {
        at[i] = r0 + own + 8u * i < NUM_ROWS(&p, &h) ? find_out(&p, &h, r0 + own + 8u * i) : NONE;
        begin[i] = l.begin[own + 8u * i];
        num[i] = l.num[own + 8u * i];
        total[i] = 0.0f;
    }
    for (uint s0 = find_start(&h, r0); s0 < end; s0 += OTHER) {
        float scores[PER][PER_OTHER];
        multiply(&p, &h, &l, l.q_at, q, k + p.k_lead, s0, scores);
        scale_scores(&p, scores);
        soften(&l, begin, num, s0, scores);
        FOR(i, PER) {
            const float rescale = l.rescale[own + 8u * i];
            total[i] *= rescale;
            for (uint o = 0; o < OTHER; o++)
                total[i] += l.weights[own + 8u * i][o];
            FOR(c, CHUNKS) FOR(j, PER_CHUNK) sums[c][i][j] *= rescale;
        }
        accumulate(&p, &h, &l, l.q_at, v + p.v_lead, s0, sums);
    }
    FOR(i, PER) {
        factor[i] = num[i] > 0u ? 1.0f / total[i] : 0.0f;
        if (at[i] != NONE && DLM_LOCAL_ID() % 16u == 0u)
            lse[find_stat(&p, &h, r0 + own + 8u * i)] =
                num[i] > 0u ? l.max[own + 8u * i] + log(total[i]) : 0.0f;
    }
    write_sums(&p, sums, at, factor, out);
}
#endif

#ifdef DQ
__kernel DLM_LOCAL(LANES) void attention_dq(BACKWARD_ARGS, __global float *dq,
                                            const struct dlm_attention_params p)
{
    __local struct shared l;
    const struct head h = find_head(&p, rows);
    const uint r0 = DLM_GROUP(0) * OWN, own = DLM_LOCAL_ID() / 16u, end = find_end(&h, r0);
    float sums[CHUNKS][PER][PER_CHUNK], row_lse[PER], row_delta[PER], factor[PER];
    uint at[PER], begin[PER], num[PER];

    enter_rows(&p, &h, &l, r0);
    clear(sums);
    FOR(i, PER) {
        at[i] = r0 + own + 8u * i < NUM_ROWS(&p, &h) ? find_out(&p, &h, r0 + own + 8u * i) : NONE;
        begin[i] = l.begin[own + 8u * i];
        num[i] = l.num[own + 8u * i];
        factor[i] = p.scale;
        const uint stat = at[i] != NONE ? find_stat(&p, &h, r0 + own + 8u * i) : 0u;
        row_lse[i] = lse[stat];
        row_delta[i] = delta[stat];
    }
    for (uint s0 = find_start(&h, r0); s0 < end; s0 += OTHER) {
        float scores[PER][PER_OTHER], dscores[PER][PER_OTHER];
        multiply(&p, &h, &l, l.q_at, q, k + p.k_lead, s0, scores);
        scale_scores(&p, scores);
        multiply(&p, &h, &l, l.dout_at, dout, v + p.v_lead, s0, dscores);
        FOR(i, PER) FOR(j, PER_OTHER) {
            const uint o = DLM_LOCAL_ID() % 16u + 16u * j;
            /* Of what is not seen too, which may overflow and is dropped: LLVM 18 (PoCL 6) gives up
             * on an exp() behind a branch in this loop, and on two comparisons with the ends. */
            const float e = exp(scores[i][j] - row_lse[i]);
            const float d = (dscores[i][j] - row_delta[i]) *
                            dlm_attention_uncap(p.softcap, scores[i][j]);
            l.weights[own + 8u * i][o] = s0 + o - begin[i] < num[i] ? e * d : 0.0f;
        }
        accumulate(&p, &h, &l, l.q_at, k + p.k_lead, s0, sums);
    }
    write_sums(&p, sums, at, factor, dq);
}
#endif

#ifdef DKV
__kernel DLM_LOCAL(LANES) void attention_dkv(BACKWARD_ARGS, __global float *dk,
                                             __global float *dv,
                                             const struct dlm_attention_params p)
{
    __local struct shared l;
    const struct head h = find_head(&p, rows);
    const uint s0 = DLM_GROUP(0) * OWN, own = DLM_LOCAL_ID() / 16u, lane = DLM_LOCAL_ID();
    float dk_sums[CHUNKS][PER][PER_CHUNK], dv_sums[CHUNKS][PER][PER_CHUNK];
    const uint end = find_end_row(&h, s0 + OWN - 1u);
    float one[PER], scale[PER];
    uint at[PER];

    clear(dk_sums);
    clear(dv_sums);
    for (uint r0 = find_first_row(&h, s0); r0 < end; r0 += OTHER) {
        float scores[PER][PER_OTHER], dscores[PER][PER_OTHER];
        barrier(CLK_LOCAL_MEM_FENCE);
        if (lane < OTHER && r0 + lane < h.num_rows) {
            l.lse[lane] = lse[find_stat(&p, &h, r0 + lane)];
            l.delta[lane] = delta[find_stat(&p, &h, r0 + lane)];
        }
        enter_rows(&p, &h, &l, r0);
        multiply(&p, &h, &l, l.q_at, q, k + p.k_lead, s0, scores);
        scale_scores(&p, scores);
        multiply(&p, &h, &l, l.dout_at, dout, v + p.v_lead, s0, dscores);
        FOR(i, PER) FOR(j, PER_OTHER) {
            const uint o = lane % 16u + 16u * j, s = s0 + own + 8u * i;
            float e = 0.0f, d = 0.0f;
            if (s - l.begin[o] < l.num[o]) {
                e = exp(scores[i][j] - l.lse[o]);
                d = e * (dscores[i][j] - l.delta[o]) *
                    dlm_attention_uncap(p.softcap, scores[i][j]);
            }
            dscores[i][j] = d;
            l.weights[own + 8u * i][o] = e;
        }
        accumulate(&p, &h, &l, l.dout_at, dout, s0, dv_sums);
        barrier(CLK_LOCAL_MEM_FENCE);
        FOR(i, PER) FOR(j, PER_OTHER)
            l.weights[own + 8u * i][lane % 16u + 16u * j] = dscores[i][j];
        accumulate(&p, &h, &l, l.q_at, q, s0, dk_sums);
    }
    FOR(i, PER) {
        const uint s = s0 + own + 8u * i;
        at[i] = s < p.keys ? find_dkey(&p, &h, s) : NONE;
        one[i] = 1.0f;
        scale[i] = p.scale;
    }
    write_sums(&p, dk_sums, at, scale, dk + p.out_lead);
    write_sums(&p, dv_sums, at, one, dv + p.out2_lead);
}
#endif
