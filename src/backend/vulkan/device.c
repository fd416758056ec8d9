/* Vulkan devices: finding them, what they can do, making the VkDevice. Whatever depends on a vendor
 * or driver is decided here and becomes a capability bit. */
#include "backend/vulkan/vk.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/host.h"
#include "base/log.h"
#include "base/mem.h"

#define API_VERSION VK_API_VERSION_1_2
/* Finds a queue family for compute, one without graphics first: on some drivers work there does
 * not compete with the desktop. */
static bool find_family(VkPhysicalDevice physical, uint32_t *family)
{
    VkQueueFamilyProperties families[32];
    uint32_t num = DLM_ARRAY_LEN(families);
    bool found = false;

    vkGetPhysicalDeviceQueueFamilyProperties(physical, &num, families);
    for (uint32_t i = 0; i < num; i++) {
        if (!(families[i].queueFlags & VK_QUEUE_COMPUTE_BIT))
            continue;
        bool has_graphics = families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT;
        if (!found || !has_graphics)
            *family = i;
        found = true;
        if (!has_graphics)
            break;
    }
    return found;
}

static int type_rank(VkPhysicalDeviceType type)
{
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
        return 0;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
        return 1;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
        return 2;
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
        return 4;
    default:
        return 3;
    }
}

/* Keeps the list sorted by kind of device, then in the loader's order. */
static void add_candidate(struct dlm_ctx *ctx, struct dlm_vk_candidates *c,
                          VkPhysicalDevice physical)
{
    VkPhysicalDeviceProperties props;
    struct dlm_vk_candidate new = {.physical = physical};

    vkGetPhysicalDeviceProperties(physical, &props);
    new.type = props.deviceType;
    if (props.apiVersion < API_VERSION || !find_family(physical, &new.family)) {
        dlm_log(ctx, DLM_LOG_DEBUG, "vulkan: '%s' left out: no Vulkan 1.2 or no compute queue",
                props.deviceName);
        return;
    }
    int at = c->num++;
    for (; at > 0 && type_rank(c->list[at - 1].type) > type_rank(new.type); at--)
        c->list[at] = c->list[at - 1];
    c->list[at] = new;
}

void dlm_vk_candidates_find(struct dlm_ctx *ctx, struct dlm_vk_candidates *c)
{
    VkPhysicalDevice list[DLM_VK_MAX_DEVICES];
    uint32_t num = DLM_VK_MAX_DEVICES;
    const VkApplicationInfo app = {
        .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
        .pApplicationName = "dlm",
        .apiVersion = API_VERSION,
    };
    const VkInstanceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .pApplicationInfo = &app,
    };

    *c = (struct dlm_vk_candidates){0};
    VkResult r = vkCreateInstance(&info, NULL, &c->instance);
    if (r) {
        c->instance = VK_NULL_HANDLE;
        snprintf(c->why, sizeof(c->why), "no instance: %s", dlm_vk_result_text(r));
    } else {
        r = vkEnumeratePhysicalDevices(c->instance, &num, list);
        if (r && r != VK_INCOMPLETE)
            num = 0;
        for (uint32_t i = 0; i < num; i++)
            add_candidate(ctx, c, list[i]);
        snprintf(c->why, sizeof(c->why), "%s",
                 num ? "none has Vulkan 1.2 with compute" : "none found");
    }
    if (!c->num)
        dlm_log(ctx, DLM_LOG_DEBUG, "vulkan: no device: %s", c->why);
}

bool dlm_vk_has_extension(VkPhysicalDevice physical, const char *name)
{
    VkExtensionProperties *list = NULL;
    uint32_t num = 0;
    bool found = false;

    if (vkEnumerateDeviceExtensionProperties(physical, NULL, &num, NULL) || !num)
        return false;
    list = dlm_alloc_array(NULL, num, sizeof(*list));
    if (!list || vkEnumerateDeviceExtensionProperties(physical, NULL, &num, list) < 0)
        goto done;
    for (uint32_t i = 0; i < num && !found; i++)
        found = !strcmp(list[i].extensionName, name);
done:
    dlm_free(list);
    return found;
}

static uint32_t largest_device_heap(const VkPhysicalDeviceMemoryProperties *memory)
{
    uint32_t best = 0;
    VkDeviceSize bytes = 0;

    for (uint32_t i = 0; i < memory->memoryHeapCount; i++) {
        const VkMemoryHeap *heap = &memory->memoryHeaps[i];
        if (heap->flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT && heap->size > bytes) {
            best = i;
            bytes = heap->size;
        }
    }
    return best;
}

