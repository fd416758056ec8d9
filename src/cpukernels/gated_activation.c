/* gated_activation and its backward: one loop a kind, so that each vectorises. */
#include "cpukernels/vmath.h"

#include "cpukernels/convert.h"
#include "cpukernels/map.h"

/* Some of a row. */
struct piece {
    size_t row, begin, len;
};

static inline struct piece find_piece(const struct dlm_gated_params *p, int64_t item)
{
    const size_t pieces = DLM_ROW_PIECES(p->cols);
    const size_t row = (size_t)item / pieces;
    const struct dlm_span span = dlm_map_span(item % (int64_t)pieces, p->cols);

    return (struct piece){row, span.begin, row < p->rows ? span.len : 0};
}

DLM_INLINE void forward(uint32_t kind, const float *gate, const float *up, float *y, size_t len)
{
    DLM_SIMD for (size_t i = 0; i < len; i++)
        y[i] = dlm_act(kind, gate[i]) * up[i];
}

void DLM_CPU_KERNEL(gated_activation)(const struct dlm_cpu_call *call, int64_t item)
{
    const struct dlm_gated_params *p = call->params;
    const struct piece at = find_piece(p, item);
    const float *gate =
        (const float *)call->buffers[0] + p->gate_lead + at.row * p->gate_stride + at.begin;
    const float *up =
        (const float *)call->buffers[1] + p->up_lead + at.row * p->up_stride + at.begin;
    float *y = (float *)call->buffers[2] + at.row * p->cols + at.begin;

#define FORWARD(kind) forward(kind, gate, up, y, at.len)
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
        const struct dlm_gated_params *p = call->params;                                           \
        const struct piece at = find_piece(p, item);                                               \
        const DLM_T_##X *gate = (const DLM_T_##X *)call->buffers[0] + p->gate_lead +               \
                                at.row * p->gate_stride + at.begin;                                \
        const DLM_T_##X *up = (const DLM_T_##X *)call->buffers[1] + p->up_lead +                   \
                              at.row * p->up_stride + at.begin;                                    \
        const float *dy = (const float *)call->buffers[2] + at.row * p->cols + at.begin;           \
        float *dgate =                                                                             \
            (float *)call->buffers[3] + p->dgate_lead + at.row * p->dgate_stride + at.begin;       \
        float *dup =                                                                               \
            (float *)call->buffers[4] + p->dup_lead + at.row * p->dup_stride + at.begin;           \
                                                                                                   \
        DLM_EACH_ACT(p->kind, RUN_##X);                                                            \
    }

#define RUN_F32(kind) backward_F32(kind, gate, up, dy, dgate, dup, at.len)
#define RUN_F16(kind) backward_F16(kind, gate, up, dy, dgate, dup, at.len)
#define RUN_BF16(kind) backward_BF16(kind, gate, up, dy, dgate, dup, at.len)

BACKWARD_KERNEL(gated_activation_backward_f32, F32)
BACKWARD_KERNEL(gated_activation_backward_f16, F16)
BACKWARD_KERNEL(gated_activation_backward_bf16, BF16)
