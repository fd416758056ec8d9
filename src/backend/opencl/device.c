/* OpenCL devices: finding them and what they can do. The only file that may ask what vendor or
 * driver it talks to. */
#include "backend/opencl/opencl.h" /* first: it says which OpenCL version is meant */

#include <stdio.h>
#include <string.h>

#include "base/host.h"
#include "base/log.h"

#define MAX_PLATFORMS 16
#define MAX_TEXT 8192 /* the list of extensions is the longest */

/* The smallest limit of the common drivers in any dimension (CUDA grids: y and z). */
#define MAX_GROUPS 65535u

/* cl_intel_required_subgroup_size; drivers list up to ten sizes */
#define SUB_GROUP_SIZES_INTEL 0x4108
#define MAX_SUBGROUP_SIZES 16
#define REQUIRE_SUBGROUP "-DDLM_REQUIRE_SUBGROUP=intel_reqd_sub_group_size"

/* cl_amd_device_attribute_query: free memory in KiB, two values */
#define GLOBAL_FREE_MEMORY_AMD 0x4039
/* the same: lanes of a wave */
#define WAVEFRONT_WIDTH_AMD 0x4043

#define VENDOR_NVIDIA 0x10de
#define VENDOR_AMD 0x1002
#define VENDOR_INTEL 0x8086
#define VENDOR_QUALCOMM 0x5143

void dlm_ocl_get_text(cl_device_id id, cl_device_info what, char *text, size_t cap)
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

cl_uint dlm_ocl_get_uint(cl_device_id id, cl_device_info what)
{
    cl_uint value = 0;
    return clGetDeviceInfo(id, what, sizeof(value), &value, NULL) == CL_SUCCESS ? value : 0;
}

static cl_ulong get_device_ulong(cl_device_id id, cl_device_info what)
{
    cl_ulong value = 0;
    return clGetDeviceInfo(id, what, sizeof(value), &value, NULL) == CL_SUCCESS ? value : 0;
}

bool dlm_ocl_has_extension(cl_device_id id, const char *name)
{
    char extensions[MAX_TEXT];

    dlm_ocl_get_text(id, CL_DEVICE_EXTENSIONS, extensions, sizeof(extensions));
    return strstr(extensions, name) != NULL;
}

static cl_device_type get_device_type(cl_device_id id)
{
    cl_device_type type = 0;
    return clGetDeviceInfo(id, CL_DEVICE_TYPE, sizeof(type), &type, NULL) == CL_SUCCESS ? type : 0;
}

/* Offsets of sub-buffers are multiples of this. Kernels rely on those of their largest vector. */
static size_t get_device_align(cl_device_id id)
{
    return DLM_MAX(dlm_ocl_get_uint(id, CL_DEVICE_MEM_BASE_ADDR_ALIGN) / 8, sizeof(cl_float16));
}

/* Devices that cannot run our kernels are left out, so that they take no index. */
static const char *reason_against(cl_device_id id)
{
    char version[128];
    int major, minor;

    dlm_ocl_get_text(id, CL_DEVICE_VERSION, version, sizeof(version));
    if (sscanf(version, "OpenCL %d.%d", &major, &minor) != 2 ||
        major < 1 || (major == 1 && minor < 2))
        return "older than OpenCL 1.2";
    if (!dlm_ocl_get_uint(id, CL_DEVICE_AVAILABLE))
        return "not available";
    if (!dlm_ocl_get_uint(id, CL_DEVICE_COMPILER_AVAILABLE))
        return "has no compiler";
    if (!dlm_ocl_get_uint(id, CL_DEVICE_ENDIAN_LITTLE))
        return "not little-endian";
    if (get_device_align(id) > DLM_ALIGN_BYTES)
        return "binds memory at larger steps than tensors are aligned to";
    return NULL;
}

