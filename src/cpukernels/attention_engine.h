/* attention, forward and backward, around the products of an engine. Keys and queries are packed a
 * step at a time into panels of 16 columns.
 *
 * The keys that a query may see are always a range, the first ones unless there is a window:
 * neither its begin nor its end, the query's limit, falls from one query to the next. So a mask
 * costs nothing but shorter loops. */
#ifndef DLM_CPUKERNELS_ATTENTION_ENGINE_H
#define DLM_CPUKERNELS_ATTENTION_ENGINE_H

#include "cpukernels/attention_item.h"

#include <math.h>

/* What an engine brings. An operand is a row, or panels, of elements of elem_bytes. */
struct attention_engine {
    size_t elem_bytes;
    size_t depth; /* what a product sums over is padded to a multiple of it: 16 or 32 */
    bool rounds;  /* operands have fewer digits than f32 */
    /* to = factor row[dim], zeros up to the padded dim */
    void (*copy_row)(void *to, const float *row, uint32_t dim, float factor);
    /* to = row i of m, zeros likewise */
    void (*copy_stored)(void *to, const struct matrix *m, size_t i);
    /* scores [begin, end) of a row to an operand in place: score s becomes its element s. begin is
     * a multiple of 64. NULL: they are one */
    void (*narrow)(float *scores, size_t begin, size_t end);
    /* panels of m for a product that sums over rows of m, and for one that sums over dim: a row of
     * m a column; depth: of the product */
    void (*pack_rows)(void *panels, const struct matrix *m, size_t depth);
    void (*pack_across)(void *panels, const struct matrix *m, size_t depth);
    /* out[rows][16 num_panels] (+)= a[rows][depth] panels; a_stride in bytes */
    void (*multiply)(float *out, size_t out_stride, const void *a, size_t a_stride, uint32_t rows,
                     const void *panels, size_t depth, size_t num_panels, bool is_sum);
};

static size_t pad_depth(const struct attention_engine *e, size_t n)
{
    return (n + e->depth - 1) / e->depth * e->depth;
}

/* What queries are multiplied by before the products: the scale, or where they are rounded a power
 * of two, which leaves their digits as dK's products have them. The scores get the rest. */
static float query_factor(const struct attention_engine *e, float scale)
{
    return e->rounds && isnormal(scale) ? ldexpf(1.0f, ilogbf(scale)) : scale;
}

static void narrow(const struct attention_engine *e, float *scores, size_t begin, size_t end)
{
    if (e->narrow)
        e->narrow(scores, begin, end);
}

/* The rows of a forward or dq item. */
struct row_block {
    struct item x;
    const struct attention_engine *e;
    uint32_t begins[BLOCK], limits[BLOCK];
    uint32_t key_begin; /* at most the smallest begin: a multiple of STEP */
    uint32_t key_end;   /* the largest limit */
    size_t score_stride, dim_stride;
    size_t padded_dim, depth_dim; /* as columns, as what a product sums over */
    size_t operand_stride;        /* of queries: bytes */
    float *panels;
};

static bool find_rows(const struct attention_engine *e, const struct dlm_cpu_call *call,
                      int64_t index, const int32_t *rows, struct row_block *w)
{
    const struct dlm_attention_params *p = call->params;

    if (!find_item(call, index, rows, p->queries * (p->heads / p->kv_heads), &w->x))
        return false;
    w->e = e;
    w->key_end = 0;
    for (uint32_t r = 0; r < w->x.num; r++) {
        w->begins[r] = dlm_attention_begin(w->x.mask, (w->x.first + r) / w->x.group);
        w->limits[r] = dlm_attention_limit(w->x.mask, (w->x.first + r) / w->x.group);
        w->key_end = DLM_MAX(w->key_end, w->limits[r]);
    }
    w->key_begin = w->begins[0] / STEP * STEP;
    w->score_stride = dlm_attention_score_stride(p);
    w->dim_stride = dlm_attention_dim_stride(p);
    w->padded_dim = dlm_attention_pad16(p->dim);
    w->depth_dim = pad_depth(e, p->dim);
    w->operand_stride = w->dim_stride * e->elem_bytes;
    w->panels = take(&w->x, STEP * w->padded_dim);
    return true;
}

