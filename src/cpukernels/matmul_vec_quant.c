/* matmul_panel_vec_* for weights of 4 to 8 bits: as matmul_vec.c, a block's sum is multiplied by
 * its scale when it is complete, and its minimum by the sum of x. */
#include "cpukernels/matmul_vec.h"
#include "cpukernels/quant_widen.h"

/* Even and odd pairs of k have sums of their own: shorter chains of dependent FMAs. */
#define DECLARE_ROW(r) dlm_vec u##r = {0}, v##r = {0};
#define DECLARE_BLOCK(r) dlm_vec ue##r = {0}, uo##r = {0}, ve##r = {0}, vo##r = {0};
#define STEP_EVEN(r)                                                                               \
    ue##r += dlm_vec_pair(x + (r)*stride) * u_even;                                                \
    ve##r += dlm_vec_pair(x + (r)*stride) * v_even;
#define STEP_ODD(r)                                                                                \
    uo##r += dlm_vec_pair(x + (r)*stride + 2) * u_odd;                                             \
    vo##r += dlm_vec_pair(x + (r)*stride + 2) * v_odd;
#define ADD_BLOCK(r)                                                                               \
    u##r += (ue##r + uo##r) * DLM_SHUFFLE(scale, scale, DLM_LOW_TWICE);                            \
    v##r += (ve##r + vo##r) * DLM_SHUFFLE(scale, scale, DLM_HIGH_TWICE);
