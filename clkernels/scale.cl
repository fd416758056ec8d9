/* scale: y = x * factor (* t[0] when kind is 1); a work-group does 4096 elements. */
//! scale scale

__kernel DLM_LOCAL(64) void scale(__global const float *x, __global const float *t,
                                  __global float *y, const struct dlm_map_params p)
{
    const float factor = p.kind ? p.factor * t[0] : p.factor;
    DLM_FOR_RUNS(at, p.total) {
        const uint num = DLM_RUN_LEN(at, p.total);
        dlm_store_run_f32(y, at, num, dlm_load_run_f32(x, at, num) * factor);
    }
}
