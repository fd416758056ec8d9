/* attention with vdpbf16ps: q, k, v, dout, P and dS rounded to bf16, sums, softmax and results in
 * f32. */
#include "cpukernels/attention_bf16.h"

#include "cpukernels/matmul_tile.h"

enum { DEPTH = 16, STEPS = DEPTH / 2, MAX_ROWS = 12 };

/* The pair of elements at p in all lanes. */
DLM_INLINE __m512bh spread_pair(const char *p)
{
    int pair;

    memcpy(&pair, p, sizeof(pair));
    return (__m512bh)_mm512_set1_epi32(pair);
}

/* Of a row: its sums, a step of them, what they are added to, where they go. PAIR: of two
 * panels. */
#define DECLARE_PAIR(r, base, offset)                                                              \
    __m512 x##r = _mm512_setzero_ps(), y##r = _mm512_setzero_ps();
#define STEP_PAIR(r, base, offset)                                                                 \
    {                                                                                              \
        const __m512bh v = spread_pair((base) + (offset)*stride + 4 * s);                          \
        x##r = _mm512_dpbf16_ps(x##r, v, bx);                                                      \
        y##r = _mm512_dpbf16_ps(y##r, v, by);                                                      \
    }
#define ADD_PAIR(r, base, offset)                                                                  \
    x##r = _mm512_add_ps(_mm512_loadu_ps(out + (r)*out_stride), x##r);                             \
    y##r = _mm512_add_ps(_mm512_loadu_ps(out + (r)*out_stride + 16), y##r);
