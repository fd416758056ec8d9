/* The OpenCL backend's table, and opening and closing a device: its parts in order. */
#include "backend/opencl/opencl.h" /* first: it says which OpenCL version is meant */

#include "base/log.h"
#include "base/mem.h"

static int enumerate(struct dlm_ctx *ctx, struct dlm_device_info *infos, int max)
{
    struct dlm_ocl_candidates list;

    dlm_ocl_candidates_find(ctx, &list);
    int num = DLM_MIN(list.num, max);
    for (int i = 0; i < num; i++)
        dlm_ocl_device_info(&list.items[i], i, &infos[i]);
    return num;
}

static int probe(struct dlm_ctx *ctx, struct dlm_device_properties *list, int max)
{
    struct dlm_ocl_candidates candidates;

    dlm_ocl_candidates_find(ctx, &candidates);
    int num = DLM_MIN(candidates.num, max);
    for (int i = 0; i < num; i++)
        dlm_ocl_device_properties(&candidates.items[i], i, &list[i]);
    return num;
}

static void close_device(struct dlm_device *base)
{
    struct dlm_ocl_device *device = (struct dlm_ocl_device *)base;

    if (!device)
        return;
    dlm_ocl_queue_settle(device);
    dlm_ocl_programs_finish(device);
#ifdef DLM_HAVE_CLBLAST
    if (device->used_gemm)
        dlm_ocl_gemm_finish();
#endif
    dlm_ocl_queue_close(device);
    dlm_free(device->cache_dir);
    dlm_free(device);
}

static enum dlm_status open_device(struct dlm_ctx *ctx, struct dlm_device **out, int index,
                                   const struct dlm_device_params *params)
{
    struct dlm_ocl_candidates list;
    enum dlm_status st = DLM_ERR_MEMORY;

    *out = NULL;
    dlm_ocl_candidates_find(ctx, &list);
    index = DLM_MAX(index, 0);
    if (index >= list.num)
        return dlm_fail(ctx, DLM_ERR_NO_DEVICE, "cannot open OpenCL device %d: there %s %d", index,
                        list.num == 1 ? "is" : "are", list.num);
    struct dlm_ocl_device *device = dlm_alloc(ctx, sizeof(*device));
    if (!device)
        return DLM_ERR_MEMORY;
    device->base.backend = &dlm_backend_opencl;
    device->base.ctx = ctx;
    if (params->cache_dir && !(device->cache_dir = dlm_strdup(ctx, params->cache_dir)))
        goto done;
    dlm_ocl_device_describe(device, &list.items[index], index, params->no_matrix);
    st = dlm_ocl_queue_open(device, list.items[index].platform);
    if (st)
        goto done;
    *out = &device->base;
    device = NULL;
done:
    close_device((struct dlm_device *)device);
    return st;
}

const struct dlm_backend dlm_backend_opencl = {
    .kind = DLM_BACKEND_OPENCL,
    .enumerate = enumerate,
    .probe = probe,
    .hint_none = dlm_ocl_hint_none,
    .open = open_device,
    .close = close_device,
    .buffer_create = dlm_ocl_buffer_create,
    .buffer_destroy = dlm_ocl_buffer_destroy,
    .buffer_write = dlm_ocl_buffer_write,
    .buffer_read = dlm_ocl_buffer_read,
    .buffer_fill = dlm_ocl_buffer_fill,
    .has_kernel = dlm_ocl_has_kernel,
    .hash_kernels = dlm_ocl_hash_kernels,
#ifdef DLM_HAVE_CLBLAST
    .gemm_scratch = dlm_ocl_gemm_scratch,
#endif
    .recording_create = dlm_ocl_recording_create,
    .recording_destroy = dlm_ocl_recording_destroy,
    .recording_run = dlm_ocl_recording_run,
    .recording_profile = dlm_ocl_recording_profile,
    .wait = dlm_ocl_wait,
};
