/* activation and its backward: one loop a kind, so that each vectorises. */
#include "cpukernels/vmath.h"

#include "cpukernels/map.h"

DLM_INLINE void forward(uint32_t kind, const float *x, float *y, size_t len)
{
    DLM_SIMD for (size_t i = 0; i < len; i++)
        y[i] = dlm_act(kind, x[i]);
}

DLM_INLINE void backward(uint32_t kind, const float *x, const float *dy, float *dx, size_t len)
{
    DLM_SIMD for (size_t i = 0; i < len; i++)
        dx[i] = dlm_act_grad(kind, x[i]) * dy[i];
}

void DLM_CPU_KERNEL(activation)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_map_params *p = call->params;
    const struct dlm_span span = dlm_map_span(item, p->total);
    const float *x = (const float *)call->buffers[0] + span.begin;
    float *y = (float *)call->buffers[1] + span.begin;

    if (p->kind == DLM_ACT_GELU_TANH)
        forward(DLM_ACT_GELU_TANH, x, y, span.len);
    else if (p->kind == DLM_ACT_GELU_ERF)
        forward(DLM_ACT_GELU_ERF, x, y, span.len);
    else
        forward(DLM_ACT_SILU, x, y, span.len);
}

void DLM_CPU_KERNEL(activation_backward)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_map_params *p = call->params;
    const struct dlm_span span = dlm_map_span(item, p->total);
    const float *x = (const float *)call->buffers[0] + span.begin;
    const float *dy = (const float *)call->buffers[1] + span.begin;
    float *dx = (float *)call->buffers[2] + span.begin;

    if (p->kind == DLM_ACT_GELU_TANH)
        backward(DLM_ACT_GELU_TANH, x, dy, dx, span.len);
    else if (p->kind == DLM_ACT_GELU_ERF)
        backward(DLM_ACT_GELU_ERF, x, dy, dx, span.len);
    else
        backward(DLM_ACT_SILU, x, dy, dx, span.len);
}
