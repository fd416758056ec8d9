/* matmul for operands with any strides: matmul_tile_<b>. A work-group makes TM x TN of the result,
 * a lane PM x PN of that. A slice of both operands lies in shared memory, a row for each k, while
 * the next one is on its way to registers. Chunks of 8 elements of an operand that are contiguous
 * and aligned are loaded as such (A_ALONG, B_ALONG); others one by one.
 *
 * With several splits, slice i of k goes to the i-th part of out: partial sums without addends,
 * which matmul_finish adds in order. */
//! matmul_tile_f32 -DDLM_B=F32 -DB_F32
//! matmul_tile_f16 -DDLM_B=F16 -DB_F16
//! matmul_tile_bf16 -DDLM_B=BF16 -DB_BF16
//! matmul_finish -DFINISH
#version 450
#extension GL_GOOGLE_include_directive : require
#ifdef FINISH
#define LANES 64
#include "matmul_head.glsl"

/* The result from the partial sums [splits][batch0 * batch1][m][n], split_stride apart. */
void main()
{
    const uint begin = DLM_GROUP_ID() * DLM_GROUP_ELEMS;

    for (uint e = begin + DLM_LOCAL_ID(); e < begin + DLM_GROUP_ELEMS && e < p.split_stride;
         e += 64u) {
        const uint n = e % p.n, row = e / p.n;
        float sum = 0.0;
        for (uint i = 0u; i < p.splits; i++)
            sum += partial[i * p.split_stride + e];
        put(find_place(row / p.m * p.splits), sum, row % p.m, n);
    }
}
#else
layout(local_size_x_id = 2) in;
layout(constant_id = 2) const uint LANES = 128;
layout(constant_id = 3) const uint TM = 128;
layout(constant_id = 4) const uint TN = 64;
layout(constant_id = 5) const uint PM = 8; /* results of a lane: multiples of 4 */
layout(constant_id = 6) const uint PN = 8;
/* DLM_MATMUL_ALONG_*: where chunks are contiguous */
layout(constant_id = 7) const uint A_ALONG = 1;
layout(constant_id = 8) const uint B_ALONG = 1;
#define OPEN_SIZE
#include "matmul_head.glsl"

#define BK DLM_MATMUL_TILE_SLICE /* of k in shared memory at a time */
#define CHUNKS (BK / 8u)         /* of it, along k */
const uint A_ROW = TM / 4u + 1u, B_ROW = TN / 4u + 1u; /* quads; rows begin in different banks */
const uint LANES_M = TM / PM, LANES_N = TN / PN;
const uint NUM_A = (TM * CHUNKS + LANES - 1u) / LANES; /* chunks that a lane brings */
const uint NUM_B = (TN * CHUNKS + LANES - 1u) / LANES;

layout(std430, set = 0, binding = 0) readonly buffer QuadsA { vec4 a_quads[]; };
#ifdef B_F32
layout(std430, set = 0, binding = 1) readonly buffer QuadsB { vec4 b_quads[]; };
#else
layout(std430, set = 0, binding = 1) readonly buffer QuadsB { uvec4 b_quads[]; };
#endif
layout(std430, set = 0, binding = 4) buffer QuadsResult { vec4 result_quads[]; };

shared vec4 a_tile[BK * A_ROW], b_tile[BK * B_ROW];

/* 8 elements. */
struct chunk {
    vec4 lo, hi;
};

/* 8 elements of b as they are stored, from a multiple of 8 on. */
#ifdef B_F32
#define RAW chunk
RAW load_b(uint i) { return chunk(b_quads[i / 4u], b_quads[i / 4u + 1u]); }
chunk widen_b(RAW v) { return v; }
#else
#define RAW uvec4
RAW load_b(uint i) { return b_quads[i / 8u]; }
#ifdef B_F16
vec4 widen(uvec2 w) { return vec4(unpackHalf2x16(w.x), unpackHalf2x16(w.y)); }
#else
vec4 widen(uvec2 w)
{
    return uintBitsToFloat(uvec4(w.x << 16, w.x & 0xffff0000u, w.y << 16, w.y & 0xffff0000u));
}
#endif
chunk widen_b(RAW v) { return chunk(widen(v.xy), widen(v.zw)); }
#endif

