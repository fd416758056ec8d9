/* matmul in register tiles that a subgroup shares, for devices where barriers are slow and a load
 * costs as much as many products, as in software drivers, which load lane by lane: the lanes load
 * different elements of a, four at a time, and pass them around; each has columns of b of its own.
 *
 * matmul_<a><b>_<type>_subgroup: a and b run along k, m or n without gaps, and in whole words of
 * four. Sums go along k in order, as in matmul_<b>_nolocal. */
//! matmul_kk_f32_subgroup needs=subgroup -DDLM_B=F32 -DA_ALONG_K -DB_ALONG_K -DLANES=64
//! matmul_kk_f16_subgroup needs=subgroup -DDLM_B=F16 -DA_ALONG_K -DB_ALONG_K -DLANES=64
//! matmul_kk_bf16_subgroup needs=subgroup -DDLM_B=BF16 -DA_ALONG_K -DB_ALONG_K -DLANES=64
//! matmul_kn_f32_subgroup needs=subgroup -DDLM_B=F32 -DA_ALONG_K -DLANES=64
//! matmul_kn_f16_subgroup needs=subgroup -DDLM_B=F16 -DA_ALONG_K -DLANES=64
//! matmul_kn_bf16_subgroup needs=subgroup -DDLM_B=BF16 -DA_ALONG_K -DLANES=64
//! matmul_mn_f32_subgroup needs=subgroup -DDLM_B=F32 -DLANES=64
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "matmul_head.glsl"

layout(std430, set = 0, binding = 0) readonly buffer WideA { vec4 wide_a[]; };
layout(std430, set = 0, binding = 2) readonly buffer WideC { vec4 wide_c[]; };
layout(std430, set = 0, binding = 4) buffer WideOut { vec4 wide_result[]; };

/* Four neighbours of b from element i on, a multiple of four. */
#define LOAD4(i) PASTE(LOAD4_, DLM_B)(i)
#define LOAD4_F32(i) wide_b[(i) >> 2]
#define LOAD4_F16(i) vec4(unpackHalf2x16(wide_b[(i) >> 2].x), unpackHalf2x16(wide_b[(i) >> 2].y))
#define LOAD4_BF16(i) widen(wide_b[(i) >> 2])
#define WIDE_F32 vec4
#define WIDE_F16 uvec2
#define WIDE_BF16 uvec2
layout(std430, set = 0, binding = 1) readonly buffer WideB { PASTE(WIDE_, DLM_B) wide_b[]; };

vec4 widen(uvec2 w)
{
    return uintBitsToFloat(uvec4(w.x << 16, w.x & 0xffff0000u, w.y << 16, w.y & 0xffff0000u));
}

layout(constant_id = 0) const uint S = 8u; /* lanes of a subgroup: 4, 8 or 16 */
const uint ROWS = DLM_MATMUL_SUBGROUP_ROWS, COLS = 4u;
#define EACH(i, num) [[unroll]] for (uint i = 0u; i < (num); i++)

vec4 round4(vec4 x)
{
    return vec4(round_a(x.x), round_a(x.y), round_a(x.z), round_a(x.w));
}

/* What put() does with alpha sum, for a lane's columns from n on; params are read once, because a
 * read of those is a load, too. */
struct finish {
    bool has_c, has_bias, is_wide; /* is_wide: whole fours */
    float alpha;
    uint out_stride, c_row, c_col, cols;
};

finish make_finish(place at)
{
    finish f;

    f.has_c = (p.flags & DLM_MATMUL_HAS_C) != 0u;
    f.has_bias = (p.flags & DLM_MATMUL_HAS_BIAS) != 0u;
    f.alpha = p.alpha;
    f.out_stride = p.out_stride[2];
    f.c_row = p.c_stride[2];
    f.c_col = p.c_stride[3];
    f.cols = p.n;
    f.is_wide = ((f.out_stride | at.result) & 3u) == 0u;
    if (f.has_c)
        f.is_wide = f.is_wide && f.c_col == 1u && ((f.c_row | at.c) & 3u) == 0u;
    return f;
}

