/* Kernels: the rows of dlm_vk_kernels that the device can run, a pipeline for each set of constants
 * that is asked for, made when first needed, and the driver's pipeline cache kept in a file.
 *
 * The file is named after the driver's cache id and version, and the device, of which some drivers'
 * ids say nothing. It holds a line with a magic word and the SHA-256 of the rest, because drivers
 * trust what they wrote: a damaged file must not reach them. */
#include "backend/vulkan/vk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/sha256.h"

#define CACHE_MAGIC "dlm-vk-1 "
#define CACHE_HEADER_BYTES (sizeof(CACHE_MAGIC) - 1 + 64 + 1)
#define MAX_CACHE_BYTES ((size_t)256 << 20)

/* SPIR-V, "Instructions" and "Decoration" */
#define SPIRV_HEADER_WORDS 5
#define SPIRV_OP_DECORATE 71
#define SPIRV_DECORATION_BINDING 33

static int compare_rows(const void *a, const void *b)
{
    const struct dlm_vk_row *x = a, *y = b;

    return strcmp(x->kernel->name, y->kernel->name);
}

static struct dlm_vk_row *find_row(const struct dlm_vk_device *d, const char *name)
{
    const struct dlm_vk_kernel kernel = {.name = name};
    const struct dlm_vk_row key = {.kernel = &kernel};

    return bsearch(&key, d->rows, d->num_rows, sizeof(key), compare_rows);
}

/* The device has all that the kernel needs, and its matrix units are those it is compiled for. */
static bool can_run(const struct dlm_vk_device *d, const struct dlm_vk_kernel *kernel)
{
    return !(kernel->needs & ~d->base.all_bits) &&
           (!kernel->shape[0] || !memcmp(kernel->shape, d->shape, sizeof(d->shape))) &&
           kernel->subgroups * d->subgroup <= d->max_lanes;
}

void dlm_vk_hash_kernels(struct dlm_sha256 *hash)
{
    for (const struct dlm_vk_kernel *row = dlm_vk_kernels; row->name; row++) {
        dlm_sha256_update(hash, row->name, strlen(row->name) + 1);
        dlm_sha256_update(hash, row->words, row->num_words * sizeof(row->words[0]));
    }
}

bool dlm_vk_has_kernel(const struct dlm_device *device, const char *kernel)
{
    const struct dlm_vk_row *row = find_row(dlm_vk_device_of(device), kernel);

    return row && !(row->kernel->needs & ~device->caps.bits);
}

/* One more than the highest binding that the module names. */
static uint32_t count_bindings(const struct dlm_vk_kernel *kernel)
{
    uint32_t num = 0;

    for (size_t i = SPIRV_HEADER_WORDS; i < kernel->num_words;) {
        uint32_t op = kernel->words[i] & 0xffff;
        uint32_t len = kernel->words[i] >> 16;
        if (len == 0 || len > kernel->num_words - i)
            break;
        if (op == SPIRV_OP_DECORATE && len == 4 &&
            kernel->words[i + 2] == SPIRV_DECORATION_BINDING)
            num = DLM_MAX(num, kernel->words[i + 3] + 1);
        i += len;
    }
    return num;
}

static enum dlm_status make_layouts(struct dlm_vk_device *d, uint32_t num)
{
    VkDescriptorSetLayoutBinding bindings[DLM_MAX_BINDINGS];

