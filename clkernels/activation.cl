/* activation and its backward; a work-group does 4096 elements. */
//! activation activation
//! activation_backward activation_backward

DLM_MAP_KERNEL(activation, dlm_act(p.kind, x))

__kernel DLM_LOCAL(64) void activation_backward(__global const float *x, __global const float *dy,
                                                __global float *dx, const struct dlm_map_params p)
{
    DLM_FOR_RUNS(at, p.total) {
        const uint num = DLM_RUN_LEN(at, p.total);
        const dlm_vec slope = dlm_act_grad(p.kind, dlm_load_run_f32(x, at, num));
        dlm_store_run_f32(dx, at, num, slope * dlm_load_run_f32(dy, at, num));
    }
}