void put4(place at, finish f, vec4 sum, uint m, uint n)
{
    const uint c_at = at.c + m * f.c_row + n * f.c_col, to = at.result + m * f.out_stride + n;
    vec4 v = f.alpha * sum;

    if (f.is_wide && n + COLS <= f.cols) {
        if (f.has_c)
            v += wide_c[c_at >> 2];
        if (f.has_bias)
            v += vec4(bias[n], bias[n + 1u], bias[n + 2u], bias[n + 3u]);
        wide_result[to >> 2] = v;
        return;
    }
    EACH(j, COLS) if (n + j < f.cols) {
        if (f.has_c)
            v[j] += c[c_at + j * f.c_col];
        if (f.has_bias)
            v[j] += bias[n + j];
        result[to + j] = v[j];
    }
}

#ifdef A_ALONG_K
const uint BK = 8u; /* of k at a time */
/* a of row i of the tile, element kk of the block. */
#define X(i, kk) subgroupShuffle(x[(i) / S][(kk) / 4u][(kk) % 4u], (i) % S)
#else
#define BK S
#define X(i, kk) subgroupShuffle(x[(i) / 4u][(i) % 4u], kk)
#endif

void main()
{
    const place at = find_place(gl_WorkGroupID.z);
    const finish f = make_finish(at);
    const uint lane = gl_SubgroupInvocationID;
    const uint groups_m = DLM_MATMUL_SUBGROUP_TILE_M(p.m) / ROWS, groups_n = LANES / S / groups_m;
    const uint m0 = (gl_WorkGroupID.y * groups_m + gl_SubgroupID / groups_n) * ROWS;
    const uint group_n0 = (gl_WorkGroupID.x * groups_n + gl_SubgroupID % groups_n) * S * COLS;
    const uint n = group_n0 + lane * COLS, rows = p.m;
    vec4 sum[ROWS];

    if (m0 >= rows || group_n0 >= f.cols)
        return;
    /* rows and columns past the end repeat the last ones */
#ifdef A_ALONG_K
    uint a_at[ROWS / S];
    EACH(i, ROWS / S) a_at[i] = at.a + min(m0 + i * S + lane, rows - 1u) * p.a_stride[2];
#else
    const uint a_step = p.a_stride[3];
    uint a_at[ROWS / 4u];
    EACH(i, ROWS / 4u) a_at[i] = at.a + min(m0 + i * 4u, rows - 4u);
#endif
#ifdef B_ALONG_K
    uint b_at[COLS];
    EACH(j, COLS) b_at[j] = at.b + min(n + j, f.cols - 1u) * p.b_stride[3];
#else
    const uint b_at = at.b + min(n, f.cols - COLS), b_step = p.b_stride[2];
#endif
    EACH(i, ROWS) sum[i] = vec4(0.0);
    [[dont_unroll]] for (uint k0 = 0u; k0 < at.k; k0 += BK) {
#ifdef A_ALONG_K
        vec4 x[ROWS / S][BK / 4u];
        EACH(i, ROWS / S) EACH(w, BK / 4u) x[i][w] = round4(wide_a[(a_at[i] + k0 + w * 4u) >> 2]);
#else
        vec4 x[ROWS / 4u]; /* k past the end adds zeros */
        EACH(i, ROWS / 4u)
            x[i] = k0 + lane < at.k ? wide_a[(a_at[i] + (k0 + lane) * a_step) >> 2] : vec4(0.0);
#endif
        EACH(w, BK / 4u) {
#ifdef B_ALONG_K
            vec4 z[COLS];
            EACH(j, COLS) z[j] = LOAD4(b_at[j] + k0 + w * 4u);
#endif
            EACH(e, 4u) {
                const uint kk = w * 4u + e;
#ifdef B_ALONG_K
                const vec4 y = vec4(z[0][e], z[1][e], z[2][e], z[3][e]);
#else
                const vec4 y = LOAD4(b_at + min(k0 + kk, at.k - 1u) * b_step);
#endif
                EACH(i, ROWS) sum[i] = fma(vec4(X(i, kk)), y, sum[i]);
            }
        }
    }
    EACH(i, ROWS) if (m0 + i < rows)
        put4(at, f, sum[i], m0 + i, n);
}
