/* attention, forward and backward. Every product passes the f32 register tiles of matmul; keys and
 * queries are packed a step at a time into panels [depth][16].
 *
 * The keys that a query may see are always a range, the first ones unless there is a window:
 * neither its begin nor its end, the query's limit, falls from one query to the next. So a mask
 * costs nothing but shorter loops. */
#include "cpukernels/vmath.h"

#include "cpukernels/convert.h"
#include "cpukernels/cpukernels.h"
#include "cpukernels/matmul_tile_f32.h"
#include "cpukernels/transpose.h"
#include "kernels/attention_cpu.h"
#include "kernels/attention_mask.h"

#define BLOCK DLM_ATTENTION_CPU_BLOCK
#define STEP DLM_ATTENTION_CPU_STEP

/* num rows of `dim` elements, `stride` elements apart. */
struct matrix {
    const void *data;
    enum dlm_dtype dtype;
    size_t stride;
    uint32_t num, dim;
};

/* What all items know of their batch row. */
struct item {
    const struct dlm_attention_params *p;
    uint32_t batch, kv_head, group; /* group: query heads to a kv head */
    uint32_t first, num;            /* rows or keys of this item */
    struct dlm_attention_mask mask;
    float *scratch; /* what is left of it */
};

static float *take(struct item *x, size_t floats)
{
    float *at = x->scratch;
    x->scratch += floats;
    return at;
}

/* False when there is nothing to do. total: rows or keys of a kv head. */
static bool find_item(const struct dlm_cpu_call *call, int64_t index, const int32_t *rows,
                      uint32_t total, struct item *x)
{
    const struct dlm_attention_params *p = call->params;
    const int64_t blocks = (total + p->block - 1) / p->block;
    const int64_t head = index / blocks;

    *x = (struct item){.p = p, .group = p->heads / p->kv_heads, .scratch = call->scratch};
    if (head >= (int64_t)p->kv_heads * p->batch)
        return false;
    x->batch = (uint32_t)(head / p->kv_heads);
    x->kv_head = (uint32_t)(head % p->kv_heads);
    x->first = (uint32_t)(index % blocks) * p->block;
    x->num = DLM_MIN(total - x->first, p->block);
    rows += 4 * x->batch;
    x->mask = (struct dlm_attention_mask){
        .q_start = rows[0],
        .kv_len = dlm_attention_clamp(rows[1], p->keys),
        .prefix = rows[2],
        .num_q = dlm_attention_clamp(rows[3], p->queries),
        .is_causal = p->mode == DLM_ATTENTION_PREFIX_MODE,
        .window = p->window,
    };
    return true;
}

/* keys: element 0 of k or v. */
static struct matrix keys_of(const struct item *x, const void *keys, enum dlm_dtype dtype,
                             uint32_t first, uint32_t num)
{
    const size_t at = dlm_attention_place(x->p->kv_stride, x->batch, first, x->kv_head);

    return (struct matrix){(const char *)keys + at * (dtype == DLM_DTYPE_F32 ? 4 : 2), dtype,
                           x->p->kv_stride[1], num, x->p->dim};
}

static size_t query_at(const struct item *x, const uint32_t *stride, uint32_t t, uint32_t g)
{
    return dlm_attention_place(stride, x->batch, t, x->kv_head * x->group + g);
}

/* Element 0 of k (binding 1) or v. */
static const void *key_data(const struct dlm_cpu_call *call, int binding, enum dlm_dtype dtype)
{
    const struct dlm_attention_params *p = call->params;
    const size_t lead = binding == 1 ? p->k_lead : p->v_lead;

    return (const char *)call->buffers[binding] + lead * (dtype == DLM_DTYPE_F32 ? 4 : 2);
}

/* The place of query t, head g in lse and delta [B, H, T]. */
static size_t stat_at(const struct item *x, uint32_t t, uint32_t g)
{
    return ((size_t)x->batch * x->p->heads + x->kv_head * x->group + g) * x->p->queries + t;
}

DLM_INLINE float element(enum dlm_dtype dtype, const void *data, size_t at)
{
    if (dtype == DLM_DTYPE_F32)
        return ((const float *)data)[at];
    const uint32_t half = ((const uint16_t *)data)[at];
    return dtype == DLM_DTYPE_BF16 ? dlm_bf16_to_f32(half) : dlm_vf16_to_f32(half);
}

