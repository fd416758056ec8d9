/* One process a backend; where it gives no answer, one more for each of the backend's drivers, and
 * one for those that answer alone. */
#include "doctor/probe.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/try.h"
#include "doctor/device_json.h"
#include "doctor/driver_files.h"

#define MAX_ANSWER ((size_t)4 << 20)

/* Their order is that of the list. */
static const enum dlm_backend_kind driver_kinds[] = {DLM_BACKEND_VULKAN, DLM_BACKEND_OPENCL};

/* --- in the process that looks --- */

enum dlm_status dlm_doctor_probe(struct dlm_ctx *ctx, enum dlm_backend_kind kind, char **text)
{
    struct dlm_device_properties *list = NULL;
    json_t *answer = json_array();
    char *line = NULL;
    bool failed = !answer;
    enum dlm_status st = DLM_ERR_MEMORY;

    *text = NULL;
    DLM_REQUIRE(ctx, kind > DLM_BACKEND_AUTO && kind < DLM_BACKEND_COUNT);
    list = dlm_alloc_array(ctx, DLM_MAX_PROBED, sizeof(*list));
    if (!list)
        goto done;
    const int num = dlm_device_probe(ctx, kind, list, DLM_MAX_PROBED);
    for (int i = 0; i < num; i++)
        failed |= json_array_append_new(answer, dlm_device_json(&list[i])) != 0;
    line = failed ? NULL : json_dumps(answer, JSON_COMPACT);
    *text = line ? dlm_strf(ctx, "%s\n", line) : NULL;
    st = *text ? DLM_OK : DLM_ERR_MEMORY;
done:
    free(line);
    json_decref(answer);
    dlm_free(list);
    return st;
}

/* --- in the process that asks --- */

static enum dlm_status add_device(struct dlm_ctx *ctx, struct dlm_probe *probe,
                                  const struct dlm_device_properties *device)
{
    if (!dlm_grow(ctx, &probe->devices, &probe->cap_devices, probe->num_devices,
                  sizeof(*probe->devices)))
        return DLM_ERR_MEMORY;
    probe->devices[probe->num_devices++] = *device;
    return DLM_OK;
}

static enum dlm_status look_here(struct dlm_ctx *ctx, struct dlm_probe *probe,
                                 enum dlm_backend_kind kind)
{
    struct dlm_device_properties *list = dlm_alloc_array(ctx, DLM_MAX_PROBED, sizeof(*list));
    const int num = list ? dlm_device_probe(ctx, kind, list, DLM_MAX_PROBED) : 0;
    enum dlm_status st = list ? DLM_OK : DLM_ERR_MEMORY;

    for (int i = 0; !st && i < num; i++)
        st = add_device(ctx, probe, &list[i]);
    dlm_free(list);
    return st;
}

/* file may be NULL. */
static enum dlm_status add_fault(struct dlm_ctx *ctx, struct dlm_probe *probe,
                                 enum dlm_backend_kind kind, const char *file,
                                 const struct dlm_probe_job *job)
{
    struct dlm_driver_fault fault = {.kind = kind, .end = job->end, .code = job->code};

    if (file && !(fault.file = dlm_strdup(ctx, file)))
        return DLM_ERR_MEMORY;
    if (!dlm_grow(ctx, &probe->faults, &probe->cap_faults, probe->num_faults,
                  sizeof(*probe->faults))) {
        dlm_free(fault.file);
        return DLM_ERR_MEMORY;
    }
    probe->faults[probe->num_faults++] = fault;
    return DLM_OK;
}

/* Adds the devices of an answer, numbered from *index on. An answer that cannot be read is none. */
static enum dlm_status take_answer(struct dlm_ctx *ctx, struct dlm_probe *probe,
                                   struct dlm_probe_job *job, int *index)
{
    const size_t len = job->text ? strlen(job->text) : 0, before = probe->num_devices;
    const int first = *index;
    struct dlm_device_properties *device = dlm_alloc(ctx, sizeof(*device));
    json_t *answer = NULL;

    enum dlm_status st = device ? DLM_OK : DLM_ERR_MEMORY;
    if (!st)
        st = len < MAX_ANSWER ? dlm_json_parse(NULL, "devices", job->text ? job->text : "", len,
                                               &answer)
                              : DLM_ERR_PARSE;
    if (!st && !json_is_array(answer))
        st = DLM_ERR_PARSE;
    for (size_t i = 0; !st && i < json_array_size(answer); i++) {
        st = dlm_device_from_json(NULL, json_array_get(answer, i), "devices", device);
        device->info.index = (*index)++;
        if (!st && strcmp(dlm_backend_name(device->info.kind), job->backend))
            st = DLM_ERR_PARSE;
        if (!st)
            st = add_device(ctx, probe, device);
    }
    json_decref(answer);
    dlm_free(device);
    if (!st || st == DLM_ERR_MEMORY)
        return st;
    probe->num_devices = before;
    *index = first;
    job->end = DLM_PROBE_UNREADABLE;
    job->code = 0;
    return DLM_OK;
}