uint64_t dlm_vk_free_bytes(const struct dlm_vk_device *d, const char **from)
{
    const struct dlm_device_info *info = &d->base.caps.info;
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT,
    };
    VkPhysicalDeviceMemoryProperties2 memory = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2,
        .pNext = &budget,
    };
    struct dlm_host host;
    uint64_t bytes = 0;

    dlm_host_read(&host, "");
    if (info->is_software || (d->is_unified && !d->has_budget)) { /* a CPU's heaps are made up */
        *from = host.free_bytes ? "machine" : "";
        return DLM_MIN(host.free_bytes, info->memory_bytes);
    }
    *from = d->has_budget ? VK_EXT_MEMORY_BUDGET_EXTENSION_NAME : "";
    if (!d->has_budget)
        return 0;
    vkGetPhysicalDeviceMemoryProperties2(d->physical, &memory);
    for (uint32_t i = 0; i < d->memory.memoryHeapCount; i++) {
        if (i == d->main_heap || d->is_unified)
            bytes += budget.heapBudget[i] - DLM_MIN(budget.heapUsage[i], budget.heapBudget[i]);
    }
    bytes = DLM_MAX(bytes, (uint64_t)1); /* nothing is left: that is known */
    return d->is_unified && host.free_bytes ? DLM_MIN(bytes, host.free_bytes) : bytes;
}

static uint64_t memory_bytes(const struct dlm_vk_device *d)
{
    struct dlm_host host;
    uint64_t bytes = 0;

    dlm_host_read(&host, "");
    if (d->base.caps.info.is_software)
        return host.memory_bytes;
    for (uint32_t i = 0; i < d->memory.memoryHeapCount; i++) {
        if (i == d->main_heap || d->is_unified)
            bytes += d->memory.memoryHeaps[i].size;
    }
    return d->is_unified && host.memory_bytes ? DLM_MIN(bytes, host.memory_bytes) : bytes;
}

/* 0: the driver does not tell. */
static uint32_t count_units(VkPhysicalDevice physical, bool is_software)
{
    VkPhysicalDeviceShaderSMBuiltinsPropertiesNV nv = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_SM_BUILTINS_PROPERTIES_NV,
    };
    VkPhysicalDeviceShaderCoreProperties2AMD amd = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_CORE_PROPERTIES_2_AMD,
    };
    VkPhysicalDeviceProperties2 props = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};

    if (is_software)
        return (uint32_t)DLM_MAX(sysconf(_SC_NPROCESSORS_ONLN), 1);
    if (dlm_vk_has_extension(physical, VK_NV_SHADER_SM_BUILTINS_EXTENSION_NAME))
        props.pNext = &nv;
    else if (dlm_vk_has_extension(physical, VK_AMD_SHADER_CORE_PROPERTIES_2_EXTENSION_NAME))
        props.pNext = &amd;
    if (props.pNext)
        vkGetPhysicalDeviceProperties2(physical, &props);
    return DLM_MAX(nv.shaderSMCount, amd.activeComputeUnitCount);
}

/* Bindings and buffers: sizes are whole multiples of what tensors are aligned to. */
static void set_limits(struct dlm_device_caps *caps, VkPhysicalDevice physical,
                       const VkPhysicalDeviceProperties *props, VkDeviceSize max_allocation)
{
    VkPhysicalDeviceMaintenance4Properties maintenance4 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_PROPERTIES,
        .maxBufferSize = max_allocation,
    };
    VkPhysicalDeviceProperties2 more = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
        .pNext = &maintenance4,
    };
    const VkPhysicalDeviceLimits *limits = &props->limits;

    if (props->apiVersion >= VK_API_VERSION_1_3 ||
        dlm_vk_has_extension(physical, VK_KHR_MAINTENANCE_4_EXTENSION_NAME))
        vkGetPhysicalDeviceProperties2(physical, &more);
    uint64_t max_alloc = DLM_MIN(max_allocation, maintenance4.maxBufferSize);
    caps->max_alloc_bytes = (size_t)(DLM_MIN(max_alloc, SIZE_MAX) / DLM_ALIGN_BYTES) *
                            DLM_ALIGN_BYTES;
    caps->max_range_bytes = limits->maxStorageBufferRange / DLM_ALIGN_BYTES * DLM_ALIGN_BYTES;
    /* at least what the widest load wants, so that a lead tells what is aligned */
    caps->align_bytes = (size_t)DLM_MAX(limits->minStorageBufferOffsetAlignment, 16);
    caps->shared_bytes = limits->maxComputeSharedMemorySize;
    caps->max_groups = DLM_MIN(limits->maxComputeWorkGroupCount[0],
                               limits->maxComputeWorkGroupCount[1]);
    caps->info.max_alloc_bytes = caps->max_alloc_bytes;
}

