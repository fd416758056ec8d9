/* adamw, in place; a work-group does 4096 elements. */
//! adamw adamw

__kernel DLM_LOCAL(64) void adamw(__global float *param, __global const float *grad,
                                  __global float *m, __global float *v, __global const float *coef,
                                  __global const float *hyper, const struct dlm_adamw_params p)
{
    const float decay = 1.0f - hyper[0] * hyper[1], b1 = hyper[2], b2 = hyper[3], eps = hyper[4];
    const float rate = hyper[0] / hyper[5], root2 = hyper[6];
    DLM_FOR_RUNS(at, p.total) {
        const uint num = DLM_RUN_LEN(at, p.total);
        const dlm_vec g = dlm_load_run_f32(grad, at, num) * coef[1];
        const dlm_vec mean = b1 * dlm_load_run_f32(m, at, num) + (1.0f - b1) * g;
        const dlm_vec square = b2 * dlm_load_run_f32(v, at, num) + (1.0f - b2) * g * g;
        dlm_store_run_f32(m, at, num, mean);
        dlm_store_run_f32(v, at, num, square);
        dlm_store_run_f32(param, at, num, dlm_load_run_f32(param, at, num) * decay -
                                              rate * mean / (sqrt(square) / root2 + eps));
    }
}
