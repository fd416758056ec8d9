/* matmul by matrix units, in tiles of BM x BN: matmul_mma_<b>, whose operands are of b's type and
 * sums f32. a has been packed by matmul_mma_pack_<b>: rounded, rows padded with zeros to whole
 * slices of k and to whole tiles of m.
 *
 * A slice of both operands lies in shared memory while the next one is on its way to registers.
 * There a row is a row of a, or a column of b, along k, so that what a lane needs of a fragment is
 * 16 bytes or a multiple in one place.
 *
 * b's rows or columns are contiguous, start at multiples of 8 elements, and are a multiple of 8
 * long. Loads past the edge repeat what is there: a's zeros, or the edge of the result, discard
 * that.
 *
 * matmul_mma_bf16_f16 multiplies bf16 in units that take f16. The 8 digits of a bf16 fit the 11 of
 * an f16; its range is moved there by powers of two: each row of a (when it was packed) and all of
 * b by its largest element, which becomes 2^14 to 2^15. What is 2^28 times smaller than that loses
 * digits, or becomes zero at 2^39: less than what a sum of f32 drops beside the largest element. */
//! matmul_mma_f16 needs=matrix_f16 subgroups=8
//! matmul_mma_bf16 needs=matrix_bf16 subgroups=8 -DBF16
//! matmul_mma_bf16_f16 needs=matrix_f16 subgroups=8 -DSCALED
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_control_flow_attributes : require
#ifdef BF16
#extension GL_EXT_bfloat16 : require
#define OPERAND bfloat16_t
#else
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#define OPERAND float16_t
#endif
#ifdef SCALED
#extension GL_KHR_shader_subgroup_arithmetic : require
#endif
#define DLM_DIALECT_GLSL
#include "kernels/matmul_params.h"

layout(constant_id = 0) const uint SUBGROUP = 32;
layout(local_size_x_id = 1) in;
layout(constant_id = 1) const uint LANES = 256;
layout(constant_id = 2) const uint BM = 128;
layout(constant_id = 3) const uint BN = 128;
layout(constant_id = 4) const uint WM = 32; /* of the tile, what a subgroup makes */
layout(constant_id = 5) const uint WN = 64;
layout(constant_id = 6) const bool IS_ALONG_N = false; /* b's rows are contiguous, else columns */

#define BK DLM_MATMUL_MMA_SLICE /* of k in shared memory at a time */
const uint CHUNKS = BK / 8u; /* of 16 bytes in a row */
const uint ROW = CHUNKS + 1u; /* of a row there, so that rows begin in different banks */
const uint NUM_A = BM * CHUNKS / LANES; /* chunks that a lane brings */
const uint NUM_B = BN * CHUNKS / LANES;
const uint FRAGS_M = WM / MAT_M, FRAGS_N = WN / MAT_N;
const uint TILES_N = BN / WN; /* subgroups along n */

layout(std430, set = 0, binding = 0) readonly buffer BufferA { uvec4 a[]; }; /* packed */
layout(std430, set = 0, binding = 1) readonly buffer BufferB { uvec4 b[]; };
layout(std430, set = 0, binding = 2) readonly buffer BufferC { float c[]; };
layout(std430, set = 0, binding = 3) readonly buffer BufferBias { float bias[]; };
layout(std430, set = 0, binding = 4) buffer BufferResult { float result[]; };
#ifdef SCALED
layout(std430, set = 0, binding = 5) readonly buffer BufferScale { int a_scale[]; }; /* by row */
layout(std430, set = 0, binding = 6) readonly buffer BufferMax { uint b_max[]; };
#endif
layout(push_constant) uniform Push { dlm_matmul_params p; };

#include "matmul_place.glsl"

/* Rows along k; b's as words where they are transposed on the way there. */
shared uvec4 a_tile[2u * BM * ROW];
shared uvec4 b_tile[IS_ALONG_N ? 1u : 2u * BN * ROW];
shared uint b_words[IS_ALONG_N ? 2u * BN * ROW * 4u : 1u];
shared float edge[LANES / SUBGROUP * MAT_M * MAT_N]; /* a fragment of each subgroup */

#define A_FRAG coopmat<OPERAND, gl_ScopeSubgroup, MAT_M, MAT_K, gl_MatrixUseA>
#define B_FRAG coopmat<OPERAND, gl_ScopeSubgroup, MAT_K, MAT_N, gl_MatrixUseB>
#define SUM_FRAG coopmat<float, gl_ScopeSubgroup, MAT_M, MAT_N, gl_MatrixUseAccumulator>