DLM_INLINE void widen_typed(enum dlm_dtype dtype, float *out, const void *data, size_t at,
                            uint32_t len)
{
    DLM_SIMD for (uint32_t i = 0; i < len; i++)
        out[i] = element(dtype, data, at + i);
}

/* Row i of m as f32. */
static void widen_row(float *out, const struct matrix *m, size_t i)
{
    if (m->dtype == DLM_DTYPE_BF16)
        widen_typed(DLM_DTYPE_BF16, out, m->data, i * m->stride, m->dim);
    else if (m->dtype == DLM_DTYPE_F16)
        widen_typed(DLM_DTYPE_F16, out, m->data, i * m->stride, m->dim);
    else
        memcpy(out, (const float *)m->data + i * m->stride, m->dim * sizeof(*out));
}

/* out [num][stride] = m, zeros up to a multiple of 16 columns. */
static void copy_rows(float *out, size_t stride, const struct matrix *m)
{
    const size_t padded = dlm_attention_pad16(m->dim);

    for (uint32_t i = 0; i < m->num; i++) {
        widen_row(out + i * stride, m, i);
        memset(out + i * stride + m->dim, 0, (padded - m->dim) * sizeof(*out));
    }
}

/* Panels for a product that sums over rows: [dim / 16][depth][16], depth = num padded. */
static void pack_rows(float *panels, const struct matrix *m)
{
    const size_t depth = dlm_attention_pad16(m->num), padded = dlm_attention_pad16(m->dim);
    float line[DLM_ATTENTION_MAX_DIM];

    memset(line, 0, sizeof(line));
    for (size_t i = 0; i < depth; i++) {
        if (i < m->num)
            widen_row(line, m, i);
        else
            memset(line, 0, m->dim * sizeof(*line));
        for (size_t d = 0; d < padded; d += 16)
            memcpy(panels + d * depth + i * 16, line + d, 16 * sizeof(*line));
    }
}

/* Panels for a product that sums over dim: [num / 16][padded dim][16], a row of m a column. */
static void pack_across(float *panels, const struct matrix *m)
{
    const size_t num = dlm_attention_pad16(m->num), padded = dlm_attention_pad16(m->dim);
    float lines[16][DLM_ATTENTION_MAX_DIM];

    for (size_t i0 = 0; i0 < num; i0 += 16, panels += 16 * padded) {
        for (size_t i = 0; i < 16; i++) {
            const size_t len = i0 + i < m->num ? m->dim : 0;
            if (len)
                widen_row(lines[i], m, i0 + i);
            memset(lines[i] + len, 0, (padded - len) * sizeof(float));
        }
        for (size_t d = 0; d < padded; d += 4) {
            for (size_t i = 0; i < 16; i += 4)
                dlm_transpose4(panels + d * 16 + i, lines[i] + d, DLM_ATTENTION_MAX_DIM);
        }
    }
}

/* out[rows][16 num_panels] (+)= a[rows][depth] panels[num_panels][depth][16]. */
static void multiply(float *out, size_t out_stride, const float *a, size_t a_stride, uint32_t rows,
                     const float *panels, size_t depth, size_t num_panels, bool is_sum)
{
    struct dlm_tile_ahead ahead = {0};

    for (size_t j = 0; j < num_panels; j += 2) {
        const float *b0 = panels + j * depth * 16;
        const float *b1 = j + 1 < num_panels ? b0 + depth * 16 : NULL;
        for (uint32_t r0 = 0; r0 < rows; r0 += DLM_TILE_ROWS) {
            const uint32_t num = DLM_MIN(rows - r0, (uint32_t)DLM_TILE_ROWS);
            dlm_tile_f32_into(num, a + r0 * a_stride, a_stride, b0, b1, depth, &ahead,
                              out + r0 * out_stride + j * 16, out_stride, is_sum);
        }
    }
}

/* The rows of a forward or dq item. */
struct row_block {
    struct item x;
    uint32_t begins[BLOCK], limits[BLOCK];
    uint32_t key_begin; /* at most the smallest begin: a multiple of STEP */
    uint32_t key_end;   /* the largest limit */
    size_t score_stride, dim_stride, padded_dim;
    float *panels;
};

