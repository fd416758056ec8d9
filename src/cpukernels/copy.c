/* copy, for each pair of f32, f16 and bf16: a work item is DLM_GROUP_ELEMS elements of out, walked
 * in runs along the last dimension. */
#include "cpukernels/convert.h"
#include "cpukernels/map.h"

/* Elements before a run that starts at element `at`. */
static size_t offset_of(size_t at, const uint32_t shape[4], const uint32_t stride[4])
{
    size_t offset = 0;

    for (int d = 3; d >= 0; d--) {
        offset += at % shape[d] * stride[d];
        at /= shape[d];
    }
    return offset;
}

#define COPY_KERNEL(name, X, Y)                                                                    \
    void DLM_CPU_KERNEL(name)(const struct dlm_cpu_call *call, int64_t item)                       \
    {                                                                                              \
        const struct dlm_copy_params *p = call->params;                                            \
        const struct dlm_span span = dlm_map_span(item, p->total);                                 \
        const size_t end = span.begin + span.len, dx = p->x_stride[3], dy = p->out_stride[3];      \
        size_t run;                                                                                \
                                                                                                   \
        for (size_t at = span.begin; at < end; at += run) {                                        \
            const DLM_T_##X *x = (const DLM_T_##X *)call->buffers[0] + p->x_lead +                 \
                                 offset_of(at, p->shape, p->x_stride);                             \
            DLM_T_##Y *y = (DLM_T_##Y *)call->buffers[1] + p->out_lead +                           \
                           offset_of(at, p->shape, p->out_stride);                                 \
            run = DLM_MIN(p->shape[3] - at % p->shape[3], end - at);                               \
            if (dx == 1 && dy == 1) {                                                              \
                DLM_SIMD for (size_t i = 0; i < run; i++)                                          \
                    DLM_STORE_##Y(y, i, DLM_LOAD_##X(x, i));                                       \
            } else {                                                                               \
                for (size_t i = 0; i < run; i++)                                                   \
                    DLM_STORE_##Y(y, i * dy, DLM_LOAD_##X(x, i * dx));                             \
            }                                                                                      \
        }                                                                                          \
    }

COPY_KERNEL(copy_f32_f32, F32, F32)
COPY_KERNEL(copy_f32_f16, F32, F16)
COPY_KERNEL(copy_f32_bf16, F32, BF16)
COPY_KERNEL(copy_f16_f32, F16, F32)
COPY_KERNEL(copy_f16_f16, F16, F16)
COPY_KERNEL(copy_f16_bf16, F16, BF16)
COPY_KERNEL(copy_bf16_f32, BF16, F32)
COPY_KERNEL(copy_bf16_f16, BF16, F16)
COPY_KERNEL(copy_bf16_bf16, BF16, BF16)
