/* Failures: names of OpenCL's error codes and the status that each stands for. */
#include "backend/opencl/opencl.h" /* first: it says which OpenCL version is meant */

#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"

const char *dlm_ocl_error_name(cl_int code)
{
    static const struct {
        cl_int code;
        const char *name;
    } names[] = {
#define ERROR_NAME(name) {name, #name}
        ERROR_NAME(CL_DEVICE_NOT_FOUND),
        ERROR_NAME(CL_DEVICE_NOT_AVAILABLE),
        ERROR_NAME(CL_COMPILER_NOT_AVAILABLE),
        ERROR_NAME(CL_MEM_OBJECT_ALLOCATION_FAILURE),
        ERROR_NAME(CL_OUT_OF_RESOURCES),
        ERROR_NAME(CL_OUT_OF_HOST_MEMORY),
        ERROR_NAME(CL_BUILD_PROGRAM_FAILURE),
        ERROR_NAME(CL_MISALIGNED_SUB_BUFFER_OFFSET),
        ERROR_NAME(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST),
        ERROR_NAME(CL_INVALID_VALUE),
        ERROR_NAME(CL_INVALID_DEVICE),
        ERROR_NAME(CL_INVALID_CONTEXT),
        ERROR_NAME(CL_INVALID_COMMAND_QUEUE),
        ERROR_NAME(CL_INVALID_MEM_OBJECT),
        ERROR_NAME(CL_INVALID_BINARY),
        ERROR_NAME(CL_INVALID_BUILD_OPTIONS),
        ERROR_NAME(CL_INVALID_PROGRAM_EXECUTABLE),
        ERROR_NAME(CL_INVALID_KERNEL_NAME),
        ERROR_NAME(CL_INVALID_KERNEL_DEFINITION),
        ERROR_NAME(CL_INVALID_KERNEL),
        ERROR_NAME(CL_INVALID_ARG_INDEX),
        ERROR_NAME(CL_INVALID_ARG_VALUE),
        ERROR_NAME(CL_INVALID_ARG_SIZE),
        ERROR_NAME(CL_INVALID_KERNEL_ARGS),
        ERROR_NAME(CL_INVALID_WORK_DIMENSION),
        ERROR_NAME(CL_INVALID_WORK_GROUP_SIZE),
        ERROR_NAME(CL_INVALID_GLOBAL_WORK_SIZE),
        ERROR_NAME(CL_INVALID_EVENT),
        ERROR_NAME(CL_INVALID_BUFFER_SIZE),
#undef ERROR_NAME
    };

    for (size_t i = 0; i < DLM_ARRAY_LEN(names); i++)
        if (names[i].code == code)
            return names[i].name;
    return "unknown error";
}

static bool is_memory_error(cl_int code)
{
    return code == CL_MEM_OBJECT_ALLOCATION_FAILURE || code == CL_OUT_OF_RESOURCES ||
           code == CL_OUT_OF_HOST_MEMORY || code == CL_INVALID_BUFFER_SIZE;
}

/* After a fault some drivers answer every call with "out of resources", others call the queue
 * invalid. What merely lacked memory leaves a queue that still finishes. */
static bool is_lost(const struct dlm_ocl_device *device, cl_int code)
{
    switch (code) {
    case CL_DEVICE_NOT_AVAILABLE:
    case CL_INVALID_CONTEXT:
    case CL_INVALID_COMMAND_QUEUE:
    case CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST:
        return true;
    case CL_OUT_OF_RESOURCES:
        return device->queue && clFinish(device->queue) != CL_SUCCESS;
    default:
        return false;
    }
}

enum dlm_status dlm_ocl_fail(struct dlm_ocl_device *device, cl_int code, const char *fmt, ...)
{
    struct dlm_ctx *ctx = device->base.ctx;
    const struct dlm_device_info *info = &device->base.caps.info;
    char what[512];
    va_list args;

    va_start(args, fmt);
    vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    if (is_lost(device, code))
        return dlm_fail(ctx, DLM_ERR_DEVICE_LOST, "device '%s' is lost: %s: %s (%d)", info->name,
                        what, dlm_ocl_error_name(code), (int)code);
    if (is_memory_error(code))
        return dlm_fail(ctx, DLM_ERR_MEMORY,
                        "device '%s' is out of memory: %s: %s (%d); %llu bytes in use of %llu",
                        info->name, what, dlm_ocl_error_name(code), (int)code,
                        (unsigned long long)device->base.used_bytes,
                        (unsigned long long)info->memory_bytes);
    return dlm_fail(ctx, DLM_ERR_DEVICE, "device '%s': %s: %s (%d)", info->name, what,
                    dlm_ocl_error_name(code), (int)code);
}
