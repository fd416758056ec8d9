/* Submission and waiting: one queue, one timeline semaphore, a few submissions in flight. Also the
 * command buffers of copies and fills. */
#include "backend/vulkan/vk.h"

#include "base/log.h"

static enum dlm_status create_timeline(struct dlm_vk_device *d)
{
    const VkSemaphoreTypeCreateInfo type = {
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
        .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE,
    };
    const VkSemaphoreCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO,
        .pNext = &type,
    };
    VkResult r = vkCreateSemaphore(d->device, &info, NULL, &d->timeline);

    return r ? dlm_vk_fail(d, r, "create a semaphore") : DLM_OK;
}

enum dlm_status dlm_vk_queue_open(struct dlm_vk_device *d)
{
    VkCommandBuffer buffers[DLM_VK_NUM_BLOCKS];
    const VkCommandPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
        .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
        .queueFamilyIndex = d->family,
    };

    enum dlm_status st = create_timeline(d);
    if (st)
        return st;
    VkResult r = vkCreateCommandPool(d->device, &pool, NULL, &d->commands);
    if (r)
        return dlm_vk_fail(d, r, "create a command pool");
    const VkCommandBufferAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = d->commands,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = DLM_VK_NUM_BLOCKS,
    };
    r = vkAllocateCommandBuffers(d->device, &info, buffers);
    if (r)
        return dlm_vk_fail(d, r, "allocate command buffers");
    for (unsigned i = 0; i < DLM_VK_NUM_BLOCKS; i++)
        d->blocks[i].cmd = buffers[i];
    return DLM_OK;
}

void dlm_vk_queue_close(struct dlm_vk_device *d)
{
    if (d->timeline)
        dlm_vk_settle(d, d->submitted);
    for (unsigned i = 0; i < DLM_VK_NUM_BLOCKS; i++)
        dlm_vk_block_finish(d, &d->blocks[i]);
    vkDestroyCommandPool(d->device, d->commands, NULL);
    vkDestroySemaphore(d->device, d->timeline, NULL);
}

uint64_t dlm_vk_completed(struct dlm_vk_device *d)
{
    uint64_t value = 0;

    /* a lost device cannot answer: the old value stands, and the next wait reports the loss */
    if (d->completed < d->submitted &&
        vkGetSemaphoreCounterValue(d->device, d->timeline, &value) == VK_SUCCESS)
        d->completed = DLM_MAX(d->completed, DLM_MIN(value, d->submitted));
    return d->completed;
}

enum dlm_status dlm_vk_wait_value(struct dlm_vk_device *d, uint64_t value)
{
    const VkSemaphoreWaitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
        .semaphoreCount = 1,
        .pSemaphores = &d->timeline,
        .pValues = &value,
    };

    if (value <= d->completed)
        return DLM_OK;
    VkResult r = vkWaitSemaphores(d->device, &info, UINT64_MAX);
    if (r)
        return dlm_vk_fail(d, r, "wait");
    d->completed = value;
    return DLM_OK;
}

void dlm_vk_settle(struct dlm_vk_device *d, uint64_t value)
{
    enum dlm_status st = d->base.lost ? DLM_OK : dlm_vk_wait_value(d, value);

    (void)st; /* see vk.h */
}

enum dlm_status dlm_vk_wait(struct dlm_device *device)
{
    struct dlm_vk_device *d = dlm_vk_device_of(device);

    return dlm_vk_wait_value(d, d->submitted);
}

enum dlm_status dlm_vk_submit(struct dlm_vk_device *d, VkCommandBuffer cmd, struct dlm_vk_job *job)
{
    const uint64_t value = d->submitted + 1;
    const VkTimelineSemaphoreSubmitInfo timeline = {
        .sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
        .signalSemaphoreValueCount = 1,
        .pSignalSemaphoreValues = &value,
    };
    const VkSubmitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
        .pNext = &timeline,
        .commandBufferCount = 1,
        .pCommandBuffers = &cmd,
        .signalSemaphoreCount = 1,
        .pSignalSemaphores = &d->timeline,
    };

    if (value > DLM_VK_MAX_IN_FLIGHT) {
        enum dlm_status st = dlm_vk_wait_value(d, value - DLM_VK_MAX_IN_FLIGHT);
        if (st)
            return st;
    }
    job->value = value;
    d->jobs[value % DLM_VK_MAX_IN_FLIGHT] = *job;
    VkResult r = vkQueueSubmit(d->queue, 1, &info, VK_NULL_HANDLE);
    if (r)
        return dlm_vk_fail(d, r, "submit work");
    d->submitted = value;
    return DLM_OK;
}

enum dlm_status dlm_vk_block_begin(struct dlm_vk_device *d, struct dlm_vk_block **out)
{
    struct dlm_vk_block *block = &d->blocks[d->next_block];
    const VkCommandBufferBeginInfo begin = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
        .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT,
    };
    const VkMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
    };

    enum dlm_status st = dlm_vk_wait_value(d, block->value);
    if (st)
        return st;
    VkResult r = vkBeginCommandBuffer(block->cmd, &begin);
    if (r)
        return dlm_vk_fail(d, r, "record a copy");
    vkCmdPipelineBarrier(block->cmd,
                         VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
                         VK_PIPELINE_STAGE_TRANSFER_BIT, 0, 1, &barrier, 0, NULL, 0, NULL);
    d->next_block = (d->next_block + 1) % DLM_VK_NUM_BLOCKS;
    *out = block;
    return DLM_OK;
}

enum dlm_status dlm_vk_block_end(struct dlm_vk_device *d, struct dlm_vk_block *block,
                                 const char *what)
{
    struct dlm_vk_job job = {.first = what, .last = what};
    const VkMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT |
                         VK_ACCESS_HOST_READ_BIT | VK_ACCESS_HOST_WRITE_BIT,
    };

    vkCmdPipelineBarrier(block->cmd, VK_PIPELINE_STAGE_TRANSFER_BIT,
                         VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_HOST_BIT, 0, 1,
                         &barrier, 0, NULL, 0, NULL);
    VkResult r = vkEndCommandBuffer(block->cmd);
    if (r)
        return dlm_vk_fail(d, r, "record a copy");
    enum dlm_status st = dlm_vk_submit(d, block->cmd, &job);
    if (!st)
        block->value = job.value;
    return st;
}
