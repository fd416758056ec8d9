/* Preloaded into the program: the devices of the installed OpenCL and Vulkan drivers pose as others
 * do, in what they say of their kind and memory; they compute as before.
 *
 *     POSE_KIND     card: a GPU with memory of its own; shared: one that shares the machine's;
 *                   unset: what they are
 *     POSE_BYTES    their memory
 *     POSE_RANGE    what of it a kernel reaches in one buffer; unset: what it is
 *     POSE_FREE     what of it is free, told by the extensions that are for that; unset: untold
 *     POSE_MACHINE  the machine's, as /proc/meminfo has it; unset: what it has
 */
#define CL_TARGET_OPENCL_VERSION 120
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* the build hides what is not told otherwise */
#define VISIBLE __attribute__((visibility("default")))

/* The library's own, under its symbol's name. */
#define REAL(name, symbol)                                                                         \
    static __typeof__(name) *real;                                                                 \
    if (!real)                                                                                     \
        *(void **)&real = dlsym(RTLD_NEXT, symbol)

static unsigned long long number(const char *name)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 10) : 0;
}

/* --- the machine --- */

VISIBLE FILE *fopen(const char *path, const char *mode)
{
    REAL(fopen, "fopen64");
    const unsigned long long kib = number("POSE_MACHINE") / 1024;

    if (!kib || strcmp(path, "/proc/meminfo"))
        return real(path, mode);
    FILE *file = tmpfile();
    if (file) {
        fprintf(file, "MemTotal: %llu kB\nMemAvailable: %llu kB\n", kib, kib / 8 * 7);
        rewind(file);
    }
    return file;
}

/* --- devices --- */

#if defined(DLM_HAVE_OPENCL) || defined(DLM_HAVE_VULKAN)
/* kind NULL: any. */
static bool is_kind(const char *kind)
{
    const char *posed = getenv("POSE_KIND");

    return posed && (!kind || !strcmp(posed, kind));
}
#endif

#ifdef DLM_HAVE_OPENCL
#include <CL/cl.h>

#define FREE_MEMORY_AMD 0x4039

VISIBLE CL_API_ENTRY cl_int CL_API_CALL clGetDeviceInfo(cl_device_id device, cl_device_info what,
                                                        size_t bytes, void *value, size_t *size)
{
    static const char free_extension[] = " cl_amd_device_attribute_query";
    REAL(clGetDeviceInfo, "clGetDeviceInfo");
    if (what == FREE_MEMORY_AMD && number("POSE_FREE")) {
        ((size_t *)value)[0] = ((size_t *)value)[1] = (size_t)(number("POSE_FREE") / 1024);
        return CL_SUCCESS;
    }
    const cl_int error = real(device, what, bytes, value, size);

    if (!error && value && what == CL_DEVICE_EXTENSIONS && number("POSE_FREE") &&
        strlen(value) + sizeof(free_extension) <= bytes)
        strcat(value, free_extension);
    if (!error && value && what == CL_DEVICE_MAX_MEM_ALLOC_SIZE && number("POSE_RANGE"))
        *(cl_ulong *)value = number("POSE_RANGE");
    if (error || !value || !is_kind(NULL))
        return error;
    if (what == CL_DEVICE_TYPE)
        *(cl_device_type *)value = CL_DEVICE_TYPE_GPU;
    else if (what == CL_DEVICE_GLOBAL_MEM_SIZE)
        *(cl_ulong *)value = number("POSE_BYTES");
    else if (what == CL_DEVICE_HOST_UNIFIED_MEMORY)
        *(cl_bool *)value = is_kind("shared");
    return error;
}
#endif

#ifdef DLM_HAVE_VULKAN
#include <vulkan/vulkan.h>

static void pose(VkPhysicalDeviceProperties *props)
{
    if (number("POSE_RANGE"))
        props->limits.maxStorageBufferRange = (uint32_t)number("POSE_RANGE");
    if (is_kind(NULL))
        props->deviceType = is_kind("card") ? VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU
                                            : VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU;
}

static void pose_memory(VkPhysicalDeviceMemoryProperties *memory)
{
    if (is_kind(NULL))
        for (uint32_t i = 0; i < memory->memoryHeapCount; i++)
            memory->memoryHeaps[i].size = number("POSE_BYTES") / memory->memoryHeapCount;
}

VISIBLE void vkGetPhysicalDeviceProperties(VkPhysicalDevice device,
                                           VkPhysicalDeviceProperties *props)
{
    REAL(vkGetPhysicalDeviceProperties, "vkGetPhysicalDeviceProperties");
    real(device, props);
    pose(props);
}

VISIBLE void vkGetPhysicalDeviceProperties2(VkPhysicalDevice device,
                                            VkPhysicalDeviceProperties2 *props)
{
    REAL(vkGetPhysicalDeviceProperties2, "vkGetPhysicalDeviceProperties2");
    real(device, props);
    pose(&props->properties);
}

VISIBLE void vkGetPhysicalDeviceMemoryProperties(VkPhysicalDevice device,
                                                 VkPhysicalDeviceMemoryProperties *memory)
{
    REAL(vkGetPhysicalDeviceMemoryProperties, "vkGetPhysicalDeviceMemoryProperties");
    real(device, memory);
    pose_memory(memory);
}

VISIBLE void vkGetPhysicalDeviceMemoryProperties2(VkPhysicalDevice device,
                                                  VkPhysicalDeviceMemoryProperties2 *memory)
{
    REAL(vkGetPhysicalDeviceMemoryProperties2, "vkGetPhysicalDeviceMemoryProperties2");
    real(device, memory);
    pose_memory(&memory->memoryProperties);
    VkPhysicalDeviceMemoryBudgetPropertiesEXT *budget = memory->pNext;
    if (!number("POSE_FREE") || !budget ||
        budget->sType != VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT)
        return;
    const VkPhysicalDeviceMemoryProperties *heaps = &memory->memoryProperties;
    for (uint32_t i = 0; i < heaps->memoryHeapCount; i++) {
        budget->heapBudget[i] = heaps->memoryHeaps[i].size;
        budget->heapUsage[i] =
            budget->heapBudget[i] - number("POSE_FREE") / heaps->memoryHeapCount;
    }
}

VISIBLE VkResult vkEnumerateDeviceExtensionProperties(VkPhysicalDevice device, const char *layer,
                                                      uint32_t *num, VkExtensionProperties *list)
{
    REAL(vkEnumerateDeviceExtensionProperties, "vkEnumerateDeviceExtensionProperties");
    if (!number("POSE_FREE") || layer)
        return real(device, layer, num, list);
    uint32_t most = *num ? *num - 1 : 0;
    const VkResult r = real(device, layer, &most, list);

    *num = most + 1;
    if (list)
        list[most] = (VkExtensionProperties){VK_EXT_MEMORY_BUDGET_EXTENSION_NAME, 1};
    return r;
}
#endif
