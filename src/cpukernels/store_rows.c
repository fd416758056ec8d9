/* store_rows: a work item is one row of x. */
#include "cpukernels/convert.h"
#include "cpukernels/cpukernels.h"

#define STORE_ROWS_KERNEL(name, Y)                                                                 \
    void DLM_CPU_KERNEL(name)(const struct dlm_cpu_call *call, int64_t item)                       \
    {                                                                                              \
        const struct dlm_store_rows_params *p = call->params;                                      \
        const int32_t *start = call->buffers[1];                                                   \
        const int64_t to = start[0] + item;                                                        \
        if (item >= p->rows || item >= start[1] || to < 0 || to >= p->capacity)                    \
            return;                                                                                \
        const size_t at = p->x_lead + (size_t)item * p->x_stride;                                  \
        const float *x = (const float *)call->buffers[0] + at;                                     \
        DLM_T_##Y *dst = (DLM_T_##Y *)call->buffers[2] + to * p->cols;                             \
        DLM_SIMD for (uint32_t c = 0; c < p->cols; c++)                                            \
            DLM_STORE_##Y(dst, c, x[c]);                                                           \
    }

STORE_ROWS_KERNEL(store_rows_f32, F32)
STORE_ROWS_KERNEL(store_rows_f16, F16)
STORE_ROWS_KERNEL(store_rows_bf16, BF16)