vec4 round_quad(vec4 v)
{
    return vec4(round_a(v.x), round_a(v.y), round_a(v.z), round_a(v.w));
}

chunk a_next[NUM_A], b_next[NUM_B]; /* under way to shared memory */
RAW b_raw[NUM_B];

/* Where a chunk of a tile of `size` rows or columns is: along it, and along k. */
uvec2 find_chunk(uint e, uint along, uint size)
{
    if (along == DLM_MATMUL_ALONG_K)
        return uvec2(e / CHUNKS, e % CHUNKS * 8u);
    return along == DLM_MATMUL_ALONG_ROWS ? uvec2(e % (size / 8u) * 8u, e / (size / 8u))
                                          : uvec2(e % size, e / size * 8u);
}

void fetch_a(place at, uint i, uint m0, uint k0)
{
    const uvec2 c = find_chunk(DLM_LOCAL_ID() + i * LANES, A_ALONG, TM);
    const uint m = m0 + c.x, k = k0 + c.y;
    a_next[i] = chunk(vec4(0.0), vec4(0.0));

    if (A_ALONG == DLM_MATMUL_ALONG_NONE) {
        if (m < p.m)
            [[unroll]] for (uint j = 0u; j < 8u; j++) {
                const float x = k + j < at.k ? a[at.a + m * p.a_stride[2] + (k + j) * p.a_stride[3]]
                                             : 0.0;
                if (j < 4u)
                    a_next[i].lo[j] = x;
                else
                    a_next[i].hi[j - 4u] = x;
            }
    } else if (k < at.k) { /* past m: any chunk, for results that nobody writes */
        const uint first = A_ALONG == DLM_MATMUL_ALONG_K
                               ? at.a + min(m, p.m - 1u) * p.a_stride[2] + k
                               : at.a + min(m, p.m - 8u) + k * p.a_stride[3];
        a_next[i] = chunk(a_quads[first / 4u], a_quads[first / 4u + 1u]);
    }
}

void fetch_b(place at, uint i, uint n0, uint k0)
{
    const uvec2 c = find_chunk(DLM_LOCAL_ID() + i * LANES, B_ALONG, TN);
    const uint n = n0 + c.x, k = k0 + c.y;

    if (B_ALONG == DLM_MATMUL_ALONG_NONE) {
        b_next[i] = chunk(vec4(0.0), vec4(0.0));
        if (n < p.n)
            [[unroll]] for (uint j = 0u; j < 8u; j++) {
                const float y =
                    k + j < at.k ? LOAD_B(at.b + (k + j) * p.b_stride[2] + n * p.b_stride[3]) : 0.0;
                if (j < 4u)
                    b_next[i].lo[j] = y;
                else
                    b_next[i].hi[j - 4u] = y;
            }
    } else { /* past k: any chunk, for zeros of a */
        b_raw[i] = load_b(B_ALONG == DLM_MATMUL_ALONG_K
                              ? at.b + min(k, at.k - 8u) + min(n, p.n - 1u) * p.b_stride[3]
                              : at.b + min(k, at.k - 1u) * p.b_stride[2] + min(n, p.n - 8u));
    }
}

void fetch(place at, uint m0, uint n0, uint k0)
{
    [[unroll]] for (uint i = 0u; i < NUM_A; i++)
        fetch_a(at, i, m0, k0);
    [[unroll]] for (uint i = 0u; i < NUM_B; i++)
        fetch_b(at, i, n0, k0);
}

