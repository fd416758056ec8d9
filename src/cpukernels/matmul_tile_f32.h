/* The f32 register tile, in vectors of whatever the instruction set has. */
#ifndef DLM_CPUKERNELS_MATMUL_TILE_F32_H
#define DLM_CPUKERNELS_MATMUL_TILE_F32_H

#include <string.h>

#include "cpukernels/matmul_tile.h"

#if defined(__AVX512F__)
#define DLM_TILE_LANES 16
#define DLM_TILE_ROWS 12
#elif defined(__AVX__)
#define DLM_TILE_LANES 8
#define DLM_TILE_ROWS 6
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

#define DECLARE_ROW(r, base, offset) dlm_vec x##r = {0}, y##r = {0};
#define STEP_ROW(r, base, offset)                                                                  \
    {                                                                                              \
        const dlm_vec v = (base)[(offset)*stride + s] - (dlm_vec){0};                              \
        x##r += v * bx;                                                                            \
        y##r += v * by;                                                                            \
    }
#define STORE_ROW(r, base, offset)                                                                 \
    memcpy(out + (r)*DLM_MATMUL_TILE_COLS, &x##r, sizeof(x##r));                                   \
    memcpy(out + (r)*DLM_MATMUL_TILE_COLS + DLM_TILE_LANES, &y##r, sizeof(y##r));

/* `rows` rows by two vectors of columns. a: f32, row stride `stride`; b0, b1: [depth][16]. depth is
 * a multiple of DLM_TILE_STEPS. */
#define DEFINE_TILE(rows)                                                                          \
    static void tile_f32_##rows(const float *a, size_t stride, const float *b0, const float *b1,   \
                                size_t depth, struct dlm_tile_ahead *ahead, float *out)            \
    {                                                                                              \
        /* no pointer to a row that is not there */                                                \
        const float *a0 = a, *a1 = a + ((rows) > 3 ? 3 * stride : 0);                              \
        const float *a2 = a + ((rows) > 6 ? 6 * stride : 0);                                       \
        const float *a3 = a + ((rows) > 9 ? 9 * stride : 0);                                       \
        DLM_TILE_ROWS_##rows(DECLARE_ROW)                                                          \
        for (size_t d = 0; d < depth; d += DLM_TILE_STEPS) {                                       \
            const char *next = dlm_tile_next(ahead, b0);                                           \
            for (size_t s = 0; s < DLM_TILE_STEPS; s++) {                                          \
                const dlm_vec bx = dlm_vec_load(b0 + 16 * s), by = dlm_vec_load(b1 + 16 * s);      \
                DLM_PREFETCH(next + 64 * s);                                                       \
                DLM_TILE_ROWS_##rows(STEP_ROW)                                                     \
            }                                                                                      \
            a0 += DLM_TILE_STEPS, a1 += DLM_TILE_STEPS, a2 += DLM_TILE_STEPS;                      \
            a3 += DLM_TILE_STEPS;                                                                  \
            b0 += 16 * DLM_TILE_STEPS, b1 += 16 * DLM_TILE_STEPS;                                  \
        }                                                                                          \
        (void)a1, (void)a2, (void)a3;                                                              \
        DLM_TILE_ROWS_##rows(STORE_ROW)                                                            \
    }

DEFINE_TILE(1)
DEFINE_TILE(2)
DEFINE_TILE(3)
DEFINE_TILE(4)
DEFINE_TILE(5)
DEFINE_TILE(6)
#if DLM_TILE_ROWS == 12
DEFINE_TILE(7)
DEFINE_TILE(8)
DEFINE_TILE(9)
DEFINE_TILE(10)
DEFINE_TILE(11)
DEFINE_TILE(12)
#endif

#undef DECLARE_ROW
#undef STEP_ROW
#undef STORE_ROW
#undef DEFINE_TILE

typedef void (*dlm_tile_f32_fn)(const float *a, size_t stride, const float *b0, const float *b1,
                                size_t depth, struct dlm_tile_ahead *ahead, float *out);

static const dlm_tile_f32_fn dlm_tiles_f32[DLM_TILE_ROWS + 1] = {
    NULL,       tile_f32_1, tile_f32_2,  tile_f32_3,  tile_f32_4, tile_f32_5, tile_f32_6,
#if DLM_TILE_ROWS == 12
    tile_f32_7, tile_f32_8, tile_f32_9, tile_f32_10, tile_f32_11, tile_f32_12,
#endif
};

/* out[rows][32] = a[rows][depth] times the two panels b0 and b1. */
DLM_INLINE void dlm_tile_f32(uint32_t rows, const float *a, size_t stride, const float *b0,
                             const float *b1, size_t depth, struct dlm_tile_ahead *ahead,
                             float *out)
{
    const dlm_tile_f32_fn tile = dlm_tiles_f32[rows];
#if DLM_TILE_LANES == 16
    tile(a, stride, b0, b1, depth, ahead, out);
#else
    for (int col = 0; col < 16; col += 2 * DLM_TILE_LANES) {
        tile(a, stride, b0 + col, b0 + col + DLM_TILE_LANES, depth, ahead, out + col);
        tile(a, stride, b1 + col, b1 + col + DLM_TILE_LANES, depth, ahead, out + 16 + col);
    }
#endif
}

#endif
