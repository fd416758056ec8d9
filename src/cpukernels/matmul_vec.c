/* matmul_panel_vec_*: y = x W^T for a few rows of x, as in decoding. Reads W once, at the speed of
 * memory: W is widened in registers, x stays f32 (rounded first where the policy asks for it). */
#include "cpukernels/cpukernels.h"
#include "cpukernels/matmul_widen.h"

/* X(row) */
#define ROWS_1(X) X(0)
#define ROWS_2(X) ROWS_1(X) X(1)
#define ROWS_3(X) ROWS_2(X) X(2)
#define ROWS_4(X) ROWS_3(X) X(3)

/* even and odd k have sums of their own, added at the end: shorter chains of dependent FMAs */
#define DECLARE_ROW(r) dlm_vec e0##r = {0}, o0##r = {0}, e1##r = {0}, o1##r = {0};
#define STEP_ROW(r)                                                                                \
    {                                                                                              \
        const dlm_vec xe = x[(r)*stride + k] - (dlm_vec){0};                                       \
        const dlm_vec xo = x[(r)*stride + k + 1] - (dlm_vec){0};                                   \
        e0##r += xe * w0e;                                                                         \
        o0##r += xo * w0o;                                                                         \
        e1##r += xe * w1e;                                                                         \
        o1##r += xo * w1o;                                                                         \
    }
