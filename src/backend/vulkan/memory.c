/* Device memory: a VkBuffer with memory of the wanted kind, mapped where the host reaches it. */
#include "backend/vulkan/vk.h"

/* Types with these are slow or need a feature. */
#define UNWANTED_FLAGS                                                                             \
    (VK_MEMORY_PROPERTY_PROTECTED_BIT | VK_MEMORY_PROPERTY_LAZILY_ALLOCATED_BIT |                  \
     VK_MEMORY_PROPERTY_DEVICE_COHERENT_BIT_AMD | VK_MEMORY_PROPERTY_DEVICE_UNCACHED_BIT_AMD)

static uint32_t find_memory_type(const struct dlm_vk_device *d, uint32_t allowed,
                                 const struct dlm_vk_wish *wish)
{
    for (uint32_t i = 0; i < d->memory.memoryTypeCount; i++) {
        const VkMemoryType *type = &d->memory.memoryTypes[i];
        if (allowed >> i & 1 && (type->propertyFlags & wish->flags) == wish->flags &&
            !(type->propertyFlags & UNWANTED_FLAGS) &&
            (wish->heap == DLM_VK_ANY_HEAP || wish->heap == type->heapIndex))
            return i;
    }
    return UINT32_MAX;
}

VkResult dlm_vk_memory_make(struct dlm_vk_device *d, VkDeviceSize bytes,
                            const struct dlm_vk_wish *wishes, size_t num_wishes,
                            struct dlm_vk_memory *m)
{
    VkMemoryRequirements needs;
    const VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = bytes,
        .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                 VK_BUFFER_USAGE_TRANSFER_DST_BIT,
        .sharingMode = VK_SHARING_MODE_EXCLUSIVE,
    };

    VkResult r = vkCreateBuffer(d->device, &info, NULL, &m->buffer);
    if (r)
        return r;
    vkGetBufferMemoryRequirements(d->device, m->buffer, &needs);
    r = VK_ERROR_OUT_OF_DEVICE_MEMORY;
    for (size_t i = 0; r && i < num_wishes; i++) {
        const uint32_t at = find_memory_type(d, needs.memoryTypeBits, &wishes[i]);
        if (at == UINT32_MAX)
            continue;
        const VkMemoryType *type = &d->memory.memoryTypes[at];
        if (needs.size > d->memory.memoryHeaps[type->heapIndex].size)
            continue;
        r = dlm_vk_chunk_take(d, at, &needs, &m->chunk, &m->offset);
        m->flags = type->propertyFlags;
    }
    if (r)
        return r;
    if (m->chunk->data)
        m->data = m->chunk->data + m->offset;
    return vkBindBufferMemory(d->device, m->buffer, m->chunk->memory, m->offset);
}

void dlm_vk_memory_free(struct dlm_vk_device *d, struct dlm_vk_memory *m)
{
    vkDestroyBuffer(d->device, m->buffer, NULL);
    if (m->chunk)
        dlm_vk_chunk_give(d, m->chunk, m->offset);
    *m = (struct dlm_vk_memory){0};
}
