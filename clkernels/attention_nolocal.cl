/* attention and its backward for CPUs, where barriers are slow, and for heads over 256: the rows of
 * a lane (dkv: its keys) are the elements of its vectors, so that a product takes elements of the
 * other operand one by one and no sum runs across a vector. Groups: {blocks of 64 rows (keys), kv
 * heads, batch}. And attention_delta, for both kinds. */
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
#include "attention_head.cl"

#define LANES (64 / DLM_WIDTH) /* each has DLM_WIDTH rows (keys) */
#define TILE 8u                /* keys (dkv: rows) at a time */
/* Elements of a row that a lane keeps at a time. Longer ones are done in parts, with the scores
 * computed anew for each. */
#define CHUNK (DLM_WIDTH > 4 ? 256u : 64u)

typedef DLM_PASTE(int, DLM_WIDTH) ivec;

#define FOR_TILE(j) _Pragma("unroll") for (uint j = 0; j < TILE; j++)
#define FOR_LANES(i) for (uint i = 0; i < DLM_WIDTH; i++)

/* The function `name`: elements [d0, d0 + num) of rows x[at[i]] as vectors across the rows. */
#define DEFINE_GATHER(name, type, load)                                                            \
    static void name(__global const type *x, const uint *at, uint d0, uint num, float *vectors)    \
    {                                                                                              \
        FOR_LANES(i)                                                                               \
        for (uint d = 0; d < num; d++)                                                             \
            vectors[d * DLM_WIDTH + i] = load(x, at[i] + d0 + d);                                  \
    }
DEFINE_GATHER(gather_f32, float, DLM_LOAD_F32)
DEFINE_GATHER(gather_kv, TYPE_KV, LOAD_KV)

static void scatter(__global float *x, const uint *at, uint rows, uint d0, uint num,
                    const float *vectors)
{
    for (uint i = 0; i < rows; i++)
        for (uint d = 0; d < num; d++)
            x[at[i] + d0 + d] = vectors[d * DLM_WIDTH + i];
}

static void clear(float *vectors, uint num)
{
    for (uint d = 0; d < num; d++)
        DLM_VSTORE((dlm_vec)(0.0f), d, vectors);
}

/* The function `name`: dots[j] = the rows of x at[0..] times row y[y_at[j]]. vectors holds the rows
 * of x if they are no longer than a chunk, else it is scratch. */
#define DEFINE_DOTS(name, type_x, gather, type_y, load_y)                                          \
    static void name(__global const type_x *x, const uint *at, float *vectors,                     \
                     __global const type_y *y, const uint *y_at, uint dim, dlm_vec *dots)          \
    {                                                                                              \
        dlm_vec sum[TILE];                                                                         \
        FOR_TILE(j) sum[j] = (dlm_vec)(0.0f);                                                      \
        for (uint d0 = 0; d0 < dim; d0 += CHUNK) {                                                 \
            const uint num = min(CHUNK, dim - d0);                                                 \
            if (dim > CHUNK)                                                                       \
                gather(x, at, d0, num, vectors);                                                   \
            for (uint d = 0; d < num; d++) {                                                       \
                const dlm_vec v = DLM_VLOAD(d, vectors);                                           \
                FOR_TILE(j) sum[j] = fma(v, (dlm_vec)(load_y(y, y_at[j] + d0 + d)), sum[j]);       \
            }                                                                                      \
        }                                                                                          \
        FOR_TILE(j) dots[j] = sum[j];                                                              \
    }
DEFINE_DOTS(dot_keys, float, gather_f32, TYPE_KV, LOAD_KV)
DEFINE_DOTS(dot_rows, TYPE_KV, gather_kv, float, DLM_LOAD_F32)

