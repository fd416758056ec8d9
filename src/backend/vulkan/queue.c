/* Submission and waiting: one queue, one timeline semaphore, a few submissions in flight. */
#include "backend/vulkan/vk.h"

enum dlm_status dlm_vk_queue_open(struct dlm_vk_device *d)
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

void dlm_vk_queue_close(struct dlm_vk_device *d)
{
    if (d->timeline)
        dlm_vk_settle(d, d->submitted);
    vkDestroySemaphore(d->device, d->timeline, NULL);
    d->timeline = VK_NULL_HANDLE;
}

enum dlm_status dlm_vk_wait_value(struct dlm_vk_device *d, uint64_t value)
{
    const VkSemaphoreWaitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
        .semaphoreCount = 1,
        .pSemaphores = &d->timeline,
        .pValues = &value,
    };

    if (value <= d->completed || value <= dlm_vk_completed(d))
        return DLM_OK;
    d->base.num_waits++;
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

    job->value = value;
    d->jobs[value % DLM_VK_MAX_PENDING] = *job;
    VkResult r = vkQueueSubmit(d->queue, 1, &info, VK_NULL_HANDLE);
    if (r)
        return dlm_vk_fail(d, r, "submit work");
    d->submitted = value;
    return DLM_OK;
}

enum dlm_status dlm_vk_submit_slice(struct dlm_vk_device *d, VkCommandBuffer cmd,
                                    struct dlm_vk_job *job)
{
    uint64_t *oldest = &d->slices[d->next_slice];

    enum dlm_status st = dlm_vk_wait_value(d, *oldest);
    if (!st)
        st = dlm_vk_submit(d, cmd, job);
    if (st)
        return st;
    *oldest = job->value;
    d->next_slice = (d->next_slice + 1) % DLM_VK_MAX_IN_FLIGHT;
    return DLM_OK;
}