void dlm_ocl_candidates_find(struct dlm_ctx *ctx, struct dlm_ocl_candidates *list)
{
    cl_platform_id platforms[MAX_PLATFORMS];
    cl_device_id ids[DLM_OCL_MAX_DEVICES];
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
        rc = clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, DLM_OCL_MAX_DEVICES, ids, &num);
        if (rc != CL_SUCCESS || !num) {
            get_platform_text(platforms[p], CL_PLATFORM_NAME, name, sizeof(name));
            dlm_log(ctx, DLM_LOG_DEBUG, "opencl: platform '%s' has no device (%d)", name, (int)rc);
            continue;
        }
        num = DLM_MIN(num, DLM_OCL_MAX_DEVICES);
        for (cl_uint d = 0; d < num && list->num < DLM_OCL_MAX_DEVICES; d++) {
            const char *reason = reason_against(ids[d]);
            if (reason) {
                dlm_ocl_get_text(ids[d], CL_DEVICE_NAME, name, sizeof(name));
                dlm_log(ctx, DLM_LOG_DEBUG, "opencl: device '%s' is not used: %s", name, reason);
                continue;
            }
            list->items[list->num].platform = platforms[p];
            list->items[list->num++].id = ids[d];
        }
    }
}

void dlm_ocl_hint_none(struct dlm_ctx *ctx)
{
    cl_platform_id platforms[MAX_PLATFORMS];
    cl_uint num_platforms = 0;
    char name[128];

    if (clGetPlatformIDs(MAX_PLATFORMS, platforms, &num_platforms) != CL_SUCCESS)
        dlm_log(ctx, DLM_LOG_HINT, "no OpenCL driver is installed");
    for (cl_uint p = 0; p < DLM_MIN(num_platforms, MAX_PLATFORMS); p++) {
        cl_uint num = 0;
        (void)clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, 0, NULL, &num); /* num stays 0 */
        get_platform_text(platforms[p], CL_PLATFORM_NAME, name, sizeof(name));
        if (!num && !strcmp(name, "Portable Computing Language"))
            dlm_log(ctx, DLM_LOG_HINT, "PoCL has no device where it cannot write its cache: set "
                                       "POCL_CACHE_DIR to a folder that can be written");
        else if (!num)
            dlm_log(ctx, DLM_LOG_HINT, "the OpenCL driver '%s' has no device", name);
    }
}

void dlm_ocl_device_info(const struct dlm_ocl_candidate *candidate, int index,
                         struct dlm_device_info *info)
{
    cl_device_id id = candidate->id;
    struct dlm_host host;
    char platform[64], driver[48];

    *info = (struct dlm_device_info){.kind = DLM_BACKEND_OPENCL, .index = index};
    dlm_ocl_get_text(id, CL_DEVICE_NAME, info->name, sizeof(info->name));
    get_platform_text(candidate->platform, CL_PLATFORM_NAME, platform, sizeof(platform));
    dlm_ocl_get_text(id, CL_DRIVER_VERSION, driver, sizeof(driver));
    snprintf(info->driver, sizeof(info->driver), "%s %s", platform, driver);
    info->is_software = (get_device_type(id) & CL_DEVICE_TYPE_CPU) != 0;
    info->memory_bytes = get_device_ulong(id, CL_DEVICE_GLOBAL_MEM_SIZE);
    dlm_host_read(&host, "");
    info->is_unified = dlm_ocl_get_uint(id, CL_DEVICE_HOST_UNIFIED_MEMORY) != 0;
    if (info->is_unified && host.memory_bytes)
        info->memory_bytes = DLM_MIN(info->memory_bytes, host.memory_bytes);
    info->max_alloc_bytes = get_device_ulong(id, CL_DEVICE_MAX_MEM_ALLOC_SIZE);
}

