/* The CPU backend's table, and opening and closing the device: its parts in order. */
#include "backend/cpu/cpu.h"
#include "base/mem.h"
#include "base/pool.h"

static int enumerate(struct dlm_ctx *ctx, struct dlm_device_info *list, int max)
{
    struct dlm_cpu_device cpu = {.base = {.ctx = ctx}};

    if (max < 1)
        return 0;
    dlm_cpu_device_describe(&cpu, 0);
    list[0] = cpu.base.caps.info;
    return 1;
}

static int probe(struct dlm_ctx *ctx, struct dlm_device_properties *list, int max)
{
    struct dlm_cpu_device cpu = {.base = {.ctx = ctx}};

    if (max < 1)
        return 0;
    dlm_cpu_device_describe(&cpu, 0);
    dlm_cpu_device_properties(&cpu, &list[0]);
    return 1;
}

static void close_device(struct dlm_device *device)
{
    struct dlm_cpu_device *cpu = (struct dlm_cpu_device *)device;

    dlm_cpu_scratch_free(cpu);
    dlm_free(cpu->workers);
    dlm_free(cpu);
}

static enum dlm_status open_device(struct dlm_ctx *ctx, struct dlm_device **out, int index,
                                   const struct dlm_device_params *params)
{
    struct dlm_cpu_device *cpu = dlm_alloc(ctx, sizeof(*cpu));
    enum dlm_status st = DLM_ERR_MEMORY;

    (void)index; /* there is one */
    if (!cpu)
        goto done;
    cpu->base = (struct dlm_device){.backend = &dlm_backend_cpu, .ctx = ctx};
    cpu->pool = dlm_ctx_pool(ctx);
    if (!cpu->pool)
        goto done;
    dlm_cpu_device_describe(cpu, params->hide_caps);
    cpu->workers = dlm_alloc_array(ctx, (size_t)cpu->num_workers, sizeof(*cpu->workers));
    if (!cpu->workers)
        goto done;
    *out = &cpu->base;
    cpu = NULL;
    st = DLM_OK;
done:
    if (cpu)
        close_device(&cpu->base);
    return st;
}

static enum dlm_status wait_device(struct dlm_device *device)
{
    (void)device; /* a recording has ended when its run returns */
    return DLM_OK;
}

const struct dlm_backend dlm_backend_cpu = {
    .kind = DLM_BACKEND_CPU,
    .enumerate = enumerate,
    .probe = probe,
    .open = open_device,
    .close = close_device,
    .buffer_create = dlm_cpu_buffer_create,
    .buffer_destroy = dlm_cpu_buffer_destroy,
    .buffer_write = dlm_cpu_buffer_write,
    .buffer_read = dlm_cpu_buffer_read,
    .buffer_fill = dlm_cpu_buffer_fill,
    .buffer_host_data = dlm_cpu_buffer_host_data,
    .has_kernel = dlm_cpu_has_kernel,
    .recording_create = dlm_cpu_recording_create,
    .recording_destroy = dlm_cpu_recording_destroy,
    .recording_run = dlm_cpu_recording_run,
    .recording_profile = dlm_cpu_recording_profile,
    .wait = wait_device,
};
