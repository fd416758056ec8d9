/* gated_activation and its backward: one loop a kind, so that each vectorises. */
#include "cpukernels/vmath.h"

#include "cpukernels/map.h"

DLM_INLINE void forward(uint32_t kind, const float *gate, const float *up, float *y, size_t len)
{
    DLM_SIMD for (size_t i = 0; i < len; i++)
        y[i] = dlm_act(kind, gate[i]) * up[i];
}

/* The results and what they depend on never overlap. */
DLM_INLINE void backward(uint32_t kind, const float *gate, const float *up, const float *dy,
                         float *dgate, float *dup, size_t len)
{
    DLM_SIMD for (size_t i = 0; i < len; i++)
    {
        const float g = gate[i], d = dy[i];
        dgate[i] = d * up[i] * dlm_act_grad(kind, g);
        dup[i] = d * dlm_act(kind, g);
    }
}

void DLM_CPU_KERNEL(gated_activation)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_map_params *p = call->params;
    const struct dlm_span span = dlm_map_span(item, p->total);
    const float *gate = (const float *)call->buffers[0] + span.begin;
    const float *up = (const float *)call->buffers[1] + span.begin;
    float *y = (float *)call->buffers[2] + span.begin;

    if (p->kind == DLM_ACT_GELU_TANH)
        forward(DLM_ACT_GELU_TANH, gate, up, y, span.len);
    else if (p->kind == DLM_ACT_GELU_ERF)
        forward(DLM_ACT_GELU_ERF, gate, up, y, span.len);
    else
        forward(DLM_ACT_SILU, gate, up, y, span.len);
}

void DLM_CPU_KERNEL(gated_activation_backward)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_map_params *p = call->params;
    const struct dlm_span span = dlm_map_span(item, p->total);
    const float *gate = (const float *)call->buffers[0] + span.begin;
    const float *up = (const float *)call->buffers[1] + span.begin;
    const float *dy = (const float *)call->buffers[2] + span.begin;
    float *dgate = (float *)call->buffers[3] + span.begin;
    float *dup = (float *)call->buffers[4] + span.begin;

    if (p->kind == DLM_ACT_GELU_TANH)
        backward(DLM_ACT_GELU_TANH, gate, up, dy, dgate, dup, span.len);
    else if (p->kind == DLM_ACT_GELU_ERF)
        backward(DLM_ACT_GELU_ERF, gate, up, dy, dgate, dup, span.len);
    else
        backward(DLM_ACT_SILU, gate, up, dy, dgate, dup, span.len);
}