static size_t row_query_at(const struct row_block *w, const uint32_t *stride, uint32_t r)
{
    return query_at(&w->x, stride, (w->x.first + r) / w->x.group, (w->x.first + r) % w->x.group);
}

static size_t row_stat_at(const struct row_block *w, uint32_t r)
{
    return stat_at(&w->x, (w->x.first + r) / w->x.group, (w->x.first + r) % w->x.group);
}

/* Rows of q or dout times factor, as an operand in scratch. */
static const char *copy_queries(struct row_block *w, const float *from, const uint32_t *stride,
                                float factor)
{
    char *block = (char *)take(&w->x, w->x.num * w->dim_stride);

    for (uint32_t r = 0; r < w->x.num; r++)
        w->e->copy_row(block + r * w->operand_stride, from + row_query_at(w, stride, r),
                       w->x.p->dim, factor);
    return block;
}

/* Rows of out or dq from the sums; factors: one a row. */
static void write_queries(const struct row_block *w, float *out, const float *sums,
                          const float *factors)
{
    const uint32_t dim = w->x.p->dim;

    for (uint32_t r = 0; r < w->x.num; r++) {
        float *to = out + row_query_at(w, w->x.p->out_stride, r);
        const float *row = sums + r * w->dim_stride, factor = factors[r];
        DLM_SIMD for (uint32_t d = 0; d < dim; d++)
            to[d] = factor * row[d];
    }
}

/* Rows before this one see no key from s on (queries behind num_q do not count: they come last). */
static uint32_t first_row(const struct row_block *w, uint32_t s)
{
    uint32_t r = 0;

    while (r < w->x.num && w->limits[r] <= s)
        r++;
    return r;
}

/* scores[r][s] = queries[r] . keys[s] for every row's keys; more may be written around them. */
static void score_keys(struct row_block *w, float *scores, const char *queries, const void *keys,
                       enum dlm_dtype dtype)
{
    for (uint32_t s = w->key_begin; s < w->key_end; s += STEP) {
        const struct matrix m =
            keys_of(&w->x, keys, dtype, s, DLM_MIN(w->key_end - s, (uint32_t)STEP));
        const uint32_t r = first_row(w, s);
        w->e->pack_across(w->panels, &m, w->depth_dim);
        w->e->multiply(scores + r * w->score_stride + s, w->score_stride,
                       queries + r * w->operand_stride, w->operand_stride, w->x.num - r, w->panels,
                       w->depth_dim, (m.num + 15) / 16, false);
    }
}

/* sums[r][d] = sum_s scores[r][s] values[s][d]; scores: operands, 0 where they do not count. */
static void sum_values(struct row_block *w, float *sums, const float *scores, const void *values,
                       enum dlm_dtype dtype)
{
    const size_t stride = w->score_stride * sizeof(*scores);

    memset(sums, 0, w->x.num * w->dim_stride * sizeof(*sums));
    for (uint32_t s = w->key_begin; s < w->key_end; s += STEP) {
        const struct matrix m =
            keys_of(&w->x, values, dtype, s, DLM_MIN(w->key_end - s, (uint32_t)STEP));
        const uint32_t r = first_row(w, s);
        const size_t depth = pad_depth(w->e, m.num);
        const char *weights = (const char *)scores + r * stride + s * w->e->elem_bytes;
        w->e->pack_rows(w->panels, &m, depth);
        w->e->multiply(sums + r * w->dim_stride, w->dim_stride, weights, stride, w->x.num - r,
                       w->panels, depth, w->padded_dim / 16, true);
    }
}

/* Row r as an operand: zeros around its keys, as far as products read. */
static void finish_row(const struct row_block *w, float *row, uint32_t r)
{
    const size_t begin = w->begins[r], limit = w->limits[r];
    const size_t end = pad_depth(w->e, w->key_end);

    memset(row + limit, 0, (end - limit) * sizeof(*row));
    if (begin > w->key_begin)
        memset(row + w->key_begin, 0, (begin - w->key_begin) * sizeof(*row));
    narrow(w->e, row, w->key_begin, end);
}

/* Scores of n keys times what queries were not multiplied by, with the soft cap. */
static void finish_scores(const struct dlm_attention_params *p, float factor, float *scores,
                          uint32_t n)
{
    const float cap = p->softcap, rest = p->scale / factor;

    if (rest != 1) {
        DLM_SIMD for (uint32_t s = 0; s < n; s++)
            scores[s] *= rest;
    }
    if (cap == 0)
        return;
    DLM_SIMD for (uint32_t s = 0; s < n; s++)
        scores[s] = cap * dlm_tanh(scores[s] / cap);
}