    if (d->layouts[num])
        return DLM_OK;
    for (uint32_t i = 0; i < num; i++) {
        bindings[i] = (VkDescriptorSetLayoutBinding){
            .binding = i,
            .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
            .descriptorCount = 1,
            .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
        };
    }
    const VkDescriptorSetLayoutCreateInfo set = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
        .bindingCount = num,
        .pBindings = bindings,
    };
    VkResult r = VK_SUCCESS;
    if (!d->set_layouts[num])
        r = vkCreateDescriptorSetLayout(d->device, &set, NULL, &d->set_layouts[num]);
    if (r)
        return dlm_vk_fail(d, r, "create a descriptor set layout");
    const VkPushConstantRange push = {
        .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
        .size = DLM_MAX_PARAMS_BYTES, /* every device has as much */
    };
    const VkPipelineLayoutCreateInfo layout = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
        .setLayoutCount = 1,
        .pSetLayouts = &d->set_layouts[num],
        .pushConstantRangeCount = 1,
        .pPushConstantRanges = &push,
    };
    r = vkCreatePipelineLayout(d->device, &layout, NULL, &d->layouts[num]);
    return r ? dlm_vk_fail(d, r, "create a pipeline layout") : DLM_OK;
}

/* The path of this driver's cache file; NULL when out of memory. */
static char *make_cache_path(struct dlm_vk_device *d, const char *cache_dir)
{
    VkPhysicalDeviceProperties props;
    char uuid[2 * VK_UUID_SIZE + 1];

    vkGetPhysicalDeviceProperties(d->physical, &props);
    for (size_t i = 0; i < VK_UUID_SIZE; i++)
        snprintf(uuid + 2 * i, 3, "%02x", props.pipelineCacheUUID[i]);
    return dlm_strf(d->base.ctx, "%s/vulkan-%s-%08x-%04x.bin", cache_dir, uuid, props.driverVersion,
                    props.deviceID);
}

/* Checks our line, then the header that Vulkan specifies for cache data. */
static bool is_cache_valid(const struct dlm_vk_device *d, const struct dlm_map *map)
{
    VkPhysicalDeviceProperties props;
    VkPipelineCacheHeaderVersionOne header;
    char hex[65];

    if (map->bytes < CACHE_HEADER_BYTES + sizeof(header) || map->bytes > MAX_CACHE_BYTES ||
        memcmp(map->data, CACHE_MAGIC, sizeof(CACHE_MAGIC) - 1))
        return false;
    dlm_sha256_of(map->data + CACHE_HEADER_BYTES, map->bytes - CACHE_HEADER_BYTES, hex);
    if (memcmp(map->data + sizeof(CACHE_MAGIC) - 1, hex, 64))
        return false;
    memcpy(&header, map->data + CACHE_HEADER_BYTES, sizeof(header));
    vkGetPhysicalDeviceProperties(d->physical, &props);
    return header.headerVersion == VK_PIPELINE_CACHE_HEADER_VERSION_ONE &&
           header.vendorID == props.vendorID && header.deviceID == props.deviceID &&
           !memcmp(header.pipelineCacheUUID, props.pipelineCacheUUID, VK_UUID_SIZE);
}

/* A cache that cannot be read is an empty one. */
static enum dlm_status open_cache(struct dlm_vk_device *d)
{
    struct dlm_map map = {0};
    VkPipelineCacheCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO};
    VkResult r = VK_ERROR_UNKNOWN;

    if (d->cache_path && dlm_path_is_file(d->cache_path) &&
        !dlm_map_open(NULL, &map, d->cache_path)) { /* no context: not an error */
        if (is_cache_valid(d, &map)) {
            info.initialDataSize = map.bytes - CACHE_HEADER_BYTES;
            info.pInitialData = map.data + CACHE_HEADER_BYTES;
        } else {
            dlm_log(d->base.ctx, DLM_LOG_DEBUG, "vulkan: '%s' is damaged and not used",
                    d->cache_path);
        }
    }
    if (info.initialDataSize)
        r = vkCreatePipelineCache(d->device, &info, NULL, &d->cache);
    if (r) {
        info.initialDataSize = 0;
        info.pInitialData = NULL;
        r = vkCreatePipelineCache(d->device, &info, NULL, &d->cache);
    }
    d->cache_bytes = info.initialDataSize;
    dlm_map_close(&map);
    return r ? dlm_vk_fail(d, r, "create a pipeline cache") : DLM_OK;
}

