/* Failures: a text for each result, and what was running when a device was lost. */
#include "backend/vulkan/vk.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"

const char *dlm_vk_result_text(VkResult result)
{
    switch (result) {
    case VK_SUCCESS:
        return "success";
    case VK_NOT_READY:
        return "not ready";
    case VK_ERROR_OUT_OF_HOST_MEMORY:
        return "out of host memory";
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
        return "out of device memory";
    case VK_ERROR_INITIALIZATION_FAILED:
        return "initialization failed";
    case VK_ERROR_DEVICE_LOST:
        return "device lost";
    case VK_ERROR_MEMORY_MAP_FAILED:
        return "memory cannot be mapped";
    case VK_ERROR_LAYER_NOT_PRESENT:
        return "layer not present";
    case VK_ERROR_EXTENSION_NOT_PRESENT:
        return "extension not present";
    case VK_ERROR_FEATURE_NOT_PRESENT:
        return "feature not present";
    case VK_ERROR_INCOMPATIBLE_DRIVER:
        return "no compatible driver";
    case VK_ERROR_TOO_MANY_OBJECTS:
        return "too many objects";
    case VK_ERROR_INVALID_SHADER_NV:
        return "invalid shader";
    default:
        return "unknown error of the driver";
    }
}

enum dlm_status dlm_vk_fail(struct dlm_vk_device *d, VkResult result, const char *fmt, ...)
{
    char what[256], jobs[512];
    va_list args;

    va_start(args, fmt);
    vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    if (result == VK_ERROR_DEVICE_LOST) {
        d->base.lost = true;
        dlm_vk_describe_jobs(d, jobs, sizeof(jobs));
        enum dlm_status st = dlm_fail(d->base.ctx, DLM_ERR_DEVICE_LOST,
                                      "cannot %s on '%s': device lost while running %s", what,
                                      d->base.caps.info.name, *jobs ? jobs : "nothing of ours");
        dlm_log(d->base.ctx, DLM_LOG_HINT,
                "the driver reset the device: the system log tells why; start again");
        return st;
    }
    bool is_memory = result == VK_ERROR_OUT_OF_HOST_MEMORY ||
                     result == VK_ERROR_OUT_OF_DEVICE_MEMORY ||
                     result == VK_ERROR_TOO_MANY_OBJECTS;
    return dlm_fail(d->base.ctx, is_memory ? DLM_ERR_MEMORY : DLM_ERR_DEVICE,
                    "cannot %s on '%s': %s (%d)", what, d->base.caps.info.name,
                    dlm_vk_result_text(result), (int)result);
}
