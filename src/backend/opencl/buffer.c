/* OpenCL memory: buffers, host copies, and sub-buffers for bindings. */
#include <string.h>

#include "backend/opencl/opencl.h"
#include "base/mem.h"

static struct dlm_ocl_device *device_of(const struct dlm_buffer *buffer)
{
    return (struct dlm_ocl_device *)buffer->device;
}

enum dlm_status dlm_ocl_buffer_create(struct dlm_device *base, struct dlm_buffer **out,
                                      size_t bytes)
{
    struct dlm_ocl_device *device = (struct dlm_ocl_device *)base;
    const uint8_t zero = 0;
    cl_int rc;

    *out = NULL;
    struct dlm_ocl_buffer *buffer = dlm_alloc(base->ctx, sizeof(*buffer));
    if (!buffer)
        return DLM_ERR_MEMORY;
    buffer->base.device = base;
    buffer->base.bytes = bytes;
    buffer->mem = clCreateBuffer(device->context, CL_MEM_READ_WRITE, bytes, NULL, &rc);
    /* Some drivers allocate when a buffer is first used: use it now, to fail here. */
    if (buffer->mem)
        rc = clEnqueueWriteBuffer(device->queue, buffer->mem, CL_TRUE, bytes - 1, 1, &zero, 0, NULL,
                                  NULL);
    if (rc != CL_SUCCESS) {
        dlm_ocl_buffer_destroy(&buffer->base);
        return dlm_ocl_fail(device, rc, "cannot make a buffer of %zu bytes", bytes);
    }
    *out = &buffer->base;
    return DLM_OK;
}

void dlm_ocl_buffer_destroy(struct dlm_buffer *base)
{
    struct dlm_ocl_buffer *buffer = (struct dlm_ocl_buffer *)base;

    if (!buffer)
        return;
    for (size_t i = 0; i < buffer->num_views; i++)
        clReleaseMemObject(buffer->views[i].mem);
    dlm_free(buffer->views);
    if (buffer->mem)
        clReleaseMemObject(buffer->mem);
    dlm_free(buffer);
}

enum dlm_status dlm_ocl_buffer_write(struct dlm_buffer *base, size_t offset, const void *data,
                                     size_t bytes)
{
    struct dlm_ocl_buffer *buffer = (struct dlm_ocl_buffer *)base;

    if (!bytes)
        return DLM_OK;
    if (bytes <= (device_of(base)->is_busy ? DLM_OCL_QUEUED_BUSY_WRITE_BYTES
                                           : DLM_OCL_QUEUED_WRITE_BYTES))
        return dlm_ocl_push_write(device_of(base), buffer->mem, offset, data, bytes);
    dlm_ocl_count_drain(device_of(base));
    cl_int rc = clEnqueueWriteBuffer(device_of(base)->queue, buffer->mem, CL_TRUE, offset, bytes,
                                     data, 0, NULL, NULL);
    return rc == CL_SUCCESS ? DLM_OK
                            : dlm_ocl_fail(device_of(base), rc, "cannot write %zu bytes", bytes);
}

enum dlm_status dlm_ocl_buffer_read(struct dlm_buffer *base, size_t offset, void *data,
                                    size_t bytes)
{
    struct dlm_ocl_buffer *buffer = (struct dlm_ocl_buffer *)base;

    if (!bytes)
        return DLM_OK;
    dlm_ocl_count_drain(device_of(base));
    cl_int rc = clEnqueueReadBuffer(device_of(base)->queue, buffer->mem, CL_TRUE, offset, bytes,
                                    data, 0, NULL, NULL);
    return rc == CL_SUCCESS ? DLM_OK
                            : dlm_ocl_fail(device_of(base), rc, "cannot read %zu bytes", bytes);
}

enum dlm_status dlm_ocl_buffer_fill(struct dlm_buffer *base, size_t offset, size_t bytes,
                                    uint32_t word)
{
    struct dlm_ocl_buffer *buffer = (struct dlm_ocl_buffer *)base;
    struct dlm_ocl_device *device = device_of(base);

    if (!bytes)
        return DLM_OK;
    cl_int rc = clEnqueueFillBuffer(device->queue, buffer->mem, &word, sizeof(word), offset, bytes,
                                    0, NULL, NULL);
    if (rc != CL_SUCCESS)
        return dlm_ocl_fail(device, rc, "cannot fill %zu bytes", bytes);
    return dlm_ocl_wait(&device->base);
}

/* Position of (offset, bytes) among the views, or where it belongs. */
static size_t find_view(const struct dlm_ocl_buffer *buffer, size_t offset, size_t bytes)
{
    size_t low = 0, high = buffer->num_views;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct dlm_ocl_view *view = &buffer->views[mid];
        if (view->offset < offset || (view->offset == offset && view->bytes < bytes))
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

enum dlm_status dlm_ocl_buffer_view(const struct dlm_binding *binding, cl_mem *mem)
{
    struct dlm_ocl_buffer *buffer = (struct dlm_ocl_buffer *)binding->buffer;
    struct dlm_ocl_device *device = device_of(binding->buffer);
    const cl_buffer_region region = {.origin = binding->offset, .size = binding->bytes};
    cl_int rc;

    if (binding->offset == 0 && binding->bytes == buffer->base.bytes) {
        *mem = buffer->mem;
        return DLM_OK;
    }
    size_t at = find_view(buffer, binding->offset, binding->bytes);
    if (at < buffer->num_views && buffer->views[at].offset == binding->offset &&
        buffer->views[at].bytes == binding->bytes) {
        *mem = buffer->views[at].mem;
        return DLM_OK;
    }
    if (!dlm_grow(device->base.ctx, &buffer->views, &buffer->cap_views, buffer->num_views,
                  sizeof(*buffer->views)))
        return DLM_ERR_MEMORY;
    *mem = clCreateSubBuffer(buffer->mem, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &region,
                             &rc);
    if (!*mem)
        return dlm_ocl_fail(device, rc, "cannot bind %zu bytes at %zu of a buffer of %zu",
                            binding->bytes, binding->offset, buffer->base.bytes);
    memmove(&buffer->views[at + 1], &buffer->views[at],
            (buffer->num_views - at) * sizeof(*buffer->views));
    buffer->views[at] = (struct dlm_ocl_view){
        .offset = binding->offset, .bytes = binding->bytes, .mem = *mem};
    buffer->num_views++;
    return DLM_OK;
}
