/* Recordings of the CPU device: a list of prepared calls, each spread over the context's thread
 * pool. A call ends before the next begins, so barriers need nothing. */
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/pool.h"

struct prepared_call {
    dlm_cpu_kernel_fn run;
    int64_t first, num_items; /* of all_items, which a dispatch in parts has more of */
    int64_t all_items;
    void *buffers[DLM_MAX_BINDINGS];
    uint8_t params[DLM_MAX_PARAMS_BYTES];
};

struct cpu_recording {
    struct dlm_recording base;
    struct prepared_call *calls; /* [base.num] */
};

/* What the workers of one call share. */
struct job {
    struct dlm_ctx *ctx;
    const struct prepared_call *call;
    struct dlm_cpu_worker *workers;
    uint64_t serial; /* of the call */
    int num_workers;
};

size_t dlm_cpu_recorded_bytes(void)
{
    return sizeof(struct prepared_call);
}

void dlm_cpu_scratch_free(struct dlm_cpu_device *device)
{
    for (int i = 0; device->workers && i < device->num_workers; i++) {
        dlm_cpu_pages_free(device->workers[i].scratch, device->scratch_bytes);
        device->workers[i].scratch = NULL;
    }
    device->scratch_bytes = 0;
}

/* Makes every worker's scratch memory at least bytes large. */
static enum dlm_status reserve_scratch(struct dlm_cpu_device *device, size_t bytes)
{
    if (bytes <= device->scratch_bytes)
        return DLM_OK;
    dlm_cpu_scratch_free(device);
    device->scratch_bytes = bytes;
    for (int i = 0; i < device->num_workers; i++) {
        device->workers[i].scratch = dlm_cpu_pages_alloc(bytes);
        if (device->workers[i].scratch)
            continue;
        dlm_cpu_scratch_free(device);
        return dlm_fail(device->base.ctx, DLM_ERR_MEMORY,
                        "out of memory: cannot get %zu bytes of scratch for %d threads", bytes,
                        device->num_workers);
    }
    return DLM_OK;
}

static int64_t count_items(const uint32_t groups[3])
{
    return (int64_t)groups[0] * groups[1] * groups[2]; /* fits: backend.c has looked */
}

/* A part's items follow each other: see backend/parts.c. */
static int64_t first_item(const struct dlm_dispatch *d)
{
    return d->base[0] + (int64_t)d->whole[0] * (d->base[1] + (int64_t)d->whole[1] * d->base[2]);
}

static void prepare(const struct dlm_cpu_device *device, const struct dlm_dispatch *d,
                    struct prepared_call *call)
{
    const struct dlm_cpu_kernel *kernel = dlm_cpu_find_kernel(device, d->kernel);

    call->run = kernel->run;
    call->first = first_item(d);
    call->all_items = count_items(d->whole[0] ? d->whole : d->groups);
    /* what a folded grid has to spare never runs: kernels need not guard their items */
    if (d->units)
        call->all_items = DLM_MIN(call->all_items, (int64_t)d->units);
    call->num_items = DLM_MIN(count_items(d->groups), DLM_MAX(call->all_items - call->first, 0));
    memcpy(call->params, d->params, d->params_bytes);
    for (uint32_t i = 0; i < d->num_bindings; i++) {
        char *data = dlm_cpu_buffer_host_data(d->bindings[i].buffer);
        call->buffers[i] = data + d->bindings[i].offset;
    }
}

enum dlm_status dlm_cpu_recording_create(struct dlm_device *device, struct dlm_recording **out,
                                         const struct dlm_dispatch *list, size_t num)
{
    struct dlm_cpu_device *cpu = (struct dlm_cpu_device *)device;
    struct cpu_recording *r = dlm_alloc(device->ctx, sizeof(*r));
    enum dlm_status st = DLM_ERR_MEMORY;
    size_t scratch_bytes = 0;

    if (!r)
        return st;
    r->base = (struct dlm_recording){.device = device, .num = num};
    r->calls = dlm_alloc_array(device->ctx, num, sizeof(*r->calls));
    if (!r->calls)
        goto done;
    for (size_t i = 0; i < num; i++) {
        prepare(cpu, &list[i], &r->calls[i]);
        scratch_bytes = DLM_MAX(scratch_bytes, list[i].scratch_bytes);
    }
    st = reserve_scratch(cpu, scratch_bytes);
done:
    if (st)
        dlm_cpu_recording_destroy(&r->base);
    else
        *out = &r->base;
    return st;
}

void dlm_cpu_recording_destroy(struct dlm_recording *recording)
{
    struct cpu_recording *r = (struct cpu_recording *)recording;

    dlm_free(r->calls);
    dlm_free(r);
}

static void run_item(void *user, int64_t item, int worker)
{
    const struct job *job = user;
    const struct prepared_call *p = job->call;
    struct dlm_cpu_worker *w = &job->workers[worker];

    if (dlm_ctx_is_cancelled(job->ctx)) /* one call may take minutes */
        return;
    const struct dlm_cpu_call call = {
        .buffers = p->buffers,
        .params = p->params,
        .num_items = p->all_items,
        .scratch = w->scratch,
        .is_first = w->serial != job->serial,
        .num_workers = (uint32_t)job->num_workers, /* at least 1 */
    };

    w->serial = job->serial;
    p->run(&call, p->first + item);
}

static enum dlm_status run_call(struct dlm_cpu_device *device, const struct prepared_call *call)
{
    struct job job = {
        .ctx = device->base.ctx,
        .call = call,
        .workers = device->workers,
        .serial = ++device->serial,
        .num_workers = device->num_workers,
    };

    dlm_pool_run(device->pool, run_item, &job, call->num_items);
    return dlm_ctx_is_cancelled(job.ctx) ? dlm_fail(job.ctx, DLM_ERR_CANCELLED, "interrupted")
                                         : DLM_OK;
}

enum dlm_status dlm_cpu_recording_run(struct dlm_recording *recording)
{
    struct cpu_recording *r = (struct cpu_recording *)recording;
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < r->base.num; i++)
        st = run_call((struct dlm_cpu_device *)recording->device, &r->calls[i]);
    return st;
}

enum dlm_status dlm_cpu_recording_profile(struct dlm_recording *recording, double *seconds)
{
    struct cpu_recording *r = (struct cpu_recording *)recording;
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < r->base.num; i++) {
        const double start = dlm_now();
        st = run_call((struct dlm_cpu_device *)recording->device, &r->calls[i]);
        seconds[i] = dlm_now() - start;
    }
    return st;
}
