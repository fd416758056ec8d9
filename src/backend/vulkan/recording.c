/* Recordings: command buffers written once and submitted again and again.
 *
 * The first run goes out in small slices, by the work of the dispatches, with a timestamp after
 * each one. The times decide how later runs are cut (slice.c); long ones keep two timestamps a
 * slice, so that the cut follows when times change. Slicing moves no barrier, so it never changes
 * results. */
#include "backend/vulkan/vk.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

/* Dispatches in a slice as long as nothing is known about their times. */
#define FIRST_SLICE_NUM 4
/* A dispatch that takes longer is worth a warning: watchdogs are near. */
#define LONG_DISPATCH_SECONDS 1.0

/* How the command buffers are written now. */
enum layout {
    LAYOUT_NONE,
    LAYOUT_MEASURE, /* small slices, a timestamp a dispatch */
    LAYOUT_PROFILE, /* the same, and one dispatch after the other */
    LAYOUT_REPLAY,  /* slices by time */
};

struct recording {
    struct dlm_recording base;
    struct dlm_dispatch *list;        /* [num] */
    struct dlm_vk_pipeline **kernels; /* [num] */
    VkDescriptorPool pool;
    VkDescriptorSet *sets; /* [num] */
    VkCommandPool commands;
    VkQueryPool queries; /* [2 num], or none */
    VkCommandBuffer *buffers;
    size_t num_buffers;
    struct dlm_vk_slice *slices; /* room for num */
    size_t num_slices;
    enum layout layout;
    bool has_queries; /* the slices write timestamps */
    bool is_measured; /* a whole run has gone out whose times were not read yet */
    bool has_warned;
    bool is_timed;   /* seconds were measured; before, they are guesses */
    double *seconds; /* [num], best knowledge */
    uint64_t value;  /* of the timeline, after the last run */
};

static struct recording *recording_of(struct dlm_recording *recording)
{
    return (struct recording *)recording;
}

static enum dlm_status create_sets(struct dlm_vk_device *d, struct recording *r)
{
    uint64_t num_descriptors = 0;

    for (size_t i = 0; i < r->base.num; i++)
        num_descriptors += r->kernels[i]->row->num_bindings;
    if (r->base.num > UINT32_MAX / 2 || num_descriptors > UINT32_MAX)
        return dlm_fail(d->base.ctx, DLM_ERR_UNSUPPORTED,
                        "a recording of %zu dispatches is too long", r->base.num);
    const VkDescriptorPoolSize size = {
        .type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
        .descriptorCount = (uint32_t)DLM_MAX(num_descriptors, 1),
    };
    const VkDescriptorPoolCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
        .maxSets = (uint32_t)DLM_MAX(r->base.num, 1),
        .poolSizeCount = 1,
        .pPoolSizes = &size,
    };
    VkResult result = vkCreateDescriptorPool(d->device, &info, NULL, &r->pool);
    for (size_t i = 0; !result && i < r->base.num; i++) {
        const VkDescriptorSetAllocateInfo allocate = {
            .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
            .descriptorPool = r->pool,
            .descriptorSetCount = 1,
            .pSetLayouts = &d->set_layouts[r->kernels[i]->row->num_bindings],
        };
        result = vkAllocateDescriptorSets(d->device, &allocate, &r->sets[i]);
    }
    return result ? dlm_vk_fail(d, result, "create %zu descriptor sets", r->base.num) : DLM_OK;
}

static void write_set(struct dlm_vk_device *d, VkDescriptorSet set,
                      const struct dlm_dispatch *dispatch, uint32_t num)
{
    VkDescriptorBufferInfo infos[DLM_MAX_BINDINGS];
    VkWriteDescriptorSet writes[DLM_MAX_BINDINGS];

    for (uint32_t i = 0; i < num; i++) {
        const struct dlm_binding *binding = &dispatch->bindings[i];
        infos[i] = (VkDescriptorBufferInfo){
            .buffer = ((struct dlm_vk_buffer *)binding->buffer)->memory.buffer,
            .offset = binding->offset,
            /* whole words: shaders see arrays of 16-bit elements as words; buffers are padded */
            .range = (binding->bytes + 3) / 4 * 4,
        };
        writes[i] = (VkWriteDescriptorSet){
            .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
            .dstSet = set,
            .dstBinding = i,
            .descriptorCount = 1,
            .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
            .pBufferInfo = &infos[i],
        };
    }
    vkUpdateDescriptorSets(d->device, num, writes, 0, NULL);
}

