/* Host copies of memory that is not mapped, or is in use, and fills: through a few blocks, one
 * filled while others are under way. */
#include "backend/vulkan/vk.h"

#include <string.h>

/* What vkCmdUpdateBuffer takes at most. */
#define MAX_UPDATE_BYTES 65536

enum dlm_status dlm_vk_copy_open(struct dlm_vk_device *d)
{
    VkCommandBuffer buffers[DLM_VK_NUM_BLOCKS];
    const VkCommandPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
        .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
        .queueFamilyIndex = d->family,
    };

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

void dlm_vk_copy_close(struct dlm_vk_device *d)
{
    for (unsigned i = 0; i < DLM_VK_NUM_BLOCKS; i++) {
        dlm_vk_memory_free(d, &d->blocks[i].memory);
        d->blocks[i] = (struct dlm_vk_block){0};
    }
    vkDestroyCommandPool(d->device, d->commands, NULL);
    d->commands = VK_NULL_HANDLE;
}

/* Gives the block its memory at first use. */
static enum dlm_status prepare_block(struct dlm_vk_device *d, struct dlm_vk_block *block)
{
    const struct dlm_vk_wish wishes[] = {
        {DLM_VK_HOST_FLAGS | VK_MEMORY_PROPERTY_HOST_CACHED_BIT, DLM_VK_ANY_HEAP},
        {DLM_VK_HOST_FLAGS, DLM_VK_ANY_HEAP},
    };

    if (block->memory.data)
        return DLM_OK;
    VkResult r = dlm_vk_memory_make(d, DLM_VK_BLOCK_BYTES, wishes, DLM_ARRAY_LEN(wishes),
                                    &block->memory);
    if (!r)
        return DLM_OK;
    dlm_vk_memory_free(d, &block->memory);
    return dlm_vk_fail(d, r, "allocate %zu bytes for copies", DLM_VK_BLOCK_BYTES);
}

/* Takes the next block, waits until it is free and starts its command buffer, ordered after all
 * that was submitted before. */
static enum dlm_status begin_block(struct dlm_vk_device *d, struct dlm_vk_block **out)
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

/* Submits the block's commands, ordered before all that follows. */
static enum dlm_status end_block(struct dlm_vk_device *d, struct dlm_vk_block *block,
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

static enum dlm_status begin_copy(struct dlm_vk_device *d, struct dlm_vk_block **out)
{
    enum dlm_status st = prepare_block(d, &d->blocks[d->next_block]);

    return st ? st : begin_block(d, out);
}

/* A few words travel in the command buffer itself. */
static enum dlm_status copy_words_in(struct dlm_vk_device *d, VkBuffer buffer, size_t offset,
                                     const uint8_t *data, size_t bytes)
{
    struct dlm_vk_block *block;

    enum dlm_status st = begin_block(d, &block);
    if (st)
        return st;
    vkCmdUpdateBuffer(block->cmd, buffer, offset, bytes, data);
    return end_block(d, block, "copy");
}

enum dlm_status dlm_vk_copy_in(struct dlm_vk_device *d, VkBuffer buffer, size_t offset,
                               const uint8_t *data, size_t bytes)
{
    enum dlm_status st = DLM_OK;

    if (bytes && bytes <= MAX_UPDATE_BYTES && !(offset % 4) && !(bytes % 4))
        return copy_words_in(d, buffer, offset, data, bytes);
    for (size_t done = 0; !st && done < bytes;) {
        struct dlm_vk_block *block;
        st = begin_copy(d, &block);
        if (st)
            break;
        const VkBufferCopy copy = {
            .dstOffset = offset + done,
            .size = DLM_MIN(bytes - done, DLM_VK_BLOCK_BYTES),
        };
        memcpy(block->memory.data, data + done, (size_t)copy.size);
        vkCmdCopyBuffer(block->cmd, block->memory.buffer, buffer, 1, &copy);
        st = end_block(d, block, "copy");
        done += (size_t)copy.size;
    }
    return st;
}

enum dlm_status dlm_vk_copy_out(struct dlm_vk_device *d, VkBuffer buffer, size_t offset,
                                uint8_t *data, size_t bytes)
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
            vkCmdCopyBuffer((*block)->cmd, buffer, (*block)->memory.buffer, 1, &copy);
            st = end_block(d, *block, "copy");
        }
        if (!st)
            st = dlm_vk_wait_value(d, blocks[i % DLM_VK_NUM_BLOCKS]->value);
        if (!st)
            memcpy(data + i * DLM_VK_BLOCK_BYTES, blocks[i % DLM_VK_NUM_BLOCKS]->memory.data,
                   DLM_MIN(bytes - i * DLM_VK_BLOCK_BYTES, DLM_VK_BLOCK_BYTES));
    }
    return st;
}

enum dlm_status dlm_vk_copy_word(struct dlm_vk_device *d, VkBuffer buffer, size_t offset,
                                 size_t bytes, uint32_t word)
{
    struct dlm_vk_block *block = NULL;
    enum dlm_status st = begin_block(d, &block);

    if (st)
        return st;
    vkCmdFillBuffer(block->cmd, buffer, offset, bytes, word);
    return end_block(d, block, "fill");
}
