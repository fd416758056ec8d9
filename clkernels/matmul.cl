/* matmul for operands with any strides, by tiles in local memory: matmul_<b> makes 64 x 64 results,
 * matmul_small_<b> 32 x 32, for few rows or columns. A lane fetches one unit of each operand's next
 * slice of k, 8 neighbours in memory, while its group multiplies the slice that lies in local
 * memory.
 *
 * With several splits, slice i of k goes to the i-th part of out: partial sums without addends,
 * which matmul_finish adds in order. */
//! matmul_f32 matmul -DDLM_B=F32 -DTILE=64u
//! matmul_f16 matmul -DDLM_B=F16 -DTILE=64u
//! matmul_bf16 matmul -DDLM_B=BF16 -DTILE=64u
//! matmul_small_f32 matmul -DDLM_B=F32 -DTILE=32u
//! matmul_small_f16 matmul -DDLM_B=F16 -DTILE=32u
//! matmul_small_bf16 matmul -DDLM_B=BF16 -DTILE=32u
//! matmul_finish matmul_finish -DDLM_B=F32 -DTILE=32u
#include "matmul_head.cl"

#define BK 16u /* of k in local memory at a time */
#define UNIT 8u
#define LANES (TILE * BK / UNIT)
#define PER_N 4u /* results of a lane: neighbours */
#define LANES_N (TILE / PER_N)
#define PER_M (TILE * LANES_N / LANES)
#define ROW (TILE + 4u) /* of a tile in local memory; keeps 16 bytes together */

/* How units of an operand run: along k, or along its rows (of b: columns). */
struct layout {
    uint first, step_i, step_k, num_i; /* element 0, strides, rows (columns) that there are */
    bool is_along_k, is_wide;          /* is_wide: units lie at multiples of 8 elements */
};

static struct layout make_layout(uint first, uint step_i, uint step_k, uint num_i)
{
    struct layout l = {first, step_i, step_k, num_i, step_k == 1u, false};
    l.is_wide = step_k == 1u ? (first | step_i) % UNIT == 0u
                             : step_i == 1u && (first | step_k) % UNIT == 0u;
    return l;
}

/* Row (column) and place in the slice of the lane's unit. */
static uint unit_i(const struct layout *l)
{
    return l->is_along_k ? DLM_LOCAL_ID() / (BK / UNIT) : DLM_LOCAL_ID() % (TILE / UNIT) * UNIT;
}

static uint unit_k(const struct layout *l)
{
    return l->is_along_k ? DLM_LOCAL_ID() % (BK / UNIT) * UNIT : DLM_LOCAL_ID() / (TILE / UNIT);
}

/* The function `name`: the lane's unit of the tile from row (column) i0 and k0 on, zeros past the
 * ends. */
#define DEFINE_FETCH(name, type, load, load8)                                                      \
    static float8 name(__global const type *x, const struct layout *l, uint i0, uint k0,           \
                       uint k_len)                                                                 \
    {                                                                                              \
        const uint i = i0 + unit_i(l), k = k0 + unit_k(l);                                         \
        const uint at = l->first + i * l->step_i + k * l->step_k;                                  \
        const uint left = l->is_along_k ? (i < l->num_i ? k_len - min(k, k_len) : 0u)              \
                                        : (k < k_len ? l->num_i - min(i, l->num_i) : 0u);          \
        float part[UNIT];                                                                          \
        if (l->is_wide && left >= UNIT)                                                            \
            return load8(x, at);                                                                   \
        for (uint e = 0; e < UNIT; e++)                                                            \
            part[e] = e < left ? load(x, at + e * (l->is_along_k ? 1u : l->step_i)) : 0.0f;        \
        return vload8(0, part);                                                                    \
    }
DEFINE_FETCH(fetch_a, float, DLM_LOAD_F32, DLM_LOAD8_F32)
DEFINE_FETCH(fetch_b, TYPE_B, LOAD_B, PASTE(DLM_LOAD8_, DLM_B))

/* Puts the lane's unit where the tile has it. */
static void put_unit(__local float *tile, const struct layout *l, float8 unit)
{
    __local float *to = tile + unit_k(l) * ROW + unit_i(l);

    if (l->is_along_k) {
        to[0] = unit.s0;
        to[ROW] = unit.s1;
        to[2u * ROW] = unit.s2;
        to[3u * ROW] = unit.s3;
        to[4u * ROW] = unit.s4;
        to[5u * ROW] = unit.s5;
        to[6u * ROW] = unit.s6;
        to[7u * ROW] = unit.s7;
    } else {
        *(__local float4 *)to = unit.lo;
        *(__local float4 *)(to + 4u) = unit.hi;
    }
}

/* A unit of a as the product takes it. */
static float8 round_unit(float8 x, uint flags)
{
    float part[UNIT];

    if (!(flags & (DLM_MATMUL_A_BF16 | DLM_MATMUL_A_F16)))
        return x;
    vstore8(x, 0, part);
    for (uint e = 0; e < UNIT; e++)
        part[e] = round_a(part[e], flags);
    return vload8(0, part);
}