static enum dlm_status create_pools(struct dlm_vk_device *d, struct recording *r)
{
    const VkCommandPoolCreateInfo commands = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
        .queueFamilyIndex = d->family,
    };
    const VkQueryPoolCreateInfo queries = {
        .sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
        .queryType = VK_QUERY_TYPE_TIMESTAMP,
        .queryCount = (uint32_t)DLM_MAX(2 * r->base.num, 2),
    };

    VkResult result = vkCreateCommandPool(d->device, &commands, NULL, &r->commands);
    if (result)
        return dlm_vk_fail(d, result, "create a command pool");
    if (d->tick_mask)
        result = vkCreateQueryPool(d->device, &queries, NULL, &r->queries);
    return result ? dlm_vk_fail(d, result, "create a query pool") : DLM_OK;
}

/* On the slowest of devices; 0 where nothing takes too long. */
static double guess_seconds(const struct dlm_vk_device *d, const struct dlm_dispatch *dispatch)
{
    const uint64_t max_work = d->base.caps.max_work;

    return max_work ? (double)dispatch->work / (double)max_work * d->slice_seconds : 0;
}

size_t dlm_vk_recorded_bytes(void)
{
    const struct recording *r = NULL; /* for the sizes of what its lists hold */

    return sizeof(*r->list) + sizeof(*r->kernels) + sizeof(*r->sets) + sizeof(*r->buffers) +
           sizeof(*r->slices) + sizeof(*r->seconds);
}

enum dlm_status dlm_vk_recording_create(struct dlm_device *device, struct dlm_recording **out,
                                        const struct dlm_dispatch *list, size_t num)
{
    struct dlm_vk_device *d = dlm_vk_device_of(device);
    struct dlm_ctx *ctx = device->ctx;
    enum dlm_status st = DLM_ERR_MEMORY;

    *out = NULL;
    struct recording *r = dlm_alloc(ctx, sizeof(*r));
    if (!r)
        return DLM_ERR_MEMORY;
    r->base = (struct dlm_recording){.device = device, .num = num};
    r->list = dlm_alloc_array(ctx, num, sizeof(*r->list));
    r->kernels = dlm_alloc_array(ctx, num, sizeof(*r->kernels));
    r->sets = dlm_alloc_array(ctx, num, sizeof(*r->sets));
    r->buffers = dlm_alloc_array(ctx, num, sizeof(*r->buffers));
    r->slices = dlm_alloc_array(ctx, num, sizeof(*r->slices));
    r->seconds = dlm_alloc_array(ctx, num, sizeof(*r->seconds));
    if (!r->list || !r->kernels || !r->sets || !r->buffers || !r->slices || !r->seconds)
        goto done;
    if (num)
        memcpy(r->list, list, num * sizeof(*list));
    st = dlm_vk_pipelines_get(d, r->list, num, r->kernels);
    if (!st)
        st = create_sets(d, r);
    if (!st)
        st = create_pools(d, r);
    if (st)
        goto done;
    for (size_t i = 0; i < num; i++) {
        r->list[i].kernel = r->kernels[i]->row->kernel->name; /* the caller's copy may go */
        r->seconds[i] = guess_seconds(d, &r->list[i]);
    }
    for (size_t i = 0; i < num; i++)
        write_set(d, r->sets[i], &r->list[i], r->kernels[i]->row->num_bindings);
    *out = &r->base;
    r = NULL;
done:
    if (r)
        dlm_vk_recording_destroy(&r->base);
    return st;
}

void dlm_vk_recording_destroy(struct dlm_recording *recording)
{
    struct recording *r = recording_of(recording);
    struct dlm_vk_device *d = dlm_vk_device_of(recording->device);

    dlm_vk_settle(d, r->value);
    vkDestroyQueryPool(d->device, r->queries, NULL);
    vkDestroyCommandPool(d->device, r->commands, NULL);
    vkDestroyDescriptorPool(d->device, r->pool, NULL);
    dlm_free(r->list);
    dlm_free(r->kernels);
    dlm_free(r->sets);
    dlm_free(r->buffers);
    dlm_free(r->slices);
    dlm_free(r->seconds);
    dlm_free(r);
}

