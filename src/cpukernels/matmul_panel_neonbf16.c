/* fwd and bwd with bfmmla: x rounded to bf16, 2 x 4 of it times 4 x 2 of W added to 2 x 2 sums in
 * f32. One instruction does the work of four f32 FMAs; denormal products and sums become zero.
 *
 * The instruction wants four neighbours along the sum, of two rows, in a register: rows of x are
 * arranged so, and W is repacked to panels [depth/4][16 columns][4]. */
#include <arm_neon.h>

#include "cpukernels/matmul_quant.h"

#define MAX_PAIRS 6 /* of rows: 24 registers of sums */
#define QUAD (DLM_PANEL_COLS * 4) /* elements of a panel in four steps of the sum */

#define PAIRS_1(X) X(0)
#define PAIRS_2(X) PAIRS_1(X) X(1)
#define PAIRS_3(X) PAIRS_2(X) X(2)
#define PAIRS_4(X) PAIRS_3(X) X(3)
#define PAIRS_5(X) PAIRS_4(X) X(4)
#define PAIRS_6(X) PAIRS_5(X) X(5)

/* t, u, v, w: of columns 0 and 1, 2 and 3, 4 and 5, 6 and 7. */
#define DECLARE_PAIR(p)                                                                            \
    float32x4_t t##p = vdupq_n_f32(0), u##p = t##p, v##p = t##p, w##p = t##p;
#define ADD_PAIR(p, x)                                                                             \
    t##p = vbfmmlaq_f32(t##p, x, b01);                                                             \
    u##p = vbfmmlaq_f32(u##p, x, b23);                                                             \
    v##p = vbfmmlaq_f32(v##p, x, b45);                                                             \
    w##p = vbfmmlaq_f32(w##p, x, b67);
#define STEP_ONE(p)                                                                                \
    {                                                                                              \
        const bfloat16x8_t x = vld1q_bf16(ai + 8 * (p));                                           \
        ADD_PAIR(p, x)                                                                             \
    }
/* One ldp loads for both. */
#define STEP_TWO(p, q)                                                                             \
    {                                                                                              \
        const bfloat16x8_t x = vld1q_bf16(ai + 8 * (p)), y = vld1q_bf16(ai + 8 * (q));             \
        ADD_PAIR(p, x)                                                                             \
        ADD_PAIR(q, y)                                                                             \
    }
