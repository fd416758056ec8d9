/* What GPUs can do in f32: `bench_fma` prints for every OpenCL and Vulkan device the floating point
 * operations a second of a loop of fused multiply-adds, for `op_matmul --bench --fma GFLOPS`. The
 * kernels are this file's own: the tables below take the place of the library's. */
#include <string.h>

#include "backend/backend_impl.h"
#include "base/clock.h"
#include "base/mem.h"
#include "tests/check.h"

enum { GROUPS = 4096, LANES = GROUPS * 64, SUMS = 16, ROUNDS = 512, REPS = 5 };

struct fma_params {
    uint32_t rounds;
    float factor;
};

static const char source[] =
    "struct fma_params { uint rounds; float factor; };\n"
    "__kernel __attribute__((reqd_work_group_size(64, 1, 1)))\n"
    "void fma_loop(__global float *out_sums, const struct fma_params p)\n"
    "{\n"
    "    const uint i = get_global_id(0);\n"
    "    const float4 x = (float4)(p.factor);\n"
    "    float4 a = (float4)((float)i), b = a + 1.0f, c = a + 2.0f, d = a + 3.0f;\n"
    "    for (uint k = 0; k < p.rounds; k++) {\n"
    "        a = fma(a, x, x);\n"
    "        b = fma(b, x, x);\n"
    "        c = fma(c, x, x);\n"
    "        d = fma(d, x, x);\n"
    "    }\n"
    "    const float4 sum = a + b + c + d;\n"
    "    out_sums[i] = sum.x + sum.y + sum.z + sum.w;\n"
    "}\n";

const struct dlm_ocl_kernel dlm_ocl_kernels[] = {
    {"fma_loop", "fma_loop", "", source, sizeof(source) - 1},
    {NULL, NULL, NULL, NULL, 0},
};

static double time_once(struct dlm_device *device, struct dlm_recording *recording)
{
    const double begin = dlm_now();

    if (dlm_recording_run(recording) || dlm_device_wait(device))
        return NAN;
    return dlm_now() - begin;
}

/* Seconds of the loop, the best of several; NaN when the device cannot. */
static double measure(struct dlm_device *device)
{
    const struct fma_params params = {ROUNDS, 0.5f};
    struct dlm_dispatch d = {
        .kernel = "fma_loop", .num_bindings = 1, .groups = {GROUPS, 1, 1},
        .params_bytes = sizeof(params),
    };
    struct dlm_recording *recording = NULL;
    double best = NAN;

    memcpy(d.params, &params, sizeof(params));
    d.bindings[0].bytes = LANES * sizeof(float);
    if (!dlm_buffer_create(device, &d.bindings[0].buffer, d.bindings[0].bytes) &&
        !dlm_recording_create(device, &recording, &d, 1)) {
        (void)time_once(device, recording); /* compiles */
        for (int i = 0; i < REPS; i++)
            best = fmin(best, time_once(device, recording)); /* fmin passes over a NaN */
    }
    dlm_recording_destroy(&recording);
    dlm_buffer_destroy(&d.bindings[0].buffer);
    return best;
}

int main(void)
{
    struct dlm_ctx *ctx = dlm_ctx_create(&(struct dlm_ctx_params){0});
    struct dlm_device_info *list = NULL;
    int num = 0;

    if (!ctx || dlm_device_list(ctx, &list, &num))
        return 1;
    for (int i = 0; i < num; i++) {
        const struct dlm_device_params params = {.kind = list[i].kind, .index = list[i].index};
        struct dlm_device *device = NULL;
        if (list[i].kind == DLM_BACKEND_CPU || dlm_device_open(ctx, &device, &params))
            continue;
        printf("%s %d: %s (%s): FMA %.0f GFLOP/s\n", dlm_backend_name(list[i].kind), list[i].index,
               list[i].name, list[i].driver,
               2.0 * LANES * SUMS * ROUNDS / measure(device) / 1e9);
        dlm_device_destroy(&device);
    }
    dlm_device_list_free(list);
    dlm_ctx_destroy(&ctx);
    return 0;
}
