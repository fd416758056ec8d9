/* gated_activation and its backward, for gate and up of each type; a work-group does 4096
 * elements. */
//! gated_activation gated_activation
//! gated_activation_backward_f32 gated_activation_backward_f32
//! gated_activation_backward_f16 gated_activation_backward_f16
//! gated_activation_backward_bf16 gated_activation_backward_bf16

__kernel DLM_LOCAL(64) void gated_activation(__global const float *gate, __global const float *up,
                                             __global float *y, const struct dlm_map_params p)
{
    DLM_FOR_RUNS(at, p.total) {
        const uint num = DLM_RUN_LEN(at, p.total);
        const dlm_vec g = dlm_load_run_f32(gate, at, num), u = dlm_load_run_f32(up, at, num);
        dlm_store_run_f32(y, at, num, dlm_act(p.kind, g) * u);
    }
}

#define BACKWARD_KERNEL(name, X, LOAD_RUN)                                                         \
    __kernel DLM_LOCAL(64) void name(__global const X *gate, __global const X *up,                 \
                                     __global const float *dy, __global float *dgate,              \
                                     __global float *dup, const struct dlm_map_params p)           \
    {                                                                                              \
        DLM_FOR_RUNS(at, p.total) {                                                                \
            const uint num = DLM_RUN_LEN(at, p.total);                                             \
            const dlm_vec g = LOAD_RUN(gate, at, num), d = dlm_load_run_f32(dy, at, num);          \
            dlm_store_run_f32(dgate, at, num,                                                      \
                              d * LOAD_RUN(up, at, num) * dlm_act_grad(p.kind, g));                \
            dlm_store_run_f32(dup, at, num, d * dlm_act(p.kind, g));                               \
        }                                                                                          \
    }

BACKWARD_KERNEL(gated_activation_backward_f32, DLM_T_F32, dlm_load_run_f32)
BACKWARD_KERNEL(gated_activation_backward_f16, DLM_T_F16, dlm_load_run_f16)
BACKWARD_KERNEL(gated_activation_backward_bf16, DLM_T_BF16, dlm_load_run_bf16)