#ifdef SCALED
#include "matmul_mma_scale.glsl"

/* The exponent of what b is multiplied with. */
int find_b_scale()
{
    uint most = 0u;

    for (uint i = gl_SubgroupInvocationID; i < DLM_MATMUL_MMA_MAXIMA; i += SUBGROUP)
        most = max(most, b_max[i]);
    return scale_for(subgroupMax(most));
}

float b_factor;

uvec4 convert(uvec4 chunk)
{
    [[unroll]] for (uint i = 0u; i < 4u; i++)
        chunk[i] = scale_pair(chunk[i], b_factor);
    return chunk;
}
#else
#define convert(chunk) (chunk)
#endif

/* The same 16-bit element of two words, the first one below. */
uint low_halves(uint lo, uint hi)
{
    return (lo & 0xffffu) | (hi << 16);
}

uint high_halves(uint lo, uint hi)
{
    return (lo >> 16) | (hi & 0xffff0000u);
}

/* Two rows of 8 columns, transposed: a word for each column. */
void put_pair_b(uint at, uvec4 lo, uvec4 hi)
{
    [[unroll]] for (uint i = 0u; i < 4u; i++) {
        b_words[at + 2u * i * ROW * 4u] = low_halves(lo[i], hi[i]);
        b_words[at + (2u * i + 1u) * ROW * 4u] = high_halves(lo[i], hi[i]);
    }
}

/* Writes a fragment of the result, through shared memory, with what is to be added. */
void store(place at, SUM_FRAG frag, uint m0, uint n0)
{
    const uint base = gl_SubgroupID * MAT_M * MAT_N;

    controlBarrier(gl_ScopeSubgroup, gl_ScopeSubgroup, gl_StorageSemanticsShared,
                   gl_SemanticsAcquireRelease);
    coopMatStore(frag, edge, base, MAT_N, gl_CooperativeMatrixLayoutRowMajor);
    controlBarrier(gl_ScopeSubgroup, gl_ScopeSubgroup, gl_StorageSemanticsShared,
                   gl_SemanticsAcquireRelease);
    for (uint e = gl_SubgroupInvocationID; e < MAT_M * MAT_N; e += SUBGROUP) {
        const uint m = m0 + e / MAT_N, n = n0 + e % MAT_N;
        if (m >= p.m || n >= p.n)
            continue;
        float value = edge[base + e];
#ifdef SCALED
        value = unscale(value, a_scale[at.a / p.a_stride[2] + m] + find_exponent(b_factor));
#endif
        value *= p.alpha;
        if ((p.flags & DLM_MATMUL_HAS_C) != 0u)
            value += c[at.c + m * p.c_stride[2] + n * p.c_stride[3]];
        if ((p.flags & DLM_MATMUL_HAS_BIAS) != 0u)
            value += bias[n];
        result[at.result + m * p.out_stride[2] + n] = value;
    }
}

/* Where a lane's chunks of the operands begin, and chunks on their way to shared memory. */
uint a_at[NUM_A], b_at[NUM_B];
uvec4 a_next[NUM_A], b_next[NUM_B];

/* Chunks of a row of a; of a column of b, or, in pairs of rows, of 8 columns. */
void find_chunks(place at, uint m0, uint n0)
{
    [[unroll]] for (uint i = 0u; i < NUM_A; i++) {
        const uint e = gl_LocalInvocationID.x + i * LANES;
        a_at[i] = (at.a + (m0 + e / CHUNKS) * p.a_stride[2]) / 8u + e % CHUNKS;
    }
    [[unroll]] for (uint i = 0u; i < NUM_B; i++) {
        const uint e = gl_LocalInvocationID.x + (IS_ALONG_N ? i / 2u : i) * LANES;
        b_at[i] = IS_ALONG_N ? (at.b + min(n0 + e % (BN / 8u) * 8u, p.n - 8u)) / 8u
                             : (at.b + min(n0 + e / CHUNKS, p.n - 1u) * p.b_stride[3]) / 8u;
    }
}