/* What came before is done and its writes are seen by dispatches that follow. */
static void write_barrier(VkCommandBuffer cmd)
{
    const VkMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT,
    };

    vkCmdPipelineBarrier(cmd, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                         VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, 0, 1, &barrier, 0, NULL, 0, NULL);
}

/* The end of a recording: the host may read mapped buffers. */
static void write_host_barrier(VkCommandBuffer cmd)
{
    const VkMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_HOST_READ_BIT | VK_ACCESS_HOST_WRITE_BIT,
    };

    vkCmdPipelineBarrier(cmd, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_PIPELINE_STAGE_HOST_BIT, 0,
                         1, &barrier, 0, NULL, 0, NULL);
}

static void write_dispatch(struct dlm_vk_device *d, const struct recording *r, VkCommandBuffer cmd,
                           size_t i)
{
    const struct dlm_dispatch *dispatch = &r->list[i];
    const struct dlm_vk_pipeline *kernel = r->kernels[i];
    VkPipelineLayout layout = d->layouts[kernel->row->num_bindings];
    uint32_t params_bytes = (dispatch->params_bytes + 3) / 4 * 4; /* at most the whole array */

    vkCmdBindPipeline(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, kernel->pipeline);
    vkCmdBindDescriptorSets(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0, 1, &r->sets[i], 0,
                            NULL);
    if (params_bytes)
        vkCmdPushConstants(cmd, layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, params_bytes,
                           dispatch->params);
    /* synchronisation validation of 1.3.239 does not see vkCmdDispatchBase(): only parts need it */
    if (dispatch->base[0] || dispatch->base[1] || dispatch->base[2])
        vkCmdDispatchBase(cmd, dispatch->base[0], dispatch->base[1], dispatch->base[2],
                          dispatch->groups[0], dispatch->groups[1], dispatch->groups[2]);
    else
        vkCmdDispatch(cmd, dispatch->groups[0], dispatch->groups[1], dispatch->groups[2]);
}

static enum dlm_status write_slice(struct dlm_vk_device *d, const struct recording *r,
                                   const struct dlm_vk_slice *slice)
{
    /* a run may be submitted while the one before is under way */
    const VkCommandBufferBeginInfo begin = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
        .flags = VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT,
    };
    VkCommandBuffer cmd = slice->cmd;
    const size_t end = slice->first + slice->num;
    uint32_t query = slice->query;

    VkResult result = vkBeginCommandBuffer(cmd, &begin);
    if (result)
        return dlm_vk_fail(d, result, "record dispatches %zu to %zu", slice->first, end - 1);
    if (r->has_queries) {
        vkCmdResetQueryPool(cmd, r->queries, query, slice->num_queries);
        vkCmdWriteTimestamp(cmd, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, r->queries, query++);
    }
    for (size_t i = slice->first; i < end; i++) {
        if (i == 0 || r->list[i].barrier || r->layout == LAYOUT_PROFILE)
            write_barrier(cmd);
        write_dispatch(d, r, cmd, i);
        if (r->has_queries && (r->layout != LAYOUT_REPLAY || i + 1 == end))
            vkCmdWriteTimestamp(cmd, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, r->queries, query++);
    }
    if (end == r->base.num)
        write_host_barrier(cmd);
    result = vkEndCommandBuffer(cmd);
    return result ? dlm_vk_fail(d, result, "record dispatches %zu to %zu", slice->first, end - 1)
                  : DLM_OK;
}

static enum dlm_status prepare_buffers(struct dlm_vk_device *d, struct recording *r)
{
    const VkCommandBufferAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = r->commands,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = (uint32_t)(r->num_slices - DLM_MIN(r->num_buffers, r->num_slices)),
    };

    VkResult result = vkResetCommandPool(d->device, r->commands, 0);
    if (!result && info.commandBufferCount) {
        result = vkAllocateCommandBuffers(d->device, &info, r->buffers + r->num_buffers);
        if (!result)
            r->num_buffers = r->num_slices;
    }
    return result ? dlm_vk_fail(d, result, "allocate command buffers") : DLM_OK;
}

