/* fwd and bwd in f32: W is widened (fwd) or transposed (bwd) block by block into scratch, where all
 * rows of x pass it. Also the rounding of x for the bf16 engines. */
#include "base/scalar.h"
#include "cpukernels/matmul_quant.h"

static void tile(uint32_t rows, const char *a, size_t stride, const char *b0, const char *b1,
                 size_t depth, struct dlm_tile_ahead *ahead, float *out)
{
    dlm_tile_f32(rows, (const float *)(const void *)a, stride / sizeof(float),
                 (const float *)(const void *)b0, (const float *)(const void *)b1, depth, ahead,
                 out);
}

/* [depth/2][16 n][2 k] to [depth][16 n]. */
DLM_INLINE void widen_panel(enum dlm_dtype dtype, float *out, const uint32_t *words, size_t depth)
{
    for (size_t k = 0; k < depth; k += 2, out += 2 * DLM_PANEL_COLS, words += DLM_PANEL_COLS) {
        for (int lane = 0; lane < DLM_PANEL_COLS; lane += DLM_TILE_LANES) {
            dlm_vec even, odd;
            dlm_widen(dtype, dlm_uvec_load(words + lane), &even, &odd);
            memcpy(out + lane, &even, sizeof(even));
            memcpy(out + DLM_PANEL_COLS + lane, &odd, sizeof(odd));
        }
    }
}

DLM_INLINE void widen_panels(enum dlm_dtype dtype, float *dst, const struct drive_source *s)
{
    for (size_t i = 0; i < s->panels; i++, dst += s->depth * DLM_PANEL_COLS) {
        const char *words = drive_word(s, s->panel0 + i, s->depth0);
        widen_panel(dtype, dst, (const uint32_t *)(const void *)words, s->depth);
    }
}

/* 16 x 16 block of W, f32 [16 k][16 n], to rows [16 n][16 k]. */
DLM_INLINE void transpose_block(float *out, const float *in)
{
    for (int n = 0; n < DLM_PANEL_COLS; n++) {
        for (int k = 0; k < DLM_PANEL_COLS; k++)
            out[n * DLM_PANEL_COLS + k] = in[k * DLM_PANEL_COLS + n];
    }
}

/* Panels of W^T: [k/16][depth n][16 k] for the block. n past W's last panel becomes zero. */
DLM_INLINE void transpose_panels(enum dlm_dtype dtype, float *dst, const struct drive_source *s)
{
    const size_t first = s->depth0 / DLM_PANEL_COLS;
    const size_t num = s->depth / DLM_PANEL_COLS;
    const size_t block_len = (size_t)DLM_PANEL_COLS * DLM_PANEL_COLS;
    float wide[DLM_PANEL_COLS * DLM_PANEL_COLS] DLM_ALIGNED(64);

    for (size_t n = 0; n < num; n++) {
        for (size_t c = 0; c < s->panels; c++) {
            float *out = dst + (c * num + n) * block_len;
            if (first + n >= s->n_panels) {
                memset(out, 0, block_len * sizeof(*out));
                continue;
            }
            const void *src = drive_word(s, first + n, (s->panel0 + c) * DLM_PANEL_COLS);
            if (dtype == DLM_DTYPE_F32) {
                transpose_block(out, src);
            } else {
                widen_panel(dtype, wide, src, DLM_PANEL_COLS);
                transpose_block(out, wide);
            }
        }
    }
}

/* A square of a quantised W to f32 [16 k][16 n]. */
DLM_INLINE void widen_square(enum dlm_dtype dtype, float *out, const struct dlm_quant_square *s)
{
    const struct dlm_code_lookup table = dlm_code_lookup_load(dtype);

    for (int n = 0; n < DLM_PANEL_COLS; n += DLM_TILE_LANES) {
        const dlm_vec scale = dlm_vec_load(s->scales + n);
        const dlm_vec min = s->mins ? dlm_vec_load(s->mins + n) : (dlm_vec){0};
        const struct dlm_quant_lanes lanes = dlm_quant_lanes(dtype, s, 2 * n);
#pragma GCC unroll 8
        for (int pair = 0; pair < DLM_PANEL_COLS / 2; pair++) {
            const struct dlm_quant_pair w = dlm_quant_pair(dtype, &table, &lanes, pair);
            const dlm_vec even = DLM_SHUFFLE(w.u, w.v, DLM_EVEN_LANES) * scale - min;
            const dlm_vec odd = DLM_SHUFFLE(w.u, w.v, DLM_ODD_LANES) * scale - min;
            memcpy(out + 2 * pair * DLM_PANEL_COLS + n, &even, sizeof(even));
            memcpy(out + (2 * pair + 1) * DLM_PANEL_COLS + n, &odd, sizeof(odd));
        }
    }
}

static void write_square(enum dlm_dtype dtype, bool is_bwd, void *out,
                         const struct dlm_quant_square *square)
{
    float wide[DLM_PANEL_COLS * DLM_PANEL_COLS] DLM_ALIGNED(64);
    float *to = is_bwd ? wide : out;

#define WIDEN(type) widen_square(type, to, square)
    DLM_WITH_QUANT(dtype, WIDEN)
#undef WIDEN
    if (is_bwd)
        transpose_block(out, wide);
}

static void repack_quant(void *dst, const struct drive_source *s)
{
    quant_repack(dst, s, DLM_PANEL_COLS * DLM_PANEL_COLS * sizeof(float), write_square);
}

