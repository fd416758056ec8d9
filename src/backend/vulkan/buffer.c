/* Buffers and host copies. A buffer that the host can reach is mapped for good; others are copied
 * through two blocks, one filled while the other is under way. */
#include "backend/vulkan/vk.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"

#define HOST_FLAGS (VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT)
/* Types with these are slow or need a feature. */
#define UNWANTED_FLAGS                                                                             \
    (VK_MEMORY_PROPERTY_PROTECTED_BIT | VK_MEMORY_PROPERTY_LAZILY_ALLOCATED_BIT |                  \
     VK_MEMORY_PROPERTY_DEVICE_COHERENT_BIT_AMD | VK_MEMORY_PROPERTY_DEVICE_UNCACHED_BIT_AMD)
#define ANY_HEAP UINT32_MAX
/* Reading mapped memory that the host does not cache costs more than a copy above this size. */
#define UNCACHED_READ_BYTES 4096

/* A wish: a memory type with flags, in a heap. */
struct memory_wish {
    VkMemoryPropertyFlags flags;
    uint32_t heap;
};

static uint32_t find_memory_type(const struct dlm_vk_device *d, uint32_t allowed,
                                 const struct memory_wish *wish)
{
    for (uint32_t i = 0; i < d->memory.memoryTypeCount; i++) {
        const VkMemoryType *type = &d->memory.memoryTypes[i];
        if (allowed >> i & 1 && (type->propertyFlags & wish->flags) == wish->flags &&
            !(type->propertyFlags & UNWANTED_FLAGS) &&
            (wish->heap == ANY_HEAP || wish->heap == type->heapIndex))
            return i;
    }
    return UINT32_MAX;
}

/* Makes a VkBuffer with memory after the first wish that can be met, and maps it if it can be. */
static VkResult make_buffer(struct dlm_vk_device *d, VkDeviceSize bytes,
                            const struct memory_wish *wishes, size_t num_wishes,
                            struct dlm_vk_buffer *b)
{
    VkMemoryRequirements needs;
    const VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = bytes,
        .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                 VK_BUFFER_USAGE_TRANSFER_DST_BIT,
        .sharingMode = VK_SHARING_MODE_EXCLUSIVE,
    };

    VkResult r = vkCreateBuffer(d->device, &info, NULL, &b->buffer);
    if (r)
        return r;
    vkGetBufferMemoryRequirements(d->device, b->buffer, &needs);
    r = VK_ERROR_OUT_OF_DEVICE_MEMORY;
    for (size_t i = 0; r && i < num_wishes; i++) {
        const VkMemoryAllocateInfo allocate = {
            .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
            .allocationSize = needs.size,
            .memoryTypeIndex = find_memory_type(d, needs.memoryTypeBits, &wishes[i]),
        };
        if (allocate.memoryTypeIndex == UINT32_MAX)
            continue;
        const VkMemoryType *type = &d->memory.memoryTypes[allocate.memoryTypeIndex];
        if (needs.size > d->memory.memoryHeaps[type->heapIndex].size)
            continue;
        r = vkAllocateMemory(d->device, &allocate, NULL, &b->memory);
        b->flags = type->propertyFlags;
    }
    if (!r)
        r = vkBindBufferMemory(d->device, b->buffer, b->memory, 0);
    if (!r && (b->flags & HOST_FLAGS) == HOST_FLAGS) {
        void *data = NULL;
        r = vkMapMemory(d->device, b->memory, 0, VK_WHOLE_SIZE, 0, &data);
        b->data = data;
    }
    return r;
}

static void free_buffer(struct dlm_vk_device *d, struct dlm_vk_buffer *b)
{
    vkDestroyBuffer(d->device, b->buffer, NULL);
    vkFreeMemory(d->device, b->memory, NULL); /* unmaps */
}

