/* What is on its way to the device: how far the timeline has come, and a text of what runs. */
#include "backend/vulkan/vk.h"

#include <stdio.h>

uint64_t dlm_vk_completed(struct dlm_vk_device *d)
{
    uint64_t value = 0;

    /* a lost device cannot answer: the old value stands, and the next wait reports the loss */
    if (d->completed < d->submitted &&
        vkGetSemaphoreCounterValue(d->device, d->timeline, &value) == VK_SUCCESS)
        d->completed = DLM_MAX(d->completed, DLM_MIN(value, d->submitted));
    return d->completed;
}

void dlm_vk_describe_jobs(struct dlm_vk_device *d, char *text, size_t size)
{
    size_t len = 0;

    text[0] = '\0';
    for (uint64_t value = dlm_vk_completed(d) + 1; value <= d->submitted; value++) {
        const struct dlm_vk_job *job = &d->jobs[value % DLM_VK_MAX_PENDING];
        const char *comma = len ? ", " : "";
        int n = job->last_index || job->first != job->last
                    ? snprintf(text + len, size - len, "%sdispatches %zu ('%s') to %zu ('%s')",
                               comma, job->first_index, job->first, job->last_index, job->last)
                    : snprintf(text + len, size - len, "%s'%s'", comma, job->first);
        if (n < 0 || (size_t)n >= size - len)
            return;
        len += (size_t)n;
    }
}
