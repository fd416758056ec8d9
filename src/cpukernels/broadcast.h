/* The skeleton of the broadcasting CPU kernels: a work item is DLM_GROUP_ELEMS elements of out,
 * walked in runs along the last dimension. */
#ifndef DLM_CPUKERNELS_BROADCAST_H
#define DLM_CPUKERNELS_BROADCAST_H

#include "cpukernels/cpukernels.h"

/* Defines the kernel `name`, out = expression in x and y. */
#define DLM_BROADCAST_KERNEL(name, expression)                                                     \
    static void name##_run(const float *xs, uint32_t xd, const float *ys, uint32_t yd,             \
                           float *out, uint32_t od, uint32_t len)                                  \
    {                                                                                              \
        if (xd == 1 && yd == 1 && od == 1) {                                                       \
            DLM_SIMD for (uint32_t i = 0; i < len; i++)                                            \
            {                                                                                      \
                const float x = xs[i], y = ys[i];                                                  \
                out[i] = expression;                                                               \
            }                                                                                      \
            return;                                                                                \
        }                                                                                          \
        for (uint32_t i = 0; i < len; i++) {                                                       \
            const float x = xs[(size_t)i * xd], y = ys[(size_t)i * yd];                            \
            out[(size_t)i * od] = expression;                                                      \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    void DLM_CPU_KERNEL(name)(const struct dlm_cpu_call *call, int64_t item)                       \
    {                                                                                              \
        const struct dlm_broadcast_params *p = call->params;                                       \
        const float *xs = (const float *)call->buffers[0] + p->x_lead;                             \
        const float *ys = (const float *)call->buffers[1] + p->y_lead;                             \
        float *out = (float *)call->buffers[2] + p->out_lead;                                      \
        uint64_t at = (uint64_t)item * DLM_GROUP_ELEMS;                                            \
        const uint64_t end = DLM_MIN(at + DLM_GROUP_ELEMS, (uint64_t)p->total);                    \
                                                                                                   \
        while (at < end) {                                                                         \
            size_t ox = 0, oy = 0, oo = 0;                                                         \
            uint64_t rest = at;                                                                    \
            for (int d = 3; d >= 0; d--) {                                                         \
                size_t i = rest % p->shape[d];                                                     \
                rest /= p->shape[d];                                                               \
                ox += i * p->x_stride[d];                                                          \
                oy += i * p->y_stride[d];                                                          \
                oo += i * p->out_stride[d];                                                        \
            }                                                                                      \
            uint64_t run = DLM_MIN(p->shape[3] - at % p->shape[3], end - at);                      \
            name##_run(xs + ox, p->x_stride[3], ys + oy, p->y_stride[3], out + oo,                 \
                       p->out_stride[3], (uint32_t)run);                                           \
            at += run;                                                                             \
        }                                                                                          \
    }

#endif
