/* The f32 register tile, in vectors of whatever the instruction set has. */
#ifndef DLM_CPUKERNELS_MATMUL_TILE_F32_H
#define DLM_CPUKERNELS_MATMUL_TILE_F32_H

#include <stdbool.h>
#include <string.h>

#include "cpukernels/matmul_tile.h"

#if defined(__AVX512F__)
#define DLM_TILE_LANES 16
#define DLM_TILE_ROWS 12
#elif defined(__AVX__)
#define DLM_TILE_LANES 8
#define DLM_TILE_ROWS 6
#elif defined(__aarch64__)
#include <arm_neon.h>
#define DLM_TILE_LANES 4
#define DLM_TILE_ROWS 8
#else
#define DLM_TILE_LANES 4
#define DLM_TILE_ROWS 6
#endif

typedef float dlm_vec DLM_VECTOR(4 * DLM_TILE_LANES);
typedef uint32_t dlm_uvec DLM_VECTOR(4 * DLM_TILE_LANES);
typedef int32_t dlm_ivec DLM_VECTOR(4 * DLM_TILE_LANES);

DLM_INLINE dlm_vec dlm_vec_load(const float *p)
{
    dlm_vec v;
    memcpy(&v, p, sizeof(v));
    return v;
}

/* Of a row: its sums, a step of them, what they are added to, where they go. PAIR: of two
 * vectors of columns. */
#define DECLARE_PAIR(r, base, offset) dlm_vec x##r = {0}, y##r = {0};
#define STEP_PAIR(r, base, offset)                                                                 \
    {                                                                                              \
        const dlm_vec v = (base)[(offset)*stride + s] - (dlm_vec){0};                              \
        x##r += v * bx;                                                                            \
        y##r += v * by;                                                                            \
    }
#define ADD_PAIR(r, base, offset)                                                                  \
    x##r = dlm_vec_load(out + (r)*out_stride) + x##r;                                              \
    y##r = dlm_vec_load(out + (r)*out_stride + DLM_TILE_LANES) + y##r;
