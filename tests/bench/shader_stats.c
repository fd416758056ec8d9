/* The compiler's view of the shaders: what the driver of an AMD GPU makes of every Vulkan kernel of
 * this build, told by the compiler itself, so that no such GPU is needed.
 *
 *     shader_stats [--isa] [--goals] [PART OF A KERNEL'S NAME]...
 *
 * One row of a table a kernel and set of constants: registers, spills, shared memory, waves, and
 * what an iteration of its main loop is made of. Which constants and how many subgroups a kernel
 * gets is read from plans of the shapes below, made for the device under every policy; a kernel
 * that none of them calls is made as it is (marked *), unless it is one for devices without shared
 * memory of their own, which no such GPU is. The backend makes them, with the features
 * that it chooses on the device. The linker wraps (--wrap) what is listened to, dlm_plan_create(),
 * and the calls of Vulkan that must ask for more, or for less. --goals: only kernels that have a
 * goal (isa_goal.c). --isa prints the machine code before each row. Exit: 0; 1 where a kernel
 * spills or is not made.
 *
 * tools/dev/shader_stats runs this for several families, on RADV's null device. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/vulkan/vk.h"
#include "base/mem.h"
#include "dlm/bench.h"
#include "graph/plan.h"
#include "isa.h"

static const char *const shapes[] = {"paligemma-3b-224", "qwen2-vl-2b"};

/* What plans call: kernels with their constants, each once. */
static struct {
    struct dlm_dispatch list[1024];
    size_t num;
} called;

/* The last pipeline that was made: vkCreateComputePipelines has no room for a pointer of ours. */
static struct {
    struct isa_stats stats;
    bool has_stats, show_isa;
} made;

/* Entry points of VK_KHR_pipeline_executable_properties. */
static PFN_vkGetPipelineExecutableStatisticsKHR get_statistics;
static PFN_vkGetPipelineExecutablePropertiesKHR get_properties;
static PFN_vkGetPipelineExecutableInternalRepresentationsKHR get_texts;

enum dlm_status __real_dlm_plan_create(struct dlm_ctx *ctx, struct dlm_plan **out,
                                       const struct dlm_graph *graph,
                                       const struct dlm_device *device);
enum dlm_status __wrap_dlm_plan_create(struct dlm_ctx *ctx, struct dlm_plan **out,
                                       const struct dlm_graph *graph,
                                       const struct dlm_device *device);
VkResult __real_vkCreateDevice(VkPhysicalDevice physical, const VkDeviceCreateInfo *info,
                               const VkAllocationCallbacks *alloc, VkDevice *device);
VkResult __wrap_vkCreateDevice(VkPhysicalDevice physical, const VkDeviceCreateInfo *info,
                               const VkAllocationCallbacks *alloc, VkDevice *device);
VkResult __wrap_vkCreateSemaphore(VkDevice device, const VkSemaphoreCreateInfo *info,
                                  const VkAllocationCallbacks *alloc, VkSemaphore *semaphore);
VkResult __real_vkCreateComputePipelines(VkDevice device, VkPipelineCache cache, uint32_t num,
                                         const VkComputePipelineCreateInfo *infos,
                                         const VkAllocationCallbacks *alloc, VkPipeline *out);
VkResult __wrap_vkCreateComputePipelines(VkDevice device, VkPipelineCache cache, uint32_t num,
                                         const VkComputePipelineCreateInfo *infos,
                                         const VkAllocationCallbacks *alloc, VkPipeline *out);

static bool is_same(const struct dlm_dispatch *a, const struct dlm_dispatch *b)
{
    return !strcmp(a->kernel, b->kernel) && a->subgroups == b->subgroups &&
           a->num_specs == b->num_specs && !memcmp(a->specs, b->specs, sizeof(a->specs));
}

/* The name in the table, which outlives the plan's. */
static const char *name_of(const char *kernel)
{
    const struct dlm_vk_kernel *row = dlm_vk_kernels;

    while (row->name && strcmp(row->name, kernel))
        row++;
    return row->name;
}

