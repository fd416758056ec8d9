/* OpenCL devices: enumeration, opening, capabilities, waiting, errors. The only file that may ask
 * what vendor or driver it talks to. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/opencl/opencl.h"
#include "base/log.h"
#include "base/mem.h"

#define MAX_PLATFORMS 16
#define MAX_DEVICES 64
#define MAX_TEXT 8192 /* the list of extensions is the longest */

/* The smallest limit of the common drivers in any dimension (CUDA grids: y and z). */
#define MAX_GROUPS 65535u

/* cl_amd_device_attribute_query: free memory in KiB, two values */
#define GLOBAL_FREE_MEMORY_AMD 0x4039

struct device_list {
    struct {
        cl_platform_id platform;
        cl_device_id id;
    } items[MAX_DEVICES];
    int num;
};

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

/* A text property, cut to cap - 1 characters; "" when the driver does not answer. */
static void get_device_text(cl_device_id id, cl_device_info what, char *text, size_t cap)
{
    char whole[MAX_TEXT] = "";

    if (clGetDeviceInfo(id, what, sizeof(whole) - 1, whole, NULL) != CL_SUCCESS)
        whole[0] = '\0';
    snprintf(text, cap, "%s", whole);
}

static void get_platform_text(cl_platform_id id, cl_platform_info what, char *text, size_t cap)
{
    char whole[MAX_TEXT] = "";

    if (clGetPlatformInfo(id, what, sizeof(whole) - 1, whole, NULL) != CL_SUCCESS)
        whole[0] = '\0';
    snprintf(text, cap, "%s", whole);
}

static cl_uint get_device_uint(cl_device_id id, cl_device_info what)
{
    cl_uint value = 0;
    return clGetDeviceInfo(id, what, sizeof(value), &value, NULL) == CL_SUCCESS ? value : 0;
}

static cl_ulong get_device_ulong(cl_device_id id, cl_device_info what)
{
    cl_ulong value = 0;
    return clGetDeviceInfo(id, what, sizeof(value), &value, NULL) == CL_SUCCESS ? value : 0;
}

static cl_device_type get_device_type(cl_device_id id)
{
    cl_device_type type = 0;
    return clGetDeviceInfo(id, CL_DEVICE_TYPE, sizeof(type), &type, NULL) == CL_SUCCESS ? type : 0;
}

/* Offsets of sub-buffers are multiples of this. */
static size_t get_device_align(cl_device_id id)
{
    return DLM_MAX(get_device_uint(id, CL_DEVICE_MEM_BASE_ADDR_ALIGN) / 8, 4u);
}

/* Devices that cannot run our kernels are left out, so that they take no index. */
static const char *reason_against(cl_device_id id)
{
    char version[128];
    int major, minor;

    get_device_text(id, CL_DEVICE_VERSION, version, sizeof(version));
    if (sscanf(version, "OpenCL %d.%d", &major, &minor) != 2 ||
        major < 1 || (major == 1 && minor < 2))
        return "older than OpenCL 1.2";
    if (!get_device_uint(id, CL_DEVICE_AVAILABLE))
        return "not available";
    if (!get_device_uint(id, CL_DEVICE_COMPILER_AVAILABLE))
        return "has no compiler";
    if (!get_device_uint(id, CL_DEVICE_ENDIAN_LITTLE))
        return "not little-endian";
    if (get_device_align(id) > DLM_ALIGN_BYTES)
        return "binds memory at larger steps than tensors are aligned to";
    return NULL;
}

/* All devices of all platforms in the drivers' order. */
static void list_devices(struct dlm_ctx *ctx, struct device_list *list)
{
    cl_platform_id platforms[MAX_PLATFORMS];
    cl_device_id ids[MAX_DEVICES];
    cl_uint num_platforms = 0;
    char name[128];

    list->num = 0;
    cl_int rc = clGetPlatformIDs(MAX_PLATFORMS, platforms, &num_platforms);
    if (rc != CL_SUCCESS) { /* -1001 without a driver: the loader's own code */
        dlm_log(ctx, DLM_LOG_DEBUG, "opencl: no platform (%d)", (int)rc);
        return;
    }
    for (cl_uint p = 0; p < DLM_MIN(num_platforms, MAX_PLATFORMS); p++) {
        cl_uint num = 0;
        rc = clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, MAX_DEVICES, ids, &num);
        if (rc != CL_SUCCESS || !num) {
            get_platform_text(platforms[p], CL_PLATFORM_NAME, name, sizeof(name));
            dlm_log(ctx, DLM_LOG_DEBUG, "opencl: platform '%s' has no device (%d)", name, (int)rc);
            continue;
        }
        for (cl_uint d = 0; d < DLM_MIN(num, MAX_DEVICES) && list->num < MAX_DEVICES; d++) {
            const char *reason = reason_against(ids[d]);
            if (reason) {
                get_device_text(ids[d], CL_DEVICE_NAME, name, sizeof(name));
                dlm_log(ctx, DLM_LOG_DEBUG, "opencl: device '%s' is not used: %s", name, reason);
                continue;
            }
            list->items[list->num].platform = platforms[p];
            list->items[list->num++].id = ids[d];
        }
    }
}

