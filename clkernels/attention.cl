/* attention: what lies between its products (which are matmul's kernels): softmax of the scores,
 * their gradient, delta. Scores [B, H, num, S] of queries [first, first + num). A work-group does a
 * row; the *_nolocal kernels, for devices where barriers are slow, a row in every lane.
 *
 * The keys that a query may see are the first ones, up to its limit. */
//! attention_softmax attention_softmax
//! attention_softmax_nolocal attention_softmax_nolocal
//! attention_dscores attention_dscores
//! attention_delta attention_delta

/* A row of scores: its index in lse and delta, how many keys count, and kv_len. */
struct row {
    uint stat, limit, kv_len;
};

static struct row find_row(const struct dlm_attention_params *p, uint index,
                           __global const int *rows)
{
    const uint head = index / p->num, t = p->first + index % p->num;
    __global const int *r = rows + head / p->heads * 4u;
    const int at = r[0] + (int)t;
    struct row row;

    row.stat = head * p->queries + t;
    row.kv_len = min((uint)max(r[1], 0), p->keys);
    row.limit = row.kv_len;
    if (p->mode == DLM_ATTENTION_PREFIX_MODE)
        row.limit = (uint)max(min((int)row.kv_len, at < r[2] ? r[2] : at + 1), 0);
    if ((int)t >= r[3])
        row.limit = 0u;
    return row;
}

/* scores to probabilities, 0 for keys that do not count; lse. */
__kernel DLM_LOCAL(64) void attention_softmax(__global float *scores, __global const int *rows,
                                              __global float *lse,
                                              const struct dlm_attention_params p)
{
    __local float tree[64];
    const uint index = DLM_GROUP_ID(), lane = DLM_LOCAL_ID();
    if (index >= p.batch * p.heads * p.num)
        return;
    const struct row row = find_row(&p, index, rows);
    __global float *s = scores + index * p.keys;
    float most = -FLT_MAX, sum = 0.0f;

    for (uint i = lane; i < row.limit; i += 64u)
        most = fmax(most, s[i]);
    most = dlm_group_max(most, tree);
    for (uint i = lane; i < row.limit; i += 64u) {
        const float e = exp(s[i] - most);
        s[i] = e;
        sum += e;
    }
    sum = dlm_group_sum(sum, tree);
    for (uint i = lane; i < row.kv_len; i += 64u)
        s[i] = i < row.limit ? s[i] / sum : 0.0f;
    if (lane == 0u)
        lse[row.stat] = row.limit > 0u ? most + log(sum) : 0.0f;
}

__kernel DLM_LOCAL(64) void attention_softmax_nolocal(__global float *scores,
                                                      __global const int *rows,
                                                      __global float *lse,
                                                      const struct dlm_attention_params p)
{
    const uint index = DLM_GROUP_ID() * 64u + DLM_LOCAL_ID();
    if (index >= p.batch * p.heads * p.num)
        return;
    const struct row row = find_row(&p, index, rows);
    __global float *s = scores + index * p.keys;
    float most = -FLT_MAX, sum = 0.0f;
    const uint whole = row.limit / 8u * 8u;

    for (uint i = 0; i < row.limit; i++)
        most = fmax(most, s[i]);
    float8 sums = (float8)(0.0f);
    for (uint i = 0; i < whole; i += 8u) {
        const float8 e = exp(vload8(0, s + i) - most);
        vstore8(e, 0, s + i);
        sums += e;
    }
    for (uint i = whole; i < row.limit; i++) {
        const float e = exp(s[i] - most);
        s[i] = e;
        sum += e;
    }
    const float4 half_sums = sums.lo + sums.hi;
    sum += half_sums.x + half_sums.y + (half_sums.z + half_sums.w);
    const float inverse = row.limit > 0u ? 1.0f / sum : 0.0f;
    for (uint i = 0; i < row.limit; i++)
        s[i] *= inverse;
    for (uint i = row.limit; i < row.kv_len; i++)
        s[i] = 0.0f;
    lse[row.stat] = row.limit > 0u ? most + log(sum) : 0.0f;
}

/* scores to P = exp(scores - lse), dscores from dout . v to dS = P (dscores - delta); 0 for keys
 * that do not count, up to S. */
__kernel DLM_LOCAL(64) void attention_dscores(__global float *scores, __global float *dscores,
                                              __global const float *lse,
                                              __global const float *delta,
                                              __global const int *rows,
                                              const struct dlm_attention_params p)
{
    const uint index = DLM_GROUP_ID();
    if (index >= p.batch * p.heads * p.num)
        return;
    const struct row row = find_row(&p, index, rows);
    const float row_lse = lse[row.stat], row_delta = delta[row.stat];
    __global float *s = scores + index * p.keys, *ds = dscores + index * p.keys;

    for (uint i = DLM_LOCAL_ID(); i < p.keys; i += 64u) {
        float e = 0.0f, d = 0.0f;
        if (i < row.limit) {
            e = exp(s[i] - row_lse);
            d = e * (ds[i] - row_delta);
        }
        s[i] = e;
        ds[i] = d;
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