/* The function `name`: sums = factor * sums + sum_j weights[j] y[y_at[j]], elements from d0 on. */
#define DEFINE_ADD(name, type, load)                                                               \
    static void name(float *sums, dlm_vec factor, const dlm_vec *weights,                          \
                     __global const type *y, const uint *y_at, uint d0, uint num)                  \
    {                                                                                              \
        for (uint d = 0; d < num; d++) {                                                           \
            dlm_vec v = factor * DLM_VLOAD(d, sums);                                               \
            FOR_TILE(j) v = fma(weights[j], (dlm_vec)(load(y, y_at[j] + d0 + d)), v);              \
            DLM_VSTORE(v, d, sums);                                                                \
        }                                                                                          \
    }
DEFINE_ADD(add_keys, TYPE_KV, LOAD_KV)
DEFINE_ADD(add_rows, float, DLM_LOAD_F32)

static dlm_vec cap(const struct dlm_attention_params *p, dlm_vec dots)
{
    const dlm_vec score = p->scale * dots;
    return p->softcap == 0.0f ? score : p->softcap * dlm_tanh(score / p->softcap);
}

/* scale, and the cap's derivative from the capped score. */
static dlm_vec uncap(const struct dlm_attention_params *p, dlm_vec score)
{
    const dlm_vec t = p->softcap == 0.0f ? (dlm_vec)(0.0f) : score / p->softcap;
    return p->scale * (1.0f - t * t);
}

/* The rows of a lane, of which the last one repeats, and the keys [begin, end) that any of them
 * sees. */
struct block {
    uint num, begin, end;
    uint q_at[DLM_WIDTH], dout_at[DLM_WIDTH], out_at[DLM_WIDTH], stat[DLM_WIDTH];
    dlm_uvec first, limit; /* of each row's own keys */
};

static void find_block(const struct dlm_attention_params *p, const struct head *h, uint r0,
                       struct block *b)
{
    const uint num_rows = p->queries * h->group;
    uint first[DLM_WIDTH], limit[DLM_WIDTH];

    b->num = min((uint)DLM_WIDTH, num_rows - r0);
    b->begin = h->mask.kv_len;
    b->end = 0u;
    FOR_LANES(i) {
        const uint r = min(r0 + i, num_rows - 1u);
        b->q_at[i] = find_q(p, h, r);
        b->dout_at[i] = find_dout(p, h, r);
        b->out_at[i] = find_out(p, h, r);
        b->stat[i] = find_stat(p, h, r);
        first[i] = find_begin(h, r);
        limit[i] = find_limit(h, r);
        if (first[i] < limit[i]) {
            b->begin = min(b->begin, first[i]);
            b->end = max(b->end, limit[i]);
        }
    }
    b->first = DLM_VLOAD(0, first);
    b->limit = DLM_VLOAD(0, limit);
}

/* Which rows see key s. */
static ivec sees(const struct block *b, uint s)
{
    return (dlm_uvec)(s) >= b->first && (dlm_uvec)(s) < b->limit;
}

/* Where the keys of a tile begin; those past the last one repeat it. */
static void find_keys(const struct dlm_attention_params *p, const struct head *h, uint s0, uint *at)
{
    FOR_TILE(j) at[j] = find_key(p, h, min(s0 + j, h->mask.kv_len - 1u));
}

/* The next tile of keys of the softmax: dots become weights; gives the factor for what was summed
 * so far. */
static dlm_vec next_weights(const struct dlm_attention_params *p, const struct block *b, uint s0,
                            dlm_vec *dots, dlm_vec *most, dlm_vec *total)
{
    const dlm_vec before = *most;

    FOR_TILE(j) {
        dots[j] = cap(p, dots[j]);
        *most = select(*most, fmax(*most, dots[j]), sees(b, s0 + j));
    }
    const dlm_vec rescale = exp(before - *most);
    *total *= rescale;
    FOR_TILE(j) {
        dots[j] = select((dlm_vec)(0.0f), exp(dots[j] - *most), sees(b, s0 + j));
        *total += dots[j];
    }
    return rescale;
}