static void add_called(const struct dlm_kernel_call *c)
{
    struct dlm_dispatch d = {.kernel = name_of(c->kernel), .num_bindings = DLM_MAX_BINDINGS,
                             .num_specs = c->num_specs, .subgroups = c->subgroups};
    size_t at = 0;

    memcpy(d.specs, c->specs, sizeof(d.specs));
    while (at < called.num && !is_same(&called.list[at], &d))
        at++;
    if (at == called.num && at < DLM_ARRAY_LEN(called.list))
        called.list[called.num++] = d;
}

enum dlm_status __wrap_dlm_plan_create(struct dlm_ctx *ctx, struct dlm_plan **out,
                                       const struct dlm_graph *graph,
                                       const struct dlm_device *device)
{
    enum dlm_status st = __real_dlm_plan_create(ctx, out, graph, device);

    for (size_t i = 0; !st && i < (*out)->num_calls; i++)
        add_called(&(*out)->calls[i].call);
    return st;
}

VkResult __wrap_vkCreateDevice(VkPhysicalDevice physical, const VkDeviceCreateInfo *info,
                               const VkAllocationCallbacks *alloc, VkDevice *device)
{
    const char *names[64];
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR feature = {
        .sType =
            VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR,
        .pNext = (void *)(uintptr_t)info->pNext, /* the chain is only read */
        .pipelineExecutableInfo = VK_TRUE,
    };
    VkDeviceCreateInfo more = *info;

    if (info->enabledExtensionCount >= DLM_ARRAY_LEN(names))
        return VK_ERROR_TOO_MANY_OBJECTS;
    for (uint32_t i = 0; i < info->enabledExtensionCount; i++)
        names[i] = info->ppEnabledExtensionNames[i];
    names[more.enabledExtensionCount++] = VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME;
    more.ppEnabledExtensionNames = names;
    more.pNext = &feature;
    const VkResult r = __real_vkCreateDevice(physical, &more, alloc, device);
    if (r)
        return r;
    get_statistics = (PFN_vkGetPipelineExecutableStatisticsKHR)vkGetDeviceProcAddr(
        *device, "vkGetPipelineExecutableStatisticsKHR");
    get_properties = (PFN_vkGetPipelineExecutablePropertiesKHR)vkGetDeviceProcAddr(
        *device, "vkGetPipelineExecutablePropertiesKHR");
    get_texts = (PFN_vkGetPipelineExecutableInternalRepresentationsKHR)vkGetDeviceProcAddr(
        *device, "vkGetPipelineExecutableInternalRepresentationsKHR");
    return VK_SUCCESS;
}

/* The null device has none, and nothing here is run that would wait for one. */
VkResult __wrap_vkCreateSemaphore(VkDevice device, const VkSemaphoreCreateInfo *info,
                                  const VkAllocationCallbacks *alloc, VkSemaphore *semaphore)
{
    (void)device;
    (void)info;
    (void)alloc;
    *semaphore = VK_NULL_HANDLE;
    return VK_SUCCESS;
}

static void read_numbers(VkDevice device, const VkPipelineExecutableInfoKHR *which,
                         struct isa_stats *s)
{
    VkPipelineExecutableStatisticKHR list[64];
    uint32_t num = DLM_ARRAY_LEN(list);
    const struct {
        const char *name;
        uint64_t *value;
    } wanted[] = {
        {"VGPRs", &s->vgprs},         {"Spilled VGPRs", &s->spilled_vgprs},
        {"SGPRs", &s->sgprs},         {"Spilled SGPRs", &s->spilled_sgprs},
        {"LDS size", &s->lds_bytes},  {"Scratch size", &s->scratch_bytes},
        {"Subgroups per SIMD", &s->waves},
        {"Inverse Throughput", &s->cycles},
    };

    for (uint32_t i = 0; i < num; i++)
        list[i] = (VkPipelineExecutableStatisticKHR){
            .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR};
    if (get_statistics(device, which, &num, list) < 0)
        return;
    for (uint32_t i = 0; i < num; i++) {
        for (size_t w = 0; w < DLM_ARRAY_LEN(wanted); w++) {
            if (!strcmp(list[i].name, wanted[w].name) &&
                list[i].format == VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_UINT64_KHR) {
                *wanted[w].value = list[i].value.u64;
                s->num_numbers++;
            }
        }
    }
    made.has_stats = s->num_numbers == DLM_ARRAY_LEN(wanted);
}

