/* attention and its backward where barriers are slow and a load costs as much as many products, as
 * in software drivers, which load lane by lane: a lane of a subgroup keeps PER rows (keys), their
 * sums in the result itself. The lanes load different keys (rows) of a tile, four elements at a
 * time, and pass them around. For heads, strides and leads in whole fours. Groups: {blocks of
 * 64 PER rows (keys), kv heads, batch}. */
//! attention_f32_subgroup needs=subgroup -DDLM_KV=F32 -DFORWARD -DLANES=64
//! attention_f16_subgroup needs=subgroup -DDLM_KV=F16 -DFORWARD -DLANES=64
//! attention_bf16_subgroup needs=subgroup -DDLM_KV=BF16 -DFORWARD -DLANES=64
//! attention_dq_f32_subgroup needs=subgroup -DDLM_KV=F32 -DDQ -DLANES=64
//! attention_dq_f16_subgroup needs=subgroup -DDLM_KV=F16 -DDQ -DLANES=64
//! attention_dq_bf16_subgroup needs=subgroup -DDLM_KV=BF16 -DDQ -DLANES=64
//! attention_dkv_f32_subgroup needs=subgroup -DDLM_KV=F32 -DDKV -DLANES=64
//! attention_dkv_f16_subgroup needs=subgroup -DDLM_KV=F16 -DDKV -DLANES=64
//! attention_dkv_bf16_subgroup needs=subgroup -DDLM_KV=BF16 -DDKV -DLANES=64
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#include "attention_head.glsl"

#define WIDE_F32 vec4
#define WIDE_F16 uvec2
#define WIDE_BF16 uvec2
layout(std430, set = 0, binding = 0) readonly buffer WideQ { vec4 wide_q[]; };
layout(std430, set = 0, binding = 1) readonly buffer WideK { PASTE(WIDE_, DLM_KV) wide_k[]; };
layout(std430, set = 0, binding = 2) readonly buffer WideV { PASTE(WIDE_, DLM_KV) wide_v[]; };
#ifdef FORWARD
layout(std430, set = 0, binding = 4) buffer WideResult { vec4 wide_result[]; };
#else
layout(std430, set = 0, binding = 3) readonly buffer WideDout { vec4 wide_dout[]; };
layout(std430, set = 0, binding = 7) buffer WideResult { vec4 wide_result[]; };
#endif
#ifdef DKV
layout(std430, set = 0, binding = 8) buffer WideDv { vec4 wide_dv[]; };
#endif

layout(constant_id = 0) const uint S = 8u; /* lanes of a subgroup: 4 to 32 */
const uint PER = 2u;                        /* rows (keys) of a lane */
const uint TILE = 32u;                      /* keys (rows) at a time */
const uint PARTS = TILE / 4u;                /* of a tile that lanes hold, at most */
#define EACH(i, num) [[unroll]] for (uint i = 0u; i < (num); i++)

#define EACH_PART(t) EACH(t, TILE / S)

vec4 widen_F32(vec4 x)
{
    return x;
}

vec4 widen_F16(uvec2 x)
{
    return vec4(unpackHalf2x16(x.x), unpackHalf2x16(x.y));
}

vec4 widen_BF16(uvec2 x)
{
    return uintBitsToFloat(uvec4(x.x << 16, x.x & 0xffff0000u, x.y << 16, x.y & 0xffff0000u));
}

/* Operands of products, by number. */
#define OF_Q 0
#define OF_K 1
#define OF_V 2
#define OF_DOUT 3

vec4 load4(int which, uint at)
{
    if (which == OF_K)
        return PASTE(widen_, DLM_KV)(wide_k[at >> 2]);
    if (which == OF_V)
        return PASTE(widen_, DLM_KV)(wide_v[at >> 2]);
#ifndef FORWARD
    if (which == OF_DOUT)
        return wide_dout[at >> 2];
#endif
    return wide_q[at >> 2];
}

vec4 from_lane(vec4 x, uint lane)
{
    return vec4(subgroupShuffle(x.x, lane), subgroupShuffle(x.y, lane),
                subgroupShuffle(x.z, lane), subgroupShuffle(x.w, lane));
}

/* products[i][j] = x . y for the lane's rows i and the tile's j. dim is p.dim, read once: reading
 * params is a load, too. */
void multiply(uint dim, int x, uint x_at[PER], int y, uint y_at[PARTS],
              out float products[PER][TILE])
{
    EACH(i, PER) EACH(j, TILE) products[i][j] = 0.0;
    [[dont_unroll]] for (uint d = 0u; d < dim; d += 4u) {
        vec4 a[PER], b[PARTS];
        EACH(i, PER) a[i] = load4(x, x_at[i] + d);
        EACH_PART(t) b[t] = load4(y, y_at[t] + d);
        EACH(j, TILE) {
            const vec4 c = from_lane(b[j / S], j % S);
            EACH(i, PER) EACH(e, 4) products[i][j] = fma(a[i][e], c[e], products[i][j]);
        }
    }
}