/* dscores, which are of capped scores, become those of the plain ones. */
static void uncap_scores(const struct dlm_attention_params *p, float *dscores, const float *scores,
                         uint32_t n)
{
    if (p->softcap == 0)
        return;
    DLM_SIMD for (uint32_t s = 0; s < n; s++)
        dscores[s] *= dlm_attention_uncap(p->softcap, scores[s]);
}

/* scores[0..n) to exp(scores - max); the sum of those, and the logarithm of the sum of exp(scores),
 * 0 for no key. */
static float soften(float *scores, uint32_t n, float *lse)
{
    const float max = n ? dlm_vmax(scores, n) : 0;
    float sum = 0;

#pragma omp simd reduction(+ : sum)
    for (uint32_t s = 0; s < n; s++) {
        const float e = DLM_EXPF(scores[s] - max);
        scores[s] = e;
        sum += e;
    }
    *lse = n ? max + logf(sum) : 0;
    return sum;
}

/* Bindings q, k, v, rows, out, lse. */
static void forward(const struct attention_engine *e, const struct dlm_cpu_call *call,
                    int64_t index, enum dlm_dtype dtype)
{
    struct row_block w;
    const struct dlm_attention_params *p = call->params;
    const float *q = (const float *)call->buffers[0] + p->q_lead;
    float inverse[BLOCK], *out = (float *)call->buffers[4] + p->out_lead, *lse = call->buffers[5];

    if (!find_rows(e, call, index, call->buffers[3], &w))
        return;
    float *sums = w.x.scratch; /* where queries are, which nobody needs when the sums begin */
    const float factor = query_factor(e, p->scale);
    const char *queries = copy_queries(&w, q, p->q_stride, factor);
    float *scores = take(&w.x, w.x.num * w.score_stride);

    score_keys(&w, scores, queries, key_data(call, 1, dtype), dtype);
    for (uint32_t r = 0; r < w.x.num; r++) {
        float *row = scores + r * w.score_stride;
        const uint32_t begin = w.begins[r], num = w.limits[r] - begin;
        finish_scores(p, factor, row + begin, num);
        const float sum = soften(row + begin, num, lse + row_stat_at(&w, r));
        inverse[r] = num ? 1.0f / sum : 0.0f;
        finish_row(&w, row, r);
    }
    sum_values(&w, sums, scores, key_data(call, 2, dtype), dtype);
    write_queries(&w, out, sums, inverse);
}

/* Bindings q, k, v, dout, lse, delta, rows, dq. */
static void backward_queries(const struct attention_engine *e, const struct dlm_cpu_call *call,
                             int64_t index, enum dlm_dtype dtype)
{
    struct row_block w;
    const struct dlm_attention_params *p = call->params;
    const float *q = (const float *)call->buffers[0] + p->q_lead;
    const float *lse = call->buffers[4], *delta = call->buffers[5];
    float factors[BLOCK], *dq = (float *)call->buffers[7] + p->out_lead;
    uint32_t dout_stride[3];

    dlm_attention_dout_strides(p, dout_stride);
    if (!find_rows(e, call, index, call->buffers[6], &w))
        return;
    float *sums = w.x.scratch; /* where queries are */
    const float factor = query_factor(e, p->scale);
    const char *queries = copy_queries(&w, q, p->q_stride, factor);
    const char *douts = copy_queries(&w, call->buffers[3], dout_stride, 1.0f);
    float *scores = take(&w.x, w.x.num * w.score_stride);
    float *dscores = take(&w.x, w.x.num * w.score_stride);

    score_keys(&w, scores, queries, key_data(call, 1, dtype), dtype);
    score_keys(&w, dscores, douts, key_data(call, 2, dtype), dtype);
    for (uint32_t r = 0; r < w.x.num; r++) {
        const float row_lse = lse[row_stat_at(&w, r)], row_delta = delta[row_stat_at(&w, r)];
        const uint32_t begin = w.begins[r], num = w.limits[r] - begin;
        float *s = scores + r * w.score_stride + begin;
        float *ds = dscores + r * w.score_stride + begin;
        finish_scores(p, factor, s, num);
        DLM_SIMD for (uint32_t i = 0; i < num; i++)
            ds[i] = DLM_EXPF(s[i] - row_lse) * (ds[i] - row_delta);
        uncap_scores(w.x.p, ds, s, num);
        finish_row(&w, ds - begin, r);
        factors[r] = p->scale;
    }
    sum_values(&w, sums, dscores, key_data(call, 1, dtype), dtype);
    write_queries(&w, dq, sums, factors);
}