#define STORE_ROW(r)                                                                               \
    e0##r += o0##r;                                                                                \
    e1##r += o1##r;                                                                                \
    memcpy(out + (r)*DLM_MATMUL_TILE_COLS, &e0##r, sizeof(e0##r));                                 \
    memcpy(out + (r)*DLM_MATMUL_TILE_COLS + DLM_TILE_LANES, &e1##r, sizeof(e1##r));

/* Words of f32 panels: k at +0, k + 1 at +16. Words of 16-bit panels hold k and k + 1. */
#define LOAD_F32(w, even, odd)                                                                     \
    const dlm_vec even = (dlm_vec)dlm_uvec_load((w) + k * DLM_PANEL_COLS);                         \
    const dlm_vec odd = (dlm_vec)dlm_uvec_load((w) + (k + 1) * DLM_PANEL_COLS);
#define LOAD_BF16(w, even, odd)                                                                    \
    dlm_vec even, odd;                                                                             \
    dlm_widen_bf16(dlm_uvec_load((w) + k / 2 * DLM_PANEL_COLS), &even, &odd);
#define LOAD_F16(w, even, odd)                                                                     \
    dlm_vec even, odd;                                                                             \
    dlm_widen_f16(dlm_uvec_load((w) + k / 2 * DLM_PANEL_COLS), &even, &odd);

/* out[rows][2 vectors] = x[rows][depth] w; x: row stride `stride`. */
#define DEFINE_VEC(rows, type, LOAD)                                                               \
    static void vec_##type##_##rows(const float *x, size_t stride, const uint32_t *w0,             \
                                    const uint32_t *w1, size_t depth, float *out)                  \
    {                                                                                              \
        ROWS_##rows(DECLARE_ROW)                                                                   \
        for (size_t k = 0; k < depth; k += 2) {                                                    \
            LOAD(w0, w0e, w0o)                                                                     \
            LOAD(w1, w1e, w1o)                                                                     \
            ROWS_##rows(STEP_ROW)                                                                  \
        }                                                                                          \
        ROWS_##rows(STORE_ROW)                                                                     \
    }

#define DEFINE_TYPE(type, LOAD)                                                                    \
    DEFINE_VEC(1, type, LOAD)                                                                      \
    DEFINE_VEC(2, type, LOAD)                                                                      \
    DEFINE_VEC(3, type, LOAD)                                                                      \
    DEFINE_VEC(4, type, LOAD)

DEFINE_TYPE(f32, LOAD_F32)
DEFINE_TYPE(bf16, LOAD_BF16)
DEFINE_TYPE(f16, LOAD_F16)

typedef void (*vec_fn)(const float *x, size_t stride, const uint32_t *w0, const uint32_t *w1,
                       size_t depth, float *out);

/* 32 columns: two panels. */
DLM_INLINE void run_panels(vec_fn fn, const float *x, size_t depth, const uint32_t *w0,
                           const uint32_t *w1, float *out)
{
#if DLM_TILE_LANES == 16
    fn(x, depth, w0, w1, depth, out);
#else
    for (int col = 0; col < DLM_PANEL_COLS; col += 2 * DLM_TILE_LANES) {
        fn(x, depth, w0 + col, w0 + col + DLM_TILE_LANES, depth, out + col);
        fn(x, depth, w1 + col, w1 + col + DLM_TILE_LANES, depth, out + DLM_PANEL_COLS + col);
    }
#endif
}

DLM_INLINE void run_item(const struct dlm_cpu_call *call, int64_t item, const vec_fn fns[],
                         size_t w_bytes)
{
    const struct dlm_matmul_panel_params *p = call->params;
    const size_t depth = (size_t)dlm_panel_padded_k(p->k);
    const size_t panel_words = depth * DLM_PANEL_COLS * w_bytes / sizeof(uint32_t);
    const uint32_t panels = (uint32_t)(dlm_panel_padded_n(p->n) / DLM_PANEL_COLS);
    const uint32_t panel0 = (uint32_t)item * DLM_MATMUL_VEC_PANELS;
    const uint32_t panel1 = DLM_MIN(panel0 + DLM_MATMUL_VEC_PANELS, panels);
    const uint32_t *w = call->buffers[1];
    float *x = call->scratch;
    float tile[DLM_MATMUL_VEC_ROWS * DLM_MATMUL_TILE_COLS] DLM_ALIGNED(64);
    struct dlm_tile_out out = {
        .y = call->buffers[2], .y_stride = p->y_stride, .alpha = p->alpha,
    };
    uint32_t next = 3;

    if (p->flags & DLM_MATMUL_C) {
        out.c = call->buffers[next++];
        out.c_stride = p->c_stride;
    }
    if (p->flags & DLM_MATMUL_BIAS)
        out.bias = call->buffers[next];
    for (uint32_t r = 0; r < p->m; r++) {
        const float *row = (const float *)call->buffers[0] + (size_t)r * p->x_stride;
        dlm_round_row(x + r * depth, row, p->k, depth, p->round_x);
    }
    for (uint32_t panel = panel0; panel < panel1; panel += 2) {
        const uint32_t *w0 = w + panel * panel_words;
        const uint32_t *w1 = panel + 1 < panel1 ? w0 + panel_words : w0;
        const uint32_t col = panel * DLM_PANEL_COLS;
        run_panels(fns[p->m], x, depth, w0, w1, tile);
        dlm_tile_write(&out, tile, 0, p->m, col,
                       DLM_MIN(p->n - col, (uint32_t)DLM_MATMUL_TILE_COLS), true);
    }
}

void DLM_CPU_KERNEL(matmul_panel_vec_f32)(const struct dlm_cpu_call *call, int64_t item)
{
    static const vec_fn fns[] = {NULL, vec_f32_1, vec_f32_2, vec_f32_3, vec_f32_4};

    run_item(call, item, fns, 4);
}

void DLM_CPU_KERNEL(matmul_panel_vec_bf16)(const struct dlm_cpu_call *call, int64_t item)
{
    static const vec_fn fns[] = {NULL, vec_bf16_1, vec_bf16_2, vec_bf16_3, vec_bf16_4};

    run_item(call, item, fns, 2);
}

void DLM_CPU_KERNEL(matmul_panel_vec_f16)(const struct dlm_cpu_call *call, int64_t item)
{
    static const vec_fn fns[] = {NULL, vec_f16_1, vec_f16_2, vec_f16_3, vec_f16_4};

    run_item(call, item, fns, 2);
}
