/* attention: what lies between its products (which are matmul's kernels): softmax of the scores,
 * their gradient, delta. Scores [B, H, num, S] of queries [first, first + num). A work-group does a
 * row; attention_softmax_nolocal, for devices where barriers are slow, a row in every lane.
 *
 * The keys that a query may see are the first ones, up to its limit. */
//! attention_softmax -DSOFTMAX -DDLM_GROUP_REDUCE
//! attention_softmax_nolocal -DSOFTMAX_NOLOCAL
//! attention_dscores -DDSCORES
//! attention_delta -DDELTA
#version 450
#extension GL_GOOGLE_include_directive : require
#include "prelude.glsl"

layout(local_size_x = 64) in;

#if defined(DELTA)
DLM_IN(0, float, dout)
DLM_IN(1, float, result)
DLM_OUT(2, float, delta)
#elif defined(DSCORES)
DLM_OUT(0, float, s)
DLM_OUT(1, float, ds)
DLM_IN(2, float, lse)
DLM_IN(3, float, delta)
DLM_IN(4, int, rows)
#else
DLM_OUT(0, float, s)
DLM_IN(1, int, rows)
DLM_OUT(2, float, lse)
#endif
DLM_PARAMS(dlm_attention_params)

#ifndef DELTA
/* A row of scores: where it begins, its index in lse and delta, how many keys count, and kv_len. */
struct score_row {
    uint begin, stat, limit, kv_len;
};

score_row find_row(uint index)
{
    const uint head = index / p.num, t = p.first + index % p.num;
    const uint r = head / p.heads * 4u;
    const int at = rows[r] + int(t);
    score_row row;

    row.begin = index * p.keys;
    row.stat = head * p.queries + t;
    row.kv_len = min(uint(max(rows[r + 1u], 0)), p.keys);
    row.limit = row.kv_len;
    if (p.mode == DLM_ATTENTION_PREFIX_MODE)
        row.limit = uint(max(min(int(row.kv_len), at < rows[r + 2u] ? rows[r + 2u] : at + 1), 0));
    if (int(t) >= rows[r + 3u])
        row.limit = 0u;
    return row;
}
#endif

#define LOWEST (-3.402823466e38)

#ifdef SOFTMAX
/* scores to probabilities, 0 for keys that do not count; lse. */
void main()
{
    const uint index = DLM_GROUP_ID(), lane = DLM_LOCAL_ID();
    if (index >= p.batch * p.heads * p.num)
        return;
    const score_row row = find_row(index);
    float most = LOWEST, sum = 0.0;

    for (uint i = lane; i < row.limit; i += 64u)
        most = max(most, s[row.begin + i]);
    most = dlm_group_max(most);
    for (uint i = lane; i < row.limit; i += 64u) {
        const float e = exp(s[row.begin + i] - most);
        s[row.begin + i] = e;
        sum += e;
    }
    sum = dlm_group_sum(sum);
    for (uint i = lane; i < row.kv_len; i += 64u)
        s[row.begin + i] = i < row.limit ? s[row.begin + i] / sum : 0.0;
    if (lane == 0u)
        lse[row.stat] = row.limit > 0u ? most + log(sum) : 0.0;
}
#endif

#ifdef SOFTMAX_NOLOCAL
void main()
{
    const uint index = DLM_GROUP_ID() * 64u + DLM_LOCAL_ID();
    if (index >= p.batch * p.heads * p.num)
        return;
    const score_row row = find_row(index);
    float most = LOWEST, sum = 0.0;

    for (uint i = row.begin; i < row.begin + row.limit; i++)
        most = max(most, s[i]);
    for (uint i = row.begin; i < row.begin + row.limit; i++) {
        const float e = exp(s[i] - most);
        s[i] = e;
        sum += e;
    }
    for (uint i = 0u; i < row.kv_len; i++)
        s[row.begin + i] = i < row.limit ? s[row.begin + i] / sum : 0.0;
    lse[row.stat] = row.limit > 0u ? most + log(sum) : 0.0;
}
#endif

#ifdef DSCORES
/* scores to P = exp(scores - lse), dscores from dout . v to dS = P (dscores - delta); 0 for keys
 * that do not count, up to S. */
void main()
{
    const uint index = DLM_GROUP_ID();
    if (index >= p.batch * p.heads * p.num)
        return;
    const score_row row = find_row(index);
    const float row_lse = lse[row.stat], row_delta = delta[row.stat];

    for (uint i = DLM_LOCAL_ID(); i < p.keys; i += 64u) {
        float e = 0.0, d = 0.0;
        if (i < row.limit) {
            e = exp(s[row.begin + i] - row_lse);
            d = e * (ds[row.begin + i] - row_delta);
        }
        s[row.begin + i] = e;
        ds[row.begin + i] = d;
    }
}
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
