/* Kernels: a pipeline a row of dlm_vk_kernels, made when first needed, and the driver's pipeline
 * cache kept in a file.
 *
 * The file is named after the driver's cache id and version. It holds a line with a magic word and
 * the SHA-256 of the rest, because drivers trust what they wrote: a damaged file must not reach
 * them. */
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
    const struct dlm_vk_pipeline *x = a, *y = b;

    return strcmp(x->kernel->name, y->kernel->name);
}

static struct dlm_vk_pipeline *find_row(const struct dlm_vk_device *d, const char *name)
{
    const struct dlm_vk_kernel kernel = {.name = name};
    const struct dlm_vk_pipeline key = {.kernel = &kernel};

    return bsearch(&key, d->pipelines, d->num_pipelines, sizeof(key), compare_rows);
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
    return find_row(dlm_vk_device_of(device), kernel) != NULL;
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
    return dlm_strf(d->base.ctx, "%s/vulkan-%s-%08x.bin", cache_dir, uuid, props.driverVersion);
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
    d->pipelines = dlm_alloc_array(d->base.ctx, num, sizeof(*d->pipelines));
    if (!d->pipelines)
        return DLM_ERR_MEMORY;
    d->num_pipelines = num;
    for (size_t i = 0; i < num; i++) {
        d->pipelines[i].kernel = &dlm_vk_kernels[i];
        d->pipelines[i].num_bindings = count_bindings(&dlm_vk_kernels[i]);
    }
    qsort(d->pipelines, num, sizeof(*d->pipelines), compare_rows);

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
    for (size_t i = 0; i < d->num_pipelines; i++)
        vkDestroyPipeline(d->device, d->pipelines[i].pipeline, NULL);
    vkDestroyPipelineCache(d->device, d->cache, NULL);
    for (uint32_t i = 0; i <= DLM_MAX_BINDINGS; i++) {
        vkDestroyPipelineLayout(d->device, d->layouts[i], NULL);
        vkDestroyDescriptorSetLayout(d->device, d->set_layouts[i], NULL);
    }
    dlm_free(d->pipelines);
    dlm_free(d->cache_path);
}

/* The pipelines to make, for the pool. */
struct build {
    struct dlm_vk_device *device;
    struct dlm_vk_pipeline **rows;
    size_t num;
};

static void build_pipeline(void *user, int64_t item, int worker)
{
    const struct build *build = user;
    struct dlm_vk_device *d = build->device;
    struct dlm_vk_pipeline *row = build->rows[item];
    const VkShaderModuleCreateInfo module_info = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
        .codeSize = row->kernel->num_words * 4,
        .pCode = row->kernel->words,
    };
    VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .flags = VK_PIPELINE_CREATE_DISPATCH_BASE, /* for parts: recording.c */
        .stage = {
            .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
            .stage = VK_SHADER_STAGE_COMPUTE_BIT,
            .pName = "main",
        },
        .layout = d->layouts[row->num_bindings],
    };

    (void)worker; /* nothing is kept by worker */
    row->result = vkCreateShaderModule(d->device, &module_info, NULL, &info.stage.module);
    if (row->result)
        return;
    row->result = vkCreateComputePipelines(d->device, d->cache, 1, &info, NULL, &row->pipeline);
    if (row->result)
        row->pipeline = VK_NULL_HANDLE;
    vkDestroyShaderModule(d->device, info.stage.module, NULL);
}

/* Compiles build->rows, on the context's threads when there are several. */
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
        const struct dlm_vk_pipeline *row = build->rows[i];
        if (row->result)
            return dlm_vk_fail(d, row->result, "compile kernel '%s'", row->kernel->name);
    }
    return DLM_OK;
}

static enum dlm_status check_dispatch(struct dlm_vk_device *d, const struct dlm_dispatch *dispatch,
                                      const struct dlm_vk_pipeline *row)
{
    if (!row)
        return dlm_fail(d->base.ctx, DLM_ERR_UNSUPPORTED, "vulkan has no kernel '%s'",
                        dispatch->kernel);
    if (row->num_bindings > d->max_bindings)
        return dlm_fail(d->base.ctx, DLM_ERR_UNSUPPORTED,
                        "kernel '%s' needs %u buffers, '%s' allows %u", dispatch->kernel,
                        row->num_bindings, d->base.caps.info.name, d->max_bindings);
    if (row->num_bindings > dispatch->num_bindings)
        return dlm_fail(d->base.ctx, DLM_ERR_INVALID, "kernel '%s' has %u buffers, %u were given",
                        dispatch->kernel, row->num_bindings, dispatch->num_bindings);
    return DLM_OK;
}

enum dlm_status dlm_vk_pipelines_get(struct dlm_vk_device *d, const struct dlm_dispatch *list,
                                     size_t num, struct dlm_vk_pipeline **out)
{
    struct build build = {.device = d};
    enum dlm_status st = DLM_OK;

    build.rows = dlm_alloc_array(d->base.ctx, d->num_pipelines, sizeof(*build.rows));
    if (!build.rows)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; i < num; i++) {
        out[i] = find_row(d, list[i].kernel);
        st = check_dispatch(d, &list[i], out[i]);
        if (!st)
            st = make_layouts(d, out[i]->num_bindings);
        if (st)
            goto done;
        if (!out[i]->pipeline && !out[i]->is_wanted) {
            out[i]->is_wanted = true;
            build.rows[build.num++] = out[i];
        }
    }
    st = build_pipelines(&build);
done:
    for (size_t i = 0; i < build.num; i++)
        build.rows[i]->is_wanted = false;
    dlm_free(build.rows);
    return st;
}