enum dlm_status dlm_vk_buffer_create(struct dlm_device *device, struct dlm_buffer **out,
                                     size_t bytes)
{
    struct dlm_vk_device *d = dlm_vk_device_of(device);
    struct dlm_ctx *ctx = device->ctx;
    /* Memory that host and device both reach (an integrated GPU, or a card that shows all of its
     * memory on the bus) saves the copies. The small window that other cards have is not used. */
    const struct memory_wish wishes[] = {
        {VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | HOST_FLAGS, d->main_heap},
        {VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, d->main_heap},
        {HOST_FLAGS, ANY_HEAP},
        {0, ANY_HEAP},
    };
    size_t num_wishes = d->is_unified ? DLM_ARRAY_LEN(wishes) : 2;

    *out = NULL;
    size_t padded = bytes + (DLM_ALIGN_BYTES - bytes % DLM_ALIGN_BYTES) % DLM_ALIGN_BYTES;
    struct dlm_vk_buffer *b = dlm_alloc(ctx, sizeof(*b));
    if (!b)
        return DLM_ERR_MEMORY;
    b->base = (struct dlm_buffer){.device = device, .bytes = bytes};
    VkResult r = padded >= bytes && padded <= device->caps.max_alloc_bytes
                     ? make_buffer(d, padded, wishes, num_wishes, b)
                     : VK_ERROR_OUT_OF_DEVICE_MEMORY;
    if (!r) {
        if (!d->map_buffers)
            b->data = NULL;
        *out = &b->base;
        return DLM_OK;
    }
    enum dlm_status st = dlm_vk_fail(
        d, r, "allocate %.1f MiB (largest buffer %.1f MiB, in use %.1f MiB, free about %.1f MiB)",
        (double)bytes / 0x1p20, (double)device->caps.max_alloc_bytes / 0x1p20,
        (double)device->used_bytes / 0x1p20, (double)dlm_vk_free_bytes(d) / 0x1p20);
    free_buffer(d, b);
    dlm_free(b);
    return st;
}

void dlm_vk_buffer_destroy(struct dlm_buffer *buffer)
{
    struct dlm_vk_buffer *b = (struct dlm_vk_buffer *)buffer;
    struct dlm_vk_device *d = dlm_vk_device_of(buffer->device);

    dlm_vk_settle(d, d->submitted);
    free_buffer(d, b);
    dlm_free(b);
}

/* Gives the block its memory at first use. */
static enum dlm_status prepare_block(struct dlm_vk_device *d, struct dlm_vk_block *block)
{
    struct dlm_vk_buffer b = {0};
    const struct memory_wish wishes[] = {
        {HOST_FLAGS | VK_MEMORY_PROPERTY_HOST_CACHED_BIT, ANY_HEAP},
        {HOST_FLAGS, ANY_HEAP},
    };

    if (block->data)
        return DLM_OK;
    VkResult r = make_buffer(d, DLM_VK_BLOCK_BYTES, wishes, DLM_ARRAY_LEN(wishes), &b);
    if (r) {
        free_buffer(d, &b);
        return dlm_vk_fail(d, r, "allocate %zu bytes for copies", DLM_VK_BLOCK_BYTES);
    }
    block->buffer = b.buffer;
    block->memory = b.memory;
    block->data = b.data;
    return DLM_OK;
}

void dlm_vk_block_finish(struct dlm_vk_device *d, struct dlm_vk_block *block)
{
    vkDestroyBuffer(d->device, block->buffer, NULL);
    vkFreeMemory(d->device, block->memory, NULL);
    *block = (struct dlm_vk_block){0};
}

static enum dlm_status begin_copy(struct dlm_vk_device *d, struct dlm_vk_block **out)
{
    enum dlm_status st = prepare_block(d, &d->blocks[d->next_block]);

    return st ? st : dlm_vk_block_begin(d, out);
}

/* Returns when data has been taken over; the last blocks may still be under way. */
static enum dlm_status write_by_blocks(struct dlm_vk_device *d, struct dlm_vk_buffer *b,
                                       size_t offset, const uint8_t *data, size_t bytes)
{
    enum dlm_status st = DLM_OK;

    for (size_t done = 0; !st && done < bytes;) {
        struct dlm_vk_block *block;
        st = begin_copy(d, &block);
        if (st)
            break;
        const VkBufferCopy copy = {
            .dstOffset = offset + done,
            .size = DLM_MIN(bytes - done, DLM_VK_BLOCK_BYTES),
        };
        memcpy(block->data, data + done, (size_t)copy.size);
        vkCmdCopyBuffer(block->cmd, block->buffer, b->buffer, 1, &copy);
        st = dlm_vk_block_end(d, block, "copy");
        done += (size_t)copy.size;
    }
    return st;
}