vec4 load_sum(bool is_dv, uint at)
{
#ifdef DKV
    if (is_dv)
        return wide_dv[at >> 2];
#endif
    return wide_result[at >> 2];
}

void store_sum(bool is_dv, uint at, vec4 x)
{
#ifdef DKV
    if (is_dv)
        wide_dv[at >> 2] = x;
    else
#endif
    wide_result[at >> 2] = x;
}

/* The lane's rows of the result: factor times what they were (0: nothing) plus weights times y. */
void accumulate(uint dim, bool is_dv, uint at[PER], bool is_mine[PER], float factor[PER],
                float weights[PER][TILE], int y, uint y_at[PARTS])
{
    [[dont_unroll]] for (uint d = 0u; d < dim; d += 4u) {
        vec4 sum[PER], b[PARTS];
        EACH_PART(t) b[t] = load4(y, y_at[t] + d);
        EACH(i, PER) sum[i] = factor[i] != 0.0 ? factor[i] * load_sum(is_dv, at[i] + d) : vec4(0.0);
        EACH(j, TILE) {
            const vec4 c = from_lane(b[j / S], j % S);
            EACH(i, PER) sum[i] = fma(vec4(weights[i][j]), c, sum[i]);
        }
        EACH(i, PER) if (is_mine[i])
            store_sum(is_dv, at[i] + d, sum[i]);
    }
}

#ifndef DKV
/* Where the lane's keys of the tile from s0 on are; past the last one it is repeated. */
void find_tile(kv_head h, uint s0, out uint k_at[PARTS], out uint v_at[PARTS])
{
    EACH_PART(t) {
        const uint at = find_key(h, min(s0 + t * S + gl_SubgroupInvocationID, h.mask.kv_len - 1u));
        k_at[t] = p.k_lead + at;
        v_at[t] = p.v_lead + at;
    }
}

void main()
{
    const kv_head h = find_head();
    const uint first = (gl_WorkGroupID.x * (LANES / S) + gl_SubgroupID) * S * PER;
    const uint num = p.queries * h.group, dim = p.dim;
    uint r[PER], q_at[PER], at[PER], begin[PER], limit[PER], from = p.keys, to = 0u;
    bool is_mine[PER];
    float most[PER], total[PER];

    if (first >= num)
        return;
    EACH(i, PER) {
        r[i] = min(first + i * S + gl_SubgroupInvocationID, num - 1u);
        is_mine[i] = first + i * S + gl_SubgroupInvocationID < num;
        q_at[i] = find_q(h, r[i]);
        at[i] = find_out(h, r[i]);
        begin[i] = find_begin(h, r[i]);
        limit[i] = find_limit(h, r[i]);
        most[i] = LOWEST;
        total[i] = 0.0;
        from = min(from, begin[i]);
        to = max(to, limit[i]);
    }
    from = subgroupMin(from);
    to = subgroupMax(to);
#ifdef DQ
    uint dout_at[PER];
    float own_lse[PER], own_delta[PER];
    EACH(i, PER) {
        dout_at[i] = find_dout(h, r[i]);
        own_lse[i] = lse[find_stat(h, r[i])];
        own_delta[i] = delta[find_stat(h, r[i])];
    }
#endif
    [[dont_unroll]] for (uint s0 = from; s0 < to; s0 += TILE) {
        float weights[PER][TILE], factor[PER];
        uint k_at[PARTS], v_at[PARTS];
        find_tile(h, s0, k_at, v_at);
        multiply(dim, OF_Q, q_at, OF_K, k_at, weights);
#ifdef FORWARD
        EACH(i, PER) {
            const float before = most[i];
            EACH(j, TILE) {
                weights[i][j] = score_of(weights[i][j]);
                const bool is_seen = s0 + j >= begin[i] && s0 + j < limit[i];
                most[i] = is_seen ? max(most[i], weights[i][j]) : most[i];
            }
            factor[i] = exp(before - most[i]);
            total[i] *= factor[i];
            EACH(j, TILE) {
                const bool is_seen = s0 + j >= begin[i] && s0 + j < limit[i];
                weights[i][j] = is_seen ? exp(weights[i][j] - most[i]) : 0.0;
                total[i] += weights[i][j];
            }
            factor[i] = s0 > from ? factor[i] : 0.0;
        }
        accumulate(dim, false, at, is_mine, factor, weights, OF_V, v_at);
#else
        float dscores[PER][TILE];
        multiply(dim, OF_DOUT, dout_at, OF_V, v_at, dscores);
        EACH(i, PER) EACH(j, TILE) {
            const bool is_seen = s0 + j >= begin[i] && s0 + j < limit[i];
            const float score = score_of(weights[i][j]);
            const float e = exp(score - own_lse[i]) * (dscores[i][j] - own_delta[i]);
            weights[i][j] = is_seen ? p.scale * e * slope_of(score) : 0.0;
        }
        EACH(i, PER) factor[i] = s0 > from ? 1.0 : 0.0;
        accumulate(dim, false, at, is_mine, factor, weights, OF_K, k_at);
#endif
    }
    EACH(i, PER) if (is_mine[i]) {
        const bool is_seen = limit[i] > begin[i];
#ifdef FORWARD
        [[dont_unroll]] for (uint d = 0u; d < dim; d += 4u)
            wide_result[(at[i] + d) >> 2] =
                is_seen ? wide_result[(at[i] + d) >> 2] / total[i] : vec4(0.0);
        lse[find_stat(h, r[i])] = is_seen ? most[i] + log(total[i]) : 0.0;
#else
        if (from >= to)
            [[dont_unroll]] for (uint d = 0u; d < dim; d += 4u)
                wide_result[(at[i] + d) >> 2] = vec4(0.0);
#endif
    }
}
#endif

