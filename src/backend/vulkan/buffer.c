/* Buffers and host copies. A buffer that the host can reach is mapped for good; others are copied
 * through blocks (copy.c). */
#include "backend/vulkan/vk.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

/* Reading mapped memory that the host does not cache costs more than a copy above this size. */
#define UNCACHED_READ_BYTES 4096

enum dlm_status dlm_vk_buffer_create(struct dlm_device *device, struct dlm_buffer **out,
                                     size_t bytes)
{
    struct dlm_vk_device *d = dlm_vk_device_of(device);
    struct dlm_ctx *ctx = device->ctx;
    /* Memory that host and device both reach (an integrated GPU, or a card that shows all of its
     * memory on the bus) saves the copies. The small window that other cards have is not used. */
    const struct dlm_vk_wish wishes[] = {
        {VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | DLM_VK_HOST_FLAGS, d->main_heap},
        {VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, d->main_heap},
        {DLM_VK_HOST_FLAGS, DLM_VK_ANY_HEAP},
        {0, DLM_VK_ANY_HEAP},
    };
    size_t num_wishes = d->is_unified ? DLM_ARRAY_LEN(wishes) : 2;

    *out = NULL;
    size_t padded = bytes + (DLM_ALIGN_BYTES - bytes % DLM_ALIGN_BYTES) % DLM_ALIGN_BYTES;
    struct dlm_vk_buffer *b = dlm_alloc(ctx, sizeof(*b));
    if (!b)
        return DLM_ERR_MEMORY;
    b->base = (struct dlm_buffer){.device = device, .bytes = bytes};
    VkResult r = padded >= bytes && padded <= device->caps.max_alloc_bytes
                     ? dlm_vk_memory_make(d, padded, wishes, num_wishes, &b->memory)
                     : VK_ERROR_OUT_OF_DEVICE_MEMORY;
    if (!r) {
        if (!d->map_buffers)
            b->memory.data = NULL;
        *out = &b->base;
        return DLM_OK;
    }
    const char *from;
    char left[40] = "";
    const double free_mib = (double)dlm_vk_free_bytes(d, &from) / 0x1p20;
    if (*from)
        snprintf(left, sizeof(left), ", free about %.1f MiB", free_mib);
    enum dlm_status st = dlm_vk_fail(
        d, r, "allocate %.1f MiB (largest buffer %.1f MiB, in use %.1f MiB%s)",
        (double)bytes / 0x1p20, (double)device->caps.max_alloc_bytes / 0x1p20,
        (double)device->used_bytes / 0x1p20, left);
    dlm_vk_memory_free(d, &b->memory);
    dlm_free(b);
    return st;
}

void dlm_vk_buffer_destroy(struct dlm_buffer *buffer)
{
    struct dlm_vk_buffer *b = (struct dlm_vk_buffer *)buffer;
    struct dlm_vk_device *d = dlm_vk_device_of(buffer->device);

    dlm_vk_settle(d, d->submitted);
    dlm_vk_memory_free(d, &b->memory);
    dlm_free(b);
}

enum dlm_status dlm_vk_buffer_write(struct dlm_buffer *buffer, size_t offset, const void *data,
                                    size_t bytes)
{
    struct dlm_vk_buffer *b = (struct dlm_vk_buffer *)buffer;
    struct dlm_vk_device *d = dlm_vk_device_of(buffer->device);

    /* what work under way may still read is written by the queue, which nobody waits for */
    if (!b->memory.data || dlm_vk_completed(d) < d->submitted)
        return dlm_vk_copy_in(d, b->memory.buffer, offset, data, bytes);
    if (bytes)
        memcpy(b->memory.data + offset, data, bytes);
    return DLM_OK;
}

enum dlm_status dlm_vk_buffer_read(struct dlm_buffer *buffer, size_t offset, void *data,
                                   size_t bytes)
{
    struct dlm_vk_buffer *b = (struct dlm_vk_buffer *)buffer;
    struct dlm_vk_device *d = dlm_vk_device_of(buffer->device);
    bool is_cached = b->memory.flags & VK_MEMORY_PROPERTY_HOST_CACHED_BIT;

    if (!b->memory.data || (!is_cached && bytes > UNCACHED_READ_BYTES))
        return dlm_vk_copy_out(d, b->memory.buffer, offset, data, bytes);
    enum dlm_status st = dlm_vk_wait_value(d, d->submitted);
    if (!st && bytes)
        memcpy(data, b->memory.data + offset, bytes);
    return st;
}

enum dlm_status dlm_vk_buffer_fill(struct dlm_buffer *buffer, size_t offset, size_t bytes,
                                   uint32_t word)
{
    struct dlm_vk_buffer *b = (struct dlm_vk_buffer *)buffer;
    struct dlm_vk_device *d = dlm_vk_device_of(buffer->device);

    return bytes ? dlm_vk_copy_word(d, b->memory.buffer, offset, bytes, word) : DLM_OK;
}