/* A dkv item: operands and sums [keys][dim_stride], scores [keys][STEP + a gap]. */
struct key_block {
    struct item x;
    const struct attention_engine *e;
    size_t dim_stride, padded_dim, depth_dim, score_stride;
    size_t operand_stride; /* of keys and values: bytes */
    char *keys, *values;
    float *dkeys, *dvalues, *scores, *dscores, *panels;
};

/* P and dS of n queries from their products with a key: s and ds. */
static void weigh_key(const struct dlm_attention_params *p, float *s, float *ds, const float *lse,
                      const float *delta, uint32_t n)
{
    const float scale = p->scale, cap = p->softcap;

    if (cap == 0) {
        DLM_SIMD for (uint32_t j = 0; j < n; j++) {
            const float e = DLM_EXPF(scale * s[j] - lse[j]);
            ds[j] = e * (ds[j] - delta[j]);
            s[j] = e;
        }
        return;
    }
    DLM_SIMD for (uint32_t j = 0; j < n; j++) {
        const float t = dlm_tanh(scale * s[j] / cap);
        const float e = DLM_EXPF(cap * t - lse[j]);
        ds[j] = e * (ds[j] - delta[j]) * (1.0f - t * t);
        s[j] = e;
    }
}

/* From the products in scores and dscores of queries [t, t + num) of head g: P and dS as operands,
 * both 0 where a query does not see a key and behind num. */
static void weigh(const struct key_block *w, uint32_t t, uint32_t num, const float *lse,
                  const float *delta)
{
    const size_t padded = pad_depth(w->e, num);

    for (uint32_t i = 0; i < w->x.num; i++) {
        float *s = w->scores + i * w->score_stride, *ds = w->dscores + i * w->score_stride;
        const uint32_t seen = dlm_attention_first_query(w->x.mask, w->x.first + i);
        const uint32_t unseen = dlm_attention_end_query(w->x.mask, w->x.first + i);
        const uint32_t begin = seen > t ? DLM_MIN(seen - t, num) : 0;
        const uint32_t end = unseen > t ? DLM_MIN(unseen - t, num) : 0;
        const uint32_t from = DLM_MIN(begin, end);
        memset(s, 0, from * sizeof(*s));
        memset(ds, 0, from * sizeof(*ds));
        weigh_key(w->x.p, s + from, ds + from, lse + from, delta + from, end - from);
        memset(s + end, 0, (padded - end) * sizeof(*s));
        memset(ds + end, 0, (padded - end) * sizeof(*ds));
        narrow(w->e, s, 0, padded);
        narrow(w->e, ds, 0, padded);
    }
}

/* Adds what queries [t, t + num) of head g give. q, dout: theirs. */
static void add_queries(const struct key_block *w, const struct matrix *q,
                        const struct matrix *dout, uint32_t t, const float *lse,
                        const float *delta)
{
    const struct attention_engine *e = w->e;
    const size_t num_panels = (q->num + 15) / 16, depth = pad_depth(e, q->num);
    const size_t columns = w->padded_dim / 16, stride = w->score_stride * sizeof(*w->scores);
    const uint32_t keys = w->x.num;

    e->pack_across(w->panels, q, w->depth_dim);
    e->multiply(w->scores, w->score_stride, w->keys, w->operand_stride, keys, w->panels,
                w->depth_dim, num_panels, false);
    e->pack_across(w->panels, dout, w->depth_dim);
    e->multiply(w->dscores, w->score_stride, w->values, w->operand_stride, keys, w->panels,
                w->depth_dim, num_panels, false);
    weigh(w, t, q->num, lse, delta);
    e->pack_rows(w->panels, dout, depth);
    e->multiply(w->dvalues, w->dim_stride, w->scores, stride, keys, w->panels, depth, columns,
                true);
    e->pack_rows(w->panels, q, depth);
    e->multiply(w->dkeys, w->dim_stride, w->dscores, stride, keys, w->panels, depth, columns,
                true);
}

