/* embedding: a work item is one row of the result. The table is row-major or in panels. */
#include <string.h>

#include "cpukernels/convert.h"
#include "cpukernels/cpukernels.h"
#include "kernels/panel.h"

/* Writes the rows that do not come from the table. Returns the table's row, or -1: it is done. */
static int64_t other_row(const struct dlm_cpu_call *call, int64_t item, float *out)
{
    const struct dlm_embedding_params *p = call->params;
    const int64_t id = ((const int32_t *)call->buffers[0])[item];
    const int64_t row = id - p->first_row, slot = -1 - id;
    const float *source = NULL;

    if (id >= 0 && row >= 0 && row < p->table_rows)
        return row;
    if (id < 0 && slot < p->num_features)
        source = (const float *)call->buffers[2] + slot * p->cols;
    else if (p->has_base)
        source = (const float *)call->buffers[3] + item * p->cols;
    if (source)
        memcpy(out, source, p->cols * sizeof(*out));
    else
        memset(out, 0, p->cols * sizeof(*out));
    return -1;
}

#define EMBEDDING_KERNEL(name, X)                                                                  \
    void DLM_CPU_KERNEL(name)(const struct dlm_cpu_call *call, int64_t item)                       \
    {                                                                                              \
        const struct dlm_embedding_params *p = call->params;                                       \
        if (item >= p->rows)                                                                       \
            return;                                                                                \
        float *out = (float *)call->buffers[4] + item * p->cols;                                   \
        const int64_t row = other_row(call, item, out);                                            \
        if (row < 0)                                                                               \
            return;                                                                                \
        const DLM_T_##X *table = (const DLM_T_##X *)call->buffers[1] + row * p->cols;              \
        DLM_SIMD for (uint32_t c = 0; c < p->cols; c++)                                            \
            out[c] = DLM_LOAD_##X(table, c) * p->scale;                                            \
    }

EMBEDDING_KERNEL(embedding_f32, F32)
EMBEDDING_KERNEL(embedding_f16, F16)
EMBEDDING_KERNEL(embedding_bf16, BF16)

static void embed_panel(const struct dlm_cpu_call *call, int64_t item, enum dlm_dtype dtype)
{
    const struct dlm_embedding_params *p = call->params;
    if (item >= p->rows)
        return;
    float *out = (float *)call->buffers[4] + item * p->cols;
    const int64_t row = other_row(call, item, out);
    if (row < 0)
        return;
    dlm_panel_row_to_f32(dtype, call->buffers[1], row, p->table_rows, p->cols,
                         out);
    DLM_SIMD for (uint32_t c = 0; c < p->cols; c++)
        out[c] *= p->scale;
}

#define EMBEDDING_PANEL_KERNEL(name, dtype)                                                        \
    void DLM_CPU_KERNEL(name)(const struct dlm_cpu_call *call, int64_t item)                       \
    {                                                                                              \
        embed_panel(call, item, dtype);                                                            \
    }

EMBEDDING_PANEL_KERNEL(embedding_panel_f32, DLM_DTYPE_F32)
EMBEDDING_PANEL_KERNEL(embedding_panel_f16, DLM_DTYPE_F16)
EMBEDDING_PANEL_KERNEL(embedding_panel_bf16, DLM_DTYPE_BF16)
EMBEDDING_PANEL_KERNEL(embedding_panel_nf4, DLM_DTYPE_NF4)
EMBEDDING_PANEL_KERNEL(embedding_panel_nf4_dq, DLM_DTYPE_NF4_DQ)
EMBEDDING_PANEL_KERNEL(embedding_panel_q8_0, DLM_DTYPE_Q8_0)
EMBEDDING_PANEL_KERNEL(embedding_panel_q4_0, DLM_DTYPE_Q4_0)
EMBEDDING_PANEL_KERNEL(embedding_panel_q4_k, DLM_DTYPE_Q4_K)
EMBEDDING_PANEL_KERNEL(embedding_panel_q5_k, DLM_DTYPE_Q5_K)
EMBEDDING_PANEL_KERNEL(embedding_panel_q6_k, DLM_DTYPE_Q6_K)