static void repack_fwd(void *dst, const struct drive_source *s)
{
    if (s->dtype == DLM_DTYPE_BF16)
        widen_panels(DLM_DTYPE_BF16, dst, s);
    else
        widen_panels(DLM_DTYPE_F16, dst, s);
}

static void repack_bwd(void *dst, const struct drive_source *s)
{
    if (s->dtype == DLM_DTYPE_F32)
        transpose_panels(DLM_DTYPE_F32, dst, s);
    else if (s->dtype == DLM_DTYPE_BF16)
        transpose_panels(DLM_DTYPE_BF16, dst, s);
    else
        transpose_panels(DLM_DTYPE_F16, dst, s);
}

#define PANEL_KERNEL(name, DTYPE, IS_BWD, REPACK)                                                  \
    void DLM_CPU_KERNEL(name)(const struct dlm_cpu_call *call, int64_t item)                       \
    {                                                                                              \
        static const struct drive_engine engine = {                                                \
            .max_rows = DLM_TILE_ROWS, .a_bytes = 4, .b_bytes = 4, .dtype = (DTYPE),               \
            .is_bwd = (IS_BWD), .repack = (REPACK), .tile = tile,                                  \
        };                                                                                         \
        drive_item(&engine, call, item);                                                           \
    }

PANEL_KERNEL(matmul_panel_fwd_f32, DLM_DTYPE_F32, false, NULL)
PANEL_KERNEL(matmul_panel_fwd_bf16, DLM_DTYPE_BF16, false, repack_fwd)
PANEL_KERNEL(matmul_panel_fwd_f16, DLM_DTYPE_F16, false, repack_fwd)
PANEL_KERNEL(matmul_panel_fwd_q8_0, DLM_DTYPE_Q8_0, false, repack_quant)
PANEL_KERNEL(matmul_panel_fwd_nf4, DLM_DTYPE_NF4, false, repack_quant)
PANEL_KERNEL(matmul_panel_fwd_nf4_dq, DLM_DTYPE_NF4_DQ, false, repack_quant)
PANEL_KERNEL(matmul_panel_fwd_q4_0, DLM_DTYPE_Q4_0, false, repack_quant)
PANEL_KERNEL(matmul_panel_fwd_q4_k, DLM_DTYPE_Q4_K, false, repack_quant)
PANEL_KERNEL(matmul_panel_fwd_q5_k, DLM_DTYPE_Q5_K, false, repack_quant)
PANEL_KERNEL(matmul_panel_fwd_q6_k, DLM_DTYPE_Q6_K, false, repack_quant)
PANEL_KERNEL(matmul_panel_bwd_f32, DLM_DTYPE_F32, true, repack_bwd)
PANEL_KERNEL(matmul_panel_bwd_bf16, DLM_DTYPE_BF16, true, repack_bwd)
PANEL_KERNEL(matmul_panel_bwd_f16, DLM_DTYPE_F16, true, repack_bwd)
PANEL_KERNEL(matmul_panel_bwd_q8_0, DLM_DTYPE_Q8_0, true, repack_quant)
PANEL_KERNEL(matmul_panel_bwd_nf4, DLM_DTYPE_NF4, true, repack_quant)
PANEL_KERNEL(matmul_panel_bwd_nf4_dq, DLM_DTYPE_NF4_DQ, true, repack_quant)
PANEL_KERNEL(matmul_panel_bwd_q4_0, DLM_DTYPE_Q4_0, true, repack_quant)
PANEL_KERNEL(matmul_panel_bwd_q4_k, DLM_DTYPE_Q4_K, true, repack_quant)
PANEL_KERNEL(matmul_panel_bwd_q5_k, DLM_DTYPE_Q5_K, true, repack_quant)
PANEL_KERNEL(matmul_panel_bwd_q6_k, DLM_DTYPE_Q6_K, true, repack_quant)

static uint32_t is_zero_row(const float *x, uint32_t len)
{
    uint32_t bits = 0;

#pragma omp simd reduction(| : bits)
    for (uint32_t i = 0; i < len; i++)
        bits |= dlm_as_u32_(x[i]) << 1; /* without the sign */
    return bits == 0;
}

/* x: [m, k] f32, rows of 16 an item; out: bf16 or f32, zeros after k, then the row's mark. */
void DLM_CPU_KERNEL(matmul_panel_round)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_matmul_panel_params *p = call->params;
    const bool is_wide = p->flags & DLM_MATMUL_ROUND_F32;
    const size_t elem_bytes = is_wide ? 4 : 2;
    const size_t stride = dlm_matmul_round_stride(p->k, elem_bytes);
    const uint32_t row0 = (uint32_t)item * DLM_MATMUL_ROUND_ROWS;
    const uint32_t row1 = DLM_MIN(row0 + DLM_MATMUL_ROUND_ROWS, p->m);

    for (uint32_t row = row0; row < row1; row++) {
        const float *x = (const float *)call->buffers[0] + (size_t)row * p->x_stride;
        const uint32_t is_zero = is_zero_row(x, p->k);
        void *out = (char *)call->buffers[1] + row * stride;
        uint16_t *half = out;
        if (is_wide)
            dlm_round_row(out, x, p->k, stride / elem_bytes, p->round_x);
        for (uint32_t i = 0; !is_wide && i < p->k; i++)
            half[i] = (uint16_t)dlm_f32_to_bf16(x[i]); /* 16 bits */
        if (!is_wide)
            memset(half + p->k, 0, stride - p->k * elem_bytes);
        memcpy((char *)out + dlm_matmul_round_mark(stride), &is_zero, sizeof(is_zero));
    }
}