/* Writes the cache file; a failure costs time at the next start and nothing else. */
static void save_cache(struct dlm_vk_device *d)
{
    size_t bytes = 0;
    char hex[65];
    uint8_t *data = NULL;

    if (!d->cache_path || d->base.lost ||
        vkGetPipelineCacheData(d->device, d->cache, &bytes, NULL) || bytes == d->cache_bytes ||
        bytes > MAX_CACHE_BYTES - CACHE_HEADER_BYTES)
        return;
    data = dlm_alloc(NULL, CACHE_HEADER_BYTES + bytes);
    if (!data || vkGetPipelineCacheData(d->device, d->cache, &bytes, data + CACHE_HEADER_BYTES))
        goto done;
    dlm_sha256_of(data + CACHE_HEADER_BYTES, bytes, hex);
    memcpy(data, CACHE_MAGIC, sizeof(CACHE_MAGIC) - 1);
    memcpy(data + sizeof(CACHE_MAGIC) - 1, hex, 64);
    data[CACHE_HEADER_BYTES - 1] = '\n';
    if (dlm_file_replace(NULL, d->cache_path, data, CACHE_HEADER_BYTES + bytes))
        dlm_log(d->base.ctx, DLM_LOG_DEBUG, "vulkan: '%s' not written", d->cache_path);
done:
    dlm_free(data);
}

enum dlm_status dlm_vk_kernels_open(struct dlm_vk_device *d, const char *cache_dir)
{
    size_t num = 0;

    while (dlm_vk_kernels[num].name)
        num++;
    d->rows = dlm_alloc_array(d->base.ctx, num, sizeof(*d->rows));
    if (!d->rows)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; i < num; i++) {
        if (can_run(d, &dlm_vk_kernels[i]))
            d->rows[d->num_rows++] = (struct dlm_vk_row){
                .kernel = &dlm_vk_kernels[i],
                .num_bindings = count_bindings(&dlm_vk_kernels[i]),
            };
    }
    qsort(d->rows, d->num_rows, sizeof(*d->rows), compare_rows);

    if (cache_dir && !dlm_dir_make(NULL, cache_dir)) { /* no context: without it, no cache */
        d->cache_path = make_cache_path(d, cache_dir);
        if (!d->cache_path)
            return DLM_ERR_MEMORY;
    }
    return open_cache(d);
}

void dlm_vk_kernels_close(struct dlm_vk_device *d)
{
    if (d->cache)
        save_cache(d);
    for (size_t i = 0; i < d->num_rows; i++) {
        while (d->rows[i].pipelines) {
            struct dlm_vk_pipeline *next = d->rows[i].pipelines->next;
            vkDestroyPipeline(d->device, d->rows[i].pipelines->pipeline, NULL);
            dlm_free(d->rows[i].pipelines);
            d->rows[i].pipelines = next;
        }
    }
    vkDestroyPipelineCache(d->device, d->cache, NULL);
    for (uint32_t i = 0; i <= DLM_MAX_BINDINGS; i++) {
        vkDestroyPipelineLayout(d->device, d->layouts[i], NULL);
        vkDestroyDescriptorSetLayout(d->device, d->set_layouts[i], NULL);
    }
    dlm_free(d->rows);
    dlm_free(d->cache_path);
}

/* The pipelines to make, for the pool. */
struct build {
    struct dlm_vk_device *device;
    struct dlm_vk_pipeline **list;
    size_t num;
};

/* Constants of a pipeline: those of the backend, then the dispatch's. */
struct specs {
    uint32_t values[DLM_FIRST_SPEC + DLM_MAX_SPECS];
    VkSpecializationMapEntry entries[DLM_FIRST_SPEC + DLM_MAX_SPECS];
    VkSpecializationInfo info;
};

static void set_specs(const struct dlm_vk_device *d, const struct dlm_vk_pipeline *p,
                      struct specs *s)
{
    const uint32_t num = DLM_FIRST_SPEC + p->num_specs;

