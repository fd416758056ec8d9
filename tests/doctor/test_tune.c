/* `bench --tune`: a library's products are measured beside the tiles, of the shapes it takes. */
#include <string.h>

#include "backend/backend.h"
#include "dlm/ctx.h"
#include "doctor/tune.h"
#include "tests/check.h"

static struct seen {
    struct dlm_ctx *ctx;
    bool has_library, has_tiles;
} seen;

/* Ends the measuring as soon as the library's is done. */
static void watch(void *user, enum dlm_log_level level, const char *text)
{
    (void)user;
    (void)level;
    seen.has_library |= !strncmp(text, "library, ", 9);
    seen.has_tiles |= !strncmp(text, "64x64, ", 7);
    if (seen.has_library)
        dlm_ctx_cancel(seen.ctx);
}

int main(void)
{
    const struct dlm_device_params params = {.kind = DLM_BACKEND_OPENCL, .index = -1,
                                             .cache_dir = getenv("DLM_TEST_KERNEL_CACHE"),
                                             .show_caps = DLM_CAP_GEMM_F32};
    struct dlm_tune_result result = {0};
    struct dlm_device *device = NULL;

    seen.ctx = dlm_ctx_create(&(struct dlm_ctx_params){.log = watch});
    check_case("the library is a candidate");
    if (dlm_device_open(seen.ctx, &device, &params) ||
        !(dlm_device_get_caps(device)->bits & DLM_CAP_GEMM_F32)) {
        check_skip("tune", "no OpenCL device, or built without CLBlast");
    } else {
        const enum dlm_status st = dlm_tune(seen.ctx, device, DLM_DTYPE_F32, 600, &result);
        CHECK(st == DLM_ERR_CANCELLED && seen.has_library && seen.has_tiles);
    }
    dlm_tune_result_finish(&result);
    dlm_device_destroy(&device);
    dlm_ctx_destroy(&seen.ctx);
    return check_summary();
}
