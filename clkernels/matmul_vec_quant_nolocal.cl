/* matmul for few rows with a weight in 4 to 8 bits where local memory is none or slow, on an a that
 * matmul_pack has rounded: matvec_<b>_nolocal for one row, matvec_8_<b>_nolocal for up to 8. A
 * work-item makes one column, EACH elements at a time. */
//! matvec_q8_0_nolocal matvec_quant_nolocal -DROWS=1u -DFORM=q8_0
//! matvec_nf4_nolocal matvec_quant_nolocal -DROWS=1u -DFORM=nf4
//! matvec_nf4_dq_nolocal matvec_quant_nolocal -DROWS=1u -DFORM=nf4_dq
//! matvec_q4_0_nolocal matvec_quant_nolocal -DROWS=1u -DFORM=q4_0
//! matvec_q4_k_nolocal matvec_quant_nolocal -DROWS=1u -DFORM=q4_k
//! matvec_q5_k_nolocal matvec_quant_nolocal -DROWS=1u -DFORM=q5_k
//! matvec_q6_k_nolocal matvec_quant_nolocal -DROWS=1u -DFORM=q6_k
//! matvec_8_q8_0_nolocal matvec_quant_nolocal -DROWS=8u -DFORM=q8_0
//! matvec_8_nf4_nolocal matvec_quant_nolocal -DROWS=8u -DFORM=nf4
//! matvec_8_nf4_dq_nolocal matvec_quant_nolocal -DROWS=8u -DFORM=nf4_dq
//! matvec_8_q4_0_nolocal matvec_quant_nolocal -DROWS=8u -DFORM=q4_0
//! matvec_8_q4_k_nolocal matvec_quant_nolocal -DROWS=8u -DFORM=q4_k
//! matvec_8_q5_k_nolocal matvec_quant_nolocal -DROWS=8u -DFORM=q5_k
//! matvec_8_q6_k_nolocal matvec_quant_nolocal -DROWS=8u -DFORM=q6_k
#define DLM_T_QUANT uint
#define DLM_B QUANT
#include "matmul_head.cl"
#include "matmul_quant_head.cl"

#define EACH (DLM_KIND == DLM_KIND_TABLE ? 64u : 32u) /* nf4: a block, of one scale */

/* The numbers of a half of a run, of two. */
#if DLM_KIND == DLM_KIND_BYTES
static float16 load_half(__global const uint *b, uint run, uint i, uint len)
{
    const float4 lines = dlm_lines(b, run, len);
    const float16 codes = convert_float16(*((__global const char16 *)b + 2u * run + i));

    return codes * lines.x;
}
#elif DLM_KIND == DLM_KIND_TABLE
/* Indexed so, a vector is one instruction where processors have one. */
static float16 load_half(__global const uint *b, uint run, uint i, uint len)
{
    const float16 by = dlm_lines(b, run, len).x * vload16(0, dlm_nf4);
    const uint2 words = *((__global const uint2 *)b + 2u * run + i);
    const uint8 shift = (uint8)(4, 0, 12, 8, 20, 16, 28, 24);
    const uint16 q = (uint16)((uint8)(words.x) >> shift, (uint8)(words.y) >> shift) & 15u;

    return (float16)(by[q.s0], by[q.s1], by[q.s2], by[q.s3], by[q.s4], by[q.s5], by[q.s6],
                     by[q.s7], by[q.s8], by[q.s9], by[q.sa], by[q.sb], by[q.sc], by[q.sd],
                     by[q.se], by[q.sf]);
}
#else
static float16 load_half(__global const uint *b, uint run, uint i, uint len)
{
    const float4 lines = dlm_lines(b, run, len);
    const float2 line = i ? lines.zw : lines.xy;
    const uint4 words = *((__global const uint4 *)b + run);
    const uint4 upper = dlm_upper(b, run, len).xxyy, g = (uint4)(0u, 1u, 2u, 3u);
    const uchar16 even = as_uchar16(dlm_even(words, upper, g));
    const uchar16 odd = as_uchar16(dlm_odd(words, upper, g));
    const uchar8 e = i ? even.hi : even.lo, o = i ? odd.hi : odd.lo;
    const uchar16 codes = (uchar16)(e.s0, o.s0, e.s1, o.s1, e.s2, o.s2, e.s3, o.s3, e.s4, o.s4,
                                    e.s5, o.s5, e.s6, o.s6, e.s7, o.s7);

    return fma(convert_float16(codes), (float16)(line.x), (float16)(-line.y));
}
#endif

static float add_elements(float16 v)
{
    const float8 v8 = v.lo + v.hi;
    const float4 v4 = v8.lo + v8.hi;
    return v4.x + v4.y + (v4.z + v4.w);
}

#define SUMS (ROWS == 1u ? 2u : 1u) /* that do not wait for each other */
#define UNROLL _Pragma("unroll")

__kernel DLM_LOCAL(DLM_MATVEC_COLS_NOLOCAL) void matvec_quant_nolocal(MATMUL_ARGS)
{
    const struct place at = find_place(&p, DLM_GROUP(2));
    const uint n = DLM_GROUP_ID() * DLM_MATVEC_COLS_NOLOCAL + DLM_LOCAL_ID(), b_len = p.n * p.k;
    float16 sum[ROWS][SUMS];

    if (n >= p.n)
        return;
    UNROLL for (uint m = 0; m < ROWS; m++)
        UNROLL for (uint s = 0; s < SUMS; s++)
            sum[m][s] = (float16)(0.0f);
    for (uint k = 0; k < at.k; k += EACH) {
        const uint run = (at.b + n * p.k + k) / EACH * (EACH / 32u);
        UNROLL for (uint i = 0; i < EACH / 16u; i++) {
            const float16 y = load_half(b, run + i / 2u, i % 2u, b_len);
            UNROLL for (uint m = 0; m < ROWS; m++)
                if (ROWS == 1u || m < p.m)
                    sum[m][i % SUMS] = fma(vload16(0, a + at.a + m * p.a_stride[2] + k + 16u * i),
                                           y, sum[m][i % SUMS]);
        }
    }
    UNROLL for (uint m = 0; m < ROWS; m++) {
        UNROLL for (uint s = 1; s < SUMS; s++)
            sum[m][0] += sum[m][s];
        if (ROWS == 1u || m < p.m)
            put(&p, &at, add_elements(sum[m][0]), m, n, c, bias, out);
    }
}