    s->values[0] = d->subgroup;
    s->values[1] = d->subgroup * p->subgroups;
    memcpy(s->values + DLM_FIRST_SPEC, p->specs, sizeof(p->specs));
    for (uint32_t i = 0; i < num; i++)
        s->entries[i] = (VkSpecializationMapEntry){i, i * 4, 4};
    s->info = (VkSpecializationInfo){num, s->entries, num * 4, s->values};
}

static VkResult compile(struct dlm_vk_device *d, struct dlm_vk_pipeline *p, VkShaderModule module)
{
    const struct dlm_vk_kernel *kernel = p->row->kernel;
    const bool has_subgroups = kernel->needs & (DLM_CAP_SUBGROUP | DLM_CAPS_MATRIX);
    const VkPipelineShaderStageRequiredSubgroupSizeCreateInfoEXT size = {
        .sType =
            VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO_EXT,
        .requiredSubgroupSize = d->subgroup,
    };
    VkPipelineCreationFeedbackEXT feedback = {0}, stage_feedback = {0};
    const VkPipelineCreationFeedbackCreateInfoEXT ask = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_CREATION_FEEDBACK_CREATE_INFO_EXT,
        .pPipelineCreationFeedback = &feedback,
        .pipelineStageCreationFeedbackCount = 1,
        .pPipelineStageCreationFeedbacks = &stage_feedback,
    };
    struct specs specs;
    VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .pNext = d->features.has_feedback ? &ask : NULL,
        .flags = VK_PIPELINE_CREATE_DISPATCH_BASE, /* for parts: recording.c */
        .stage = {
            .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
            .pNext = has_subgroups && d->is_subgroup_required ? &size : NULL,
            .stage = VK_SHADER_STAGE_COMPUTE_BIT,
            .module = module,
            .pName = "main",
        },
        .layout = d->layouts[p->row->num_bindings],
    };

    if (has_subgroups && d->features.sizes.computeFullSubgroups)
        info.stage.flags = VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT_EXT;
    if (has_subgroups || p->num_specs) {
        set_specs(d, p, &specs);
        info.stage.pSpecializationInfo = &specs.info;
    }
    const VkResult r = vkCreateComputePipelines(d->device, d->cache, 1, &info, NULL, &p->pipeline);
    const VkPipelineCreationFeedbackFlagsEXT hit =
        VK_PIPELINE_CREATION_FEEDBACK_APPLICATION_PIPELINE_CACHE_HIT_BIT_EXT;
    if (feedback.flags & VK_PIPELINE_CREATION_FEEDBACK_VALID_BIT_EXT && !(feedback.flags & hit))
        p->compile_seconds = (double)feedback.duration * 1e-9;
    return r;
}

static void build_pipeline(void *user, int64_t item, int worker)
{
    const struct build *build = user;
    struct dlm_vk_device *d = build->device;
    struct dlm_vk_pipeline *p = build->list[item];
    const VkShaderModuleCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
        .codeSize = p->row->kernel->num_words * 4,
        .pCode = p->row->kernel->words,
    };
    VkShaderModule module;

    (void)worker; /* nothing is kept by worker */
    p->result = vkCreateShaderModule(d->device, &info, NULL, &module);
    if (p->result)
        return;
    p->result = compile(d, p, module);
    if (p->result)
        p->pipeline = VK_NULL_HANDLE;
    vkDestroyShaderModule(d->device, module, NULL);
}

/* Compiles build->list, on the context's threads when there are several. */
static enum dlm_status build_pipelines(struct build *build)
{
    struct dlm_vk_device *d = build->device;

