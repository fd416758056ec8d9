/* gated_activation and its backward: one loop a kind, so that each vectorises. */
#include "cpukernels/vmath.h"

#include "cpukernels/convert.h"
#include "cpukernels/map.h"

DLM_INLINE void forward(uint32_t kind, const float *gate, const float *up, float *y, size_t len)
{
    DLM_SIMD for (size_t i = 0; i < len; i++)
        y[i] = dlm_act(kind, gate[i]) * up[i];
}

void DLM_CPU_KERNEL(gated_activation)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_map_params *p = call->params;
    const struct dlm_span span = dlm_map_span(item, p->total);
    const float *gate = (const float *)call->buffers[0] + span.begin;
    const float *up = (const float *)call->buffers[1] + span.begin;
    float *y = (float *)call->buffers[2] + span.begin;

#define FORWARD(kind) forward(kind, gate, up, y, span.len)
    DLM_EACH_ACT(p->kind, FORWARD);
#undef FORWARD
}

/* The results and what they depend on never overlap. */
#define BACKWARD(X)                                                                                \
    DLM_INLINE void backward_##X(uint32_t kind, const DLM_T_##X *gate, const DLM_T_##X *up,        \
                                 const float *dy, float *dgate, float *dup, size_t len)            \
    {                                                                                              \
        DLM_SIMD for (size_t i = 0; i < len; i++)                                                  \
        {                                                                                          \
            const float g = DLM_LOAD_##X(gate, i), d = dy[i];                                      \
            dgate[i] = d * DLM_LOAD_##X(up, i) * dlm_act_grad(kind, g);                            \
            dup[i] = d * dlm_act(kind, g);                                                         \
        }                                                                                          \
    }

#define BACKWARD_KERNEL(name, X)                                                                   \
    BACKWARD(X)                                                                                    \
    void DLM_CPU_KERNEL(name)(const struct dlm_cpu_call *call, int64_t item)                       \
    {                                                                                              \
        const struct dlm_map_params *p = call->params;                                             \
        const struct dlm_span span = dlm_map_span(item, p->total);                                 \
        const DLM_T_##X *gate = (const DLM_T_##X *)call->buffers[0] + span.begin;                  \
        const DLM_T_##X *up = (const DLM_T_##X *)call->buffers[1] + span.begin;                    \
        const float *dy = (const float *)call->buffers[2] + span.begin;                            \
        float *dgate = (float *)call->buffers[3] + span.begin;                                     \
        float *dup = (float *)call->buffers[4] + span.begin;                                       \
                                                                                                   \
        DLM_EACH_ACT(p->kind, RUN_##X);                                                            \
    }

#define RUN_F32(kind) backward_F32(kind, gate, up, dy, dgate, dup, span.len)
#define RUN_F16(kind) backward_F16(kind, gate, up, dy, dgate, dup, span.len)
#define RUN_BF16(kind) backward_BF16(kind, gate, up, dy, dgate, dup, span.len)

BACKWARD_KERNEL(gated_activation_backward_f32, F32)
BACKWARD_KERNEL(gated_activation_backward_f16, F16)
BACKWARD_KERNEL(gated_activation_backward_bf16, BF16)
