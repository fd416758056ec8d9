/* gated_activation and its backward, for gate and up of each type; a work-group does up to 4096
 * elements of a row, DLM_WIDTH at a time where all rows lie so. */
//! gated_activation gated_activation
//! gated_activation_backward_f32 gated_activation_backward_f32
//! gated_activation_backward_f16 gated_activation_backward_f16
//! gated_activation_backward_bf16 gated_activation_backward_bf16

/* What a work-group does of a row. */
#define FIND_PIECE                                                                                 \
    const uint pieces = DLM_ROW_PIECES(p.cols), row = DLM_GROUP_ID() / pieces;                     \
    const uint begin = DLM_GROUP_ID() % pieces * DLM_GROUP_ELEMS;                                  \
    const uint end = min(begin + DLM_GROUP_ELEMS, p.cols);                                         \
    if (row >= p.rows)                                                                             \
        return;                                                                                    \
    gate += p.gate_lead + row * p.gate_stride;                                                     \
    up += p.up_lead + row * p.up_stride;

__kernel DLM_LOCAL(64) void gated_activation(__global const float *gate, __global const float *up,
                                             __global float *y, const struct dlm_gated_params p)
{
    FIND_PIECE
    y += row * p.cols;
    if ((p.gate_lead | p.gate_stride | p.up_lead | p.up_stride | p.cols) % DLM_WIDTH == 0) {
        for (uint k = begin + DLM_LOCAL_ID() * DLM_WIDTH; k < end; k += 64u * DLM_WIDTH)
            DLM_STOREV_F32(y, k, dlm_act(p.kind, DLM_LOADV_F32(gate, k)) * DLM_LOADV_F32(up, k));
        return;
    }
    for (uint k = begin + DLM_LOCAL_ID(); k < end; k += 64u)
        y[k] = dlm_act(p.kind, gate[k]) * up[k];
}

#define BACKWARD_KERNEL(name, X)                                                                   \
    __kernel DLM_LOCAL(64) void name(__global const DLM_T_##X *gate, __global const DLM_T_##X *up, \
                                     __global const float *dy, __global float *dgate,              \
                                     __global float *dup, const struct dlm_gated_params p)         \
    {                                                                                              \
        FIND_PIECE                                                                                 \
        dy += row * p.cols;                                                                        \
        dgate += p.dgate_lead + row * p.dgate_stride;                                              \
        dup += p.dup_lead + row * p.dup_stride;                                                    \
        if ((p.gate_lead | p.gate_stride | p.up_lead | p.up_stride | p.cols | p.dgate_lead |       \
             p.dgate_stride | p.dup_lead | p.dup_stride) % DLM_WIDTH == 0) {                       \
            for (uint k = begin + DLM_LOCAL_ID() * DLM_WIDTH; k < end; k += 64u * DLM_WIDTH) {     \
                const dlm_vec g = DLM_LOADV_##X(gate, k), d = DLM_LOADV_F32(dy, k);                \
                DLM_STOREV_F32(dgate, k, d * DLM_LOADV_##X(up, k) * dlm_act_grad(p.kind, g));      \
                DLM_STOREV_F32(dup, k, d * dlm_act(p.kind, g));                                    \
            }                                                                                      \
            return;                                                                                \
        }                                                                                          \
        for (uint k = begin + DLM_LOCAL_ID(); k < end; k += 64u) {                                 \
            const float g = DLM_LOAD_##X(gate, k), d = dy[k];                                      \
            dgate[k] = d * DLM_LOAD_##X(up, k) * dlm_act_grad(p.kind, g);                          \
            dup[k] = d * dlm_act(p.kind, g);                                                       \
        }                                                                                          \
    }

BACKWARD_KERNEL(gated_activation_backward_f32, F32)
BACKWARD_KERNEL(gated_activation_backward_f16, F16)
BACKWARD_KERNEL(gated_activation_backward_bf16, BF16)