#define STEP_1 STEP_ONE(0)
#define STEP_2 STEP_TWO(0, 1)
#define STEP_3 STEP_2 STEP_ONE(2)
#define STEP_4 STEP_2 STEP_TWO(2, 3)
#define STEP_5 STEP_4 STEP_ONE(4)
#define STEP_6 STEP_4 STEP_TWO(4, 5)
#define STORE_PAIR(p)                                                                              \
    store_rows(out + 2 * (p)*DLM_MATMUL_TILE_COLS, t##p, u##p);                                    \
    store_rows(out + 2 * (p)*DLM_MATMUL_TILE_COLS + 4, v##p, w##p);

/* Sums of four columns to two rows. */
DLM_INLINE void store_rows(float *out, float32x4_t low, float32x4_t high)
{
    const float64x2_t x = vreinterpretq_f64_f32(low), y = vreinterpretq_f64_f32(high);

    vst1q_f32(out, vreinterpretq_f32_f64(vzip1q_f64(x, y)));
    vst1q_f32(out + DLM_MATMUL_TILE_COLS, vreinterpretq_f32_f64(vzip2q_f64(x, y)));
}

/* Step `i` of four. */
#define STEP(pairs, i)                                                                             \
    {                                                                                              \
        const bfloat16_t *ai = a + 8 * (pairs) * (i), *bi = b + QUAD * (i);                        \
        const bfloat16x8_t b01 = vld1q_bf16(bi), b23 = vld1q_bf16(bi + 8);                         \
        const bfloat16x8_t b45 = vld1q_bf16(bi + 16), b67 = vld1q_bf16(bi + 24);                   \
        DLM_PREFETCH(next + 64 * (i));                                                             \
        STEP_##pairs                                                                               \
    }

/* Pairs of rows by 8 columns. a: [depth/4][pairs][2][4], b: a panel from its column 0 or 8 on. */
#define DEFINE_TILE(pairs)                                                                         \
    static void tile_bf16_##pairs(const bfloat16_t *a, const bfloat16_t *b, size_t depth,          \
                                  struct dlm_tile_ahead *ahead, float *out)                        \
    {                                                                                              \
        PAIRS_##pairs(DECLARE_PAIR)                                                                \
        for (size_t d = 0; d < depth; d += 2 * DLM_TILE_STEPS) {                                   \
            const char *next = dlm_tile_next(ahead, b);                                            \
            size_t turns = DLM_TILE_STEPS / 8;                                                     \
            /* of a loop whose length it knows gcc makes one piece, with copies of registers */    \
            __asm__("" : "+r"(turns));                                                             \
            for (; turns; turns--) {                                                               \
                STEP(pairs, 0)                                                                     \
                STEP(pairs, 1)                                                                     \
                STEP(pairs, 2)                                                                     \
                STEP(pairs, 3)                                                                     \
                a += 32 * (pairs), b += 4 * QUAD, next += 256;                                     \
            }                                                                                      \
        }                                                                                          \
        PAIRS_##pairs(STORE_PAIR)                                                                  \
    }

DEFINE_TILE(1)
DEFINE_TILE(2)
DEFINE_TILE(3)
DEFINE_TILE(4)
DEFINE_TILE(5)
DEFINE_TILE(6)

#undef DECLARE_PAIR
#undef ADD_PAIR
#undef STEP_ONE
#undef STEP_TWO
#undef STORE_PAIR
#undef STEP
#undef DEFINE_TILE

typedef void (*tile_fn)(const bfloat16_t *a, const bfloat16_t *b, size_t depth,
                        struct dlm_tile_ahead *ahead, float *out);

static const tile_fn tiles[MAX_PAIRS + 1] = {
    NULL, tile_bf16_1, tile_bf16_2, tile_bf16_3, tile_bf16_4, tile_bf16_5, tile_bf16_6,
};

static void tile(uint32_t rows, const char *a, size_t stride, const char *b0, const char *b1,
                 size_t depth, struct dlm_tile_ahead *ahead, float *out)
{
    const bfloat16_t *x = (const void *)a;
    const bfloat16_t *panels[2] = {(const void *)b0, (const void *)b1};
    const tile_fn run = tiles[(rows + 1) / 2];

    (void)stride;
    for (int i = 0; i < 2; i++) {
        run(x, panels[i], depth, ahead, out + 16 * i);
        run(x, panels[i] + QUAD / 2, depth, ahead, out + 16 * i + 8);
    }
}

/* Rows of x to [depth/4][pairs of rows][2][4]; a row that is missing in the last pair is the one
 * before it again, whose sums nobody reads. */
static void arrange(char *dst, const char *a, size_t stride, uint32_t rows, size_t depth)
{
    const size_t pairs = (rows + 1) / 2;

    for (size_t p = 0; p < pairs; p++) {
        const char *row0 = a + 2 * p * stride;
        const char *row1 = 2 * p + 1 < rows ? row0 + stride : row0;
        uint64_t *out = (uint64_t *)(void *)dst + 2 * p;
        for (size_t k = 0; k < depth; k += 8, out += 4 * pairs) {
            const uint64x2_t x = vld1q_u64((const void *)(row0 + 2 * k));
            const uint64x2_t y = vld1q_u64((const void *)(row1 + 2 * k));
            vst1q_u64(out, vzip1q_u64(x, y));
            vst1q_u64(out + 2 * pairs, vzip2q_u64(x, y));
        }
    }
}

#define SQUARE_WORDS (DLM_PANEL_COLS * DLM_PANEL_COLS / 2)
#define SQUARE_BYTES (SQUARE_WORDS * 4)

/* 16 k of a panel, [8][16 n][2 k], to [4][16 n][4 k]. */
DLM_INLINE void join_pairs(uint32_t *out, const uint32_t *words)
{
    for (int i = 0; i < SQUARE_WORDS; i += 2 * DLM_PANEL_COLS) {
        for (int n = 0; n < DLM_PANEL_COLS; n += 4) {
            const uint32x4_t low = vld1q_u32(words + i + n);
            const uint32x4_t high = vld1q_u32(words + i + DLM_PANEL_COLS + n);
            vst1q_u32(out + i + 2 * n, vzip1q_u32(low, high));
            vst1q_u32(out + i + 2 * n + 4, vzip2q_u32(low, high));
        }
    }
}

/* The same to [4][16 k][4 n]. */
DLM_INLINE void transpose_pairs(uint32_t *out, const uint32_t *words)
{
    static const uint8_t even_then_odd[16] = {0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15};
    const uint8x16_t order = vld1q_u8(even_then_odd);

    for (int pair = 0; pair < DLM_PANEL_COLS / 2; pair++) {
        for (int n = 0; n < DLM_PANEL_COLS; n += 4) {
            const uint32x4_t of_4 = vld1q_u32(words + DLM_PANEL_COLS * pair + n);
            const uint8x16_t apart = vqtbl1q_u8(vreinterpretq_u8_u32(of_4), order);
            vst1q_u32(out + 8 * n + 4 * pair, vreinterpretq_u32_u8(apart));
        }
    }
}

static void repack_fwd(void *dst, const struct drive_source *s)
{
    uint32_t *out = dst;

    for (size_t i = 0; i < s->panels; i++) {
        const char *words = drive_word(s, s->panel0 + i, s->depth0);
        for (size_t k = 0; k < s->depth; k += DLM_PANEL_COLS) {
            join_pairs(out, (const void *)words);
            out += SQUARE_WORDS;
            words += SQUARE_BYTES;
        }
    }
}

/* Panels of W^T. n past W's last panel becomes zero. */
static void repack_bwd(void *dst, const struct drive_source *s)
{
    const size_t first = s->depth0 / DLM_PANEL_COLS, num = s->depth / DLM_PANEL_COLS;

    for (size_t n = 0; n < num; n++) {
        for (size_t c = 0; c < s->panels; c++) {
            uint32_t *out = (uint32_t *)dst + (c * num + n) * SQUARE_WORDS;
            if (first + n < s->n_panels)
                transpose_pairs(out, (const void *)drive_word(s, first + n, (s->panel0 + c) *
                                                                                DLM_PANEL_COLS));
            else
                memset(out, 0, SQUARE_BYTES);
        }
    }
}

DLM_INLINE void round_pair(uint32_t *words, dlm_vec u, dlm_vec v)
{
    const bfloat16x8_t half = vcvtq_low_bf16_f32((float32x4_t)u);

    vst1q_bf16((bfloat16_t *)(void *)words, vcvtq_high_bf16_f32(half, (float32x4_t)v));
}

DLM_INLINE void store_square(enum dlm_dtype dtype, bool is_bwd, void *out,
                             const struct dlm_quant_square *square)
{
    uint32_t words[SQUARE_WORDS];

    quant_round_square(dtype, words, square, round_pair);
    if (is_bwd)
        transpose_pairs(out, words);
    else
        join_pairs(out, words);
}

static void write_square(enum dlm_dtype dtype, bool is_bwd, void *out,
                         const struct dlm_quant_square *square)
{
#define STORE(type) store_square(type, is_bwd, out, square)
    DLM_WITH_QUANT(dtype, STORE)
#undef STORE
}

static void repack_quant(void *dst, const struct drive_source *s)
{
    quant_repack(dst, s, SQUARE_BYTES, write_square);
}

#define BF16_KERNEL(name, DTYPE, IS_BWD, REPACK)                                                   \
    void dlm_cpu_##name(const struct dlm_cpu_call *call, int64_t item)                             \
    {                                                                                              \
        static const struct drive_engine engine = {                                                \
            .max_rows = 2 * MAX_PAIRS, .a_bytes = 2, .b_bytes = 2, .dtype = (DTYPE),               \
            .is_bwd = (IS_BWD), .arrange = arrange, .repack = (REPACK), .tile = tile,              \
        };                                                                                         \
        drive_item(&engine, call, item);                                                           \
    }

BF16_KERNEL(matmul_panel_fwd_bf16_neonbf16, DLM_DTYPE_BF16, false, repack_fwd)
BF16_KERNEL(matmul_panel_bwd_bf16_neonbf16, DLM_DTYPE_BF16, true, repack_bwd)
BF16_KERNEL(matmul_panel_fwd_q8_0_neonbf16, DLM_DTYPE_Q8_0, false, repack_quant)
BF16_KERNEL(matmul_panel_bwd_q8_0_neonbf16, DLM_DTYPE_Q8_0, true, repack_quant)
BF16_KERNEL(matmul_panel_fwd_nf4_neonbf16, DLM_DTYPE_NF4, false, repack_quant)
BF16_KERNEL(matmul_panel_bwd_nf4_neonbf16, DLM_DTYPE_NF4, true, repack_quant)
BF16_KERNEL(matmul_panel_fwd_nf4_dq_neonbf16, DLM_DTYPE_NF4_DQ, false, repack_quant)
BF16_KERNEL(matmul_panel_bwd_nf4_dq_neonbf16, DLM_DTYPE_NF4_DQ, true, repack_quant)
BF16_KERNEL(matmul_panel_fwd_q4_0_neonbf16, DLM_DTYPE_Q4_0, false, repack_quant)
BF16_KERNEL(matmul_panel_bwd_q4_0_neonbf16, DLM_DTYPE_Q4_0, true, repack_quant)
BF16_KERNEL(matmul_panel_fwd_q4_k_neonbf16, DLM_DTYPE_Q4_K, false, repack_quant)
BF16_KERNEL(matmul_panel_bwd_q4_k_neonbf16, DLM_DTYPE_Q4_K, true, repack_quant)
BF16_KERNEL(matmul_panel_fwd_q5_k_neonbf16, DLM_DTYPE_Q5_K, false, repack_quant)
BF16_KERNEL(matmul_panel_bwd_q5_k_neonbf16, DLM_DTYPE_Q5_K, true, repack_quant)
BF16_KERNEL(matmul_panel_fwd_q6_k_neonbf16, DLM_DTYPE_Q6_K, false, repack_quant)
BF16_KERNEL(matmul_panel_bwd_q6_k_neonbf16, DLM_DTYPE_Q6_K, true, repack_quant)