uint64_t dlm_ocl_free_bytes(cl_device_id id, const struct dlm_device_info *info, const char **from)
{
    size_t kib[2] = {0};
    struct dlm_host host;

    *from = "cl_amd_device_attribute_query";
    if (dlm_ocl_has_extension(id, *from) &&
        clGetDeviceInfo(id, GLOBAL_FREE_MEMORY_AMD, sizeof(kib), kib, NULL) == CL_SUCCESS && kib[0])
        return (uint64_t)kib[0] * 1024;
    *from = "";
    if (!dlm_ocl_get_uint(id, CL_DEVICE_HOST_UNIFIED_MEMORY))
        return 0;
    *from = "machine";
    dlm_host_read(&host, "");
    return DLM_MIN(host.free_bytes, info->memory_bytes);
}

/* Floats in a register where a work-item has registers of vectors, else what 16 bytes hold. */
static cl_uint get_vector_width(cl_device_id id)
{
    const cl_uint native = dlm_ocl_get_uint(id, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT);

    return native >= 16 ? 16 : native >= 8 ? 8 : 4;
}

static enum dlm_device_class classify(cl_device_id id, cl_device_type type)
{
    cl_uint wave = 0;

    if (type & CL_DEVICE_TYPE_CPU)
        return DLM_CLASS_SOFTWARE;
    switch (dlm_ocl_get_uint(id, CL_DEVICE_VENDOR_ID)) {
    case VENDOR_NVIDIA:
        return DLM_CLASS_CUDA;
    case VENDOR_AMD:
        if (clGetDeviceInfo(id, WAVEFRONT_WIDTH_AMD, sizeof(wave), &wave, NULL) != CL_SUCCESS)
            return DLM_CLASS_OTHER;
        return wave == 64 ? DLM_CLASS_GCN : DLM_CLASS_RDNA;
    case VENDOR_INTEL:
        return DLM_CLASS_XE;
    case VENDOR_QUALCOMM:
        return DLM_CLASS_PHONE;
    default:
        return DLM_CLASS_OTHER;
    }
}

int dlm_ocl_subgroup_sizes(cl_device_id id, size_t *sizes, int max)
{
    size_t all[MAX_SUBGROUP_SIZES] = {0};
    int num = 0;

    if (!dlm_ocl_has_extension(id, "cl_intel_required_subgroup_size") ||
        clGetDeviceInfo(id, SUB_GROUP_SIZES_INTEL, sizeof(all), all, NULL) != CL_SUCCESS)
        return 0;
    for (; num < DLM_MIN(max, MAX_SUBGROUP_SIZES) && all[num]; num++)
        sizes[num] = all[num];
    return num;
}

/* True when kernels may ask for subgroups of so many lanes; *smallest: the fewest that any has. */
static bool has_subgroups_of(cl_device_id id, size_t lanes, size_t *smallest)
{
    size_t sizes[MAX_SUBGROUP_SIZES];
    const int num = dlm_ocl_subgroup_sizes(id, sizes, MAX_SUBGROUP_SIZES);
    bool found = false;

    for (int i = 0; i < num; i++) {
        *smallest = i ? DLM_MIN(*smallest, sizes[i]) : sizes[i];
        found = found || sizes[i] == lanes;
    }
    return found;
}

/* Units that multiply 8 rows by as many columns as a subgroup has lanes: its smallest size, as the
 * extension wants it. A CPU with subgroups can do what they do, for tests. */