static void fill_info(struct dlm_device_info *info, const struct device_list *list, int index)
{
    cl_device_id id = list->items[index].id;
    char platform[64], driver[48];

    *info = (struct dlm_device_info){.kind = DLM_BACKEND_OPENCL, .index = index};
    get_device_text(id, CL_DEVICE_NAME, info->name, sizeof(info->name));
    get_platform_text(list->items[index].platform, CL_PLATFORM_NAME, platform, sizeof(platform));
    get_device_text(id, CL_DRIVER_VERSION, driver, sizeof(driver));
    snprintf(info->driver, sizeof(info->driver), "%s %s", platform, driver);
    info->is_software = (get_device_type(id) & CL_DEVICE_TYPE_CPU) != 0;
    info->memory_bytes = get_device_ulong(id, CL_DEVICE_GLOBAL_MEM_SIZE);
    info->max_alloc_bytes = get_device_ulong(id, CL_DEVICE_MAX_MEM_ALLOC_SIZE);
}

static int enumerate(struct dlm_ctx *ctx, struct dlm_device_info *infos, int max)
{
    struct device_list list;

    list_devices(ctx, &list);
    int num = DLM_MIN(list.num, max);
    for (int i = 0; i < num; i++)
        fill_info(&infos[i], &list, i);
    return num;
}

/* What the system could still give to a device that shares its memory; 0 if unknown. */
static uint64_t system_available_bytes(void)
{
    unsigned long long kib = 0;
    char line[128];

    FILE *f = fopen("/proc/meminfo", "re");
    if (!f)
        return 0;
    while (!kib && fgets(line, sizeof(line), f))
        (void)sscanf(line, "MemAvailable: %llu kB", &kib); /* other lines leave kib as it is */
    fclose(f);
    return (uint64_t)kib * 1024;
}

static uint64_t free_memory(cl_device_id id, const struct dlm_device_info *info)
{
    size_t kib[2] = {0};
    char extensions[MAX_TEXT];

    get_device_text(id, CL_DEVICE_EXTENSIONS, extensions, sizeof(extensions));
    if (strstr(extensions, "cl_amd_device_attribute_query") &&
        clGetDeviceInfo(id, GLOBAL_FREE_MEMORY_AMD, sizeof(kib), kib, NULL) == CL_SUCCESS && kib[0])
        return (uint64_t)kib[0] * 1024;
    uint64_t available = system_available_bytes();
    if (get_device_uint(id, CL_DEVICE_HOST_UNIFIED_MEMORY) && available)
        return DLM_MIN(available, info->memory_bytes);
    return info->memory_bytes;
}

static void fill_caps(struct dlm_ocl_device *device)
{
    struct dlm_device_caps *caps = &device->base.caps;
    cl_device_type type = get_device_type(device->id);

    if (type & CL_DEVICE_TYPE_CPU)
        caps->bits |= DLM_CAP_NO_LOCAL;
#ifdef DLM_HAVE_CLBLAST
    if (dlm_ocl_gemm_is_preferred(type))
        caps->bits |= DLM_CAP_GEMM_F32;
#endif
    caps->max_alloc_bytes = (size_t)DLM_MIN(caps->info.max_alloc_bytes, (uint64_t)SIZE_MAX);
    caps->max_range_bytes = caps->max_alloc_bytes;
    caps->align_bytes = get_device_align(device->id);
    caps->max_groups = MAX_GROUPS;
    caps->num_units = DLM_MAX(get_device_uint(device->id, CL_DEVICE_MAX_COMPUTE_UNITS), 1u);
    caps->free_bytes = free_memory(device->id, &caps->info);
}

static void make_driver_key(struct dlm_ocl_device *device, cl_platform_id platform)
{
    char name[160], version[160], driver[160];

    get_device_text(device->id, CL_DEVICE_NAME, name, sizeof(name));
    get_device_text(device->id, CL_DRIVER_VERSION, driver, sizeof(driver));
    get_platform_text(platform, CL_PLATFORM_VERSION, version, sizeof(version));
    snprintf(device->driver_key, sizeof(device->driver_key), "%s\n%s\n%s\n", name, driver, version);
}

static void close_device(struct dlm_device *base)
{
    struct dlm_ocl_device *device = (struct dlm_ocl_device *)base;

    if (!device)
        return;
    if (device->queue)
        (void)clFinish(device->queue); /* nobody is left to hear of a failure */
    while (device->num_in_flight)
        clReleaseEvent(device->in_flight[--device->num_in_flight]);
    dlm_ocl_programs_finish(device);
#ifdef DLM_HAVE_CLBLAST
    if (device->used_gemm)
        dlm_ocl_gemm_finish();
#endif
    if (device->profile_queue)
        clReleaseCommandQueue(device->profile_queue);
    if (device->queue)
        clReleaseCommandQueue(device->queue);
    if (device->context)
        clReleaseContext(device->context);
    dlm_free(device->cache_dir);
    dlm_free(device);
}

