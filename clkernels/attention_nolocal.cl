/* attention and its backward for CPUs, where barriers are slow, and for heads over 256: a lane
 * keeps a row (a key) and its sums in the result itself. Groups: {blocks of 64 rows (keys), kv
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
    FOR_TILE(j) at[j] = find_key(p, h, min(s0 + j, h->mask.kv_len - 1u));
}

__kernel DLM_LOCAL(64) void attention_nolocal(FORWARD_ARGS)
{
    const struct head h = find_head(&p, rows);
    const uint r = DLM_GROUP(0) * 64u + DLM_LOCAL_ID();
    if (r >= p.queries * h.group)
        return;
    const uint at = find_out(&p, &h, r);
    const uint begin = find_begin(&h, r), limit = find_limit(&h, r);
    float most = LOWEST, total = 0.0f;

    if (begin == limit)
        clear_row(out + at, p.dim);
    for (uint s0 = begin; s0 < limit; s0 += TILE) {
        float weights[TILE];
        uint key_at[TILE];
        const float before = most;
        find_keys(&p, &h, s0, key_at);
        dot_keys(q + find_q(&p, &h, r), k + p.k_lead, key_at, p.dim, weights);
        FOR_TILE(j) {
            weights[j] = dlm_attention_cap(p.softcap, p.scale * weights[j]);
            most = s0 + j < limit ? fmax(most, weights[j]) : most;
        }
        const float rescale = exp(before - most);
        total *= rescale;
        FOR_TILE(j) {
            weights[j] = s0 + j < limit ? exp(weights[j] - most) : 0.0f;
            total += weights[j];
        }
        add_keys(out + at, s0 > begin ? rescale : 0.0f, weights, v + p.v_lead, key_at, p.dim);
    }
    for (uint d = 0; limit > begin && d < p.dim; d++)
        out[at + d] /= total;
    lse[find_stat(&p, &h, r)] = limit > begin ? most + log(total) : 0.0f;
}

__kernel DLM_LOCAL(64) void attention_dq_nolocal(BACKWARD_ARGS, __global float *dq,
                                                 const struct dlm_attention_params p)
{
    const struct head h = find_head(&p, rows);
    const uint r = DLM_GROUP(0) * 64u + DLM_LOCAL_ID();
    if (r >= p.queries * h.group)
        return;
    const uint at = find_out(&p, &h, r), stat = find_stat(&p, &h, r);
    const uint begin = find_begin(&h, r), limit = find_limit(&h, r);

    if (begin == limit)
        clear_row(dq + at, p.dim);
    for (uint s0 = begin; s0 < limit; s0 += TILE) {
        float weights[TILE], dscores[TILE];
        uint key_at[TILE];
        find_keys(&p, &h, s0, key_at);
        dot_keys(q + find_q(&p, &h, r), k + p.k_lead, key_at, p.dim, weights);
        dot_keys(dout + find_dout(&p, &h, r), v + p.v_lead, key_at, p.dim, dscores);
        FOR_TILE(j) {
            const float score = dlm_attention_cap(p.softcap, p.scale * weights[j]);
            const float e = exp(score - lse[stat]) * (dscores[j] - delta[stat]);
            const float ds = p.scale * e * dlm_attention_uncap(p.softcap, score);
            weights[j] = s0 + j < limit ? ds : 0.0f;
        }
        add_keys(dq + at, s0 > begin ? 1.0f : 0.0f, weights, k + p.k_lead, key_at, p.dim);
    }
}

__kernel DLM_LOCAL(64) void attention_dkv_nolocal(BACKWARD_ARGS, __global float *dk,
                                                  __global float *dv,
                                                  const struct dlm_attention_params p)
{
    const struct head h = find_head(&p, rows);
    const uint s = DLM_GROUP(0) * 64u + DLM_LOCAL_ID();
    if (s >= p.keys)
        return;
    const uint at = find_key(&p, &h, s);
    __global float *dkey = dk + p.out_lead + find_dkey(&p, &h, s);
    __global float *dvalue = dv + p.out2_lead + find_dkey(&p, &h, s);
    const uint first = find_first_row(&h, s), end = find_end_row(&h, s);

    if (first >= end) {
        clear_row(dkey, p.dim);
        clear_row(dvalue, p.dim);
    }
    for (uint r0 = first; r0 < end; r0 += TILE) {
        float weights[TILE], dscores[TILE];
        uint q_at[TILE], dout_at[TILE];
        FOR_TILE(j) q_at[j] = find_q(&p, &h, min(r0 + j, h.num_rows - 1u));
        FOR_TILE(j) dout_at[j] = find_dout(&p, &h, min(r0 + j, h.num_rows - 1u));
        dot_rows(k + p.k_lead + at, q, q_at, p.dim, weights);
        dot_rows(v + p.v_lead + at, dout, dout_at, p.dim, dscores);
        FOR_TILE(j) {
            const uint r = min(r0 + j, h.num_rows - 1u), stat = find_stat(&p, &h, r);
            const bool is_seen = r0 + j < end && s < find_limit(&h, r);
            const float score = dlm_attention_cap(p.softcap, p.scale * weights[j]);
            weights[j] = is_seen ? exp(score - lse[stat]) : 0.0f;
            dscores[j] = is_seen ? p.scale * weights[j] * (dscores[j] - delta[stat]) *
                                       dlm_attention_uncap(p.softcap, score)
                                 : 0.0f;
        }
        add_rows(dvalue, r0 > first ? 1.0f : 0.0f, weights, dout, dout_at, p.dim);
        add_rows(dkey, r0 > first ? 1.0f : 0.0f, dscores, q, q_at, p.dim);
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
