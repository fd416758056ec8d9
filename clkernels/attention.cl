/* attention and its backward in tiles of scores, which never leave the chip. The queries of a kv
 * head are rows r = t * G + g, G query heads to a kv head. A query sees the first keys only, up to
 * its limit, and the limit grows with t: what a tile may skip is known from its ends.
 *
 * - attention_<kv> (heads up to 256) and attention_128_<kv>: a work-group keeps OWN rows, goes over
 *   tiles of 32 keys and holds the result's sums in registers; attention_dq alike; attention_dkv
 *   keeps OWN keys and goes over the rows of all its query heads in order. Operands come to local
 *   memory in slices.
 * - *_nolocal, for CPUs, where barriers are slow, and for larger heads: a lane keeps a row (a key)
 *   and its sums in the result itself.
 *
 * Groups: {blocks of rows (keys), kv heads, batch}. */
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
//! attention_f32_nolocal attention_nolocal -DDLM_KV=F32
//! attention_f16_nolocal attention_nolocal -DDLM_KV=F16
//! attention_bf16_nolocal attention_nolocal -DDLM_KV=BF16
//! attention_dq_f32_nolocal attention_dq_nolocal -DDLM_KV=F32
//! attention_dq_f16_nolocal attention_dq_nolocal -DDLM_KV=F16
//! attention_dq_bf16_nolocal attention_dq_nolocal -DDLM_KV=BF16
//! attention_dkv_f32_nolocal attention_dkv_nolocal -DDLM_KV=F32
//! attention_dkv_f16_nolocal attention_dkv_nolocal -DDLM_KV=F16
//! attention_dkv_bf16_nolocal attention_dkv_nolocal -DDLM_KV=BF16
//! attention_delta attention_delta -DDLM_KV=F32

#define PASTE_(x, y) x##y
#define PASTE(x, y) PASTE_(x, y)
#define TYPE_KV PASTE(DLM_T_, DLM_KV)
#define LOAD_KV(p, i) PASTE(DLM_LOAD_, DLM_KV)(p, i)

#define LOWEST (-1.701411733e38f) /* half of the lowest float: differences stay finite */
#define NONE 0xffffffffu

#define FORWARD_ARGS                                                                               \
    __global const float *q, __global const TYPE_KV *k, __global const TYPE_KV *v,                 \
        __global const int *rows, __global float *out, __global float *lse,                        \
        const struct dlm_attention_params p
#define BACKWARD_ARGS                                                                              \
    __global const float *q, __global const TYPE_KV *k, __global const TYPE_KV *v,                 \
        __global const float *dout, __global const float *lse, __global const float *delta,        \
        __global const int *rows

/* The kv head of a work-group, and the mask of its batch row. */
struct head {
    uint batch, kv_head, group; /* group: query heads to a kv head */
    int q_start, prefix_len;
    uint kv_len, num_rows; /* num_rows: those that are computed, T * G at most */
};

static struct head find_head(const struct dlm_attention_params *p, __global const int *rows)
{
    struct head h;

    h.batch = get_group_id(2);
    h.kv_head = get_group_id(1);
    h.group = p->heads / p->kv_heads;
    h.q_start = rows[4u * h.batch];
    h.kv_len = min((uint)max(rows[4u * h.batch + 1u], 0), p->keys);
    h.prefix_len = rows[4u * h.batch + 2u];
    h.num_rows = min((uint)max(rows[4u * h.batch + 3u], 0), p->queries) * h.group;
    return h;
}

/* How many keys row r sees. */
static uint find_limit(const struct dlm_attention_params *p, const struct head *h, uint r)
{
    const int at = h->q_start + (int)(r / h->group);
    const int end = at < h->prefix_len ? h->prefix_len : at + 1;

    if (r >= h->num_rows)
        return 0u;
    return p->mode == DLM_ATTENTION_PREFIX_MODE ? min(h->kv_len, (uint)max(end, 0)) : h->kv_len;
}