static double total_seconds(const struct recording *r)
{
    double total = 0;

    for (size_t i = 0; i < r->base.num; i++)
        total += r->seconds[i];
    return total;
}

/* Cuts the list and writes the command buffers; waits for their last run first. */
static enum dlm_status lay_out(struct dlm_vk_device *d, struct recording *r, enum layout layout)
{
    size_t first_num = d->tick_mask ? FIRST_SLICE_NUM : 1;
    size_t max_num = layout == LAYOUT_REPLAY ? r->base.num : first_num;
    uint32_t query = 0;

    enum dlm_status st = dlm_vk_wait_value(d, r->value);
    if (st)
        return st;
    r->layout = LAYOUT_NONE;
    r->is_measured = false;
    r->num_slices = dlm_vk_slices_cut(r->seconds, r->base.num, d->slice_seconds, max_num,
                                      r->slices);
    st = prepare_buffers(d, r);
    if (st)
        return st;
    r->layout = layout;
    /* what is short stays below every limit even if it takes longer later */
    r->has_queries = d->tick_mask && (layout != LAYOUT_REPLAY || r->num_slices > 1 ||
                                      total_seconds(r) > d->slice_seconds / 4);
    for (size_t i = 0; !st && i < r->num_slices; i++) {
        struct dlm_vk_slice *slice = &r->slices[i];
        slice->cmd = r->buffers[i];
        slice->query = query;
        slice->num_queries = layout == LAYOUT_REPLAY ? 2 : (uint32_t)slice->num + 1;
        query += slice->num_queries;
        st = write_slice(d, r, slice);
    }
    if (st)
        r->layout = LAYOUT_NONE;
    return st;
}

/* Spreads the time of a slice over its dispatches as they were known to share it. */
static void scale_slice(struct recording *r, const struct dlm_vk_slice *slice, double measured)
{
    double known = 0;

    for (size_t i = slice->first; i < slice->first + slice->num; i++)
        known += r->seconds[i];
    for (size_t i = slice->first; i < slice->first + slice->num; i++)
        r->seconds[i] = known > 0 ? r->seconds[i] / known * measured
                                  : measured / (double)slice->num;
}

static void warn_of_long_dispatch(struct dlm_vk_device *d, struct recording *r)
{
    for (size_t i = 0; i < r->base.num && !r->has_warned; i++) {
        if (r->seconds[i] < LONG_DISPATCH_SECONDS || d->base.caps.info.is_software)
            continue;
        dlm_log(d->base.ctx, DLM_LOG_WARNING,
                "dispatch %zu ('%s') takes %.1f s on '%s': some drivers stop work after 2 s", i,
                r->list[i].kernel, r->seconds[i], d->base.caps.info.name);
        r->has_warned = true;
    }
}

/* Reads the timestamps of a run that is done into r->seconds. Some driver may not have them all
 * ready even then: *are_known is false, and r->seconds stays as it was. */
static enum dlm_status read_times(struct dlm_vk_device *d, struct recording *r, bool *are_known)
{
    const struct dlm_vk_slice *last = r->num_slices ? &r->slices[r->num_slices - 1] : NULL;
    const uint32_t num = last ? last->query + last->num_queries : 0;

    r->is_measured = false;
    *are_known = true;
    if (!r->has_queries || !num)
        return DLM_OK;
    uint64_t *ticks = dlm_alloc_array(d->base.ctx, num, sizeof(*ticks));
    if (!ticks)
        return DLM_ERR_MEMORY;
    VkResult result = d->get_times(d->device, r->queries, 0, num, num * sizeof(*ticks), ticks,
                                   sizeof(*ticks), VK_QUERY_RESULT_64_BIT);
    for (size_t s = 0; !result && s < r->num_slices; s++) {
        const struct dlm_vk_slice *slice = &r->slices[s];
        const uint64_t *t = ticks + slice->query;
        double scale = d->tick_seconds;
        if (r->layout == LAYOUT_REPLAY) {
            scale_slice(r, slice, (double)((t[1] - t[0]) & d->tick_mask) * scale);
            continue;
        }
        for (size_t i = 0; i < slice->num; i++)
            r->seconds[slice->first + i] = (double)((t[i + 1] - t[i]) & d->tick_mask) * scale;
    }
    dlm_free(ticks);
    *are_known = !result;
    r->is_timed |= !result;
    if (result)
        return result == VK_NOT_READY ? DLM_OK : dlm_vk_fail(d, result, "read timestamps");
    warn_of_long_dispatch(d, r);
    return DLM_OK;
}

