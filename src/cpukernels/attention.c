/* attention in f32: every product passes the register tiles of matmul. */
#include "cpukernels/attention_engine.h"

#include "cpukernels/matmul_tile_f32.h"
#include "cpukernels/transpose.h"

DLM_INLINE float element(enum dlm_dtype dtype, const void *data, size_t at)
{
    if (dtype == DLM_DTYPE_F32)
        return ((const float *)data)[at];
    const uint32_t half = ((const uint16_t *)data)[at];
    return dtype == DLM_DTYPE_BF16 ? dlm_bf16_to_f32(half) : dlm_vf16_to_f32(half);
}

DLM_INLINE void widen_typed(enum dlm_dtype dtype, float *out, const void *data, size_t at,
                            uint32_t len)
{
    DLM_SIMD for (uint32_t i = 0; i < len; i++)
        out[i] = element(dtype, data, at + i);
}

/* Row i of m as f32. */
static void widen_row(float *out, const struct matrix *m, size_t i)
{
    if (m->dtype == DLM_DTYPE_BF16)
        widen_typed(DLM_DTYPE_BF16, out, m->data, i * m->stride, m->dim);
    else if (m->dtype == DLM_DTYPE_F16)
        widen_typed(DLM_DTYPE_F16, out, m->data, i * m->stride, m->dim);
    else
        memcpy(out, (const float *)m->data + i * m->stride, m->dim * sizeof(*out));
}

static void clear_after(float *row, uint32_t dim)
{
    memset(row + dim, 0, (dlm_attention_pad16(dim) - dim) * sizeof(*row));
}

static void copy_row(void *to, const float *row, uint32_t dim, float factor)
{
    float *out = to;

    DLM_SIMD for (uint32_t d = 0; d < dim; d++)
        out[d] = factor * row[d];
    clear_after(out, dim);
}

static void copy_stored(void *to, const struct matrix *m, size_t i)
{
    widen_row(to, m, i);
    clear_after(to, m->dim);
}

/* Panels for a product that sums over rows: [dim / 16][depth][16]. */
static void pack_rows(void *to, const struct matrix *m, size_t depth)
{
    float *panels = to;
    const size_t padded = dlm_attention_pad16(m->dim);
    float line[DLM_ATTENTION_MAX_DIM];

    memset(line, 0, sizeof(line));
    for (size_t i = 0; i < depth; i++) {
        if (i < m->num)
            widen_row(line, m, i);
        else
            memset(line, 0, m->dim * sizeof(*line));
        for (size_t d = 0; d < padded; d += 16)
            memcpy(panels + d * depth + i * 16, line + d, 16 * sizeof(*line));
    }
}

/* Panels for a product that sums over dim: [num / 16][depth][16], a row of m a column. */
static void pack_across(void *to, const struct matrix *m, size_t depth)
{
    float *panels = to;
    const size_t num = dlm_attention_pad16(m->num);
    float lines[16][DLM_ATTENTION_MAX_DIM];

    for (size_t i0 = 0; i0 < num; i0 += 16, panels += 16 * depth) {
        for (size_t i = 0; i < 16; i++) {
            const size_t len = i0 + i < m->num ? m->dim : 0;
            if (len)
                widen_row(lines[i], m, i0 + i);
            memset(lines[i] + len, 0, (depth - len) * sizeof(float));
        }
        for (size_t d = 0; d < depth; d += 4) {
            for (size_t i = 0; i < 16; i += 4)
                dlm_transpose4(panels + d * 16 + i, lines[i] + d, DLM_ATTENTION_MAX_DIM);
        }
    }
}

static void multiply(float *out, size_t out_stride, const void *a, size_t a_stride, uint32_t rows,
                     const void *panels, size_t depth, size_t num_panels, bool is_sum)
{
    const size_t stride = a_stride / sizeof(float);
    const float *from = a;
    struct dlm_tile_ahead ahead = {0};

    for (size_t j = 0; j < num_panels; j += 2) {
        const float *b0 = (const float *)panels + j * depth * 16;
        const float *b1 = j + 1 < num_panels ? b0 + depth * 16 : NULL;
        for (uint32_t r0 = 0; r0 < rows; r0 += DLM_TILE_ROWS) {
            const uint32_t num = DLM_MIN(rows - r0, (uint32_t)DLM_TILE_ROWS);
            dlm_tile_f32_into(num, from + r0 * stride, stride, b0, b1, depth, &ahead,
                              out + r0 * out_stride + j * 16, out_stride, is_sum);
        }
    }
}

static const struct attention_engine f32_engine = {
    .elem_bytes = sizeof(float), .depth = 16, .copy_row = copy_row, .copy_stored = copy_stored,
    .pack_rows = pack_rows, .pack_across = pack_across, .multiply = multiply,
};

/* Bindings dout, out, delta: an item is DLM_ATTENTION_QUERIES queries of a head. */
void DLM_CPU_KERNEL(attention_delta)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_attention_params *p = call->params;
    const float *dout = call->buffers[0], *out = call->buffers[1];
    float *delta = call->buffers[2];
    const int64_t blocks = (p->queries + DLM_ATTENTION_QUERIES - 1) / DLM_ATTENTION_QUERIES;
    const size_t head = (size_t)(item / blocks); /* of all batch rows */
    const uint32_t first = (uint32_t)(item % blocks) * DLM_ATTENTION_QUERIES;

    if (head >= (size_t)p->heads * p->batch)
        return;
    for (uint32_t t = first; t < DLM_MIN(first + DLM_ATTENTION_QUERIES, p->queries); t++) {
        const size_t row = head / p->heads * p->queries + t;
        const size_t at = (row * p->heads + head % p->heads) * p->dim;
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (uint32_t d = 0; d < p->dim; d++)
            sum += dout[at + d] * out[at + d];
        delta[head * p->queries + t] = sum;
    }
}

/* The kernels of one storage type of k and v. */
#define DEFINE_KERNELS(suffix, dtype)                                                              \
    void DLM_CPU_KERNEL(attention_##suffix)(const struct dlm_cpu_call *call, int64_t item)         \
    {                                                                                              \
        forward(&f32_engine, call, item, dtype);                                                   \
    }                                                                                              \
    void DLM_CPU_KERNEL(attention_dq_##suffix)(const struct dlm_cpu_call *call, int64_t item)      \
    {                                                                                              \
        backward_queries(&f32_engine, call, item, dtype);                                          \
    }                                                                                              \
    void DLM_CPU_KERNEL(attention_dkv_##suffix)(const struct dlm_cpu_call *call, int64_t item)     \
    {                                                                                              \
        backward_keys(&f32_engine, call, item, dtype);                                             \
    }

DEFINE_KERNELS(f32, DLM_DTYPE_F32)
DEFINE_KERNELS(f16, DLM_DTYPE_F16)
DEFINE_KERNELS(bf16, DLM_DTYPE_BF16)