__kernel DLM_LOCAL(LANES) void attention_nolocal(FORWARD_ARGS)
{
    const struct head h = find_head(&p, rows);
    const uint r0 = DLM_GROUP(0) * 64u + DLM_LOCAL_ID() * DLM_WIDTH;
    if (r0 >= p.queries * h.group)
        return;
    float q_vectors[CHUNK * DLM_WIDTH], sums[CHUNK * DLM_WIDTH], stats[DLM_WIDTH];
    struct block b;
    dlm_vec most, total;

    k += p.k_lead;
    v += p.v_lead;
    find_block(&p, &h, r0, &b);
    gather_f32(q, b.q_at, 0u, min(CHUNK, p.dim), q_vectors);
    for (uint d0 = 0; d0 < p.dim; d0 += CHUNK) {
        const uint num = min(CHUNK, p.dim - d0);
        most = (dlm_vec)(LOWEST);
        total = (dlm_vec)(0.0f);
        clear(sums, num);
        for (uint s0 = b.begin; s0 < b.end; s0 += TILE) {
            dlm_vec weights[TILE];
            uint key_at[TILE];
            find_keys(&p, &h, s0, key_at);
            dot_keys(q, b.q_at, q_vectors, k, key_at, p.dim, weights);
            const dlm_vec rescale = next_weights(&p, &b, s0, weights, &most, &total);
            add_keys(sums, rescale, weights, v, key_at, d0, num);
        }
        for (uint d = 0; d < num; d++)
            DLM_VSTORE(select((dlm_vec)(0.0f), DLM_VLOAD(d, sums) / total, b.first < b.limit), d,
                       sums);
        scatter(out, b.out_at, b.num, d0, num, sums);
    }
    DLM_VSTORE(select((dlm_vec)(0.0f), most + log(total), b.first < b.limit), 0, stats);
    for (uint i = 0; i < b.num; i++)
        lse[b.stat[i]] = stats[i];
}

__kernel DLM_LOCAL(LANES) void attention_dq_nolocal(BACKWARD_ARGS, __global float *dq,
                                                    const struct dlm_attention_params p)
{
    const struct head h = find_head(&p, rows);
    const uint r0 = DLM_GROUP(0) * 64u + DLM_LOCAL_ID() * DLM_WIDTH;
    if (r0 >= p.queries * h.group)
        return;
    float q_vectors[CHUNK * DLM_WIDTH], dout_vectors[CHUNK * DLM_WIDTH], sums[CHUNK * DLM_WIDTH];
    float stats[2][DLM_WIDTH];
    struct block b;

    k += p.k_lead;
    v += p.v_lead;
    find_block(&p, &h, r0, &b);
    gather_f32(q, b.q_at, 0u, min(CHUNK, p.dim), q_vectors);
    gather_f32(dout, b.dout_at, 0u, min(CHUNK, p.dim), dout_vectors);
    FOR_LANES(i) {
        stats[0][i] = lse[b.stat[i]];
        stats[1][i] = delta[b.stat[i]];
    }
    for (uint d0 = 0; d0 < p.dim; d0 += CHUNK) {
        const uint num = min(CHUNK, p.dim - d0);
        clear(sums, num);
        for (uint s0 = b.begin; s0 < b.end; s0 += TILE) {
            dlm_vec weights[TILE], dscores[TILE];
            uint key_at[TILE];
            find_keys(&p, &h, s0, key_at);
            dot_keys(q, b.q_at, q_vectors, k, key_at, p.dim, weights);
            dot_keys(dout, b.dout_at, dout_vectors, v, key_at, p.dim, dscores);
            FOR_TILE(j) {
                const dlm_vec score = cap(&p, weights[j]);
                const dlm_vec e = exp(score - DLM_VLOAD(0, stats[0]));
                weights[j] = select((dlm_vec)(0.0f),
                                    uncap(&p, score) * e * (dscores[j] - DLM_VLOAD(0, stats[1])),
                                    sees(&b, s0 + j));
            }
            add_keys(sums, (dlm_vec)(1.0f), weights, k, key_at, d0, num);
        }
        scatter(dq, b.out_at, b.num, d0, num, sums);
    }
}

/* The keys of a lane, of which the last one repeats, and the rows [begin, end) that any of them is
 * seen by. */