static uint32_t cap_bits(const VkPhysicalDeviceProperties *props, VkDriverId driver)
{
    uint32_t bits = DLM_CAP_SPECS;

    /* On CPUs a barrier saves and restores every invocation; Mali and VideoCore have no memory of
     * their own behind shared variables. */
    if (props->deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU ||
        driver == VK_DRIVER_ID_ARM_PROPRIETARY || driver == VK_DRIVER_ID_MESA_PANVK ||
        driver == VK_DRIVER_ID_MESA_V3DV)
        bits |= DLM_CAP_NO_LOCAL;
    return bits;
}

void dlm_vk_device_describe(struct dlm_vk_device *d, const struct dlm_vk_candidate *c, int index)
{
    VkPhysicalDeviceDriverProperties driver = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES,
    };
    VkPhysicalDeviceMaintenance3Properties maintenance3 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES,
        .pNext = &driver,
    };
    VkPhysicalDeviceProperties2 props = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
        .pNext = &maintenance3,
    };
    struct dlm_device_caps *caps = &d->base.caps;
    const char *from;

    d->physical = c->physical;
    d->family = c->family;
    vkGetPhysicalDeviceProperties2(c->physical, &props);
    vkGetPhysicalDeviceMemoryProperties(c->physical, &d->memory);
    const VkPhysicalDeviceProperties *base = &props.properties;
    d->main_heap = largest_device_heap(&d->memory);
    d->is_unified =
        c->type == VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU || c->type == VK_PHYSICAL_DEVICE_TYPE_CPU;
    d->has_budget = dlm_vk_has_extension(c->physical, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
    d->max_lanes = DLM_MIN(base->limits.maxComputeWorkGroupInvocations,
                           base->limits.maxComputeWorkGroupSize[0]);
    d->api_version = base->apiVersion;
    d->max_allocations = base->limits.maxMemoryAllocationCount;
    d->max_bindings = DLM_MIN(base->limits.maxPerStageDescriptorStorageBuffers, DLM_MAX_BINDINGS);

    caps->info.kind = DLM_BACKEND_VULKAN;
    caps->info.index = index;
    caps->info.is_software = c->type == VK_PHYSICAL_DEVICE_TYPE_CPU;
    caps->info.is_unified = d->is_unified;
    snprintf(caps->info.name, sizeof(caps->info.name), "%.127s", base->deviceName);
    snprintf(caps->info.driver, sizeof(caps->info.driver), "%.48s %.48s, Vulkan %u.%u",
             driver.driverName, driver.driverInfo, VK_API_VERSION_MAJOR(base->apiVersion),
             VK_API_VERSION_MINOR(base->apiVersion));
    caps->info.memory_bytes = memory_bytes(d);
    caps->bits = cap_bits(base, driver.driverID);
    set_limits(caps, c->physical, base, maintenance3.maxMemoryAllocationSize);
    caps->max_work = caps->info.is_software ? 0 : DLM_GPU_MAX_WORK;
    caps->num_units = count_units(c->physical, caps->info.is_software);
    caps->free_bytes = dlm_vk_free_bytes(d, &from);
}

static void set_timestamps(struct dlm_vk_device *d)
{
    VkQueueFamilyProperties families[32];
    uint32_t num = DLM_ARRAY_LEN(families);
    VkPhysicalDeviceProperties props;

    vkGetPhysicalDeviceQueueFamilyProperties(d->physical, &num, families);
    vkGetPhysicalDeviceProperties(d->physical, &props);
    uint32_t bits = families[d->family].timestampValidBits;
    d->tick_seconds = (double)props.limits.timestampPeriod * 1e-9;
    d->tick_mask = bits >= 64 ? UINT64_MAX : ((uint64_t)1 << bits) - 1;
}

enum dlm_status dlm_vk_device_create(struct dlm_vk_device *d)
{
    const float priority = 1;
    const VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
        .queueFamilyIndex = d->family,
        .queueCount = 1,
        .pQueuePriorities = &priority,
    };
    const VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
        .pNext = &d->features.vulkan11,
        .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &queue,
        .enabledExtensionCount = d->features.num_extensions,
        .ppEnabledExtensionNames = d->features.extensions,
    };

    VkResult r = vkCreateDevice(d->physical, &info, NULL, &d->device);
    if (r) {
        d->device = VK_NULL_HANDLE;
        return dlm_vk_fail(d, r, "open the device");
    }
    vkGetDeviceQueue(d->device, d->family, 0, &d->queue);
    set_timestamps(d);
    return DLM_OK;
}
