/* matmul_panel_vec_* for weights of 4 and 8 bits: as matmul_vec.c, a block's sum is multiplied by
 * its scale when it is complete. */
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

/* Two of the eight pairs of k that 32 words of NF4 hold. */
#define NF4_PAIRS(rows, pair)                                                                      \
    {                                                                                              \
        const dlm_vec u_even = dlm_nf4_values(&table, codes, (pair));                              \
        const dlm_vec v_even = dlm_nf4_values(&table, codes + 4 * DLM_TILE_LANES, (pair));         \
        const dlm_vec u_odd = dlm_nf4_values(&table, codes, (pair) + 1);                           \
        const dlm_vec v_odd = dlm_nf4_values(&table, codes + 4 * DLM_TILE_LANES, (pair) + 1);      \
        DLM_VEC_ROWS_##rows(STEP_EVEN)                                                             \
        DLM_VEC_ROWS_##rows(STEP_ODD)                                                              \
        x += 4;                                                                                    \
    }

/* How far ahead codes are asked for, in bytes; of the scales, those of the next panel are. On two
 * cores of Zen 5, which read 85 GB/s: nf4 53, 69, 73 with 4, 8, 16 KiB, q8_0 58, 67, 59. */
#define NF4_AHEAD 12288
#define Q8_0_AHEAD 8192

/* Of a panel: codes and scales [blocks][16], at the first column that is wanted. */
struct source {
    const char *codes;
    const float *scales;
    const char *next_scales;
    size_t scales_step, scales_bytes; /* for each block, and all */
    size_t blocks, near_blocks;       /* of a row; those with what is asked for in the same panel */
    size_t ahead;
};

/* out[rows][columns] = x[rows][blocks of 64] w for as many columns as a vector has lanes. */
#define DEFINE_NF4(rows)                                                                           \
    static void vec_nf4_##rows(const float *x, size_t stride, const struct source *s, float *out)  \
    {                                                                                              \
        const char *codes = s->codes;                                                              \
        const struct dlm_nf4_lookup table = dlm_nf4_lookup_load();                                 \
        DLM_VEC_ROWS_##rows(DECLARE_ROW)                                                           \
        for (size_t b = 0; b < s->blocks; b++) {                                                   \
            const dlm_vec scale = dlm_vec_load(s->scales + b * DLM_PANEL_COLS);                    \
            const size_t ahead = s->ahead + (b < s->near_blocks ? 0 : s->scales_bytes);            \
            DLM_PREFETCH_L1(s->next_scales + b * s->scales_step);                                  \
            DLM_VEC_ROWS_##rows(DECLARE_BLOCK)                                                     \
            for (int group = 0; group < 4; group++, codes += 128) {                                \
                DLM_PREFETCH_L1(codes + ahead);                                                    \
                DLM_PREFETCH_L1(codes + ahead + 64);                                               \
                NF4_PAIRS(rows, 0)                                                                 \
                NF4_PAIRS(rows, 2)                                                                 \
                NF4_PAIRS(rows, 4)                                                                 \
                NF4_PAIRS(rows, 6)                                                                 \
            }                                                                                      \
            DLM_VEC_ROWS_##rows(ADD_BLOCK)                                                         \
        }                                                                                          \
        DLM_VEC_ROWS_##rows(STORE_ROW)                                                             \
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

DEFINE_NF4(1)
DEFINE_NF4(2)
DEFINE_NF4(3)
DEFINE_NF4(4)
DEFINE_Q8_0(1)
DEFINE_Q8_0(2)
DEFINE_Q8_0(3)
DEFINE_Q8_0(4)

typedef void (*vec_fn)(const float *x, size_t stride, const struct source *s, float *out);

DLM_INLINE void run_item(const struct dlm_cpu_call *call, int64_t item, enum dlm_dtype dtype,
                         const vec_fn fns[])
{
    const struct dlm_matmul_panel_params *p = call->params;
    const struct dlm_quant_panels q = dlm_quant_panels(dtype, call->buffers[1], p->n, p->k);
    const int col_bytes = dtype == DLM_DTYPE_Q8_0 ? 2 : 8; /* of both k: two bytes or words */
    const size_t ahead = dtype == DLM_DTYPE_Q8_0 ? Q8_0_AHEAD : NF4_AHEAD;
    struct dlm_vec_item v;

    dlm_vec_start(&v, call, item);
    float *room = v.x + v.stride * DLM_MATMUL_VEC_ROWS;
    for (uint32_t panel = v.panel0; panel < v.panel1; panel++) {
        const float *scales = dlm_quant_scales(&q, panel, 0, q.blocks, room);
        const char *codes = q.w + panel * q.panel_bytes;
        for (int i = 0; i < DLM_PANEL_COLS; i += DLM_TILE_LANES) {
            const struct source s = {
                .codes = codes + col_bytes * i,
                .scales = scales + i,
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

static const vec_fn nf4_fns[] = {NULL, vec_nf4_1, vec_nf4_2, vec_nf4_3, vec_nf4_4};

void DLM_CPU_KERNEL(matmul_panel_vec_nf4)(const struct dlm_cpu_call *call, int64_t item)
{
    run_item(call, item, DLM_DTYPE_NF4, nf4_fns);
}

void DLM_CPU_KERNEL(matmul_panel_vec_nf4_dq)(const struct dlm_cpu_call *call, int64_t item)
{
    run_item(call, item, DLM_DTYPE_NF4_DQ, nf4_fns);
}

void DLM_CPU_KERNEL(matmul_panel_vec_q8_0)(const struct dlm_cpu_call *call, int64_t item)
{
    static const vec_fn fns[] = {NULL, vec_q8_0_1, vec_q8_0_2, vec_q8_0_3, vec_q8_0_4};

    run_item(call, item, DLM_DTYPE_Q8_0, fns);
}