    if (build->num == 1) {
        build_pipeline(build, 0, 0);
    } else if (build->num > 1) {
        struct dlm_pool *pool = dlm_ctx_pool(d->base.ctx);
        if (!pool)
            return DLM_ERR_MEMORY;
        dlm_pool_run(pool, build_pipeline, build, (int64_t)build->num);
    }
    for (size_t i = 0; i < build->num; i++) {
        const struct dlm_vk_pipeline *p = build->list[i];
        if (p->result)
            return dlm_vk_fail(d, p->result, "compile kernel '%s'", p->row->kernel->name);
        if (p->compile_seconds > 0)
            dlm_log(d->base.ctx, DLM_LOG_DEBUG, "compiled kernel '%s' in %.3f s",
                    p->row->kernel->name, p->compile_seconds);
    }
    return DLM_OK;
}

static enum dlm_status check_dispatch(struct dlm_vk_device *d, const struct dlm_dispatch *dispatch,
                                      const struct dlm_vk_row *row)
{
    if (!row)
        return dlm_fail(d->base.ctx, DLM_ERR_UNSUPPORTED, "vulkan has no kernel '%s'",
                        dispatch->kernel);
    if (row->num_bindings > d->max_bindings)
        return dlm_fail(d->base.ctx, DLM_ERR_UNSUPPORTED,
                        "kernel '%s' needs %u buffers, '%s' allows %u", dispatch->kernel,
                        row->num_bindings, d->base.caps.info.name, d->max_bindings);
    if (dispatch->subgroups > row->kernel->subgroups)
        return dlm_fail(d->base.ctx, DLM_ERR_INVALID, "kernel '%s' has at most %u subgroups",
                        dispatch->kernel, row->kernel->subgroups);
    if (row->num_bindings > dispatch->num_bindings)
        return dlm_fail(d->base.ctx, DLM_ERR_INVALID, "kernel '%s' has %u buffers, %u were given",
                        dispatch->kernel, row->num_bindings, dispatch->num_bindings);
    return DLM_OK;
}

/* The pipeline of a row with the dispatch's constants, not yet compiled if it is new; NULL: no
 * memory. */
static struct dlm_vk_pipeline *find_pipeline(struct dlm_vk_device *d, struct dlm_vk_row *row,
                                             const struct dlm_dispatch *dispatch)
{
    const size_t bytes = dispatch->num_specs * sizeof(dispatch->specs[0]);
    const uint32_t subgroups = dispatch->subgroups ? dispatch->subgroups : row->kernel->subgroups;

    for (struct dlm_vk_pipeline *p = row->pipelines; p; p = p->next) {
        if (p->num_specs == dispatch->num_specs && p->subgroups == subgroups &&
            !memcmp(p->specs, dispatch->specs, bytes))
            return p;
    }
    struct dlm_vk_pipeline *p = dlm_alloc(d->base.ctx, sizeof(*p));
    if (!p)
        return NULL;
    p->row = row;
    p->num_specs = dispatch->num_specs;
    p->subgroups = subgroups;
    memcpy(p->specs, dispatch->specs, bytes);
    p->next = row->pipelines;
    row->pipelines = p;
    return p;
}

enum dlm_status dlm_vk_pipelines_get(struct dlm_vk_device *d, const struct dlm_dispatch *list,
                                     size_t num, struct dlm_vk_pipeline **out)
{
    struct build build = {.device = d};
    enum dlm_status st = DLM_OK;

    build.list = dlm_alloc_array(d->base.ctx, num, sizeof(*build.list));
    if (!build.list)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; i < num; i++) {
        struct dlm_vk_row *row = find_row(d, list[i].kernel);
        st = check_dispatch(d, &list[i], row);
        if (!st)
            st = make_layouts(d, row->num_bindings);
        if (st)
            goto done;
        out[i] = find_pipeline(d, row, &list[i]);
        if (!out[i]) {
            st = DLM_ERR_MEMORY;
            goto done;
        }
        if (!out[i]->pipeline && !out[i]->is_wanted) {
            out[i]->is_wanted = true;
            build.list[build.num++] = out[i];
        }
    }
    st = build_pipelines(&build);
done:
    for (size_t i = 0; i < build.num; i++)
        build.list[i]->is_wanted = false;
    dlm_free(build.list);
    return st;
}