static float *zeros(struct item *x, size_t floats)
{
    float *at = take(x, floats);
    memset(at, 0, floats * sizeof(*at));
    return at;
}

static bool find_keys(const struct attention_engine *e, const struct dlm_cpu_call *call,
                      int64_t index, enum dlm_dtype dtype, struct key_block *w)
{
    const struct dlm_attention_params *p = call->params;

    if (!find_item(call, index, call->buffers[6], p->keys, &w->x))
        return false;
    w->dim_stride = dlm_attention_dim_stride(p);
    w->padded_dim = dlm_attention_pad16(p->dim);
    w->e = e;
    w->depth_dim = pad_depth(e, p->dim);
    w->operand_stride = w->dim_stride * e->elem_bytes;
    w->score_stride = STEP + DLM_ATTENTION_CPU_GAP;
    const size_t len = w->x.num * w->dim_stride;
    const void *keys = key_data(call, 1, dtype), *values = key_data(call, 2, dtype);
    const struct matrix k = keys_of(&w->x, keys, dtype, w->x.first, w->x.num);
    const struct matrix v = keys_of(&w->x, values, dtype, w->x.first, w->x.num);
    w->panels = take(&w->x, STEP * w->padded_dim);
    w->keys = (char *)take(&w->x, len);
    w->values = (char *)take(&w->x, len);
    w->dkeys = zeros(&w->x, len);
    w->dvalues = zeros(&w->x, len);
    w->scores = take(&w->x, w->x.num * w->score_stride);
    w->dscores = take(&w->x, w->x.num * w->score_stride);
    for (uint32_t i = 0; i < w->x.num; i++) {
        e->copy_stored(w->keys + i * w->operand_stride, &k, i);
        e->copy_stored(w->values + i * w->operand_stride, &v, i);
    }
    return true;
}

/* Bindings q, k, v, dout, lse, delta, rows, dk, dv. */
static void backward_keys(const struct attention_engine *e, const struct dlm_cpu_call *call,
                          int64_t index, enum dlm_dtype dtype)
{
    const struct dlm_attention_params *p = call->params;
    const float *q = (const float *)call->buffers[0] + p->q_lead, *dout = call->buffers[3];
    const float *lse = call->buffers[4], *delta = call->buffers[5];
    float *dk = (float *)call->buffers[7] + p->out_lead;
    float *dv = (float *)call->buffers[8] + p->out2_lead;
    uint32_t dout_stride[3];
    struct key_block w;

    dlm_attention_dout_strides(p, dout_stride);
    if (!find_keys(e, call, index, dtype, &w))
        return;
    const uint32_t dim = p->dim;
    const float scale = p->scale;
    /* steps begin at multiples, so that sums do not depend on which keys share an item */
    const uint32_t begin = dlm_attention_first_query(w.x.mask, w.x.first) / STEP * STEP;
    const uint32_t end = dlm_attention_end_query(w.x.mask, w.x.first + w.x.num - 1);
    for (uint32_t g = 0; g < w.x.group; g++) {
        for (uint32_t t = begin; t < end; t += STEP) {
            const size_t stat = stat_at(&w.x, t, g);
            const uint32_t num = DLM_MIN(end - t, (uint32_t)STEP);
            const struct matrix m = {q + query_at(&w.x, p->q_stride, t, g), DLM_DTYPE_F32,
                                     p->q_stride[1], num, p->dim};
            const struct matrix dm = {dout + query_at(&w.x, dout_stride, t, g), DLM_DTYPE_F32,
                                      dout_stride[1], num, p->dim};
            add_queries(&w, &m, &dm, t, lse + stat, delta + stat);
        }
    }
    for (uint32_t i = 0; i < w.x.num; i++) {
        const size_t at = dlm_attention_place(p->out_stride, w.x.batch, w.x.first + i, w.x.kv_head);
        const float *dkey = w.dkeys + i * w.dim_stride, *dvalue = w.dvalues + i * w.dim_stride;
        DLM_SIMD for (uint32_t d = 0; d < dim; d++) {
            dk[at + d] = scale * dkey[d];
            dv[at + d] = dvalue[d];
        }
    }
}

#endif
