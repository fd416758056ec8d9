/* Buffers of the CPU device: plain memory, so that host copies are memcpy. */
#include <string.h>

#include "backend/cpu/cpu.h"
#include "base/log.h"
#include "base/mem.h"

struct cpu_buffer {
    struct dlm_buffer base;
    void *data;
};

enum dlm_status dlm_cpu_buffer_create(struct dlm_device *device, struct dlm_buffer **out,
                                      size_t bytes)
{
    struct cpu_buffer *b = dlm_alloc(device->ctx, sizeof(*b));

    if (!b)
        return DLM_ERR_MEMORY;
    b->data = dlm_cpu_pages_alloc(bytes);
    if (!b->data) {
        dlm_free(b);
        return dlm_fail(device->ctx, DLM_ERR_MEMORY, "out of memory: cannot get %zu bytes", bytes);
    }
    b->base = (struct dlm_buffer){.device = device, .bytes = bytes};
    *out = &b->base;
    return DLM_OK;
}

void dlm_cpu_buffer_destroy(struct dlm_buffer *buffer)
{
    struct cpu_buffer *b = (struct cpu_buffer *)buffer;

    dlm_cpu_pages_free(b->data, b->base.bytes);
    dlm_free(b);
}

void *dlm_cpu_buffer_host_data(struct dlm_buffer *buffer)
{
    return ((struct cpu_buffer *)buffer)->data;
}

enum dlm_status dlm_cpu_buffer_write(struct dlm_buffer *buffer, size_t offset, const void *data,
                                     size_t bytes)
{
    memcpy((char *)dlm_cpu_buffer_host_data(buffer) + offset, data, bytes);
    return DLM_OK;
}

enum dlm_status dlm_cpu_buffer_read(struct dlm_buffer *buffer, size_t offset, void *data,
                                    size_t bytes)
{
    memcpy(data, (const char *)dlm_cpu_buffer_host_data(buffer) + offset, bytes);
    return DLM_OK;
}

enum dlm_status dlm_cpu_buffer_fill(struct dlm_buffer *buffer, size_t offset, size_t bytes,
                                    uint32_t word)
{
    char *data = (char *)dlm_cpu_buffer_host_data(buffer) + offset;

    for (size_t i = 0; i < bytes; i += sizeof(word))
        memcpy(data + i, &word, sizeof(word));
    return DLM_OK;
}