static enum dlm_status read_by_blocks(struct dlm_vk_device *d, struct dlm_vk_buffer *b,
                                      size_t offset, uint8_t *data, size_t bytes)
{
    struct dlm_vk_block *blocks[DLM_VK_NUM_BLOCKS];
    enum dlm_status st = DLM_OK;
    size_t num = (bytes + DLM_VK_BLOCK_BYTES - 1) / DLM_VK_BLOCK_BYTES;
    size_t asked = 0;

    for (size_t i = 0; !st && i < num; i++) {
        for (; !st && asked < DLM_MIN(num, i + DLM_VK_NUM_BLOCKS); asked++) {
            struct dlm_vk_block **block = &blocks[asked % DLM_VK_NUM_BLOCKS];
            st = begin_copy(d, block);
            if (st)
                break;
            const VkBufferCopy copy = {
                .srcOffset = offset + asked * DLM_VK_BLOCK_BYTES,
                .size = DLM_MIN(bytes - asked * DLM_VK_BLOCK_BYTES, DLM_VK_BLOCK_BYTES),
            };
            vkCmdCopyBuffer((*block)->cmd, b->buffer, (*block)->buffer, 1, &copy);
            st = dlm_vk_block_end(d, *block, "copy");
        }
        if (!st)
            st = dlm_vk_wait_value(d, blocks[i % DLM_VK_NUM_BLOCKS]->value);
        if (!st)
            memcpy(data + i * DLM_VK_BLOCK_BYTES, blocks[i % DLM_VK_NUM_BLOCKS]->data,
                   DLM_MIN(bytes - i * DLM_VK_BLOCK_BYTES, DLM_VK_BLOCK_BYTES));
    }
    return st;
}

enum dlm_status dlm_vk_buffer_write(struct dlm_buffer *buffer, size_t offset, const void *data,
                                    size_t bytes)
{
    struct dlm_vk_buffer *b = (struct dlm_vk_buffer *)buffer;
    struct dlm_vk_device *d = dlm_vk_device_of(buffer->device);

    if (!b->data)
        return write_by_blocks(d, b, offset, data, bytes);
    enum dlm_status st = dlm_vk_wait_value(d, d->submitted);
    if (!st && bytes)
        memcpy(b->data + offset, data, bytes);
    return st;
}

enum dlm_status dlm_vk_buffer_read(struct dlm_buffer *buffer, size_t offset, void *data,
                                   size_t bytes)
{
    struct dlm_vk_buffer *b = (struct dlm_vk_buffer *)buffer;
    struct dlm_vk_device *d = dlm_vk_device_of(buffer->device);
    bool is_cached = b->flags & VK_MEMORY_PROPERTY_HOST_CACHED_BIT;

    if (!b->data || (!is_cached && bytes > UNCACHED_READ_BYTES))
        return read_by_blocks(d, b, offset, data, bytes);
    enum dlm_status st = dlm_vk_wait_value(d, d->submitted);
    if (!st && bytes)
        memcpy(data, b->data + offset, bytes);
    return st;
}

enum dlm_status dlm_vk_buffer_fill(struct dlm_buffer *buffer, size_t offset, size_t bytes,
                                   uint32_t word)
{
    struct dlm_vk_buffer *b = (struct dlm_vk_buffer *)buffer;
    struct dlm_vk_device *d = dlm_vk_device_of(buffer->device);
    struct dlm_vk_block *block;

    if (!bytes)
        return DLM_OK;
    enum dlm_status st = dlm_vk_block_begin(d, &block);
    if (st)
        return st;
    vkCmdFillBuffer(block->cmd, b->buffer, offset, bytes, word);
    return dlm_vk_block_end(d, block, "fill");
}