static void read_code(VkDevice device, const VkPipelineExecutableInfoKHR *which,
                      struct isa_stats *s)
{
    VkPipelineExecutableInternalRepresentationKHR list[8];
    uint32_t num = DLM_ARRAY_LEN(list);

    for (uint32_t i = 0; i < num; i++)
        list[i] = (VkPipelineExecutableInternalRepresentationKHR){
            .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INTERNAL_REPRESENTATION_KHR};
    if (get_texts(device, which, &num, list) < 0)
        return;
    for (uint32_t i = 0; i < num; i++)
        list[i].pData = calloc(1, list[i].dataSize + 1);
    if (!get_texts(device, which, &num, list)) {
        for (uint32_t i = 0; i < num; i++) {
            if (!list[i].pData || strcmp(list[i].name, "Assembly"))
                continue;
            if (made.show_isa)
                puts(list[i].pData);
            isa_count(list[i].pData, s);
        }
    }
    for (uint32_t i = 0; i < num; i++)
        free(list[i].pData);
}

VkResult __wrap_vkCreateComputePipelines(VkDevice device, VkPipelineCache cache, uint32_t num,
                                         const VkComputePipelineCreateInfo *infos,
                                         const VkAllocationCallbacks *alloc, VkPipeline *out)
{
    VkComputePipelineCreateInfo info = infos[0];

    (void)cache; /* what it holds may lack the texts */
    info.flags |= VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR |
                  VK_PIPELINE_CREATE_CAPTURE_INTERNAL_REPRESENTATIONS_BIT_KHR;
    const VkResult r = __real_vkCreateComputePipelines(device, VK_NULL_HANDLE, num, &info, alloc,
                                                       out);
    if (r || num != 1)
        return r;
    const VkPipelineInfoKHR pipeline = {.sType = VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR,
                                        .pipeline = out[0]};
    const VkPipelineExecutableInfoKHR which = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, .pipeline = out[0]};
    VkPipelineExecutablePropertiesKHR props = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_PROPERTIES_KHR};
    uint32_t one = 1;
    made.stats = (struct isa_stats){0};
    if (get_properties(device, &pipeline, &one, &props) >= 0)
        made.stats.wave = props.subgroupSize;
    read_numbers(device, &which, &made.stats);
    read_code(device, &which, &made.stats);
    return VK_SUCCESS;
}

/* SPIR-V, "Execution Mode" */
static uint32_t count_lanes(const struct dlm_vk_kernel *kernel)
{
    enum { HEADER_WORDS = 5, OP_EXECUTION_MODE = 16, MODE_LOCAL_SIZE = 17 };

    for (size_t i = HEADER_WORDS; i + 5 < kernel->num_words;) {
        const uint32_t *w = kernel->words + i;
        if ((w[0] & 0xffff) == OP_EXECUTION_MODE && w[2] == MODE_LOCAL_SIZE)
            return w[3] * w[4] * w[5];
        if (!(w[0] >> 16))
            break;
        i += w[0] >> 16;
    }
    return 0;
}

/* "matmul (64 32)": with its constants */
static void name_row(const struct dlm_dispatch *d, bool is_called, char *text, size_t size)
{
    size_t len = (size_t)snprintf(text, size, "%s%s", d->kernel, is_called ? "" : " *");

    for (uint32_t i = 0; i < d->num_specs && len < size; i++)
        len += (size_t)snprintf(text + len, size - len, "%s%u", i ? " " : " (", d->specs[i]);
    if (d->num_specs && len < size)
        len += (size_t)snprintf(text + len, size - len, ")");
}

/* Makes a kernel and prints its row. Returns false where it spills or is not made. */
static bool show(struct dlm_vk_device *device, const struct dlm_dispatch *d, bool is_called,
                 const char *family, bool only_goals)
{
    struct isa_stats *s = &made.stats;
    struct dlm_vk_pipeline *pipeline = NULL;
    char name[128], verdict[160];

    made.has_stats = false;
    name_row(d, is_called, name, sizeof(name));
    if (made.show_isa)
        printf("%s on %s\n", name, family);
    if (dlm_vk_pipelines_get(device, d, 1, &pipeline) || !made.has_stats) {
        fprintf(stderr, "%s: '%s': no statistics\n", family, name);
        return false;
    }
    const struct dlm_vk_kernel *kernel = pipeline->row->kernel;
    s->lanes = kernel->subgroups ? pipeline->subgroups * device->subgroup : count_lanes(kernel);
    const bool has_goal = isa_goal(d->kernel, s, verdict, sizeof(verdict));
    if (has_goal || !only_goals) {
        isa_print_row(family, name, s, has_goal ? verdict : "");
        fflush(stdout);
    }
    const bool spills = s->spilled_vgprs || s->spilled_sgprs || s->scratch_bytes;
    if (spills)
        fprintf(stderr, "%s: '%s' spills\n", family, name);
    return !spills;
}