struct key_block {
    uint num, begin, end;
    uint at[DLM_WIDTH], out_at[DLM_WIDTH];
    dlm_uvec key, first, last; /* the rows of each key: [first, last), and those that see it */
};

static void find_key_block(const struct dlm_attention_params *p, const struct head *h, uint s0,
                           struct key_block *b)
{
    uint key[DLM_WIDTH], first[DLM_WIDTH], last[DLM_WIDTH];

    b->num = min((uint)DLM_WIDTH, p->keys - s0);
    b->begin = h->num_rows;
    b->end = 0u;
    FOR_LANES(i) {
        key[i] = min(s0 + i, p->keys - 1u);
        b->at[i] = find_key(p, h, key[i]);
        b->out_at[i] = find_dkey(p, h, key[i]);
        first[i] = find_first_row(h, key[i]);
        last[i] = find_end_row(h, key[i]);
        if (first[i] < last[i]) {
            b->begin = min(b->begin, first[i]);
            b->end = max(b->end, last[i]);
        }
    }
    b->key = DLM_VLOAD(0, key);
    b->first = DLM_VLOAD(0, first);
    b->last = DLM_VLOAD(0, last);
}

__kernel DLM_LOCAL(LANES) void attention_dkv_nolocal(BACKWARD_ARGS, __global float *dk,
                                                     __global float *dv,
                                                     const struct dlm_attention_params p)
{
    const struct head h = find_head(&p, rows);
    const uint s0 = DLM_GROUP(0) * 64u + DLM_LOCAL_ID() * DLM_WIDTH;
    if (s0 >= p.keys)
        return;
    float k_vectors[CHUNK * DLM_WIDTH], v_vectors[CHUNK * DLM_WIDTH];
    float k_sums[CHUNK * DLM_WIDTH], v_sums[CHUNK * DLM_WIDTH];
    struct key_block b;

    k += p.k_lead;
    v += p.v_lead;
    find_key_block(&p, &h, s0, &b);
    gather_kv(k, b.at, 0u, min(CHUNK, p.dim), k_vectors);
    gather_kv(v, b.at, 0u, min(CHUNK, p.dim), v_vectors);
    for (uint d0 = 0; d0 < p.dim; d0 += CHUNK) {
        const uint num = min(CHUNK, p.dim - d0);
        clear(k_sums, num);
        clear(v_sums, num);
        for (uint r0 = b.begin; r0 < b.end; r0 += TILE) {
            dlm_vec weights[TILE], dscores[TILE];
            uint q_at[TILE], dout_at[TILE];
            FOR_TILE(j) {
                q_at[j] = find_q(&p, &h, min(r0 + j, h.num_rows - 1u));
                dout_at[j] = find_dout(&p, &h, min(r0 + j, h.num_rows - 1u));
            }
            dot_rows(k, b.at, k_vectors, q, q_at, p.dim, weights);
            dot_rows(v, b.at, v_vectors, dout, dout_at, p.dim, dscores);
            FOR_TILE(j) {
                const uint r = min(r0 + j, h.num_rows - 1u), stat = find_stat(&p, &h, r);
                const ivec is_seen = (dlm_uvec)(r0 + j) >= b.first &&
                                     (dlm_uvec)(r0 + j) < b.last &&
                                     b.key < (dlm_uvec)(find_limit(&h, r));
                const dlm_vec score = cap(&p, weights[j]);
                weights[j] = select((dlm_vec)(0.0f), exp(score - lse[stat]), is_seen);
                dscores[j] = select((dlm_vec)(0.0f),
                                    uncap(&p, score) * weights[j] * (dscores[j] - delta[stat]),
                                    is_seen);
            }
            add_rows(v_sums, (dlm_vec)(1.0f), weights, dout, dout_at, d0, num);
            add_rows(k_sums, (dlm_vec)(1.0f), dscores, q, q_at, d0, num);
        }
        scatter(dv + p.out2_lead, b.out_at, b.num, d0, num, v_sums);
        scatter(dk + p.out_lead, b.out_at, b.num, d0, num, k_sums);
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
