/* dlm_doctor_try(): every kernel of the probes, compiled and run once. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "dlm/doctor.h"
#include "doctor/ops_table.h"
#include "kernels/panel.h"

struct tries {
    struct dlm_ctx *ctx;
    struct dlm_ctx *quiet; /* hears what the device does not run at all */
    struct dlm_device *device;
    const struct dlm_try_params *params;
    char (*seen)[DLM_KERNEL_NAME_BYTES]; /* had their turn, or come before params->after */
    size_t num_seen, cap_seen;
    bool is_behind; /* params->after was met */
};

/* Notes the kernel; *is_new: it has its turn now. */
static enum dlm_status meet(struct tries *t, const char *kernel, bool *is_new)
{
    *is_new = false;
    for (size_t i = 0; i < t->num_seen; i++)
        if (!strcmp(t->seen[i], kernel))
            return DLM_OK;
    if (!dlm_grow(t->ctx, &t->seen, &t->cap_seen, t->num_seen, sizeof(*t->seen)))
        return DLM_ERR_MEMORY;
    snprintf(t->seen[t->num_seen++], sizeof(*t->seen), "%s", kernel);
    *is_new = t->is_behind;
    if (!t->is_behind)
        t->is_behind = !strcmp(kernel, t->params->after);
    return DLM_OK;
}

static size_t operand_bytes(const struct dlm_lowering *l, struct dlm_operand a)
{
    if (a.kind == DLM_OPERAND_TEMP)
        return l->temp_bytes[a.index];
    const struct dlm_desc *d =
        a.kind == DLM_OPERAND_INPUT ? &l->inputs[a.index] : &l->outputs[a.index];
    const bool is_transposed = d->stride[0] == 1;
    size_t bytes = 0;

    if (d->layout == DLM_LAYOUT_PANEL)
        return dlm_panel_bytes(d->dtype, d->shape[is_transposed], d->shape[!is_transposed]);
    (void)dlm_dtype_bytes(d->dtype, dlm_desc_len(d), &bytes); /* the probes are small */
    return bytes;
}

/* Runs one call on buffers of its own, which hold zeros. */
static enum dlm_status run_call(struct tries *t, const struct dlm_lowering *l,
                                const struct dlm_kernel_call *call)
{
    struct dlm_recording *recording = NULL;
    struct dlm_dispatch d = {.kernel = call->kernel, .num_bindings = call->num_args,
                             .params_bytes = call->params_bytes, .units = call->units,
                             .num_specs = call->num_specs, .subgroups = call->subgroups,
                             .scratch_bytes = call->scratch_bytes};
    enum dlm_status st = DLM_OK;

    memcpy(d.groups, call->groups, sizeof(d.groups));
    memcpy(d.params, call->params, sizeof(d.params));
    memcpy(d.specs, call->specs, sizeof(d.specs));
    for (uint32_t i = 0; !st && i < call->num_args; i++) {
        const size_t bytes = (operand_bytes(l, call->args[i]) + 3) / 4 * 4;
        struct dlm_binding *b = &d.bindings[i];
        b->bytes = DLM_MAX(bytes, 4u);
        st = dlm_buffer_create(t->device, &b->buffer, b->bytes);
        if (!st)
            st = dlm_buffer_fill(b->buffer, 0, b->bytes, 0);
    }
    if (!st)
        st = dlm_recording_create(t->device, &recording, &d, 1);
    if (!st)
        st = dlm_recording_run(recording);
    if (!st)
        st = dlm_device_wait(t->device);
    dlm_recording_destroy(&recording);
    for (uint32_t i = 0; i < call->num_args; i++)
        dlm_buffer_destroy(&d.bindings[i].buffer);
    return st;
}

/* A kernel that fails is passed over; a device that is lost ends it. */
static enum dlm_status try_probe(struct tries *t, const struct dlm_op_probe *probe,
                                 enum dlm_dtype dtype)
{
    struct dlm_lowering l;

    enum dlm_status st = dlm_probe_lower(t->quiet, &l, probe, dtype, t->device);
    if (st && st != DLM_ERR_MEMORY)
        l.num_calls = 0; /* what the device cannot run is not tried */
    if (st != DLM_ERR_MEMORY)
        st = DLM_OK;
    for (size_t i = 0; !st && i < l.num_calls; i++) {
        bool is_new;
        st = meet(t, l.calls[i].kernel, &is_new);
        if (st || !is_new)
            continue;
        if (t->params->on_kernel)
            t->params->on_kernel(t->params->user, l.calls[i].kernel);
        st = run_call(t, &l, &l.calls[i]);
        if (st != DLM_ERR_MEMORY && st != DLM_ERR_DEVICE_LOST)
            st = DLM_OK;
    }
    dlm_free(l.calls);
    return st;
}

enum dlm_status dlm_doctor_try(struct dlm_ctx *ctx, const struct dlm_try_params *params)
{
    const struct dlm_compute *compute = &params->compute;
    struct tries t = {.ctx = ctx, .params = params, .is_behind = !params->after};
    size_t num;
    const struct dlm_op_probe *probes = dlm_op_probes(&num);

    char *cache = dlm_path_kernel_cache(ctx);
    const struct dlm_device_params device = {
        .kind = compute->backend, .index = compute->has_device ? compute->device : -1,
        .cache_dir = cache, .no_matrix = compute->no_matrix_units};
    enum dlm_status st = dlm_device_open(ctx, &t.device, &device);
    if (!st) {
        t.quiet = dlm_ctx_create(NULL);
        st = t.quiet ? DLM_OK : DLM_ERR_MEMORY;
    }
    for (size_t i = 0; !st && i < num; i++)
        for (size_t k = 0; !st && k < dlm_probe_num_dtypes(&probes[i]); k++)
            st = try_probe(&t, &probes[i], dlm_probe_dtypes[k]);
    if (!st && params->on_kernel)
        params->on_kernel(params->user, NULL);
    dlm_free(t.seen);
    dlm_device_destroy(&t.device);
    dlm_ctx_destroy(&t.quiet);
    dlm_free(cache);
    return st;
}
