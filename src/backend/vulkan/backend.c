/* The Vulkan backend's table, and opening and closing a device: its parts in order. */
#include "backend/vulkan/vk.h"

#include "base/log.h"
#include "base/mem.h"

/* Far below every watchdog (2 s at the least), long enough to hide the cost of a submission. */
#define SLICE_SECONDS 0.15

static int enumerate(struct dlm_ctx *ctx, struct dlm_device_info *list, int max)
{
    struct dlm_vk_candidates candidates;

    dlm_vk_candidates_find(ctx, &candidates);
    int num = DLM_MIN(candidates.num, max);
    for (int i = 0; i < num; i++) {
        struct dlm_vk_device d = {0};
        dlm_vk_device_describe(&d, &candidates.list[i], i);
        list[i] = d.base.caps.info;
    }
    if (candidates.instance)
        vkDestroyInstance(candidates.instance, NULL);
    return num;
}

static int probe(struct dlm_ctx *ctx, struct dlm_device_properties *list, int max)
{
    struct dlm_vk_candidates candidates;

    dlm_vk_candidates_find(ctx, &candidates);
    int num = DLM_MIN(candidates.num, max);
    for (int i = 0; i < num; i++) {
        struct dlm_vk_device d = {.instance = candidates.instance};
        dlm_vk_device_describe(&d, &candidates.list[i], i);
        dlm_vk_device_properties(&d, &list[i]);
    }
    if (candidates.instance)
        vkDestroyInstance(candidates.instance, NULL);
    return num;
}

static void close_device(struct dlm_device *device)
{
    struct dlm_vk_device *d = dlm_vk_device_of(device);

    if (d->device) {
        dlm_vk_queue_close(d);
        dlm_vk_copy_close(d);
        dlm_vk_kernels_close(d);
        vkDestroyDevice(d->device, NULL);
    }
    if (d->instance)
        vkDestroyInstance(d->instance, NULL);
    dlm_free(d);
}

static enum dlm_status open_device(struct dlm_ctx *ctx, struct dlm_device **out, int index,
                                   const struct dlm_device_params *params)
{
    struct dlm_vk_candidates candidates;

    *out = NULL;
    dlm_vk_candidates_find(ctx, &candidates);
    struct dlm_vk_device *d = dlm_alloc(ctx, sizeof(*d));
    if (!d) {
        if (candidates.instance)
            vkDestroyInstance(candidates.instance, NULL);
        return DLM_ERR_MEMORY;
    }
    d->base.ctx = ctx;
    d->base.backend = &dlm_backend_vulkan;
    d->instance = candidates.instance;
    d->map_buffers = true;
    d->slice_seconds = SLICE_SECONDS;
    d->get_times = vkGetQueryPoolResults;

    enum dlm_status st = DLM_OK;
    index = DLM_MAX(index, 0);
    if (!candidates.num) {
        st = dlm_fail(ctx, DLM_ERR_NO_DEVICE, "cannot open a vulkan device: %s", candidates.why);
    } else if (index >= candidates.num) {
        st = dlm_fail(ctx, DLM_ERR_NO_DEVICE, "cannot open vulkan device %d: only %d found", index,
                      candidates.num);
    } else {
        dlm_vk_device_describe(d, &candidates.list[index], index);
        dlm_vk_features_choose(d, params->no_matrix);
        st = dlm_vk_device_create(d);
    }
    if (!st)
        st = dlm_vk_queue_open(d);
    if (!st)
        st = dlm_vk_copy_open(d);
    if (!st)
        st = dlm_vk_kernels_open(d, params->cache_dir);
    if (st)
        close_device(&d->base);
    else
        *out = &d->base;
    return st;
}

const struct dlm_backend dlm_backend_vulkan = {
    .kind = DLM_BACKEND_VULKAN,
    .enumerate = enumerate,
    .probe = probe,
    .open = open_device,
    .close = close_device,
    .buffer_create = dlm_vk_buffer_create,
    .buffer_destroy = dlm_vk_buffer_destroy,
    .buffer_write = dlm_vk_buffer_write,
    .buffer_read = dlm_vk_buffer_read,
    .buffer_fill = dlm_vk_buffer_fill,
    .has_kernel = dlm_vk_has_kernel,
    .hash_kernels = dlm_vk_hash_kernels,
    .recording_create = dlm_vk_recording_create,
    .recording_destroy = dlm_vk_recording_destroy,
    .recording_run = dlm_vk_recording_run,
    .recording_profile = dlm_vk_recording_profile,
    .wait = dlm_vk_wait,
};