static bool find_rows(const struct dlm_cpu_call *call, int64_t index, const int32_t *rows,
                      struct row_block *w)
{
    const struct dlm_attention_params *p = call->params;

    if (!find_item(call, index, rows, p->queries * (p->heads / p->kv_heads), &w->x))
        return false;
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
static float *copy_queries(struct row_block *w, const float *from, const uint32_t *stride,
                           float factor)
{
    const uint32_t dim = w->x.p->dim;
    float *block = take(&w->x, w->x.num * w->dim_stride);

    for (uint32_t r = 0; r < w->x.num; r++) {
        float *to = block + r * w->dim_stride;
        const float *row = from + row_query_at(w, stride, r);
        DLM_SIMD for (uint32_t d = 0; d < dim; d++)
            to[d] = factor * row[d];
        memset(to + dim, 0, (w->padded_dim - dim) * sizeof(*to));
    }
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
static void score_keys(struct row_block *w, float *scores, const float *queries, const void *keys,
                       enum dlm_dtype dtype)
{
    for (uint32_t s = w->key_begin; s < w->key_end; s += STEP) {
        const struct matrix m =
            keys_of(&w->x, keys, dtype, s, DLM_MIN(w->key_end - s, (uint32_t)STEP));
        const uint32_t r = first_row(w, s);
        pack_across(w->panels, &m);
        multiply(scores + r * w->score_stride + s, w->score_stride, queries + r * w->dim_stride,
                 w->dim_stride, w->x.num - r, w->panels, w->padded_dim, (m.num + 15) / 16, false);
    }
}

/* sums[r][d] = sum_s scores[r][s] values[s][d]; scores are 0 where they do not count. */
static void sum_values(struct row_block *w, float *sums, const float *scores, const void *values,
                       enum dlm_dtype dtype)
{
    memset(sums, 0, w->x.num * w->dim_stride * sizeof(*sums));
    for (uint32_t s = w->key_begin; s < w->key_end; s += STEP) {
        const struct matrix m =
            keys_of(&w->x, values, dtype, s, DLM_MIN(w->key_end - s, (uint32_t)STEP));
        const uint32_t r = first_row(w, s);
        pack_rows(w->panels, &m);
        multiply(sums + r * w->dim_stride, w->dim_stride, scores + r * w->score_stride + s,
                 w->score_stride, w->x.num - r, w->panels, dlm_attention_pad16(m.num),
                 w->padded_dim / 16, true);
    }
}

/* Zeros around the keys of row r, as far as products read. */
static void clear_ends(const struct row_block *w, float *row, uint32_t r)
{
    const size_t begin = w->begins[r], limit = w->limits[r];
    const size_t end = dlm_attention_pad16(w->key_end);

    memset(row + limit, 0, (end - limit) * sizeof(*row));
    if (begin > w->key_begin)
        memset(row + w->key_begin, 0, (begin - w->key_begin) * sizeof(*row));
}

/* Scores of n keys with the soft cap. */
static void cap_scores(const struct dlm_attention_params *p, float *scores, uint32_t n)
{
    const float cap = p->softcap;

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
static void forward(const struct dlm_cpu_call *call, int64_t index, enum dlm_dtype dtype)
{
    struct row_block w;
    const struct dlm_attention_params *p = call->params;
    const float *q = (const float *)call->buffers[0] + p->q_lead;
    float inverse[BLOCK], *out = (float *)call->buffers[4] + p->out_lead, *lse = call->buffers[5];

    if (!find_rows(call, index, call->buffers[3], &w))
        return;
    float *queries = copy_queries(&w, q, p->q_stride, p->scale);
    float *scores = take(&w.x, w.x.num * w.score_stride);
    float *sums = queries; /* no longer needed when the sums begin */

    score_keys(&w, scores, queries, key_data(call, 1, dtype), dtype);
    for (uint32_t r = 0; r < w.x.num; r++) {
        float *row = scores + r * w.score_stride;
        const uint32_t begin = w.begins[r], num = w.limits[r] - begin;
        cap_scores(w.x.p, row + begin, num);
        const float sum = soften(row + begin, num, lse + row_stat_at(&w, r));
        inverse[r] = num ? 1.0f / sum : 0.0f;
        clear_ends(&w, row, r);
    }
    sum_values(&w, sums, scores, key_data(call, 2, dtype), dtype);
    write_queries(&w, out, sums, inverse);
}

/* Bindings dout, out, delta: an item is DLM_ATTENTION_QUERIES queries of a head. */
void DLM_CPU_KERNEL(attention_delta)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_attention_params *p = call->params;
    const float *dout = call->buffers[0], *out = call->buffers[1];
    float *delta = call->buffers[2];
    const int64_t blocks = (p->queries + DLM_ATTENTION_QUERIES - 1) / DLM_ATTENTION_QUERIES;
    const size_t head = (size_t)(item / blocks); /* of all batch rows */
    const uint32_t first = (uint32_t)(item % blocks) * DLM_ATTENTION_QUERIES;

    if (head >= (size_t)p->heads * p->batch)
        return;
    for (uint32_t t = first; t < DLM_MIN(first + DLM_ATTENTION_QUERIES, p->queries); t++) {
        const size_t row = head / p->heads * p->queries + t;
        const size_t at = (row * p->heads + head % p->heads) * p->dim;
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (uint32_t d = 0; d < p->dim; d++)
            sum += dout[at + d] * out[at + d];
        delta[head * p->queries + t] = sum;
    }
}

/* Bindings q, k, v, dout, lse, delta, rows, dq. */
static void backward_queries(const struct dlm_cpu_call *call, int64_t index, enum dlm_dtype dtype)
{
    struct row_block w;
    const struct dlm_attention_params *p = call->params;
    const float *q = (const float *)call->buffers[0] + p->q_lead;
    const float *lse = call->buffers[4], *delta = call->buffers[5];
    float factors[BLOCK], *dq = (float *)call->buffers[7] + p->out_lead;
    uint32_t dout_stride[3];

    dlm_attention_dout_strides(p, dout_stride);
    if (!find_rows(call, index, call->buffers[6], &w))
        return;
    float *queries = copy_queries(&w, q, p->q_stride, p->scale);
    float *douts = copy_queries(&w, call->buffers[3], dout_stride, 1.0f);
    float *scores = take(&w.x, w.x.num * w.score_stride);
    float *dscores = take(&w.x, w.x.num * w.score_stride);

    score_keys(&w, scores, queries, key_data(call, 1, dtype), dtype);
    score_keys(&w, dscores, douts, key_data(call, 2, dtype), dtype);
    for (uint32_t r = 0; r < w.x.num; r++) {
        const float row_lse = lse[row_stat_at(&w, r)], row_delta = delta[row_stat_at(&w, r)];
        const uint32_t begin = w.begins[r], num = w.limits[r] - begin;
        float *s = scores + r * w.score_stride + begin;
        float *ds = dscores + r * w.score_stride + begin;
        cap_scores(w.x.p, s, num);
        DLM_SIMD for (uint32_t i = 0; i < num; i++)
            ds[i] = DLM_EXPF(s[i] - row_lse) * (ds[i] - row_delta);
        uncap_scores(w.x.p, ds, s, num);
        clear_ends(&w, ds - begin, r);
        factors[r] = p->scale;
    }
    sum_values(&w, queries, dscores, key_data(call, 1, dtype), dtype);
    write_queries(&w, dq, queries, factors);
}

/* A dkv item: operands and sums [keys][dim_stride], scores [keys][STEP + a gap]. */
struct key_block {
    struct item x;
    size_t dim_stride, padded_dim, score_stride;
    float *keys, *values, *dkeys, *dvalues, *scores, *dscores, *panels;
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

/* From the products in scores and dscores of queries [t, t + num) of head g: P and dS, both 0 where
 * a query does not see a key and behind num. */
static void weigh(const struct key_block *w, uint32_t t, uint32_t num, const float *lse,
                  const float *delta)
{
    const size_t padded = dlm_attention_pad16(num);

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
    }
}

/* Adds what queries [t, t + num) of head g give. q, dout: theirs. */
static void add_queries(const struct key_block *w, const struct matrix *q,
                        const struct matrix *dout, uint32_t t, const float *lse,
                        const float *delta)
{
    const size_t depth = dlm_attention_pad16(q->num), num_panels = depth / 16;

    pack_across(w->panels, q);
    multiply(w->scores, w->score_stride, w->keys, w->dim_stride, w->x.num, w->panels,
             w->padded_dim, num_panels, false);
    pack_across(w->panels, dout);
    multiply(w->dscores, w->score_stride, w->values, w->dim_stride, w->x.num, w->panels,
             w->padded_dim, num_panels, false);
    weigh(w, t, q->num, lse, delta);
    pack_rows(w->panels, dout);
    multiply(w->dvalues, w->dim_stride, w->scores, w->score_stride, w->x.num, w->panels, depth,
             w->padded_dim / 16, true);
    pack_rows(w->panels, q);
    multiply(w->dkeys, w->dim_stride, w->dscores, w->score_stride, w->x.num, w->panels, depth,
             w->padded_dim / 16, true);
}

static float *zeros(struct item *x, size_t floats)
{
    float *at = take(x, floats);
    memset(at, 0, floats * sizeof(*at));
    return at;
}

static bool find_keys(const struct dlm_cpu_call *call, int64_t index, enum dlm_dtype dtype,
                      struct key_block *w)
{
    const struct dlm_attention_params *p = call->params;

    if (!find_item(call, index, call->buffers[6], p->keys, &w->x))
        return false;
    w->dim_stride = dlm_attention_dim_stride(p);
    w->padded_dim = dlm_attention_pad16(p->dim);
    w->score_stride = STEP + DLM_ATTENTION_CPU_GAP;
    const size_t operand = w->x.num * w->dim_stride;
    const void *keys = key_data(call, 1, dtype), *values = key_data(call, 2, dtype);
    const struct matrix k = keys_of(&w->x, keys, dtype, w->x.first, w->x.num);
    const struct matrix v = keys_of(&w->x, values, dtype, w->x.first, w->x.num);
    w->panels = take(&w->x, STEP * w->padded_dim);
    w->keys = take(&w->x, operand);
    w->values = take(&w->x, operand);
    w->dkeys = zeros(&w->x, operand);
    w->dvalues = zeros(&w->x, operand);
    w->scores = take(&w->x, w->x.num * w->score_stride);
    w->dscores = take(&w->x, w->x.num * w->score_stride);
    copy_rows(w->keys, w->dim_stride, &k);
    copy_rows(w->values, w->dim_stride, &v);
    return true;
}

/* Bindings q, k, v, dout, lse, delta, rows, dk, dv. */
static void backward_keys(const struct dlm_cpu_call *call, int64_t index, enum dlm_dtype dtype)
{
    const struct dlm_attention_params *p = call->params;
    const float *q = (const float *)call->buffers[0] + p->q_lead, *dout = call->buffers[3];
    const float *lse = call->buffers[4], *delta = call->buffers[5];
    float *dk = (float *)call->buffers[7] + p->out_lead;
    float *dv = (float *)call->buffers[8] + p->out2_lead;
    uint32_t dout_stride[3];
    struct key_block w;

    dlm_attention_dout_strides(p, dout_stride);
    if (!find_keys(call, index, dtype, &w))
        return;
    const uint32_t dim = p->dim;
    const float scale = p->scale;
    const uint32_t end = dlm_attention_end_query(w.x.mask, w.x.first + w.x.num - 1);
    for (uint32_t g = 0; g < w.x.group; g++) {
        for (uint32_t t = dlm_attention_first_query(w.x.mask, w.x.first); t < end; t += STEP) {
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

/* The kernels of one storage type of k and v. */
#define DEFINE_KERNELS(suffix, dtype)                                                              \
    void DLM_CPU_KERNEL(attention_##suffix)(const struct dlm_cpu_call *call, int64_t item)         \
    {                                                                                              \
        forward(call, item, dtype);                                                                \
    }                                                                                              \
    void DLM_CPU_KERNEL(attention_dq_##suffix)(const struct dlm_cpu_call *call, int64_t item)      \
    {                                                                                              \
        backward_queries(call, item, dtype);                                                       \
    }                                                                                              \
    void DLM_CPU_KERNEL(attention_dkv_##suffix)(const struct dlm_cpu_call *call, int64_t item)     \
    {                                                                                              \
        backward_keys(call, item, dtype);                                                          \
    }

DEFINE_KERNELS(f32, DLM_DTYPE_F32)
DEFINE_KERNELS(f16, DLM_DTYPE_F16)
DEFINE_KERNELS(bf16, DLM_DTYPE_BF16)