static void find_matrix_units(struct dlm_ocl_device *device)
{
    const uint32_t bits = DLM_CAP_MATRIX_F16 | DLM_CAP_MATRIX_BF16;
    struct dlm_device_caps *caps = &device->base.caps;
    size_t smallest = 0;

    if (dlm_ocl_has_extension(device->id, "cl_intel_subgroup_matrix_multiply_accumulate") &&
        (has_subgroups_of(device->id, 16, &smallest) ||
         has_subgroups_of(device->id, 8, &smallest)) &&
        (smallest == 8 || smallest == 16)) {
        snprintf(device->matrix_options, sizeof(device->matrix_options),
                 " -DDLM_MATRIX_LANES=%u %s -DDLM_MATRIX_PREFIX=intel_sub_group_",
                 (unsigned)smallest, REQUIRE_SUBGROUP);
        caps->bits |= bits;
        snprintf(caps->info.matrix_units, sizeof(caps->info.matrix_units), "f16+bf16 8x%ux16",
                 (unsigned)smallest);
    } else if (caps->info.is_software && dlm_ocl_has_extension(device->id, "cl_khr_subgroups") &&
               has_subgroups_of(device->id, 8, &smallest) &&
               has_subgroups_of(device->id, 16, &smallest)) {
        snprintf(device->matrix_options, sizeof(device->matrix_options),
                 " -DDLM_MATRIX_EMULATED %s", REQUIRE_SUBGROUP);
        device->base.all_bits |= bits;
    }
}

static void fill_caps(struct dlm_ocl_device *device)
{
    struct dlm_device_caps *caps = &device->base.caps;
    cl_device_type type = get_device_type(device->id);
    const char *from;

    if (type & CL_DEVICE_TYPE_CPU)
        caps->bits |= DLM_CAP_NO_LOCAL | DLM_CAP_VECTOR_TILES;
    if (dlm_ocl_get_uint(device->id, CL_DEVICE_LOCAL_MEM_TYPE) != CL_LOCAL)
        caps->bits |= DLM_CAP_NO_LOCAL; /* a copy to such memory costs what it is to save */
#ifdef DLM_HAVE_CLBLAST
    caps->gemm_version = dlm_ocl_gemm_version();
    device->base.all_bits |= DLM_CAP_GEMM_F32;
    if (dlm_ocl_gemm_is_trusted())
        caps->bits |= DLM_CAP_GEMM_F32;
#endif
    caps->max_alloc_bytes = (size_t)DLM_MIN(caps->info.max_alloc_bytes, (uint64_t)SIZE_MAX);
    caps->max_range_bytes = caps->max_alloc_bytes;
    caps->align_bytes = get_device_align(device->id);
    caps->shared_bytes = (size_t)get_device_ulong(device->id, CL_DEVICE_LOCAL_MEM_SIZE);
    caps->max_groups = MAX_GROUPS;
    caps->max_work = caps->info.is_software ? 0 : DLM_GPU_MAX_WORK;
    caps->device_class = classify(device->id, type);
    caps->host_page_bytes = caps->device_class == DLM_CLASS_SOFTWARE;
    caps->recorded_bytes = dlm_ocl_recorded_bytes();
    caps->num_units = DLM_MAX(dlm_ocl_get_uint(device->id, CL_DEVICE_MAX_COMPUTE_UNITS), 1u);
    caps->free_bytes = dlm_ocl_free_bytes(device->id, &caps->info, &from);
}

static void make_driver_key(struct dlm_ocl_device *device, cl_platform_id platform)
{
    char name[160], version[160], driver[160];

    dlm_ocl_get_text(device->id, CL_DEVICE_NAME, name, sizeof(name));
    dlm_ocl_get_text(device->id, CL_DRIVER_VERSION, driver, sizeof(driver));
    get_platform_text(platform, CL_PLATFORM_VERSION, version, sizeof(version));
    snprintf(device->driver_key, sizeof(device->driver_key), "%s\n%s\n%s\n", name, driver, version);
}

void dlm_ocl_device_describe(struct dlm_ocl_device *device,
                             const struct dlm_ocl_candidate *candidate, int index, bool no_matrix)
{
    device->id = candidate->id;
    dlm_ocl_device_info(candidate, index, &device->base.caps.info);
    device->vector_width = get_vector_width(device->id);
    fill_caps(device);
    if (!no_matrix)
        find_matrix_units(device);
    device->base.all_bits |= device->base.caps.bits;
    make_driver_key(device, candidate->platform);
}
