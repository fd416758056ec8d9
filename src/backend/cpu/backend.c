/* The CPU backend's table, and opening and closing the device: its parts in order. */
#include "backend/cpu/cpu.h"
#include "base/host.h"
#include "base/mem.h"
#include "base/pool.h"

static int enumerate(struct dlm_ctx *ctx, struct dlm_device_info *list, int max)
{
    uint32_t allowed;

    if (max < 1)
        return 0;
    (void)ctx; /* a bad DLM_CPU_ISA is reported when the device is opened */
    if (dlm_cpu_caps_allowed(NULL, &allowed))
        allowed = DLM_CPU_ALL_CAPS;
    dlm_cpu_device_info(&list[0], dlm_cpu_caps_detect(allowed));
    return 1;
}

static void close_device(struct dlm_device *device)
{
    struct dlm_cpu_device *cpu = (struct dlm_cpu_device *)device;

    dlm_cpu_scratch_free(cpu);
    dlm_free(cpu->scratch);
    dlm_free(cpu);
}

static enum dlm_status open_device(struct dlm_ctx *ctx, struct dlm_device **out, int index,
                                   const char *cache_dir)
{
    struct dlm_cpu_device *cpu = NULL;
    struct dlm_host host;
    uint32_t allowed;
    enum dlm_status st;

    (void)index;     /* there is one */
    (void)cache_dir; /* nothing is compiled at run time */
    st = dlm_cpu_caps_allowed(ctx, &allowed);
    if (st)
        goto done;
    st = DLM_ERR_MEMORY;
    cpu = dlm_alloc(ctx, sizeof(*cpu));
    if (!cpu)
        goto done;
    cpu->pool = dlm_ctx_pool(ctx);
    if (!cpu->pool)
        goto done;
    cpu->num_workers = dlm_pool_num_workers(cpu->pool);
    cpu->scratch = dlm_alloc_array(ctx, (size_t)cpu->num_workers, sizeof(*cpu->scratch));
    if (!cpu->scratch)
        goto done;
    dlm_host_read(&host, "");
    const uint32_t bits = dlm_cpu_caps_detect(allowed);
    cpu->kernels = dlm_cpu_table_choose(bits);
    cpu->base = (struct dlm_device){.backend = &dlm_backend_cpu, .ctx = ctx};
    dlm_cpu_device_info(&cpu->base.caps.info, bits);
    cpu->base.caps.bits = bits | DLM_CAP_PANELS;
    cpu->base.caps.max_alloc_bytes = (size_t)cpu->base.caps.info.max_alloc_bytes;
    cpu->base.caps.max_range_bytes = cpu->base.caps.max_alloc_bytes;
    cpu->base.caps.align_bytes = 1; /* kernels take any address */
    cpu->base.caps.max_groups = INT32_MAX;
    cpu->base.caps.num_units = (uint32_t)cpu->num_workers; /* a thread count fits */
    cpu->base.caps.free_bytes = host.free_bytes;
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