#define STORE_PAIR(r, base, offset)                                                                \
    _mm512_storeu_ps(out + (r)*out_stride, x##r);                                                  \
    _mm512_storeu_ps(out + (r)*out_stride + 16, y##r);
#define DECLARE_ONE(r, base, offset) __m512 x##r = _mm512_setzero_ps();
#define STEP_ONE(r, base, offset)                                                                  \
    x##r = _mm512_dpbf16_ps(x##r, spread_pair((base) + (offset)*stride + 4 * s), bx);
#define ADD_ONE(r, base, offset)                                                                   \
    x##r = _mm512_add_ps(_mm512_loadu_ps(out + (r)*out_stride), x##r);
#define STORE_ONE(r, base, offset) _mm512_storeu_ps(out + (r)*out_stride, x##r);

/* `rows` rows by two panels or one; stride in bytes. */
#define DEFINE_TILE(name, rows, COLS)                                                              \
    static void name##_##rows(const char *a, size_t stride, const char *b0, const char *b1,        \
                              size_t depth, float *out, size_t out_stride, bool is_sum)            \
    {                                                                                              \
        /* no pointer to a row that is not there */                                                \
        const char *a0 = a, *a1 = a + ((rows) > 3 ? 3 * stride : 0);                               \
        const char *a2 = a + ((rows) > 6 ? 6 * stride : 0);                                        \
        const char *a3 = a + ((rows) > 9 ? 9 * stride : 0);                                        \
        DLM_TILE_ROWS_##rows(DECLARE_##COLS)                                                       \
        for (size_t d = 0; d < depth; d += DEPTH) {                                                \
            for (size_t s = 0; s < STEPS; s++) {                                                   \
                const __m512bh bx = (__m512bh)_mm512_loadu_si512(b0 + 64 * s);                     \
                const __m512bh by = (__m512bh)_mm512_loadu_si512(b1 + 64 * s);                     \
                DLM_TILE_ROWS_##rows(STEP_##COLS)                                                  \
                (void)by;                                                                          \
            }                                                                                      \
            a0 += 2 * DEPTH, a1 += 2 * DEPTH, a2 += 2 * DEPTH, a3 += 2 * DEPTH;                    \
            b0 += 64 * STEPS, b1 += 64 * STEPS;                                                    \
        }                                                                                          \
        (void)a1, (void)a2, (void)a3;                                                              \
        if (is_sum) {                                                                              \
            DLM_TILE_ROWS_##rows(ADD_##COLS)                                                       \
        }                                                                                          \
        DLM_TILE_ROWS_##rows(STORE_##COLS)                                                         \
    }
#define DEFINE_TILES(name, COLS)                                                                   \
    DEFINE_TILE(name, 1, COLS)                                                                     \
    DEFINE_TILE(name, 2, COLS)                                                                     \
    DEFINE_TILE(name, 3, COLS)                                                                     \
    DEFINE_TILE(name, 4, COLS)                                                                     \
    DEFINE_TILE(name, 5, COLS)                                                                     \
    DEFINE_TILE(name, 6, COLS)                                                                     \
    DEFINE_TILE(name, 7, COLS)                                                                     \
    DEFINE_TILE(name, 8, COLS)                                                                     \
    DEFINE_TILE(name, 9, COLS)                                                                     \
    DEFINE_TILE(name, 10, COLS)                                                                    \
    DEFINE_TILE(name, 11, COLS)                                                                    \
    DEFINE_TILE(name, 12, COLS)

DEFINE_TILES(tile, PAIR)
DEFINE_TILES(tile_half, ONE)

typedef void (*tile_fn)(const char *a, size_t stride, const char *b0, const char *b1, size_t depth,
                        float *out, size_t out_stride, bool is_sum);

/* By how many panels and rows. */
static const tile_fn tiles[2][MAX_ROWS + 1] = {
    {NULL, tile_half_1, tile_half_2, tile_half_3, tile_half_4, tile_half_5, tile_half_6,
     tile_half_7, tile_half_8, tile_half_9, tile_half_10, tile_half_11, tile_half_12},
    {NULL, tile_1, tile_2, tile_3, tile_4, tile_5, tile_6, tile_7, tile_8, tile_9, tile_10, tile_11,
     tile_12},
};

static void multiply(float *out, size_t out_stride, const void *a, size_t a_stride, uint32_t rows,
                     const void *panels, size_t depth, size_t num_panels, bool is_sum)
{
    const size_t panel_bytes = depth * 16 * 2;

    for (size_t j = 0; j < num_panels; j += 2) {
        const char *b0 = (const char *)panels + j * panel_bytes;
        const bool has_two = j + 1 < num_panels;
        for (uint32_t r0 = 0; r0 < rows; r0 += MAX_ROWS) {
            const uint32_t num = DLM_MIN(rows - r0, (uint32_t)MAX_ROWS);
            tiles[has_two][num]((const char *)a + r0 * a_stride, a_stride, b0,
                                has_two ? b0 + panel_bytes : b0, depth,
                                out + r0 * out_stride + j * 16, out_stride, is_sum);
        }
    }
}

static void run_item(attention_fn run, const struct dlm_cpu_call *call, int64_t item,
                     enum dlm_dtype dtype)
{
    static const struct attention_engine engine = {
        .elem_bytes = 2, .depth = DEPTH, .rounds = true, .copy_row = copy_row,
        .copy_stored = copy_stored, .narrow = narrow_scores, .pack_rows = pack_rows,
        .pack_across = pack_across, .multiply = multiply,
    };

    run(&engine, call, item, dtype);
}

#define KERNEL(name, fn, dtype)                                                                    \
    void dlm_cpu_##name(const struct dlm_cpu_call *call, int64_t item)                             \
    {                                                                                              \
        run_item(fn, call, item, dtype);                                                           \
    }

KERNEL(attention_f32_avx512bf16, forward, DLM_DTYPE_F32)
KERNEL(attention_bf16_avx512bf16, forward, DLM_DTYPE_BF16)
KERNEL(attention_dq_f32_avx512bf16, backward_queries, DLM_DTYPE_F32)
KERNEL(attention_dq_bf16_avx512bf16, backward_queries, DLM_DTYPE_BF16)
KERNEL(attention_dkv_f32_avx512bf16, backward_keys, DLM_DTYPE_F32)
KERNEL(attention_dkv_bf16_avx512bf16, backward_keys, DLM_DTYPE_BF16)
