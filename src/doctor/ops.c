/* `dlm doctor --ops`: lowers every probe for every device, and asks the device for the kernels,
 * which its driver was made to compile in another process. */
#include <stdio.h>

#include "base/json.h"
#include "base/str.h"
#include "dlm/doctor.h"
#include "doctor/ops_table.h"
#include "doctor/driver_guard.h"
#include "doctor/trial.h"

#define MAX_DEVICES 16

/* One line of the table. */
struct line {
    const struct dlm_op_probe *probe;
    enum dlm_dtype dtype;
    char *reasons[MAX_DEVICES]; /* owned; NULL: it runs */
};

struct table {
    struct dlm_device *devices[MAX_DEVICES];
    char labels[MAX_DEVICES][32]; /* "cpu:0" */
    size_t num_devices;
    struct line *lines;
    size_t num_lines;
};

static void table_finish(struct table *t)
{
    for (size_t i = 0; i < t->num_lines; i++) {
        for (size_t d = 0; d < t->num_devices; d++)
            dlm_free(t->lines[i].reasons[d]);
    }
    dlm_free(t->lines);
    for (size_t d = 0; d < t->num_devices; d++)
        dlm_device_destroy(&t->devices[d]);
}

/* Sets *reason (owned, NULL when the device runs the line). */
static enum dlm_status probe_device(struct dlm_ctx *ctx, struct dlm_ctx *quiet,
                                    const struct line *line, const struct dlm_device *device,
                                    char **reason)
{
    struct dlm_lowering l;
    const char *bad = NULL, *fault = NULL; /* bad: a kernel that is not there, or has a fault */

    enum dlm_status st = dlm_probe_lower(quiet, &l, line->probe, line->dtype, device);
    for (size_t i = 0; !st && !bad && i < l.num_calls; i++) {
        fault = dlm_device_kernel_fault(device, l.calls[i].kernel);
        if (fault || !dlm_device_has_kernel(device, l.calls[i].kernel))
            bad = l.calls[i].kernel;
    }
    if (st == DLM_ERR_MEMORY)
        goto done;
    if (st)
        *reason = dlm_strdup(ctx, dlm_ctx_last_error(quiet));
    else if (fault)
        *reason = dlm_strf(ctx, "op '%s' needs kernel '%s': the driver '%s' %s compiling it",
                           line->probe->op->name, bad,
                           dlm_device_get_caps(device)->info.driver, fault);
    else if (bad)
        *reason = dlm_strf(ctx, "op '%s' needs a kernel '%s'", line->probe->op->name, bad);
    st = (st || bad) && !*reason ? DLM_ERR_MEMORY : DLM_OK;
done:
    dlm_free(l.calls);
    return st;
}

static enum dlm_status make_lines(struct dlm_ctx *ctx, struct table *t)
{
    size_t num;
    const struct dlm_op_probe *probes = dlm_op_probes(&num);

    t->lines = dlm_alloc_array(ctx, num * DLM_ARRAY_LEN(dlm_probe_dtypes), sizeof(*t->lines));
    if (!t->lines)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; i < num; i++) {
        for (size_t k = 0; k < dlm_probe_num_dtypes(&probes[i]); k++)
            t->lines[t->num_lines++] =
                (struct line){.probe = &probes[i], .dtype = dlm_probe_dtypes[k]};
    }
    return DLM_OK;
}

static enum dlm_status probe_all(struct dlm_ctx *ctx, struct table *t)
{
    struct dlm_ctx *quiet = dlm_ctx_create(NULL);
    enum dlm_status st = quiet ? make_lines(ctx, t) : DLM_ERR_MEMORY;

    for (size_t i = 0; !st && i < t->num_lines; i++) {
        for (size_t d = 0; !st && d < t->num_devices; d++)
            st = probe_device(ctx, quiet, &t->lines[i], t->devices[d], &t->lines[i].reasons[d]);
    }
    dlm_ctx_destroy(&quiet);
    return st;
}

static enum dlm_status open_device(struct dlm_ctx *ctx, struct table *t,
                                   const struct dlm_device_params *params)
{
    if (t->num_devices == MAX_DEVICES)
        return DLM_OK;
    enum dlm_status st = dlm_driver_open(ctx, &t->devices[t->num_devices], params);
    if (!st)
        st = dlm_trial_run(ctx, t->devices[t->num_devices], NULL);
    if (st) {
        dlm_device_destroy(&t->devices[t->num_devices]);
        return st;
    }
    const struct dlm_device_info *info =
        &dlm_device_get_caps(t->devices[t->num_devices])->info;
    snprintf(t->labels[t->num_devices], sizeof(t->labels[0]), "%s:%d",
             dlm_backend_name(info->kind), info->index);
    t->num_devices++;
    return DLM_OK;
}