void fetch(place at, uint k0)
{
    [[unroll]] for (uint i = 0u; i < NUM_A; i++)
        a_next[i] = a[a_at[i] + k0 / 8u];
    [[unroll]] for (uint i = 0u; i < NUM_B; i++) {
        const uint e = gl_LocalInvocationID.x + (IS_ALONG_N ? i / 2u : i) * LANES;
        if (IS_ALONG_N) {
            const uint k = k0 + e / (BN / 8u) * 2u + i % 2u;
            b_next[i] = b[b_at[i] + min(k, at.k - 1u) * (p.b_stride[2] / 8u)];
        } else {
            b_next[i] = b[b_at[i] + min(k0 / 8u + e % CHUNKS, at.k / 8u - 1u)];
        }
    }
}

/* buffer: 0 or 1 */
void stage(uint buf)
{
    [[unroll]] for (uint i = 0u; i < NUM_A; i++) {
        const uint e = gl_LocalInvocationID.x + i * LANES;
        a_tile[buf * BM * ROW + e / CHUNKS * ROW + e % CHUNKS] = a_next[i];
    }
    [[unroll]] for (uint i = 0u; i < NUM_B; i++) {
        const uint e = gl_LocalInvocationID.x + (IS_ALONG_N ? i / 2u : i) * LANES;
        if (!IS_ALONG_N)
            b_tile[buf * BN * ROW + e / CHUNKS * ROW + e % CHUNKS] = convert(b_next[i]);
        else if (i % 2u == 0u)
            put_pair_b((buf * BN + e % (BN / 8u) * 8u) * ROW * 4u + e / (BN / 8u),
                       convert(b_next[i]), convert(b_next[i + 1u]));
    }
}

SUM_FRAG sums[FRAGS_M * FRAGS_N];
/* The subgroup's part of the tile. */
uint wm = gl_SubgroupID / TILES_N * WM, wn = gl_SubgroupID % TILES_N * WN;

void multiply(uint buf)
{
    [[unroll]] for (uint k = 0u; k < BK; k += MAT_K) {
        A_FRAG x[FRAGS_M];
        [[unroll]] for (uint i = 0u; i < FRAGS_M; i++)
            coopMatLoad(x[i], a_tile, (buf * BM + wm + i * MAT_M) * ROW + k / 8u, ROW,
                        gl_CooperativeMatrixLayoutRowMajor);
        [[unroll]] for (uint j = 0u; j < FRAGS_N; j++) {
            B_FRAG y;
            if (IS_ALONG_N)
                coopMatLoad(y, b_words, (buf * BN + wn + j * MAT_N) * ROW * 4u + k / 2u, ROW * 4u,
                            gl_CooperativeMatrixLayoutColumnMajor);
            else
                coopMatLoad(y, b_tile, (buf * BN + wn + j * MAT_N) * ROW + k / 8u, ROW,
                            gl_CooperativeMatrixLayoutColumnMajor);
            [[unroll]] for (uint i = 0u; i < FRAGS_M; i++)
                sums[i * FRAGS_N + j] = coopMatMulAdd(x[i], y, sums[i * FRAGS_N + j]);
        }
    }
}

/* Multiplies the slice in a buffer, while the one from next on comes to the other. */
void multiply_slice(place at, uint buf, uint next)
{
    barrier();
    fetch(at, next);
    multiply(buf);
    stage(buf ^ 1u);
}

void main()
{
    const place at = find_place(gl_WorkGroupID.z);
    const uint m0 = gl_WorkGroupID.y * BM, n0 = gl_WorkGroupID.x * BN;

    [[unroll]] for (uint i = 0u; i < FRAGS_M * FRAGS_N; i++)
        sums[i] = SUM_FRAG(0.0);
#ifdef SCALED
    b_factor = exp2_of(find_b_scale());
#endif
    find_chunks(at, m0, n0);
    fetch(at, 0u);
    stage(0u);
    /* Two slices a turn, so that places in both buffers are constants; then what is left. */
    uint k0 = 0u;
    [[dont_unroll]] for (; k0 + 2u * BK < at.k; k0 += 2u * BK) {
        multiply_slice(at, 0u, k0 + BK);
        multiply_slice(at, 1u, k0 + 2u * BK);
    }
    [[dont_unroll]] for (uint buf = 0u; k0 < at.k; k0 += BK, buf ^= 1u)
        multiply_slice(at, buf, min(k0 + BK, (at.k - 1u) / BK * BK));
    [[unroll]] for (uint i = 0u; i < FRAGS_M; i++)
        [[unroll]] for (uint j = 0u; j < FRAGS_N; j++)
            store(at, sums[i * FRAGS_N + j], m0 + wm + i * MAT_M, n0 + wn + j * MAT_N);
}