/* Submits every slice. Without timestamps the small slices are timed by the clock instead. */
static enum dlm_status submit_slices(struct dlm_vk_device *d, struct recording *r)
{
    bool use_clock = r->layout != LAYOUT_REPLAY && !r->has_queries;

    r->is_measured = false;
    for (size_t i = 0; i < r->num_slices; i++) {
        const struct dlm_vk_slice *slice = &r->slices[i];
        const size_t last = slice->first + slice->num - 1;
        struct dlm_vk_job job = {
            .first = r->list[slice->first].kernel,
            .last = r->list[last].kernel,
            .first_index = slice->first,
            .last_index = last,
        };
        if (i > 0 && dlm_ctx_is_cancelled(d->base.ctx)) {
            enum dlm_status st = dlm_vk_wait_value(d, d->submitted);
            return st ? st
                      : dlm_fail(d->base.ctx, DLM_ERR_CANCELLED,
                                 "interrupted before dispatch %zu of %zu", slice->first,
                                 r->base.num);
        }
        double start = use_clock ? dlm_now() : 0;
        enum dlm_status st = dlm_vk_submit_slice(d, slice->cmd, &job);
        if (!st)
            r->value = job.value;
        if (!st && use_clock) {
            st = dlm_vk_wait_value(d, job.value);
            r->seconds[slice->first] = dlm_now() - start;
            r->is_timed = true;
        }
        if (st)
            return st;
    }
    r->is_measured = true;
    return DLM_OK;
}

/* Lays the slices out as the times known by now ask for. */
static enum dlm_status prepare_run(struct dlm_vk_device *d, struct recording *r)
{
    enum dlm_status st = DLM_OK;
    bool are_known = false;

    if (r->layout == LAYOUT_NONE)
        return lay_out(d, r, r->is_timed ? LAYOUT_REPLAY : LAYOUT_MEASURE);
    if (r->layout == LAYOUT_REPLAY) {
        if (!r->has_queries || !r->is_measured || dlm_vk_completed(d) < r->value)
            return DLM_OK;
        st = read_times(d, r, &are_known);
        if (!st && are_known &&
            dlm_vk_slices_are_stale(r->slices, r->num_slices, r->seconds, d->slice_seconds))
            st = lay_out(d, r, LAYOUT_REPLAY);
        return st;
    }
    if (!r->is_measured) /* the measuring run was interrupted */
        return DLM_OK;
    st = dlm_vk_wait_value(d, r->value);
    if (!st)
        st = read_times(d, r, &are_known);
    if (st || !are_known) /* then this run is measured too */
        return st;
    return lay_out(d, r, LAYOUT_REPLAY);
}

enum dlm_status dlm_vk_recording_run(struct dlm_recording *recording)
{
    struct recording *r = recording_of(recording);
    struct dlm_vk_device *d = dlm_vk_device_of(recording->device);

    enum dlm_status st = prepare_run(d, r);
    return st ? st : submit_slices(d, r);
}

enum dlm_status dlm_vk_recording_profile(struct dlm_recording *recording, double *seconds)
{
    struct recording *r = recording_of(recording);
    struct dlm_vk_device *d = dlm_vk_device_of(recording->device);
    bool are_known = false;

    enum dlm_status st = lay_out(d, r, LAYOUT_PROFILE);
    if (!st)
        st = submit_slices(d, r);
    if (!st)
        st = dlm_vk_wait_value(d, r->value);
    if (!st)
        st = read_times(d, r, &are_known);
    if (!st && !are_known)
        st = dlm_vk_fail(d, VK_NOT_READY, "read timestamps");
    if (!st && r->base.num)
        memcpy(seconds, r->seconds, r->base.num * sizeof(*seconds));
    r->layout = LAYOUT_NONE; /* the next run follows these times */
    return st;
}