/* The device asked for, or all; one that is listed but does not open has logged why. */
static enum dlm_status open_devices(struct dlm_ctx *ctx, struct table *t,
                                    const struct dlm_compute *compute)
{
    struct dlm_compute named = *compute;
    struct dlm_probe probe = {0};
    enum dlm_status st;

    if (compute->backend != DLM_BACKEND_AUTO || compute->has_device) {
        st = dlm_driver_guard(ctx, &named);
        const struct dlm_device_params params = {
            .kind = named.backend, .index = named.has_device ? named.device : -1,
            .no_matrix = named.no_matrix_units};
        return st ? st : open_device(ctx, t, &params);
    }
    st = dlm_probe_run(ctx, &probe, DLM_BACKEND_AUTO);
    if (!st)
        dlm_driver_note(ctx, &probe, DLM_BACKEND_AUTO);
    dlm_probe_say_faults(ctx, &probe, false);
    for (size_t i = 0; !st && i < probe.num_devices; i++) {
        const struct dlm_device_info *info = &probe.devices[i].info;
        const struct dlm_device_params params = {.kind = info->kind, .index = info->index,
                                                 .no_matrix = compute->no_matrix_units};
        if (!dlm_probe_is_usable(&probe, info->kind))
            continue;
        st = open_device(ctx, t, &params);
        if (st == DLM_ERR_DEVICE || st == DLM_ERR_NO_DEVICE)
            st = DLM_OK;
    }
    dlm_probe_finish(&probe);
    return st;
}

/* One line of the table: name, type, and "yes" or "no" for each device. */
static enum dlm_status write_line(struct dlm_ctx *ctx, const struct table *t,
                                  const struct line *line, struct dlm_str *out)
{
    const struct dlm_op_probe *probe = line->probe;
    char name[96];

    snprintf(name, sizeof(name), probe->note ? "%s (%s)" : "%s", probe->op->name,
             probe->note);
    enum dlm_status st =
        dlm_str_appendf(ctx, out, "%-28s %-4s", name, dlm_dtype_name(line->dtype));
    for (size_t d = 0; !st && d < t->num_devices; d++)
        st = dlm_str_appendf(ctx, out, "  %*s", (int)strlen(t->labels[d]),
                             line->reasons[d] ? "no" : "yes");
    return st ? st : dlm_str_appendz(ctx, out, "\n");
}

static enum dlm_status write_lines(struct dlm_ctx *ctx, const struct table *t, struct dlm_str *out)
{
    enum dlm_status st = dlm_str_appendf(ctx, out, "%-28s %-4s", "op", "type");

    for (size_t d = 0; !st && d < t->num_devices; d++)
        st = dlm_str_appendf(ctx, out, "  %s", t->labels[d]);
    if (!st)
        st = dlm_str_appendz(ctx, out, "\n");
    for (size_t i = 0; !st && i < t->num_lines; i++)
        st = write_line(ctx, t, &t->lines[i], out);
    for (size_t d = 0; !st && d < t->num_devices; d++) {
        const struct dlm_device_caps *caps = dlm_device_get_caps(t->devices[d]);
        if (caps->bits & DLM_CAPS_MATRIX)
            st = dlm_str_appendf(ctx, out, "%s: matrix units, %s\n", t->labels[d],
                                 caps->info.matrix_units);
    }
    for (size_t i = 0; !st && i < t->num_lines; i++) {
        for (size_t d = 0; !st && d < t->num_devices; d++) {
            if (t->lines[i].reasons[d])
                st = dlm_str_appendf(ctx, out, "%s: %s\n", t->labels[d], t->lines[i].reasons[d]);
        }
    }
    return st;
}

/* {"op", "note", "dtype", "devices": {"cpu:0": true, ...}, "reasons": {...}}; NULL: no memory. */
static json_t *line_json(const struct table *t, const struct line *line)
{
    const char *note = line->probe->note;
    json_t *runs = json_object(), *reasons = json_object();
    bool failed = false;

    for (size_t d = 0; d < t->num_devices; d++) {
        const char *reason = line->reasons[d];
        failed |= json_object_set_new(runs, t->labels[d], json_boolean(!reason)) != 0;
        if (reason)
            failed |= json_object_set_new(reasons, t->labels[d], json_string(reason)) != 0;
    }
    json_t *object = json_pack("{s:s, s:s?, s:s, s:o, s:o}", "op",
                               line->probe->op->name, "note", note, "dtype",
                               dlm_dtype_name(line->dtype), "devices", runs, "reasons", reasons);
    if (failed) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static enum dlm_status write_json(struct dlm_ctx *ctx, const struct table *t, struct dlm_str *out)
{
    json_t *root = json_array();
    bool failed = false;

    for (size_t i = 0; i < t->num_lines; i++)
        failed |= json_array_append_new(root, line_json(t, &t->lines[i])) != 0;
    enum dlm_status st = dlm_json_append(ctx, out, failed ? NULL : root, 0);
    json_decref(root);
    return st;
}

enum dlm_status dlm_doctor_ops(struct dlm_ctx *ctx, const struct dlm_compute *compute, bool json,
                               char **text)
{
    struct table table = {0};
    struct dlm_str out = {0};

    *text = NULL;
    enum dlm_status st = open_devices(ctx, &table, compute);
    if (!st && !table.num_devices)
        st = dlm_fail(ctx, DLM_ERR_NO_DEVICE, "no device could be opened");
    if (!st)
        st = probe_all(ctx, &table);
    if (!st)
        st = json ? write_json(ctx, &table, &out) : write_lines(ctx, &table, &out);
    if (!st) {
        *text = out.data;
        out = (struct dlm_str){0};
    }
    dlm_str_finish(&out);
    table_finish(&table);
    return st;
}
