/* Allocations of device memory. A driver may allow no more than 4096 of them, and each takes pages
 * of its own, so small buffers share chunks; a large one has a chunk for itself. */
#include "backend/vulkan/vk.h"

#include <string.h>

#include "base/mem.h"

#define MIN_CHUNK_BYTES ((VkDeviceSize)4 << 20)
#define MAX_CHUNK_BYTES ((VkDeviceSize)256 << 20)
/* A chunk is this part of its heap, and what takes a quarter of a chunk is large: a heap full of
 * large buffers then has at most 1024 allocations, and of small ones few more than 256. */
#define CHUNKS_PER_HEAP 256

static VkDeviceSize shared_bytes(const struct dlm_vk_device *d, uint32_t type)
{
    const VkMemoryHeap *heap = &d->memory.memoryHeaps[d->memory.memoryTypes[type].heapIndex];
    const VkDeviceSize part = heap->size / CHUNKS_PER_HEAP;

    return DLM_MIN(DLM_MAX(part, MIN_CHUNK_BYTES), MAX_CHUNK_BYTES);
}

/* Finds the first gap of a chunk that has room. *index is where the range belongs among the used
 * ones. */
static bool find_gap(const struct dlm_vk_chunk *chunk, VkDeviceSize bytes, VkDeviceSize alignment,
                     size_t *index, VkDeviceSize *offset)
{
    VkDeviceSize end = 0; /* of the range before */

    for (size_t i = 0; i <= chunk->num_used; i++) {
        const VkDeviceSize limit = i < chunk->num_used ? chunk->used[i].offset : chunk->bytes;
        *index = i;
        *offset = (end + alignment - 1) / alignment * alignment;
        if (*offset <= limit && bytes <= limit - *offset)
            return true;
        if (i < chunk->num_used)
            end = limit + chunk->used[i].bytes;
    }
    return false;
}

static void free_chunk(struct dlm_vk_device *d, struct dlm_vk_chunk *chunk)
{
    if (chunk->memory) {
        vkFreeMemory(d->device, chunk->memory, NULL); /* unmaps */
        d->num_allocations--;
    }
    dlm_free(chunk->used);
    dlm_free(chunk);
}

/* Makes a chunk without ranges, mapped where the host reaches it, and puts it in the list. */
static VkResult make_chunk(struct dlm_vk_device *d, uint32_t type, VkDeviceSize bytes,
                           struct dlm_vk_chunk **out)
{
    const VkMemoryPropertyFlags flags = d->memory.memoryTypes[type].propertyFlags;
    const VkMemoryAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
        .allocationSize = bytes,
        .memoryTypeIndex = type,
    };
    void *data = NULL;

    if (d->num_allocations >= d->max_allocations)
        return VK_ERROR_TOO_MANY_OBJECTS;
    struct dlm_vk_chunk *chunk = dlm_alloc(d->base.ctx, sizeof(*chunk));
    if (!chunk)
        return VK_ERROR_OUT_OF_HOST_MEMORY;
    chunk->type = type;
    chunk->bytes = bytes;
    VkResult r = vkAllocateMemory(d->device, &info, NULL, &chunk->memory);
    if (r)
        chunk->memory = VK_NULL_HANDLE;
    else
        d->num_allocations++;
    if (!r && (flags & DLM_VK_HOST_FLAGS) == DLM_VK_HOST_FLAGS)
        r = vkMapMemory(d->device, chunk->memory, 0, VK_WHOLE_SIZE, 0, &data);
    if (r) {
        free_chunk(d, chunk);
        return r;
    }
    chunk->data = data;
    chunk->next = d->chunks;
    d->chunks = chunk;
    *out = chunk;
    return VK_SUCCESS;
}

static void unlink_chunk(struct dlm_vk_device *d, struct dlm_vk_chunk *chunk)
{
    struct dlm_vk_chunk **at = &d->chunks;

    while (*at != chunk)
        at = &(*at)->next;
    *at = chunk->next;
    free_chunk(d, chunk);
}

VkResult dlm_vk_chunk_take(struct dlm_vk_device *d, uint32_t type,
                           const VkMemoryRequirements *needs, struct dlm_vk_chunk **out,
                           VkDeviceSize *offset)
{
    const VkDeviceSize shared = shared_bytes(d, type);
    const bool is_small = needs->size <= shared / 4;
    struct dlm_vk_chunk *chunk = is_small ? d->chunks : NULL;
    VkResult r = VK_SUCCESS;
    size_t index = 0;

    while (chunk && (chunk->type != type ||
                     !find_gap(chunk, needs->size, needs->alignment, &index, offset)))
        chunk = chunk->next;
    if (!chunk) {
        r = is_small ? make_chunk(d, type, shared, &chunk) : VK_ERROR_OUT_OF_DEVICE_MEMORY;
        if (r && r != VK_ERROR_TOO_MANY_OBJECTS) /* large, or there is only a little left */
            r = make_chunk(d, type, needs->size, &chunk);
        if (r)
            return r;
        index = 0;
        *offset = 0;
    }
    if (!dlm_grow(d->base.ctx, &chunk->used, &chunk->cap_used, chunk->num_used,
                  sizeof(*chunk->used))) {
        if (!chunk->num_used)
            unlink_chunk(d, chunk);
        return VK_ERROR_OUT_OF_HOST_MEMORY;
    }
    struct dlm_vk_range *at = &chunk->used[index];
    memmove(at + 1, at, (chunk->num_used - index) * sizeof(*at));
    *at = (struct dlm_vk_range){.offset = *offset, .bytes = needs->size};
    chunk->num_used++;
    *out = chunk;
    return VK_SUCCESS;
}

void dlm_vk_chunk_give(struct dlm_vk_device *d, struct dlm_vk_chunk *chunk, VkDeviceSize offset)
{
    size_t i = 0;

    while (chunk->used[i].offset != offset)
        i++;
    chunk->num_used--;
    memmove(&chunk->used[i], &chunk->used[i + 1],
            (chunk->num_used - i) * sizeof(*chunk->used));
    if (!chunk->num_used)
        unlink_chunk(d, chunk);
}
