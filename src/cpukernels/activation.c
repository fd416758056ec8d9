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

#define FORWARD(kind) forward(kind, x, y, span.len)
    DLM_EACH_ACT(p->kind, FORWARD);
#undef FORWARD
}

void DLM_CPU_KERNEL(activation_backward)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_map_params *p = call->params;
    const struct dlm_span span = dlm_map_span(item, p->total);
    const float *x = (const float *)call->buffers[0] + span.begin;
    const float *dy = (const float *)call->buffers[1] + span.begin;
    float *dx = (float *)call->buffers[2] + span.begin;

#define BACKWARD(kind) backward(kind, x, dy, dx, span.len)
    DLM_EACH_ACT(p->kind, BACKWARD);
#undef BACKWARD
}
