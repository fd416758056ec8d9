/* matmul for few rows with a weight in 4 or 8 bits where local memory is none or slow, on an a that
 * matmul_pack has rounded: matvec_<b>_<type to which its numbers are rounded>_nolocal for one row,
 * matvec_8_<b>_..._nolocal for up to 8. A work-item makes one column, 16 elements at a time. */
//! matvec_q8_0_f32_nolocal matvec_quant_nolocal -DROWS=1u -DBITS8 -DFORM=q8_0 -DTO=F32
//! matvec_q8_0_f16_nolocal matvec_quant_nolocal -DROWS=1u -DBITS8 -DFORM=q8_0 -DTO=F16
//! matvec_q8_0_bf16_nolocal matvec_quant_nolocal -DROWS=1u -DBITS8 -DFORM=q8_0 -DTO=BF16
//! matvec_nf4_f32_nolocal matvec_quant_nolocal -DROWS=1u -DFORM=nf4 -DTO=F32
//! matvec_nf4_f16_nolocal matvec_quant_nolocal -DROWS=1u -DFORM=nf4 -DTO=F16
//! matvec_nf4_bf16_nolocal matvec_quant_nolocal -DROWS=1u -DFORM=nf4 -DTO=BF16
//! matvec_nf4_dq_f32_nolocal matvec_quant_nolocal -DROWS=1u -DFORM=nf4_dq -DTO=F32
//! matvec_nf4_dq_f16_nolocal matvec_quant_nolocal -DROWS=1u -DFORM=nf4_dq -DTO=F16
//! matvec_nf4_dq_bf16_nolocal matvec_quant_nolocal -DROWS=1u -DFORM=nf4_dq -DTO=BF16
//! matvec_8_q8_0_f32_nolocal matvec_quant_nolocal -DROWS=8u -DBITS8 -DFORM=q8_0 -DTO=F32
//! matvec_8_q8_0_f16_nolocal matvec_quant_nolocal -DROWS=8u -DBITS8 -DFORM=q8_0 -DTO=F16
//! matvec_8_q8_0_bf16_nolocal matvec_quant_nolocal -DROWS=8u -DBITS8 -DFORM=q8_0 -DTO=BF16
//! matvec_8_nf4_f32_nolocal matvec_quant_nolocal -DROWS=8u -DFORM=nf4 -DTO=F32
//! matvec_8_nf4_f16_nolocal matvec_quant_nolocal -DROWS=8u -DFORM=nf4 -DTO=F16
//! matvec_8_nf4_bf16_nolocal matvec_quant_nolocal -DROWS=8u -DFORM=nf4 -DTO=BF16
//! matvec_8_nf4_dq_f32_nolocal matvec_quant_nolocal -DROWS=8u -DFORM=nf4_dq -DTO=F32
//! matvec_8_nf4_dq_f16_nolocal matvec_quant_nolocal -DROWS=8u -DFORM=nf4_dq -DTO=F16
//! matvec_8_nf4_dq_bf16_nolocal matvec_quant_nolocal -DROWS=8u -DFORM=nf4_dq -DTO=BF16
#define DLM_T_QUANT uint
#define DLM_B QUANT
#include "matmul_head.cl"
#include "matmul_quant_head.cl"

#define SCALE PASTE(dlm_scale_, FORM)
#define ROUND PASTE(DLM_ROUND_, TO)
#define ROUND16(v) (float16)(ROUND((v).lo), ROUND((v).hi))

/* Numbers 16 i to 16 i + 15 of block number `block`, whose scale, or whose 16 numbers, are `by`. */
#ifdef BITS8
#define EACH 32u
static float16 load_numbers(__global const uint *b, uint block, uint i, float16 by)
{
    const char16 codes = *((__global const char16 *)b + 2u * block + i);
    const float16 v = by * convert_float16(codes);
    return ROUND16(v);
}

static float16 make_block(float scale)
{
    return (float16)(scale);
}
#else
#define EACH 64u
/* Indexed so, a vector is one instruction where processors have one. */
static float16 load_numbers(__global const uint *b, uint block, uint i, float16 by)
{
    const uint2 words = *((__global const uint2 *)b + 4u * block + i);
    const uint8 shift = (uint8)(4, 0, 12, 8, 20, 16, 28, 24);
    const uint16 q = (uint16)((uint8)(words.x) >> shift, (uint8)(words.y) >> shift) & 15u;

    return (float16)(by[q.s0], by[q.s1], by[q.s2], by[q.s3], by[q.s4], by[q.s5], by[q.s6],
                     by[q.s7], by[q.s8], by[q.s9], by[q.sa], by[q.sb], by[q.sc], by[q.sd],
                     by[q.se], by[q.sf]);
}

static float16 make_block(float scale)
{
    const float16 v = scale * vload16(0, dlm_nf4);
    return ROUND16(v);
}
#endif

static float add_elements(float16 v)
{
    const float8 v8 = v.lo + v.hi;
    const float4 v4 = v8.lo + v8.hi;
    return v4.x + v4.y + (v4.z + v4.w);
}

#define SUMS (ROWS == 1u ? EACH / 16u : 1u) /* that do not wait for each other */
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
        const uint block = (at.b + n * p.k + k) / EACH;
        const float16 by = make_block(SCALE(b, EACH * block, b_len));
        UNROLL for (uint i = 0; i < EACH / 16u; i++) {
            const float16 y = load_numbers(b, block, i, by);
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
