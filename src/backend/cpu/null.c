/* A CPU device that plans and lowers, and no more: its buffers have no memory, its recordings run
 * nothing, it starts no threads. For the memory of models that are not here, and for tests. */
#include <string.h>

#include "backend/cpu/cpu.h"
#include "base/mem.h"

static enum dlm_status create_buffer(struct dlm_device *device, struct dlm_buffer **out,
                                     size_t bytes)
{
    struct dlm_buffer *b = dlm_alloc(device->ctx, sizeof(*b));

    if (!b)
        return DLM_ERR_MEMORY;
    *b = (struct dlm_buffer){.device = device, .bytes = bytes};
    *out = b;
    return DLM_OK;
}

static void destroy_buffer(struct dlm_buffer *buffer)
{
    dlm_free(buffer);
}

static enum dlm_status write_buffer(struct dlm_buffer *buffer, size_t offset, const void *data,
                                    size_t bytes)
{
    (void)buffer;
    (void)offset;
    (void)data;
    (void)bytes;
    return DLM_OK;
}

static enum dlm_status read_buffer(struct dlm_buffer *buffer, size_t offset, void *data,
                                   size_t bytes)
{
    (void)buffer;
    (void)offset;
    memset(data, 0, bytes);
    return DLM_OK;
}

static enum dlm_status fill_buffer(struct dlm_buffer *buffer, size_t offset, size_t bytes,
                                   uint32_t word)
{
    (void)buffer;
    (void)offset;
    (void)bytes;
    (void)word;
    return DLM_OK;
}

static enum dlm_status create_recording(struct dlm_device *device, struct dlm_recording **out,
                                        const struct dlm_dispatch *list, size_t num)
{
    struct dlm_recording *r = dlm_alloc(device->ctx, sizeof(*r));

    (void)list;
    if (!r)
        return DLM_ERR_MEMORY;
    *r = (struct dlm_recording){.device = device, .num = num};
    *out = r;
    return DLM_OK;
}

static void destroy_recording(struct dlm_recording *recording)
{
    dlm_free(recording);
}

static enum dlm_status run_recording(struct dlm_recording *recording)
{
    (void)recording;
    return DLM_OK;
}

static enum dlm_status profile_recording(struct dlm_recording *recording, double *seconds)
{
    for (size_t i = 0; i < recording->num; i++)
        seconds[i] = 0;
    return DLM_OK;
}

static enum dlm_status wait_device(struct dlm_device *device)
{
    (void)device;
    return DLM_OK;
}

static int enumerate(struct dlm_ctx *ctx, struct dlm_device_info *list, int max)
{
    (void)ctx;
    (void)list;
    (void)max;
    return 0; /* nobody may choose it */
}

static void close_device(struct dlm_device *device)
{
    dlm_free(device);
}

static enum dlm_status open_device(struct dlm_ctx *ctx, struct dlm_device **out, int index,
                                   const struct dlm_device_params *params)
{
    struct dlm_cpu_device *cpu = dlm_alloc(ctx, sizeof(*cpu));

    (void)index;
    if (!cpu)
        return DLM_ERR_MEMORY;
    cpu->base = (struct dlm_device){.backend = &dlm_backend_null, .ctx = ctx};
    dlm_cpu_device_describe(cpu, params->hide_caps);
    *out = &cpu->base;
    return DLM_OK;
}

const struct dlm_backend dlm_backend_null = {
    .kind = DLM_BACKEND_CPU,
    .enumerate = enumerate,
    .open = open_device,
    .close = close_device,
    .buffer_create = create_buffer,
    .buffer_destroy = destroy_buffer,
    .buffer_write = write_buffer,
    .buffer_read = read_buffer,
    .buffer_fill = fill_buffer,
    .has_kernel = dlm_cpu_has_kernel,
    .recording_create = create_recording,
    .recording_destroy = destroy_recording,
    .recording_run = run_recording,
    .recording_profile = profile_recording,
    .wait = wait_device,
};