static void finish_jobs(struct dlm_probe_job *jobs, size_t num)
{
    for (size_t i = 0; jobs && i < num; i++) {
        free(jobs[i].text);
        dlm_names_free((char **)jobs[i].env);
    }
}

/* The drivers that answered alone, together, as they will be once the others are left out. */
static enum dlm_status look_at_rest(struct dlm_ctx *ctx, struct dlm_probe *probe,
                                    struct dlm_driver_files *files, const bool *is_good)
{
    struct dlm_probe_job job = {.backend = dlm_backend_name(files->kind)};
    char **env = NULL;
    int index = 0;

    enum dlm_status st = dlm_driver_files_env(ctx, files, is_good, &env);
    if (st)
        return st;
    job.env = env;
    st = dlm_ctx_probe(ctx, &job, 1);
    if (!st && job.end == DLM_PROBE_ANSWERED)
        st = take_answer(ctx, probe, &job, &index);
    if (!st && job.end != DLM_PROBE_ANSWERED)
        st = add_fault(ctx, probe, files->kind, NULL, &job);
    finish_jobs(&job, 1);
    return st;
}

/* Each driver alone. jobs, is_alone, is_good: [files->num], zeros. */
static enum dlm_status look_at_each(struct dlm_ctx *ctx, struct dlm_probe *probe,
                                    struct dlm_driver_files *files,
                                    const struct dlm_probe_job *whole, struct dlm_probe_job *jobs,
                                    bool *is_alone, bool *is_good)
{
    size_t num_good = 0;
    int index = 0;
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < files->num; i++) {
        char **env = NULL;
        is_alone[i] = true;
        st = dlm_driver_files_env(ctx, files, is_alone, &env);
        is_alone[i] = false;
        jobs[i] = (struct dlm_probe_job){.backend = whole->backend, .env = env};
    }
    if (!st)
        st = dlm_ctx_probe(ctx, jobs, files->num);
    for (size_t i = 0; !st && i < files->num; i++) {
        is_good[i] = jobs[i].end == DLM_PROBE_ANSWERED;
        num_good += is_good[i];
    }
    for (size_t i = 0; !st && i < files->num; i++) {
        if (is_good[i])
            continue;
        st = add_fault(ctx, probe, files->kind, files->paths[i], &jobs[i]);
        if (!st)
            probe->faults[probe->num_faults - 1].way_out =
                dlm_driver_files_way_out(ctx, files, is_good);
    }
    if (st || !num_good)
        return st;
    if (num_good < files->num)
        return look_at_rest(ctx, probe, files, is_good);
    for (size_t i = 0; !st && i < files->num; i++)
        st = take_answer(ctx, probe, &jobs[i], &index);
    return st ? st : add_fault(ctx, probe, files->kind, NULL, whole);
}

/* After a backend gave no answer: which of its drivers is it? */
static enum dlm_status look_closer(struct dlm_ctx *ctx, struct dlm_probe *probe,
                                   enum dlm_backend_kind kind, const struct dlm_probe_job *whole)
{
    struct dlm_driver_files files;
    struct dlm_probe_job *jobs = NULL;
    bool *is_alone = NULL, *is_good = NULL;

    enum dlm_status st = dlm_driver_files_find(ctx, &files, kind);
    if (st)
        goto done;
    if (files.num < 2) {
        st = add_fault(ctx, probe, kind, files.num ? files.paths[0] : NULL, whole);
        goto done;
    }
    jobs = dlm_alloc_array(ctx, files.num, sizeof(*jobs));
    is_alone = dlm_alloc_array(ctx, files.num, sizeof(*is_alone));
    is_good = dlm_alloc_array(ctx, files.num, sizeof(*is_good));
    st = jobs && is_alone && is_good
             ? look_at_each(ctx, probe, &files, whole, jobs, is_alone, is_good)
             : DLM_ERR_MEMORY;
done:
    finish_jobs(jobs, files.num);
    dlm_free(jobs);
    dlm_free(is_alone);
    dlm_free(is_good);
    dlm_driver_files_finish(ctx, &files);
    return st;
}

static enum dlm_status look_elsewhere(struct dlm_ctx *ctx, struct dlm_probe *probe,
                                      const enum dlm_backend_kind *kinds, size_t num)
{
    struct dlm_probe_job jobs[DLM_ARRAY_LEN(driver_kinds)] = {0};

    for (size_t i = 0; i < num; i++)
        jobs[i].backend = dlm_backend_name(kinds[i]);
    enum dlm_status st = num ? dlm_ctx_probe(ctx, jobs, num) : DLM_OK;
    for (size_t i = 0; !st && i < num; i++) {
        int index = 0;
        if (jobs[i].end == DLM_PROBE_ANSWERED)
            st = take_answer(ctx, probe, &jobs[i], &index);
        if (!st && jobs[i].end != DLM_PROBE_ANSWERED)
            st = look_closer(ctx, probe, kinds[i], &jobs[i]);
        if (st == DLM_ERR_UNSUPPORTED) /* there was one process, but not more */
            st = add_fault(ctx, probe, kinds[i], NULL, &jobs[i]);
    }
    finish_jobs(jobs, num);
    return st;
}