/* The first row that sees key s. */
static uint find_first_row(const struct dlm_attention_params *p, const struct head *h, uint s)
{
    if (s >= h->kv_len)
        return h->num_rows;
    if (p->mode != DLM_ATTENTION_PREFIX_MODE || (int)s < h->prefix_len)
        return 0u;
    return min((uint)max((int)s - h->q_start, 0) * h->group, h->num_rows);
}

/* Element 0 of row r in q, out and their gradients; of key s in k and v; and r in lse, delta. */
static uint find_row(const struct dlm_attention_params *p, const struct head *h, uint r)
{
    const uint t = h->batch * p->queries + r / h->group;
    return (t * p->heads + h->kv_head * h->group + r % h->group) * p->dim;
}

static uint find_key(const struct dlm_attention_params *p, const struct head *h, uint s)
{
    return ((h->batch * p->keys + s) * p->kv_heads + h->kv_head) * p->dim;
}

static uint find_stat(const struct dlm_attention_params *p, const struct head *h, uint r)
{
    const uint head = h->batch * p->heads + h->kv_head * h->group + r % h->group;
    return head * p->queries + r / h->group;
}

#ifdef CHUNKS
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
    uint row_at[32];                            /* of the rows of the tile; NONE past the end */
    float max[32], rescale[32];                 /* forward */
    float lse[32], delta[32];                   /* backward: of the rows of the tile */
    uint limit[32];
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
static void stage_rows(__local struct shared *l, __local float *to, uint stride, uint width,
                       __global const float *x, uint c0, uint dim)
{
    for (uint e = DLM_LOCAL_ID(); e < TILE_ROWS * width; e += LANES) {
        const uint i = e / width, d = e % width, at = l->row_at[i];
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
        if (s0 + i < h->kv_len && c0 + d < p->dim)
            value = LOAD_KV(y, find_key(p, h, s0 + i) + c0 + d);
        to[i * stride + d] = value;
    }
}

/* sums[i][j] = x . y for the lane's own rows (keys) and the others, x of the tile's rows and y of
 * keys from s0 on. */
DLM_INLINE void multiply(const struct dlm_attention_params *p, const struct head *h,
                         __local struct shared *l, __global const float *x,
                         __global const TYPE_KV *y, uint s0, float (*sums)[PER_OTHER])
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
        stage_rows(l, row_slice, SLICE + 1u, SLICE, x, c0, p->dim);
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

