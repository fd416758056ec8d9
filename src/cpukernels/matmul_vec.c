/* matmul_panel_vec_*: y = x W^T for a few rows of x, as in decoding. Reads W once, at the speed of
 * memory: W is widened in registers, x stays f32 (rounded first where the policy asks for it). */
#include "cpukernels/matmul_vec.h"

/* A function below goes through one panel, two vectors u and v of words at a time: with 16 lanes
 * two pairs of k (V_DEPTH further on), with fewer two parts of a row of the panel. Even and odd k
 * have sums of their own, added at the end: shorter chains of dependent FMAs. */
#if DLM_TILE_LANES == DLM_PANEL_COLS
#define V_DEPTH 2
#define V_LANES 0
#define STORE_ROW(r)                                                                               \
    ue##r = (ue##r + uo##r) + (ve##r + vo##r);                                                     \
    memcpy(out + (r)*DLM_MATMUL_TILE_COLS, &ue##r, sizeof(ue##r));
#else
#define V_DEPTH 0
#define V_LANES DLM_TILE_LANES
#define STORE_ROW(r)                                                                               \
    ue##r += uo##r;                                                                                \
    ve##r += vo##r;                                                                                \
    memcpy(out + (r)*DLM_MATMUL_TILE_COLS, &ue##r, sizeof(ue##r));                                 \
    memcpy(out + (r)*DLM_MATMUL_TILE_COLS + DLM_TILE_LANES, &ve##r, sizeof(ve##r));
#endif

#define DECLARE_ROW(r) dlm_vec ue##r = {0}, uo##r = {0}, ve##r = {0}, vo##r = {0};
#define SPREAD(r, at) (x[(r)*stride + (at)] - (dlm_vec){0})
#define STEP_ROW(r)                                                                                \
    ue##r += SPREAD(r, k) * u_even;                                                                \
    uo##r += SPREAD(r, k + 1) * u_odd;                                                             \
    ve##r += SPREAD(r, k + V_DEPTH) * v_even;                                                      \
    vo##r += SPREAD(r, k + V_DEPTH + 1) * v_odd;

/* Widens the words of (at, at + 1). In 16-bit panels they share words, f32 has them 16 apart. */
#define LOAD_F32(w, at, even, odd)                                                                 \
    const dlm_vec even = (dlm_vec)dlm_uvec_load((w) + (at)*DLM_PANEL_COLS);                        \
    const dlm_vec odd = (dlm_vec)dlm_uvec_load((w) + ((at) + 1) * DLM_PANEL_COLS);
#define LOAD_BF16(w, at, even, odd)                                                                \
    dlm_vec even, odd;                                                                             \
    dlm_widen_bf16(dlm_uvec_load((w) + (at) / 2 * DLM_PANEL_COLS), &even, &odd);
#define LOAD_F16(w, at, even, odd)                                                                 \
    dlm_vec even, odd;                                                                             \
    dlm_widen_f16(dlm_uvec_load((w) + (at) / 2 * DLM_PANEL_COLS), &even, &odd);

/* How far ahead memory is asked for. On Zen 5, one core, bf16: 0.85-0.9 of a plain read instead of
 * 0.6-0.75 without; 2 KiB and 8 KiB are worse. */
#define AHEAD_WORDS 1024

/* out[rows][columns] = x[rows][depth] w for the vectors of columns that start at w; x: row stride
 * `stride`; words: of the panel for each k. */
#define DEFINE_VEC(rows, type, words, LOAD)                                                        \
    static void vec_##type##_##rows(const float *x, size_t stride, const uint32_t *w,              \
                                    size_t depth, float *out)                                      \
    {                                                                                              \
        DLM_VEC_ROWS_##rows(DECLARE_ROW)                                                           \
        for (size_t k = 0; k < depth; k += 2 + V_DEPTH) {                                          \
            LOAD(w, k, u_even, u_odd)                                                              \
            LOAD(w + V_LANES, k + V_DEPTH, v_even, v_odd)                                          \
            DLM_PREFETCH_L1(w + k * (words) + AHEAD_WORDS);                                        \
            DLM_PREFETCH_L1(w + (k + V_DEPTH) * (words) + AHEAD_WORDS);                            \
            DLM_VEC_ROWS_##rows(STEP_ROW)                                                          \
        }                                                                                          \
        DLM_VEC_ROWS_##rows(STORE_ROW)                                                             \
    }

#define DEFINE_TYPE(type, words, LOAD)                                                             \
    DEFINE_VEC(1, type, words, LOAD)                                                               \
    DEFINE_VEC(2, type, words, LOAD)                                                               \
    DEFINE_VEC(3, type, words, LOAD)                                                               \
    DEFINE_VEC(4, type, words, LOAD)

DEFINE_TYPE(f32, 16, LOAD_F32)
DEFINE_TYPE(bf16, 8, LOAD_BF16)
DEFINE_TYPE(f16, 8, LOAD_F16)

typedef void (*vec_fn)(const float *x, size_t stride, const uint32_t *w, size_t depth, float *out);

DLM_INLINE void run_item(const struct dlm_cpu_call *call, int64_t item, const vec_fn fns[],
                         size_t w_bytes)
{
    struct dlm_vec_item v;

    dlm_vec_start(&v, call, item);
    const size_t panel_words = v.stride * DLM_PANEL_COLS * w_bytes / sizeof(uint32_t);
    for (uint32_t panel = v.panel0; panel < v.panel1; panel++) {
        const uint32_t *w = (const uint32_t *)call->buffers[1] + panel * panel_words;
        for (int i = 0; i < DLM_PANEL_COLS; i += DLM_TILE_LANES + V_LANES)
            fns[v.p->m](v.x, v.stride, w + i, v.stride, v.tile + i);
        dlm_vec_write(&v, panel);
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