#ifdef DKV
/* A lane keeps keys; rows before the first that sees one of the subgroup's see none of them. */
void main()
{
    const kv_head h = find_head();
    const uint first = (gl_WorkGroupID.x * (LANES / S) + gl_SubgroupID) * S * PER;
    const uint lane = gl_SubgroupInvocationID, dim = p.dim;
    uint s[PER], k_at[PER], v_at[PER], dk_at[PER], dv_at[PER], end[PER];
    uint from = h.num_rows, to = 0u;
    bool is_mine[PER];
    float factor[PER];

    if (first >= p.keys)
        return;
    EACH(i, PER) {
        s[i] = min(first + i * S + lane, p.keys - 1u);
        is_mine[i] = first + i * S + lane < p.keys;
        k_at[i] = p.k_lead + find_key(h, s[i]);
        v_at[i] = p.v_lead + find_key(h, s[i]);
        dk_at[i] = p.out_lead + find_dkey(h, s[i]);
        dv_at[i] = p.out2_lead + find_dkey(h, s[i]);
        end[i] = find_end_row(h, s[i]);
        factor[i] = 0.0;
        from = min(from, find_first_row(h, s[i]));
        to = max(to, end[i]);
    }
    from = subgroupMin(from);
    to = subgroupMax(to);
    [[dont_unroll]] for (uint r0 = from; r0 < to; r0 += TILE) {
        float weights[PER][TILE], dscores[PER][TILE];
        float tile_lse[PARTS], tile_delta[PARTS];
        uint q_at[PARTS], dout_at[PARTS], limit[PARTS];
        EACH_PART(t) {
            const uint r = min(r0 + t * S + lane, h.num_rows - 1u), stat = find_stat(h, r);
            q_at[t] = find_q(h, r);
            dout_at[t] = find_dout(h, r);
            limit[t] = find_limit(h, r);
            tile_lse[t] = lse[stat];
            tile_delta[t] = delta[stat];
        }
        multiply(dim, OF_K, k_at, OF_Q, q_at, weights);
        multiply(dim, OF_V, v_at, OF_DOUT, dout_at, dscores);
        EACH(j, TILE) {
            const float row_lse = subgroupShuffle(tile_lse[j / S], j % S);
            const float row_delta = subgroupShuffle(tile_delta[j / S], j % S);
            const uint row_limit = subgroupShuffle(limit[j / S], j % S);
            EACH(i, PER) {
                const bool is_seen = r0 + j < end[i] && s[i] < row_limit;
                const float score = score_of(weights[i][j]);
                weights[i][j] = is_seen ? exp(score - row_lse) : 0.0;
                const float ds = p.scale * weights[i][j] * (dscores[i][j] - row_delta);
                dscores[i][j] = is_seen ? ds * slope_of(score) : 0.0;
            }
        }
        accumulate(dim, false, dk_at, is_mine, factor, dscores, OF_Q, q_at);
        accumulate(dim, true, dv_at, is_mine, factor, weights, OF_DOUT, dout_at);
        EACH(i, PER) factor[i] = 1.0;
    }
    EACH(i, PER) if (is_mine[i] && from >= to)
        [[dont_unroll]] for (uint d = 0u; d < dim; d += 4u) {
            wide_result[(dk_at[i] + d) >> 2] = vec4(0.0);
            wide_dv[(dv_at[i] + d) >> 2] = vec4(0.0);
        }
}
#endif