static enum dlm_status make_queue(struct dlm_ocl_device *device, cl_platform_id platform)
{
    const cl_context_properties props[] = {CL_CONTEXT_PLATFORM, (cl_context_properties)platform, 0};
    cl_int rc;

    device->context = clCreateContext(props, 1, &device->id, NULL, NULL, &rc);
    if (!device->context)
        return dlm_ocl_fail(device, rc, "cannot make a context");
    device->queue = clCreateCommandQueue(device->context, device->id, 0, &rc);
    if (!device->queue)
        return dlm_ocl_fail(device, rc, "cannot make a queue");
    return DLM_OK;
}

static enum dlm_status open_device(struct dlm_ctx *ctx, struct dlm_device **out, int index,
                                   const char *cache_dir)
{
    struct device_list list;
    enum dlm_status st = DLM_ERR_MEMORY;

    *out = NULL;
    list_devices(ctx, &list);
    index = DLM_MAX(index, 0);
    if (index >= list.num)
        return dlm_fail(ctx, DLM_ERR_NO_DEVICE, "cannot open OpenCL device %d: there %s %d", index,
                        list.num == 1 ? "is" : "are", list.num);
    struct dlm_ocl_device *device = dlm_alloc(ctx, sizeof(*device));
    if (!device)
        return DLM_ERR_MEMORY;
    device->base.backend = &dlm_backend_opencl;
    device->base.ctx = ctx;
    device->id = list.items[index].id;
    if (cache_dir && !(device->cache_dir = dlm_strdup(ctx, cache_dir)))
        goto done;
    fill_info(&device->base.caps.info, &list, index);
    fill_caps(device);
    make_driver_key(device, list.items[index].platform);
    st = make_queue(device, list.items[index].platform);
    if (st)
        goto done;
    *out = &device->base;
    device = NULL;
done:
    close_device((struct dlm_device *)device);
    return st;
}

enum dlm_status dlm_ocl_profile_queue(struct dlm_ocl_device *device, cl_command_queue *queue)
{
    cl_int rc = CL_SUCCESS;

    if (!device->profile_queue)
        device->profile_queue = clCreateCommandQueue(device->context, device->id,
                                                     CL_QUEUE_PROFILING_ENABLE, &rc);
    *queue = device->profile_queue;
    return *queue ? DLM_OK : dlm_ocl_fail(device, rc, "cannot make a queue with profiling");
}

enum dlm_status dlm_ocl_wait_event(struct dlm_ocl_device *device, cl_event event)
{
    cl_int rc = clWaitForEvents(1, &event);
    cl_int status = CL_COMPLETE;

    if (rc == CL_SUCCESS)
        return DLM_OK;
    /* The command's own status says more than "an event in the list failed". */
    if (clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status), &status, NULL) ==
            CL_SUCCESS &&
        status < 0)
        rc = status;
    return dlm_ocl_fail(device, rc, "a kernel failed");
}

enum dlm_status dlm_ocl_push_slice(struct dlm_ocl_device *device, cl_event end)
{
    enum dlm_status st = DLM_OK;

    if (device->num_in_flight == DLM_OCL_MAX_IN_FLIGHT) {
        st = dlm_ocl_wait_event(device, device->in_flight[0]);
        clReleaseEvent(device->in_flight[0]);
        device->num_in_flight--;
        memmove(&device->in_flight[0], &device->in_flight[1],
                device->num_in_flight * sizeof(device->in_flight[0]));
    }
    device->in_flight[device->num_in_flight++] = end;
    return st;
}

enum dlm_status dlm_ocl_wait(struct dlm_device *base)
{
    struct dlm_ocl_device *device = (struct dlm_ocl_device *)base;
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; i < device->num_in_flight; i++) { /* a finished queue hides failed kernels */
        if (!st)
            st = dlm_ocl_wait_event(device, device->in_flight[i]);
        clReleaseEvent(device->in_flight[i]);
    }
    device->num_in_flight = 0;
    cl_int rc = clFinish(device->queue);
    if (rc != CL_SUCCESS && !st)
        st = dlm_ocl_fail(device, rc, "cannot finish the queue");
    return st;
}

const struct dlm_backend dlm_backend_opencl = {
    .kind = DLM_BACKEND_OPENCL,
    .enumerate = enumerate,
    .open = open_device,
    .close = close_device,
    .buffer_create = dlm_ocl_buffer_create,
    .buffer_destroy = dlm_ocl_buffer_destroy,
    .buffer_write = dlm_ocl_buffer_write,
    .buffer_read = dlm_ocl_buffer_read,
    .buffer_fill = dlm_ocl_buffer_fill,
    .has_kernel = dlm_ocl_has_kernel,
#ifdef DLM_HAVE_CLBLAST
    .gemm_scratch = dlm_ocl_gemm_scratch,
#endif
    .recording_create = dlm_ocl_recording_create,
    .recording_destroy = dlm_ocl_recording_destroy,
    .recording_run = dlm_ocl_recording_run,
    .recording_profile = dlm_ocl_recording_profile,
    .wait = dlm_ocl_wait,
};