#define STORE_ROW(r)                                                                               \
    u##r = DLM_SHUFFLE(u##r, v##r, DLM_EVEN_LANES) + DLM_SHUFFLE(u##r, v##r, DLM_ODD_LANES);       \
    memcpy(out + (r)*DLM_MATMUL_TILE_COLS, &u##r, sizeof(u##r));

/* What minima take off: times the sums of x, in columns as they are. */
#define DECLARE_MIN(r) dlm_vec off##r = {0};
#define ADD_MIN(r) off##r += sums[(r)*s->sum_stride] * min;
#define STORE_LESS_MIN(r)                                                                          \
    u##r = DLM_SHUFFLE(u##r, v##r, DLM_EVEN_LANES) + DLM_SHUFFLE(u##r, v##r, DLM_ODD_LANES);       \
    u##r -= off##r;                                                                                \
    memcpy(out + (r)*DLM_MATMUL_TILE_COLS, &u##r, sizeof(u##r));

/* How far ahead codes are asked for, in bytes; of the scales, those of the next panel are. On two
 * cores of Zen 5, which read 85 GB/s: nf4 53, 69, 73 with 4, 8, 16 KiB, q8_0 58, 67, 59. */
#define U4_AHEAD 12288
#define Q8_0_AHEAD 8192

/* Of a panel: codes, scales and minima [blocks][16], at the first column that is wanted. */
struct source {
    const char *codes;
    const float *scales, *mins;
    const float *sums; /* of x: [rows][blocks] */
    size_t sum_stride;
    const char *next_scales;
    size_t scales_step, scales_bytes; /* for each block, and all */
    size_t blocks, near_blocks;       /* of a row; those with what is asked for in the same panel */
    size_t ahead;
};

/* Two of the eight pairs of k that 32 words of codes hold. */
#define U4_PAIRS(DTYPE, rows, pair)                                                                \
    {                                                                                              \
        const dlm_vec u_even = dlm_code_values(DTYPE, &table, &u_codes, (pair));                   \
        const dlm_vec v_even = dlm_code_values(DTYPE, &table, &v_codes, (pair));                   \
        const dlm_vec u_odd = dlm_code_values(DTYPE, &table, &u_codes, (pair) + 1);                \
        const dlm_vec v_odd = dlm_code_values(DTYPE, &table, &v_codes, (pair) + 1);                \
        DLM_VEC_ROWS_##rows(STEP_EVEN)                                                             \
        DLM_VEC_ROWS_##rows(STEP_ODD)                                                              \
        x += 4;                                                                                    \
    }

/* out[rows][columns] = x[rows][blocks] w for as many columns as a vector has lanes, of codes of 4
 * bits, and where high_words is not 0 high bits for so many runs of 16 k. A block is `runs` of
 * them. */
#define DEFINE_U4(name, DTYPE, runs, high_words, has_min, rows)                                    \
    static void name##_##rows(const float *x, size_t stride, const struct source *s, float *out)   \
    {                                                                                              \
        const struct dlm_code_lookup table = dlm_code_lookup_load(DTYPE);                          \
        const float *sums = s->sums;                                                               \
        const char *codes = s->codes;                                                              \
        dlm_uvec u_high = {0}, v_high = {0};                                                       \
        int words = 0; /* runs for which the high bits are there */                                \
        DLM_VEC_ROWS_##rows(DECLARE_ROW)                                                           \
        DLM_VEC_ROWS_##rows(DECLARE_MIN)                                                           \
        for (size_t b = 0; b < s->blocks; b++) {                                                   \
            const dlm_vec scale = dlm_vec_load(s->scales + b * DLM_PANEL_COLS);                    \
            const size_t ahead = s->ahead + (b < s->near_blocks ? 0 : s->scales_bytes);            \
            DLM_PREFETCH_L1(s->next_scales + b * s->scales_step);                                  \
            DLM_VEC_ROWS_##rows(DECLARE_BLOCK)                                                     \
            if ((high_words) && !words) {                                                          \
                const uint32_t *high = (const void *)(codes + 128 * (high_words));                 \
                DLM_PREFETCH_L1((const char *)high + ahead);                                       \
                DLM_PREFETCH_L1((const char *)high + ahead + 64);                                  \
                u_high = dlm_uvec_load(high);                                                      \
                v_high = dlm_uvec_load(high + DLM_TILE_LANES);                                     \
                words = (high_words);                                                              \
            }                                                                                      \
            for (int run = 0; run < (runs); run++, codes += 128) {                                 \
                const struct dlm_codes u_codes = dlm_codes_load(DTYPE, codes, u_high);             \
                const struct dlm_codes v_codes =                                                   \
                    dlm_codes_load(DTYPE, codes + 4 * DLM_TILE_LANES, v_high);                     \
                DLM_PREFETCH_L1(codes + ahead);                                                    \
                DLM_PREFETCH_L1(codes + ahead + 64);                                               \
                U4_PAIRS(DTYPE, rows, 0)                                                           \
                U4_PAIRS(DTYPE, rows, 2)                                                           \
                U4_PAIRS(DTYPE, rows, 4)                                                           \
                U4_PAIRS(DTYPE, rows, 6)                                                           \
                u_high >>= dlm_high_step(DTYPE);                                                   \
                v_high >>= dlm_high_step(DTYPE);                                                   \
            }                                                                                      \
            if ((high_words) && !(words -= (runs)))                                                \
                codes += 128;                                                                      \
            DLM_VEC_ROWS_##rows(ADD_BLOCK)                                                         \
            if (has_min) {                                                                         \
                const dlm_vec min = dlm_vec_load(s->mins + b * DLM_PANEL_COLS);                    \
                DLM_VEC_ROWS_##rows(ADD_MIN)                                                       \
                sums++;                                                                            \
            }                                                                                      \
        }                                                                                          \
        DLM_VEC_ROWS_##rows(STORE_LESS_MIN)                                                        \
    }

/* The same for blocks of 32 signed bytes. */
#define DEFINE_Q8_0(rows)                                                                          \
    static void vec_q8_0_##rows(const float *x, size_t stride, const struct source *s, float *out) \
    {                                                                                              \
        const int8_t *q = (const int8_t *)s->codes;                                                \
        DLM_VEC_ROWS_##rows(DECLARE_ROW)                                                           \
        for (size_t b = 0; b < s->blocks; b++) {                                                   \
            const dlm_vec scale = dlm_vec_load(s->scales + b * DLM_PANEL_COLS);                    \
            const size_t ahead = s->ahead + (b < s->near_blocks ? 0 : s->scales_bytes);            \
            DLM_PREFETCH_L1(s->next_scales + b * s->scales_step);                                  \
            DLM_VEC_ROWS_##rows(DECLARE_BLOCK)                                                     \
            for (int pair = 0; pair < 16; pair += 2, q += 64, x += 4) {                            \
                const dlm_vec u_even = dlm_bytes_values(q);                                        \
                const dlm_vec v_even = dlm_bytes_values(q + DLM_TILE_LANES);                       \
                const dlm_vec u_odd = dlm_bytes_values(q + 32);                                    \
                const dlm_vec v_odd = dlm_bytes_values(q + 32 + DLM_TILE_LANES);                   \
                DLM_PREFETCH_L1(q + ahead);                                                        \
                DLM_VEC_ROWS_##rows(STEP_EVEN)                                                     \
                DLM_VEC_ROWS_##rows(STEP_ODD)                                                      \
            }                                                                                      \
            DLM_VEC_ROWS_##rows(ADD_BLOCK)                                                         \
        }                                                                                          \
        DLM_VEC_ROWS_##rows(STORE_ROW)                                                             \
    }

typedef void (*vec_fn)(const float *x, size_t stride, const struct source *s, float *out);

#define DEFINE_U4_ROWS(name, DTYPE, runs, high_words, has_min)                                     \
    DEFINE_U4(name, DTYPE, runs, high_words, has_min, 1)                                           \
    DEFINE_U4(name, DTYPE, runs, high_words, has_min, 2)                                           \
    DEFINE_U4(name, DTYPE, runs, high_words, has_min, 3)                                           \
    DEFINE_U4(name, DTYPE, runs, high_words, has_min, 4)                                           \
    static const vec_fn name[] = {NULL, name##_1, name##_2, name##_3, name##_4};

DEFINE_U4_ROWS(vec_nf4, DLM_DTYPE_NF4, 4, 0, false)
DEFINE_U4_ROWS(vec_q4_0, DLM_DTYPE_Q4_0, 2, 0, false)
DEFINE_U4_ROWS(vec_q4_k, DLM_DTYPE_Q4_K, 2, 0, true)
DEFINE_U4_ROWS(vec_q5_k, DLM_DTYPE_Q5_K, 2, 4, true)
DEFINE_U4_ROWS(vec_q6_k, DLM_DTYPE_Q6_K, 1, 2, false)
DEFINE_Q8_0(1)
DEFINE_Q8_0(2)
DEFINE_Q8_0(3)
DEFINE_Q8_0(4)
static const vec_fn vec_q8_0[] = {NULL, vec_q8_0_1, vec_q8_0_2, vec_q8_0_3, vec_q8_0_4};

/* [len / 32]: of each block of 32. */
static void sum_blocks(const float *x, size_t len, float *sums)
{
    for (size_t b = 0; b < len / 32; b++, x += 32) {
        float part[8];
        for (int i = 0; i < 8; i++)
            part[i] = (x[i] + x[i + 8]) + (x[i + 16] + x[i + 24]);
        sums[b] = ((part[0] + part[4]) + (part[1] + part[5])) +
                  ((part[2] + part[6]) + (part[3] + part[7]));
    }
}

DLM_INLINE void run_item(const struct dlm_cpu_call *call, int64_t item, enum dlm_dtype dtype,
                         const vec_fn fns[])
{
    const struct dlm_matmul_panel_params *p = call->params;
    const struct dlm_quant_panels q = dlm_quant_panels(dtype, call->buffers[1], p->n, p->k);
    const int col_bytes = dtype == DLM_DTYPE_Q8_0 ? 2 : 8; /* of both k: two bytes or words */
    const size_t ahead = dtype == DLM_DTYPE_Q8_0 ? Q8_0_AHEAD : U4_AHEAD;
    struct dlm_vec_item v;

    dlm_vec_start(&v, call, item);
    float *room = v.x + v.stride * DLM_MATMUL_VEC_ROWS;
    float *sums = room + dlm_matmul_vec_room(p);
    for (uint32_t r = 0; q.info->min_bytes && call->is_first && r < p->m; r++)
        sum_blocks(v.x + r * v.stride, v.stride, sums + r * (v.stride / 32));
    for (uint32_t panel = v.panel0; panel < v.panel1; panel++) {
        const struct dlm_quant_scales scales = dlm_quant_scales(&q, panel, 0, q.blocks, room);
        const char *codes = q.w + panel * q.panel_bytes;
        for (int i = 0; i < DLM_PANEL_COLS; i += DLM_TILE_LANES) {
            const struct source s = {
                .codes = codes + col_bytes * i,
                .scales = scales.scales + i,
                .mins = scales.mins ? scales.mins + i : NULL,
                .sums = sums,
                .sum_stride = v.stride / 32,
                .next_scales = codes + q.panel_bytes + q.code_bytes,
                .scales_step = (q.panel_bytes - q.code_bytes) / q.blocks,
                .blocks = q.blocks,
                .near_blocks = q.blocks - DLM_MIN(ahead * q.blocks / q.code_bytes, q.blocks),
                .ahead = ahead,
                .scales_bytes = q.panel_bytes - q.code_bytes,
            };
            fns[p->m](v.x, v.stride, &s, v.tile + i);
        }
        dlm_vec_write(&v, panel);
    }
}

#define VEC_KERNEL(name, dtype, fns)                                                               \
    void DLM_CPU_KERNEL(name)(const struct dlm_cpu_call *call, int64_t item)                       \
    {                                                                                              \
        run_item(call, item, dtype, fns);                                                          \
    }

VEC_KERNEL(matmul_panel_vec_q8_0, DLM_DTYPE_Q8_0, vec_q8_0)
VEC_KERNEL(matmul_panel_vec_nf4, DLM_DTYPE_NF4, vec_nf4)
VEC_KERNEL(matmul_panel_vec_nf4_dq, DLM_DTYPE_NF4_DQ, vec_nf4)
VEC_KERNEL(matmul_panel_vec_q4_0, DLM_DTYPE_Q4_0, vec_q4_0)
VEC_KERNEL(matmul_panel_vec_q4_k, DLM_DTYPE_Q4_K, vec_q4_k)
VEC_KERNEL(matmul_panel_vec_q5_k, DLM_DTYPE_Q5_K, vec_q5_k)
VEC_KERNEL(matmul_panel_vec_q6_k, DLM_DTYPE_Q6_K, vec_q6_k)