/* Fetched chunks go to shared memory, a rounded. */
void stage()
{
    [[unroll]] for (uint i = 0u; i < NUM_A; i++) {
        const uint e = DLM_LOCAL_ID() + i * LANES;
        const uvec2 c = find_chunk(e, A_ALONG, TM);
        const uint to = c.y * A_ROW + c.x / 4u;
        const vec4 lo = round_quad(a_next[i].lo), hi = round_quad(a_next[i].hi);
        if (e >= TM * CHUNKS)
            break;
        if (A_ALONG == DLM_MATMUL_ALONG_ROWS) {
            a_tile[to] = lo;
            a_tile[to + 1u] = hi;
        } else {
            [[unroll]] for (uint j = 0u; j < 4u; j++) {
                a_tile[to + j * A_ROW][c.x % 4u] = lo[j];
                a_tile[to + (4u + j) * A_ROW][c.x % 4u] = hi[j];
            }
        }
    }
    [[unroll]] for (uint i = 0u; i < NUM_B; i++) {
        const uint e = DLM_LOCAL_ID() + i * LANES;
        const uvec2 c = find_chunk(e, B_ALONG, TN);
        const uint to = c.y * B_ROW + c.x / 4u;
        if (e >= TN * CHUNKS)
            break;
        if (B_ALONG != DLM_MATMUL_ALONG_NONE)
            b_next[i] = widen_b(b_raw[i]);
        if (B_ALONG == DLM_MATMUL_ALONG_ROWS) {
            b_tile[to] = b_next[i].lo;
            b_tile[to + 1u] = b_next[i].hi;
        } else {
            [[unroll]] for (uint j = 0u; j < 4u; j++) {
                b_tile[to + j * B_ROW][c.x % 4u] = b_next[i].lo[j];
                b_tile[to + (4u + j) * B_ROW][c.x % 4u] = b_next[i].hi[j];
            }
        }
    }
}

/* Writes four results of a row, or as many as there are. */
void put_quad(place at, vec4 sums, uint m, uint n)
{
    const uint to = at.result + m * p.out_stride[2] + n;
    const uint num = min(p.n - n, 4u);

    sums *= p.alpha;
    if ((p.flags & DLM_MATMUL_HAS_C) != 0u)
        [[unroll]] for (uint j = 0u; j < 4u; j++)
            sums[j] += c[at.c + m * p.c_stride[2] + min(n + j, p.n - 1u) * p.c_stride[3]];
    if ((p.flags & DLM_MATMUL_HAS_BIAS) != 0u)
        [[unroll]] for (uint j = 0u; j < 4u; j++)
            sums[j] += bias[min(n + j, p.n - 1u)];
    if (((to | p.out_stride[2] | p.n) & 3u) == 0u) {
        result_quads[to / 4u] = sums;
        return;
    }
    [[unroll]] for (uint j = 0u; j < 4u; j++)
        if (j < num)
            result[to + j] = sums[j];
}

void main()
{
    const place at = find_place(gl_WorkGroupID.z);
    const uint m0 = gl_WorkGroupID.y * TM, n0 = gl_WorkGroupID.x * TN;
    const uint lane_m = DLM_LOCAL_ID() / LANES_N, lane_n = DLM_LOCAL_ID() % LANES_N;
    vec4 sum[PM * PN / 4u]; /* [row][quad of columns] */

    [[unroll]] for (uint i = 0u; i < PM * PN / 4u; i++)
        sum[i] = vec4(0.0);
    fetch(at, m0, n0, 0u);
    [[dont_unroll]] for (uint k0 = 0u; k0 < at.k; k0 += BK) {
        barrier();
        stage();
        barrier();
        if (k0 + BK < at.k)
            fetch(at, m0, n0, k0 + BK);
        [[dont_unroll]] for (uint k = 0u; k < BK; k += 4u) {
            const uint a_at = k * A_ROW + lane_m, b_at = k * B_ROW + lane_n;
            [[unroll]] for (uint j = 0u; j < 4u; j++) {
                vec4 y[PN / 4u];
                [[unroll]] for (uint q = 0u; q < PN / 4u; q++)
                    y[q] = b_tile[b_at + j * B_ROW + q * LANES_N];
                [[unroll]] for (uint i = 0u; i < PM / 4u; i++) {
                    const vec4 x = a_tile[a_at + j * A_ROW + i * LANES_M];
                    [[unroll]] for (uint r = 0u; r < 4u; r++)
                        [[unroll]] for (uint q = 0u; q < PN / 4u; q++)
                            sum[(i * 4u + r) * (PN / 4u) + q] =
                                fma(vec4(x[r]), y[q], sum[(i * 4u + r) * (PN / 4u) + q]);
                }
            }
        }
    }
    [[unroll]] for (uint i = 0u; i < PM; i++)
        [[unroll]] for (uint q = 0u; q < PN / 4u; q++) {
            const uint m = m0 + (lane_m + i / 4u * LANES_M) * 4u + i % 4u;
            const uint n = n0 + (lane_n + q * LANES_N) * 4u;
            if (m < p.m && n < p.n)
                put_quad(at, sum[i * (PN / 4u) + q], m, n);
        }
}
#endif
