/* dlm_bench_tune(): a device, what is measured on it, and the file that keeps it. */
#include <string.h>

#include "api/session_impl.h"
#include "base/file.h"
#include "base/log.h"
#include "doctor/tiles.h"
#include "doctor/tune.h"
#include "dlm/bench.h"

static enum dlm_status find_path(struct dlm_ctx *ctx, const struct dlm_device *device, char **path)
{
    const struct dlm_device_info *info = &dlm_device_get_caps(device)->info;

    if (!dlm_tiles_are_for(device)) {
        dlm_fail(ctx, DLM_ERR_UNSUPPORTED, "nothing to tune on '%s': its products have one way",
                 info->name);
        dlm_log(ctx, DLM_LOG_HINT, "--backend vulkan or opencl names a GPU");
        return DLM_ERR_UNSUPPORTED;
    }
    char *cache = dlm_path_kernel_cache(ctx);
    if (!cache)
        return dlm_fail(ctx, DLM_ERR_IO, "cannot keep tiles: neither DLM_KERNEL_CACHE nor HOME "
                                         "names a folder");
    *path = dlm_tiles_path(ctx, device, cache);
    dlm_free(cache);
    if (!*path)
        return DLM_ERR_MEMORY;
    char *target = NULL; /* what cannot be replaced is said before minutes of measuring */
    enum dlm_status st = dlm_file_target(ctx, *path, &target);
    dlm_free(target);
    return st;
}

enum dlm_status dlm_bench_tune(struct dlm_ctx *ctx, const struct dlm_compute *compute,
                               double seconds, struct dlm_tune_result *result)
{
    const enum dlm_dtype type = compute->precision == DLM_PRECISION_FP32   ? DLM_DTYPE_F32
                                : compute->precision == DLM_PRECISION_FP16 ? DLM_DTYPE_F16
                                                                           : DLM_DTYPE_BF16;
    struct dlm_device *device = NULL;
    enum dlm_status st;

    *result = (struct dlm_tune_result){0};
    DLM_REQUIRE(ctx, seconds >= 0);
    st = dlm_session_open_device(ctx, &device, compute, false);
    if (st)
        goto done;
    result->device = dlm_device_get_caps(device)->info;
    st = find_path(ctx, device, &result->path);
    if (!st)
        st = dlm_tune(ctx, device, type, seconds > 0 ? seconds : DLM_BENCH_TUNE_SECONDS, result);
    if (!st)
        st = dlm_tiles_save(ctx, device, result->path);
done:
    dlm_device_destroy(&device);
    return st;
}

void dlm_tune_result_finish(struct dlm_tune_result *result)
{
    dlm_free(result->path);
    dlm_free(result->rows);
    *result = (struct dlm_tune_result){0};
}