/* Adds the products of a slice: sum[i] is the lane's row i times its columns. */
static void multiply(__local const float *a_tile, __local const float *b_tile, float4 *sum)
{
    a_tile += DLM_LOCAL_ID() / LANES_N * PER_M;
    b_tile += DLM_LOCAL_ID() % LANES_N * PER_N;
    _Pragma("unroll 4") for (uint k = 0; k < BK; k++)
    {
        const float4 y = *(__local const float4 *)(b_tile + k * ROW);
        for (uint i = 0; i < PER_M; i += 4u) {
            const float4 x = *(__local const float4 *)(a_tile + k * ROW + i);
            sum[i] = fma((float4)(x.x), y, sum[i]);
            sum[i + 1u] = fma((float4)(x.y), y, sum[i + 1u]);
            sum[i + 2u] = fma((float4)(x.z), y, sum[i + 2u]);
            sum[i + 3u] = fma((float4)(x.w), y, sum[i + 3u]);
        }
    }
}

/* Writes four neighbours of row m from column n on, at once where they are aligned. */
static void put4(const struct dlm_matmul_params *p, const struct place *at, float4 sum, uint m,
                 uint n, __global const float *c, __global const float *bias, __global float *out)
{
    const bool has_c = p->flags & DLM_MATMUL_HAS_C;
    const uint to = at->out + m * p->out_stride[2] + n, from = at->c + m * p->c_stride[2] + n;

    if (n + 4u <= p->n && to % 4u == 0u && !(has_c && (from % 4u || p->c_stride[3] != 1u))) {
        float4 value = p->alpha * sum;
        if (has_c)
            value += *(__global const float4 *)(c + from);
        if (p->flags & DLM_MATMUL_HAS_BIAS)
            value += *(__global const float4 *)(bias + n);
        *(__global float4 *)(out + to) = value;
        return;
    }
    const float part[4] = {sum.x, sum.y, sum.z, sum.w};
    for (uint j = 0; j < 4u; j++)
        if (n + j < p->n)
            put(p, at, part[j], m, n + j, c, bias, out);
}

__kernel DLM_LOCAL(LANES) void matmul(MATMUL_ARGS)
{
    __local float4 a_tile[BK * ROW / 4u], b_tile[BK * ROW / 4u];
    const struct place at = find_place(&p, DLM_GROUP(2));
    const struct layout la = make_layout(at.a, p.a_stride[2], p.a_stride[3], p.m);
    const struct layout lb = make_layout(at.b, p.b_stride[3], p.b_stride[2], p.n);
    const uint m0 = DLM_GROUP(1) * TILE, n0 = DLM_GROUP(0) * TILE;
    float4 sum[PER_M];

    if (n0 >= p.n)
        return;
    for (uint i = 0; i < PER_M; i++)
        sum[i] = (float4)(0.0f);
    float8 x = fetch_a(a, &la, m0, 0u, at.k), y = fetch_b(b, &lb, n0, 0u, at.k);
    for (uint k0 = 0; k0 < at.k; k0 += BK) {
        barrier(CLK_LOCAL_MEM_FENCE);
        put_unit((__local float *)a_tile, &la, round_unit(x, p.flags));
        put_unit((__local float *)b_tile, &lb, y);
        barrier(CLK_LOCAL_MEM_FENCE);
        x = fetch_a(a, &la, m0, k0 + BK, at.k);
        y = fetch_b(b, &lb, n0, k0 + BK, at.k);
        multiply((__local const float *)a_tile, (__local const float *)b_tile, sum);
    }
    const uint m = m0 + DLM_LOCAL_ID() / LANES_N * PER_M;
    const uint n = n0 + DLM_LOCAL_ID() % LANES_N * PER_N;
    for (uint i = 0; i < PER_M && m + i < p.m; i++)
        put4(&p, &at, sum[i], m + i, n, c, bias, out);
}

/* out from the partial sums [splits][batch0 * batch1][m][n], split_stride apart. */
__kernel DLM_LOCAL(64) void matmul_finish(__global const float *partial, __global const float *c,
                                          __global const float *bias, __global float *out,
                                          const struct dlm_matmul_params p)
{
    const uint begin = DLM_GROUP_ID() * DLM_GROUP_ELEMS;

    for (uint e = begin + DLM_LOCAL_ID(); e < begin + DLM_GROUP_ELEMS && e < p.split_stride;
         e += 64u) {
        const uint n = e % p.n, row = e / p.n;
        const struct place at = find_place(&p, row / p.m * p.splits);
        float sum = 0.0f;
        for (uint i = 0; i < p.splits; i++)
            sum += partial[i * p.split_stride + e];
        put(&p, &at, sum, row % p.m, n, c, bias, out);
    }
}