static bool is_asked(const char *name, int num, char **parts)
{
    bool found = !num;

    for (int i = 0; i < num && !found; i++)
        found = strstr(name, parts[i]) != NULL;
    return found;
}

/* Kernels by name, in the order of their first calls. */
static int compare(const void *a, const void *b)
{
    return strcmp(((const struct dlm_dispatch *)a)->kernel,
                  ((const struct dlm_dispatch *)b)->kernel);
}

/* Plans every shape under every policy; what is called is in `called`, sorted. False after an
 * error. */
static bool make_plans(struct dlm_ctx *ctx)
{
    bool ok = true;

    for (size_t i = 0; i < DLM_ARRAY_LEN(shapes); i++) {
        for (int p = DLM_PRECISION_FP32; p < DLM_PRECISION_COUNT; p++) {
            const struct dlm_bench_params params = {
                .shape = shapes[i], .plan_only = true,
                .compute = {.backend = DLM_BACKEND_VULKAN, .has_device = true,
                            .precision = (enum dlm_precision)p}};
            struct dlm_bench_result result;
            ok &= !dlm_bench(ctx, &params, &result);
            dlm_bench_result_finish(&result);
        }
    }
    qsort(called.list, called.num, sizeof(called.list[0]), compare);
    return ok;
}

static bool is_called(const char *kernel)
{
    const struct dlm_dispatch key = {.kernel = kernel};

    return bsearch(&key, called.list, called.num, sizeof(key), compare) != NULL;
}

int main(int argc, char **argv)
{
    const struct dlm_device_params params = {.kind = DLM_BACKEND_VULKAN};
    /* one thread, since `made` is one */
    struct dlm_ctx *ctx = dlm_ctx_create(&(struct dlm_ctx_params){.num_threads = 1});
    struct dlm_device *device = NULL;
    bool only_goals = false;
    int first = 1, num = 0, num_bad = 0;

    for (; first < argc && !strncmp(argv[first], "--", 2); first++) {
        made.show_isa |= !strcmp(argv[first], "--isa");
        only_goals |= !strcmp(argv[first], "--goals");
    }
    if (!ctx || dlm_device_open(ctx, &device, &params)) {
        fprintf(stderr, "no device: %s\n", ctx ? dlm_ctx_last_error(ctx) : "no memory");
        return 1;
    }
    struct dlm_vk_device *d = dlm_vk_device_of(device);
    const char *family = getenv("AMDGPU_GPU_ID");
    if (!family)
        family = dlm_device_get_caps(device)->info.name;
    if (!make_plans(ctx)) { /* what they would have called is shown as it is */
        fprintf(stderr, "%s: no plan: %s\n", family, dlm_ctx_last_error(ctx));
        num_bad++;
    }
    for (size_t i = 0; i < called.num; i++) {
        if (!is_asked(called.list[i].kernel, argc - first, argv + first))
            continue;
        num++;
        num_bad += !show(d, &called.list[i], true, family, only_goals);
    }
    for (size_t i = 0; i < d->num_rows; i++) {
        const struct dlm_dispatch other = {.kernel = d->rows[i].kernel->name,
                                           .num_bindings = DLM_MAX_BINDINGS};
        if (is_called(other.kernel) || strstr(other.kernel, "nolocal") ||
            strstr(other.kernel, "_subgroup") || !dlm_device_has_kernel(device, other.kernel) ||
            !is_asked(other.kernel, argc - first, argv + first))
            continue;
        num++;
        num_bad += !show(d, &other, false, family, only_goals);
    }
    fprintf(stderr, "%s: %d kernels, %d of them spill or are not made\n", family, num, num_bad);
    dlm_device_destroy(&device);
    dlm_ctx_destroy(&ctx);
    return num_bad > 0;
}