enum dlm_status dlm_probe_run_without(struct dlm_ctx *ctx, struct dlm_probe *probe,
                                      enum dlm_backend_kind kind,
                                      const bool is_left_out[DLM_BACKEND_COUNT])
{
    enum dlm_backend_kind kinds[DLM_ARRAY_LEN(driver_kinds)];
    size_t num = 0;
    enum dlm_status st = DLM_OK;

    *probe = (struct dlm_probe){0};
    for (size_t i = 0; i < DLM_ARRAY_LEN(driver_kinds); i++)
        if ((kind == DLM_BACKEND_AUTO || kind == driver_kinds[i]) &&
            !is_left_out[driver_kinds[i]] && dlm_backend_is_built(driver_kinds[i]))
            kinds[num++] = driver_kinds[i];
    if (kind == DLM_BACKEND_AUTO || kind == DLM_BACKEND_CPU)
        st = look_here(ctx, probe, DLM_BACKEND_CPU);
    if (st)
        return st;
    st = dlm_ctx_can_probe(ctx) ? look_elsewhere(ctx, probe, kinds, num) : DLM_ERR_UNSUPPORTED;
    if (st != DLM_ERR_UNSUPPORTED)
        return st;
    st = DLM_OK;
    for (size_t i = 0; !st && i < num; i++)
        st = look_here(ctx, probe, kinds[i]);
    return st;
}

enum dlm_status dlm_probe_run(struct dlm_ctx *ctx, struct dlm_probe *probe,
                              enum dlm_backend_kind kind)
{
    const bool none[DLM_BACKEND_COUNT] = {false};

    return dlm_probe_run_without(ctx, probe, kind, none);
}

void dlm_probe_finish(struct dlm_probe *probe)
{
    for (size_t i = 0; i < probe->num_faults; i++) {
        dlm_free(probe->faults[i].file);
        dlm_free(probe->faults[i].way_out);
    }
    dlm_free(probe->faults);
    dlm_free(probe->devices);
    *probe = (struct dlm_probe){0};
}

bool dlm_probe_is_usable(const struct dlm_probe *probe, enum dlm_backend_kind kind)
{
    for (size_t i = 0; i < probe->num_faults; i++)
        if (probe->faults[i].kind == kind)
            return false;
    return true;
}

const struct dlm_device_properties *dlm_probe_auto(const struct dlm_probe *probe)
{
    static const enum dlm_backend_kind order[] = {DLM_BACKEND_VULKAN, DLM_BACKEND_OPENCL,
                                                  DLM_BACKEND_CPU};

    for (size_t k = 0; k < DLM_ARRAY_LEN(order); k++)
        for (size_t i = 0; i < probe->num_devices; i++) {
            const struct dlm_device_info *info = &probe->devices[i].info;
            if (info->kind == order[k] && !info->is_software &&
                dlm_probe_is_usable(probe, order[k]))
                return &probe->devices[i];
        }
    return NULL;
}

const char *dlm_driver_fault_name(const struct dlm_driver_fault *fault)
{
    return fault->end == DLM_PROBE_CRASHED      ? "crashed"
           : fault->end == DLM_PROBE_HUNG       ? "hung"
           : fault->end == DLM_PROBE_UNREADABLE ? "unreadable"
                                                : "exited";
}

void dlm_driver_fault_text(const struct dlm_driver_fault *fault, char *text, size_t bytes)
{
    char who[256], what[96];

    if (fault->file)
        snprintf(who, sizeof(who), "the driver '%s'", fault->file);
    else
        snprintf(who, sizeof(who), "a driver, or several of them together,");
    switch (fault->end) {
    case DLM_PROBE_CRASHED:
        snprintf(what, sizeof(what), "crashed (signal %d, %s)", fault->code,
                 strsignal(fault->code));
        break;
    case DLM_PROBE_HUNG:
        snprintf(what, sizeof(what), "gave no answer in %d s", fault->code);
        break;
    case DLM_PROBE_UNREADABLE:
        snprintf(what, sizeof(what), "gave no answer that can be read");
        break;
    default:
        snprintf(what, sizeof(what), "ended the process (exit status %d)", fault->code);
        break;
    }
    snprintf(text, bytes, "%s %s when asked for its devices", who, what);
}

void dlm_probe_say_faults(struct dlm_ctx *ctx, const struct dlm_probe *probe, bool is_error)
{
    char text[512];

    for (size_t i = 0; i < probe->num_faults; i++) {
        const struct dlm_driver_fault *fault = &probe->faults[i];
        const char *backend = dlm_backend_name(fault->kind);
        dlm_driver_fault_text(fault, text, sizeof(text));
        if (is_error)
            (void)dlm_fail(ctx, DLM_ERR_DEVICE, "cannot use backend '%s': %s", backend, text);
        else
            dlm_log(ctx, DLM_LOG_WARNING, "backend '%s' is left out: %s", backend, text);
        if (fault->way_out)
            dlm_log(ctx, DLM_LOG_HINT, "%s", fault->way_out);
    }
}