/* sums += weights times x of the tile's others: keys from s0 on, in dkv rows. */
DLM_INLINE void accumulate(const struct dlm_attention_params *p, const struct head *h,
                           __local struct shared *l, __global const TYPE_OTHER *x, uint s0,
                           float (*sums)[PER][PER_CHUNK])
{
    const uint own = DLM_LOCAL_ID() / 16u, col = DLM_LOCAL_ID() % 16u;

    FOR(c, CHUNKS) {
        const uint others = c * CHUNK < p->dim ? OTHER : 0u;
        barrier(CLK_LOCAL_MEM_FENCE);
#ifdef DKV
        if (others > 0u)
            stage_rows(l, l->slices, CHUNK, CHUNK, x, c * CHUNK, p->dim);
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
        l->row_at[lane] = r < NUM_ROWS(p, h) ? find_row(p, h, r) : NONE;
        l->limit[lane] = find_limit(p, h, r);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
}

/* The keys that any row of [r0, r0 + OWN) sees. */
static uint find_end(const struct dlm_attention_params *p, const struct head *h, uint r0)
{
    return r0 < h->num_rows ? find_limit(p, h, min(r0 + OWN, h->num_rows) - 1u) : 0u;
}
#endif

#ifdef FORWARD
/* Scores to exp(score - max of the row so far); max and what it rescales by. */
DLM_INLINE void soften(__local struct shared *l, const uint *limit, uint s0, float scale,
                       float (*scores)[PER_OTHER])
{
    const uint own = DLM_LOCAL_ID() / 16u, other = DLM_LOCAL_ID() % 16u, lane = DLM_LOCAL_ID();

    FOR(i, PER) FOR(j, PER_OTHER) {
        const uint o = other + 16u * j;
        scores[i][j] = s0 + o < limit[i] ? scores[i][j] * scale : LOWEST;
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
        l->weights[own + 8u * i][o] =
            s0 + o < limit[i] ? exp(scores[i][j] - l->max[own + 8u * i]) : 0.0f;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
}

__kernel DLM_LOCAL(LANES) void attention(FORWARD_ARGS)
{
    __local struct shared l;
    const struct head h = find_head(&p, rows);
    const uint r0 = get_group_id(0) * OWN, own = DLM_LOCAL_ID() / 16u, end = find_end(&p, &h, r0);
    float sums[CHUNKS][PER][PER_CHUNK], total[PER], factor[PER];
    uint at[PER], limit[PER];

    if (DLM_LOCAL_ID() < OWN)
        l.max[DLM_LOCAL_ID()] = LOWEST;
    enter_rows(&p, &h, &l, r0);
    clear(sums);
    FOR(i, PER) {
        at[i] = l.row_at[own + 8u * i];
        limit[i] = l.limit[own + 8u * i];
        total[i] = 0.0f;
    }
    for (uint s0 = 0; s0 < end; s0 += OTHER) {
        float scores[PER][PER_OTHER];
        multiply(&p, &h, &l, q, k, s0, scores);
        soften(&l, limit, s0, p.scale, scores);
        FOR(i, PER) {
            const float rescale = l.rescale[own + 8u * i];
            total[i] *= rescale;
            for (uint o = 0; o < OTHER; o++)
                total[i] += l.weights[own + 8u * i][o];
            FOR(c, CHUNKS) FOR(j, PER_CHUNK) sums[c][i][j] *= rescale;
        }
        accumulate(&p, &h, &l, v, s0, sums);
    }
    FOR(i, PER) {
        factor[i] = limit[i] > 0u ? 1.0f / total[i] : 0.0f;
        if (at[i] != NONE && DLM_LOCAL_ID() % 16u == 0u)
            lse[find_stat(&p, &h, r0 + own + 8u * i)] =
                limit[i] > 0u ? l.max[own + 8u * i] + log(total[i]) : 0.0f;
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
    const uint r0 = get_group_id(0) * OWN, own = DLM_LOCAL_ID() / 16u, end = find_end(&p, &h, r0);
    float sums[CHUNKS][PER][PER_CHUNK], row_lse[PER], row_delta[PER], factor[PER];
    uint at[PER], limit[PER];

    enter_rows(&p, &h, &l, r0);
    clear(sums);
    FOR(i, PER) {
        at[i] = l.row_at[own + 8u * i];
        limit[i] = l.limit[own + 8u * i];
        factor[i] = p.scale;
        const uint stat = at[i] != NONE ? find_stat(&p, &h, r0 + own + 8u * i) : 0u;
        row_lse[i] = lse[stat];
        row_delta[i] = delta[stat];
    }
    for (uint s0 = 0; s0 < end; s0 += OTHER) {
        float scores[PER][PER_OTHER], dscores[PER][PER_OTHER];
        multiply(&p, &h, &l, q, k, s0, scores);
        multiply(&p, &h, &l, dout, v, s0, dscores);
        FOR(i, PER) FOR(j, PER_OTHER) {
            const uint o = DLM_LOCAL_ID() % 16u + 16u * j;
            /* Of what is not seen too, which may overflow and is dropped: LLVM 18 (PoCL 6) gives up
             * on an exp() behind a branch in this loop. */
            const float e = exp(scores[i][j] * p.scale - row_lse[i]);
            l.weights[own + 8u * i][o] =
                s0 + o < limit[i] ? e * (dscores[i][j] - row_delta[i]) : 0.0f;
        }
        accumulate(&p, &h, &l, k, s0, sums);
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
    const uint s0 = get_group_id(0) * OWN, own = DLM_LOCAL_ID() / 16u, lane = DLM_LOCAL_ID();
    float dk_sums[CHUNKS][PER][PER_CHUNK], dv_sums[CHUNKS][PER][PER_CHUNK];
    float one[PER], scale[PER];
    uint at[PER];

    clear(dk_sums);
    clear(dv_sums);
    for (uint r0 = find_first_row(&p, &h, s0); r0 < h.num_rows; r0 += OTHER) {
        float scores[PER][PER_OTHER], dscores[PER][PER_OTHER];
        barrier(CLK_LOCAL_MEM_FENCE);
        if (lane < OTHER && r0 + lane < h.num_rows) {
            l.lse[lane] = lse[find_stat(&p, &h, r0 + lane)];
            l.delta[lane] = delta[find_stat(&p, &h, r0 + lane)];
        }
        enter_rows(&p, &h, &l, r0);
        multiply(&p, &h, &l, q, k, s0, scores);
        multiply(&p, &h, &l, dout, v, s0, dscores);
        FOR(i, PER) FOR(j, PER_OTHER) {
            const uint o = lane % 16u + 16u * j;
            float e = 0.0f, d = 0.0f;
            if (s0 + own + 8u * i < l.limit[o]) {
                e = exp(scores[i][j] * p.scale - l.lse[o]);
                d = e * (dscores[i][j] - l.delta[o]);
            }
            dscores[i][j] = d;
            l.weights[own + 8u * i][o] = e;
        }
        accumulate(&p, &h, &l, dout, s0, dv_sums);
        barrier(CLK_LOCAL_MEM_FENCE);
        FOR(i, PER) FOR(j, PER_OTHER)
            l.weights[own + 8u * i][lane % 16u + 16u * j] = dscores[i][j];
        accumulate(&p, &h, &l, q, s0, dk_sums);
    }
    FOR(i, PER) {
        const uint s = s0 + own + 8u * i;
        at[i] = s < p.keys ? find_key(&p, &h, s) : NONE;
        one[i] = 1.0f;
        scale[i] = p.scale;
    }
    write_sums(&p, dk_sums, at, scale, dk);
    write_sums(&p, dv_sums, at, one, dv);
}
#endif

#ifndef CHUNKS
#define TILE 16u /* keys (dkv: rows) at a time */
#define FOR_TILE(j) _Pragma("unroll") for (uint j = 0; j < TILE; j++)
#define FOR_4(i) _Pragma("unroll") for (uint i = 0; i < 4u; i++)

/* 8 neighbours, widened. */
#define LOAD8_F32(p, i) vload8(0, (p) + (i))
#define LOAD8_BF16(p, i) as_float8(convert_uint8(vload8(0, (p) + (i))) << 16)
#define LOAD8_F16(p, i) vload_half8(0, (__global const half *)(p) + (i))
#define LOAD8_KV(p, i) PASTE(LOAD8_, DLM_KV)(p, i)

/* The function `name`: dots[j] = x . y[at[j]]; four at a time, so that sums need not wait. */
#define DEFINE_DOTS(name, type_x, load_x, load8_x, type_y, load_y, load8_y)                        \
    static void name(__global const type_x *x, __global const type_y *y, const uint *at,           \
                     uint dim, float *dots)                                                        \
    {                                                                                              \
        for (uint j = 0; j < TILE; j += 4u) {                                                      \
            float8 sum[4] = {(float8)(0.0f), (float8)(0.0f), (float8)(0.0f), (float8)(0.0f)};      \
            uint d = 0;                                                                            \
            for (; d + 8u <= dim; d += 8u)                                                         \
                FOR_4(i) sum[i] = fma(load8_x(x, d), load8_y(y, at[j + i] + d), sum[i]);           \
            for (; d < dim; d++)                                                                   \
                FOR_4(i) sum[i].s0 = fma(load_x(x, d), load_y(y, at[j + i] + d), sum[i].s0);       \
            FOR_4(i) dots[j + i] = dot(sum[i].lo + sum[i].hi, (float4)(1.0f));                     \
        }                                                                                          \
    }
DEFINE_DOTS(dot_keys, float, DLM_LOAD_F32, LOAD8_F32, TYPE_KV, LOAD_KV, LOAD8_KV)
DEFINE_DOTS(dot_rows, TYPE_KV, LOAD_KV, LOAD8_KV, float, DLM_LOAD_F32, LOAD8_F32)

/* The function `name`: sum = factor * sum + sum_j weights[j] x[at[j]], over a row of dim elements.
 * What stands in sum is not read when factor is 0. */
#define DEFINE_ADD_ROWS(name, type, load, load8)                                                   \
    static void name(__global float *sum, float factor, const float *weights,                      \
                     __global const type *x, const uint *at, uint dim)                             \
    {                                                                                              \
        uint d = 0;                                                                                \
        for (; d + 8u <= dim; d += 8u) {                                                           \
            float8 v[4] = {(float8)(0.0f), (float8)(0.0f), (float8)(0.0f), (float8)(0.0f)};        \
            if (factor != 0.0f)                                                                    \
                v[0] = factor * vload8(0, sum + d);                                                \
            FOR_TILE(j) v[j % 4u] = fma((float8)(weights[j]), load8(x, at[j] + d), v[j % 4u]);     \
            vstore8(v[0] + v[1] + (v[2] + v[3]), 0, sum + d);                                      \
        }                                                                                          \
        for (; d < dim; d++) {                                                                     \
            float v = factor != 0.0f ? factor * sum[d] : 0.0f;                                     \
            FOR_TILE(j) v = fma(weights[j], load(x, at[j] + d), v);                                \
            sum[d] = v;                                                                            \
        }                                                                                          \
    }
DEFINE_ADD_ROWS(add_keys, TYPE_KV, LOAD_KV, LOAD8_KV)
DEFINE_ADD_ROWS(add_rows, float, DLM_LOAD_F32, LOAD8_F32)

static void clear_row(__global float *x, uint dim)
{
    for (uint d = 0; d < dim; d++)
        x[d] = 0.0f;
}

/* Where the keys of a tile begin; those past the last one repeat it. */
static void find_keys(const struct dlm_attention_params *p, const struct head *h, uint s0, uint *at)
{
    FOR_TILE(j) at[j] = find_key(p, h, min(s0 + j, h->kv_len - 1u));
}

__kernel DLM_LOCAL(64) void attention_nolocal(FORWARD_ARGS)
{
    const struct head h = find_head(&p, rows);
    const uint r = get_group_id(0) * 64u + DLM_LOCAL_ID();
    if (r >= p.queries * h.group)
        return;
    const uint at = find_row(&p, &h, r), limit = find_limit(&p, &h, r);
    float most = LOWEST, total = 0.0f;

    if (limit == 0u)
        clear_row(out + at, p.dim);
    for (uint s0 = 0; s0 < limit; s0 += TILE) {
        float weights[TILE];
        uint key_at[TILE];
        const float before = most;
        find_keys(&p, &h, s0, key_at);
        dot_keys(q + at, k, key_at, p.dim, weights);
        FOR_TILE(j) {
            weights[j] *= p.scale;
            most = s0 + j < limit ? fmax(most, weights[j]) : most;
        }
        const float rescale = exp(before - most);
        total *= rescale;
        FOR_TILE(j) {
            weights[j] = s0 + j < limit ? exp(weights[j] - most) : 0.0f;
            total += weights[j];
        }
        add_keys(out + at, s0 > 0u ? rescale : 0.0f, weights, v, key_at, p.dim);
    }
    for (uint d = 0; limit > 0u && d < p.dim; d++)
        out[at + d] /= total;
    lse[find_stat(&p, &h, r)] = limit > 0u ? most + log(total) : 0.0f;
}

__kernel DLM_LOCAL(64) void attention_dq_nolocal(BACKWARD_ARGS, __global float *dq,
                                                 const struct dlm_attention_params p)
{
    const struct head h = find_head(&p, rows);
    const uint r = get_group_id(0) * 64u + DLM_LOCAL_ID();
    if (r >= p.queries * h.group)
        return;
    const uint at = find_row(&p, &h, r), stat = find_stat(&p, &h, r);
    const uint limit = find_limit(&p, &h, r);

    if (limit == 0u)
        clear_row(dq + at, p.dim);
    for (uint s0 = 0; s0 < limit; s0 += TILE) {
        float weights[TILE], dscores[TILE];
        uint key_at[TILE];
        find_keys(&p, &h, s0, key_at);
        dot_keys(q + at, k, key_at, p.dim, weights);
        dot_keys(dout + at, v, key_at, p.dim, dscores);
        FOR_TILE(j) {
            const float e = exp(p.scale * weights[j] - lse[stat]) * (dscores[j] - delta[stat]);
            weights[j] = s0 + j < limit ? p.scale * e : 0.0f;
        }
        add_keys(dq + at, s0 > 0u ? 1.0f : 0.0f, weights, k, key_at, p.dim);
    }
}

__kernel DLM_LOCAL(64) void attention_dkv_nolocal(BACKWARD_ARGS, __global float *dk,
                                                  __global float *dv,
                                                  const struct dlm_attention_params p)
{
    const struct head h = find_head(&p, rows);
    const uint s = get_group_id(0) * 64u + DLM_LOCAL_ID();
    if (s >= p.keys)
        return;
    const uint at = find_key(&p, &h, s), first = find_first_row(&p, &h, s);

    if (first >= h.num_rows) {
        clear_row(dk + at, p.dim);
        clear_row(dv + at, p.dim);
    }
    for (uint r0 = first; r0 < h.num_rows; r0 += TILE) {
        float weights[TILE], dscores[TILE];
        uint row_at[TILE];
        FOR_TILE(j) row_at[j] = find_row(&p, &h, min(r0 + j, h.num_rows - 1u));
        dot_rows(k + at, q, row_at, p.dim, weights);
        dot_rows(v + at, dout, row_at, p.dim, dscores);
        FOR_TILE(j) {
            const uint r = min(r0 + j, h.num_rows - 1u), stat = find_stat(&p, &h, r);
            const bool is_seen = r0 + j < h.num_rows && s < find_limit(&p, &h, r);
            weights[j] = is_seen ? exp(p.scale * weights[j] - lse[stat]) : 0.0f;
            dscores[j] = is_seen ? p.scale * weights[j] * (dscores[j] - delta[stat]) : 0.0f;
        }
        add_rows(dv + at, r0 > first ? 1.0f : 0.0f, weights, dout, row_at, p.dim);
        add_rows(dk + at, r0 > first ? 1.0f : 0.0f, dscores, q, row_at, p.dim);
    }
}

/* delta[b, h, t] = sum_d dout out; a lane a row of 64. */
__kernel DLM_LOCAL(64) void attention_delta(__global const float *dout, __global const float *out,
                                            __global float *delta,
                                            const struct dlm_attention_params p)
{
    const uint index = DLM_GROUP_ID() * 64u + DLM_LOCAL_ID();
    if (index >= p.batch * p.queries * p.heads)
        return;
    const uint h = index % p.heads, bt = index / p.heads;
    float sum = 0.0f;

    for (uint d = 0; d < p.dim; d++)
        sum += dout[index * p.dim + d] * out[index * p.dim + d];
    delta[(bt / p.queries * p.heads + h) * p.queries + bt % p.queries] = sum;
}
#endif