#define STORE_PAIR(r, base, offset)                                                                \
    memcpy(out + (r)*out_stride, &x##r, sizeof(x##r));                                             \
    memcpy(out + (r)*out_stride + DLM_TILE_LANES, &y##r, sizeof(y##r));
#define DECLARE_ONE(r, base, offset) dlm_vec x##r = {0};
#define STEP_ONE(r, base, offset) x##r += ((base)[(offset)*stride + s] - (dlm_vec){0}) * bx;
#define ADD_ONE(r, base, offset) x##r = dlm_vec_load(out + (r)*out_stride) + x##r;
#define STORE_ONE(r, base, offset) memcpy(out + (r)*out_stride, &x##r, sizeof(x##r));

#if defined(__aarch64__)

/* Four k of a row fill a register, of which fmla takes a lane. The second vector of columns lies
 * beside the first, which ldp loads with it. */
#define LOAD_ROW(r, base, offset)                                                                  \
    const float32x4_t v##r = vld1q_f32((base) + (offset)*stride + s);
#define STEP_LANE(r, lane)                                                                         \
    x##r = (dlm_vec)vfmaq_laneq_f32((float32x4_t)x##r, bx, v##r, lane);                            \
    y##r = (dlm_vec)vfmaq_laneq_f32((float32x4_t)y##r, by, v##r, lane);
#define STEP_LANE_0(r, base, offset) STEP_LANE(r, 0)
#define STEP_LANE_1(r, base, offset) STEP_LANE(r, 1)
#define STEP_LANE_2(r, base, offset) STEP_LANE(r, 2)
#define STEP_LANE_3(r, base, offset) STEP_LANE(r, 3)
#define STEP_K(rows, lane)                                                                         \
    {                                                                                              \
        const float32x4_t bx = vld1q_f32(b0 + 16 * (s + (lane)));                                  \
        const float32x4_t by = vld1q_f32(b0 + 16 * (s + (lane)) + 4);                              \
        DLM_TILE_ROWS_##rows(STEP_LANE_##lane)                                                     \
    }
#define TURN(rows, COLS)                                                                           \
    for (size_t s = 0; s < DLM_TILE_STEPS; s += 4) {                                               \
        DLM_TILE_ROWS_##rows(LOAD_ROW)                                                             \
        DLM_PREFETCH(next + 32 * s);                                                               \
        STEP_K(rows, 0)                                                                            \
        STEP_K(rows, 1)                                                                            \
        DLM_PREFETCH(next + 32 * s + 64);                                                          \
        STEP_K(rows, 2)                                                                            \
        STEP_K(rows, 3)                                                                            \
    }

#else

#define TURN(rows, COLS)                                                                           \
    for (size_t s = 0; s < DLM_TILE_STEPS; s++) {                                                  \
        const dlm_vec bx = dlm_vec_load(b0 + 16 * s), by = dlm_vec_load(b1 + 16 * s);              \
        DLM_PREFETCH(next + 64 * s);                                                               \
        DLM_TILE_ROWS_##rows(STEP_##COLS)                                                          \
        (void)by;                                                                                  \
    }

#endif

/* `rows` rows by two vectors of columns, or by one. a: f32, row stride `stride`; b0, b1:
 * [depth][16]. depth is a multiple of DLM_TILE_STEPS. */
#define DEFINE_TILE(name, rows, COLS)                                                              \
    static void name##_##rows(const float *a, size_t stride, const float *b0, const float *b1,     \
                              size_t depth, struct dlm_tile_ahead *ahead, float *out,              \
                              size_t out_stride, bool is_sum)                                      \
    {                                                                                              \
        /* no pointer to a row that is not there */                                                \
        const float *a0 = a, *a1 = a + ((rows) > 3 ? 3 * stride : 0);                              \
        const float *a2 = a + ((rows) > 6 ? 6 * stride : 0);                                       \
        const float *a3 = a + ((rows) > 9 ? 9 * stride : 0);                                       \
        DLM_TILE_ROWS_##rows(DECLARE_##COLS)                                                       \
        for (size_t d = 0; d < depth; d += DLM_TILE_STEPS) {                                       \
            const char *next = dlm_tile_next(ahead, b0);                                           \
            TURN(rows, COLS)                                                                       \
            a0 += DLM_TILE_STEPS, a1 += DLM_TILE_STEPS, a2 += DLM_TILE_STEPS;                      \
            a3 += DLM_TILE_STEPS;                                                                  \
            b0 += 16 * DLM_TILE_STEPS, b1 += 16 * DLM_TILE_STEPS;                                  \
        }                                                                                          \
        (void)a1, (void)a2, (void)a3, (void)b1;                                                    \
        if (is_sum) {                                                                              \
            DLM_TILE_ROWS_##rows(ADD_##COLS)                                                       \
        }                                                                                          \
        DLM_TILE_ROWS_##rows(STORE_##COLS)                                                         \
    }
#define DEFINE_SIX(name, COLS)                                                                     \
    DEFINE_TILE(name, 1, COLS)                                                                     \
    DEFINE_TILE(name, 2, COLS)                                                                     \
    DEFINE_TILE(name, 3, COLS)                                                                     \
    DEFINE_TILE(name, 4, COLS)                                                                     \
    DEFINE_TILE(name, 5, COLS)                                                                     \
    DEFINE_TILE(name, 6, COLS)
#define DEFINE_EIGHT(name, COLS)                                                                   \
    DEFINE_SIX(name, COLS)                                                                         \
    DEFINE_TILE(name, 7, COLS)                                                                     \
    DEFINE_TILE(name, 8, COLS)
#define DEFINE_TWELVE(name, COLS)                                                                  \
    DEFINE_EIGHT(name, COLS)                                                                       \
    DEFINE_TILE(name, 9, COLS)                                                                     \
    DEFINE_TILE(name, 10, COLS)                                                                    \
    DEFINE_TILE(name, 11, COLS)                                                                    \
    DEFINE_TILE(name, 12, COLS)

#if DLM_TILE_ROWS == 12
DEFINE_TWELVE(tile_f32, PAIR)
DEFINE_TWELVE(tile_f32_half, ONE)
#elif DLM_TILE_ROWS == 8
DEFINE_EIGHT(tile_f32, PAIR)
#else
DEFINE_SIX(tile_f32, PAIR)
#endif

#undef DECLARE_PAIR
#undef STEP_PAIR
#undef ADD_PAIR
#undef STORE_PAIR
#undef DECLARE_ONE
#undef STEP_ONE
#undef ADD_ONE
#undef STORE_ONE
#undef LOAD_ROW
#undef STEP_LANE
#undef STEP_LANE_0
#undef STEP_LANE_1
#undef STEP_LANE_2
#undef STEP_LANE_3
#undef STEP_K
#undef TURN
#undef DEFINE_TILE
#undef DEFINE_SIX
#undef DEFINE_EIGHT
#undef DEFINE_TWELVE

typedef void (*dlm_tile_f32_fn)(const float *a, size_t stride, const float *b0, const float *b1,
                                size_t depth, struct dlm_tile_ahead *ahead, float *out,
                                size_t out_stride, bool is_sum);

/* By how many panels and rows. One panel of 16 columns is a vector of AVX-512, else two. */
static const dlm_tile_f32_fn dlm_tiles_f32[2][DLM_TILE_ROWS + 1] = {
#if DLM_TILE_ROWS == 12
    {NULL, tile_f32_half_1, tile_f32_half_2, tile_f32_half_3, tile_f32_half_4, tile_f32_half_5,
     tile_f32_half_6, tile_f32_half_7, tile_f32_half_8, tile_f32_half_9, tile_f32_half_10,
     tile_f32_half_11, tile_f32_half_12},
    {NULL, tile_f32_1, tile_f32_2, tile_f32_3, tile_f32_4, tile_f32_5, tile_f32_6, tile_f32_7,
     tile_f32_8, tile_f32_9, tile_f32_10, tile_f32_11, tile_f32_12},
#elif DLM_TILE_ROWS == 8
    {NULL, tile_f32_1, tile_f32_2, tile_f32_3, tile_f32_4, tile_f32_5, tile_f32_6, tile_f32_7,
     tile_f32_8},
    {NULL, tile_f32_1, tile_f32_2, tile_f32_3, tile_f32_4, tile_f32_5, tile_f32_6, tile_f32_7,
     tile_f32_8},
#else
    {NULL, tile_f32_1, tile_f32_2, tile_f32_3, tile_f32_4, tile_f32_5, tile_f32_6},
    {NULL, tile_f32_1, tile_f32_2, tile_f32_3, tile_f32_4, tile_f32_5, tile_f32_6},
#endif
};

/* out[rows][32 or 16] (+)= a[rows][depth] times the panels b0 and b1, or b0 alone if b1 is NULL;
 * rows of out are out_stride apart. */
DLM_INLINE void dlm_tile_f32_into(uint32_t rows, const float *a, size_t stride, const float *b0,
                                  const float *b1, size_t depth, struct dlm_tile_ahead *ahead,
                                  float *out, size_t out_stride, bool is_sum)
{
    const dlm_tile_f32_fn tile = dlm_tiles_f32[b1 != NULL][rows];
#if DLM_TILE_LANES == 16
    tile(a, stride, b0, b1 ? b1 : b0, depth, ahead, out, out_stride, is_sum);
#else
    for (int col = 0; col < 16; col += 2 * DLM_TILE_LANES) {
        tile(a, stride, b0 + col, b0 + col + DLM_TILE_LANES, depth, ahead, out + col, out_stride,
             is_sum);
        if (b1)
            tile(a, stride, b1 + col, b1 + col + DLM_TILE_LANES, depth, ahead, out + 16 + col,
                 out_stride, is_sum);
    }
#endif
}

/* out[rows][32] = a[rows][depth] times the two panels b0 and b1. */
DLM_INLINE void dlm_tile_f32(uint32_t rows, const float *a, size_t stride, const float *b0,
                             const float *b1, size_t depth, struct dlm_tile_ahead *ahead,
                             float *out)
{
    dlm_tile_f32_into(rows, a, stride, b0, b1, depth, ahead, out, DLM_MATMUL_TILE_COLS, false);
}

#endif
