/* attention and its backward for CPUs, where barriers are slow, and for heads over 256: a lane
 * keeps a row (a key) and its sums in the result itself. Groups: {blocks of 64 rows (keys), kv
 * heads, batch}. And attention_delta, for both kinds. */
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
#include "attention_head.glsl"

#ifndef DELTA
#define TILE 16 /* keys (dkv: rows) at a time */
#define FOR_TILE(j) [[unroll]] for (int j = 0; j < TILE; j++)

#ifndef DKV
/* scores[j] = x . y for the lane's row and keys from s0 on; those past the last one repeat it. */
void multiply(kv_head h, uint x, uint x_at, uint y, uint s0, out float scores[TILE])
{
    uint y_at[TILE];

    FOR_TILE(j) {
        y_at[j] = find_key(h, min(s0 + j, h.mask.kv_len - 1u));
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

    FOR_TILE(j) y_at[j] = find_key(h, min(s0 + j, h.mask.kv_len - 1u));
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
    const uint at = find_out(h, r), begin = find_begin(h, r), limit = find_limit(h, r);
    float most = LOWEST, total = 0.0;

    [[dont_unroll]] for (uint s0 = begin; s0 < limit; s0 += TILE) {
        float weights[TILE];
        const float before = most;
        multiply(h, X_Q, find_q(h, r), Y_K, s0, weights);
        FOR_TILE(j) {
            weights[j] = score_of(weights[j]);
            most = s0 + j < limit ? max(most, weights[j]) : most;
        }
        const float rescale = exp(before - most);
        total *= rescale;
        FOR_TILE(j) {
            weights[j] = s0 + j < limit ? exp(weights[j] - most) : 0.0;
            total += weights[j];
        }
        accumulate(h, at, s0 > begin ? rescale : 0.0, weights, Y_V, s0);
    }
    for (uint d = 0u; d < p.dim; d++)
        result[at + d] = limit > begin ? result[at + d] / total : 0.0;
    lse[find_stat(h, r)] = limit > begin ? most + log(total) : 0.0;
}
#endif

#ifdef DQ
void main()
{
    const kv_head h = find_head();
    const uint r = gl_WorkGroupID.x * LANES + DLM_LOCAL_ID();
    if (r >= p.queries * h.group)
        return;
    const uint at = find_out(h, r), stat = find_stat(h, r);
    const uint begin = find_begin(h, r), limit = find_limit(h, r);

    for (uint d = 0u; limit == begin && d < p.dim; d++)
        result[at + d] = 0.0;
    [[dont_unroll]] for (uint s0 = begin; s0 < limit; s0 += TILE) {
        float weights[TILE], dscores[TILE];
        multiply(h, X_Q, find_q(h, r), Y_K, s0, weights);
        multiply(h, X_DOUT, find_dout(h, r), Y_V, s0, dscores);
        FOR_TILE(j) {
            const float score = score_of(weights[j]);
            const float e = exp(score - lse[stat]) * (dscores[j] - delta[stat]) * slope_of(score);
            weights[j] = s0 + j < limit ? p.scale * e : 0.0;
        }
        accumulate(h, at, s0 > begin ? 1.0 : 0.0, weights, Y_K, s0);
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
    const uint at = find_key(h, s), end = find_end_row(h, s), to = find_dkey(h, s);
    const uint dk_at = p.out_lead + to, dv_at = p.out2_lead + to;

    for (uint d = 0u; d < p.dim; d++)
        dk[dk_at + d] = dv[dv_at + d] = 0.0;
    [[dont_unroll]] for (uint r0 = find_first_row(h, s0); r0 < end; r0 += TILE) {
        float weights[TILE], dscores[TILE];
        uint q_at[TILE], dout_at[TILE];
        FOR_TILE(j) {
            q_at[j] = find_q(h, min(r0 + j, h.num_rows - 1u));
            dout_at[j] = find_dout(h, min(r0 + j, h.num_rows - 1u));
            weights[j] = dscores[j] = 0.0;
        }
        [[dont_unroll]] for (uint d = 0u; d < p.dim; d++) {
            const float a = load_y(Y_K, at + d), b = load_y(Y_V, at + d);
            FOR_TILE(j) {
                weights[j] = fma(a, load_x(X_Q, q_at[j] + d), weights[j]);
                dscores[j] = fma(b, load_x(X_DOUT, dout_at[j] + d), dscores[j]);
            }
        }
        FOR_TILE(j) {
            const uint r = min(r0 + j, h.num_rows - 1u), stat = find_stat(h, r);
            const bool is_seen = r0 + j < end && s < find_limit(h, r);
            const float score = score_of(weights[j]);
            weights[j] = is_seen ? exp(score - lse[stat]) : 0.0;
            const float ds = p.scale * weights[j] * (dscores[j] - delta[stat]);
            dscores[j] = is_seen ? ds * slope_of(score) : 0.0;
        }
        [[dont_unroll]] for (uint d = 0u; d < p.dim; d++) {
            float dk_sum = dk[dk_at + d], dv_sum = dv[dv_at + d];
            FOR_TILE(j) {
                dk_sum = fma(dscores[j], load_x(X_Q, q_at[j] + d), dk_sum);
                dv_sum = fma(weights[j], load_x(X_DOUT, dout_at[j] + d), dv_sum);
            }
            dk[dk_at + d] = dk_sum;
            dv[dv_at + d] = dv_sum;
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
