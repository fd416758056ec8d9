/* When drivers are asked before they are loaded, and what is kept of it. How is probe.c's. */
#include "doctor/driver_guard.h"

#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/try.h"
#include "doctor/driver_files.h"
#include "doctor/driver_marks.h"

static const enum dlm_backend_kind driver_kinds[] = {DLM_BACKEND_VULKAN, DLM_BACKEND_OPENCL};

/* Whether drivers of this kind are loaded by what is of the wanted one. */
static bool is_of(enum dlm_backend_kind kind, enum dlm_backend_kind wanted)
{
    return (wanted == DLM_BACKEND_AUTO || wanted == kind) && dlm_backend_is_built(kind);
}

/* A device of auto is refused where it is opened. */
static bool loads(const struct dlm_compute *compute, enum dlm_backend_kind kind)
{
    return is_of(kind, compute->backend) &&
           !(compute->backend == DLM_BACKEND_AUTO && compute->has_device);
}

/* --- what is known --- */

/* The faults of a kind as a mark holds them; owned, NULL: no memory. */
static char *describe(struct dlm_ctx *ctx, const struct dlm_probe *probe,
                      enum dlm_backend_kind kind)
{
    struct dlm_str lines = {0};
    char text[512];
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < probe->num_faults; i++) {
        const struct dlm_driver_fault *fault = &probe->faults[i];
        if (fault->kind != kind)
            continue;
        dlm_driver_fault_text(fault, text, sizeof(text));
        st = dlm_str_appendf(ctx, &lines, "%s\n", text);
        if (!st && fault->way_out)
            st = dlm_str_appendf(ctx, &lines, "\t%s\n", fault->way_out);
    }
    if (st)
        dlm_str_finish(&lines);
    return lines.data;
}

static void keep_faults(struct dlm_ctx *ctx, const struct dlm_probe *probe,
                        enum dlm_backend_kind kind)
{
    char *faults = describe(ctx, probe, kind);

    if (faults)
        dlm_driver_mark_set(ctx, kind, faults);
    dlm_free(faults);
}

/* Takes back that they answered; a fault that is known stays. */
static void take_back(struct dlm_ctx *ctx, enum dlm_backend_kind kind)
{
    struct dlm_driver_mark mark;

    dlm_driver_mark_read(ctx, kind, &mark);
    if (mark.is_there && !mark.faults)
        dlm_driver_mark_remove(ctx, kind);
    dlm_driver_mark_finish(&mark);
}

static void keep_answer(struct dlm_ctx *ctx, enum dlm_backend_kind kind)
{
    struct dlm_driver_mark mark;

    dlm_driver_mark_read(ctx, kind, &mark);
    if (!mark.is_there || mark.faults)
        dlm_driver_mark_set(ctx, kind, NULL);
    dlm_driver_mark_finish(&mark);
}

void dlm_driver_note(struct dlm_ctx *ctx, const struct dlm_probe *probe,
                     enum dlm_backend_kind kind)
{
    for (size_t i = 0; dlm_ctx_can_probe(ctx) && i < DLM_ARRAY_LEN(driver_kinds); i++) {
        if (!is_of(driver_kinds[i], kind))
            continue;
        if (dlm_probe_is_usable(probe, driver_kinds[i]))
            keep_answer(ctx, driver_kinds[i]);
        else
            take_back(ctx, driver_kinds[i]);
    }
}

/* Says the faults that a mark holds. */
static void say_known(struct dlm_ctx *ctx, enum dlm_backend_kind kind,
                      const struct dlm_driver_mark *mark)
{
    char when[32] = "an unknown time";
    struct tm tm;

    if (localtime_r(&mark->when, &tm))
        (void)strftime(when, sizeof(when), "%Y-%m-%d %H:%M", &tm); /* fits: a year of 4 digits */
    for (const char *line = mark->faults; *line;) {
        const size_t len = strcspn(line, "\n");
        if (*line == '\t')
            dlm_log(ctx, DLM_LOG_HINT, "%.*s", (int)len - 1, line + 1);
        else
            dlm_log(ctx, DLM_LOG_WARNING, "backend '%s' is left out: %.*s, at %s",
                    dlm_backend_name(kind), (int)len, line, when);
        line += len + (line[len] == '\n');
    }
    dlm_log(ctx, DLM_LOG_HINT, "it is asked again by `dlm doctor`, by --backend %s, and once this "
                               "machine was started anew",
            dlm_backend_name(kind));
}

/* --- asking --- */

/* Asks for what compute means but the kinds that are left out. keep: faults are remembered. */
static enum dlm_status ask(struct dlm_ctx *ctx, struct dlm_compute *compute,
                           const bool *is_left_out, bool keep)
{
    const bool is_auto = compute->backend == DLM_BACKEND_AUTO;
    struct dlm_probe probe = {0};
    bool is_less = false;

    enum dlm_status st = dlm_probe_run_without(ctx, &probe, compute->backend, is_left_out);
    for (size_t i = 0; !st && i < DLM_ARRAY_LEN(driver_kinds); i++) {
        const enum dlm_backend_kind kind = driver_kinds[i];
        is_less |= is_left_out[kind];
        if (!loads(compute, kind) || is_left_out[kind])
            continue;
        if (dlm_probe_is_usable(&probe, kind))
            keep_answer(ctx, kind);
        else if (keep)
            keep_faults(ctx, &probe, kind);
        else
            take_back(ctx, kind);
    }
    if (st || (!probe.num_faults && !is_less))
        goto done;
    dlm_probe_say_faults(ctx, &probe, !is_auto);
    const struct dlm_device_properties *chosen = is_auto ? dlm_probe_auto(&probe) : NULL;
    if (!is_auto)
        st = DLM_ERR_DEVICE;
    if (chosen) {
        compute->backend = chosen->info.kind;
        compute->device = chosen->info.index;
        compute->has_device = chosen->info.kind != DLM_BACKEND_CPU;
    }
done:
    dlm_probe_finish(&probe);
    return st;
}

enum dlm_status dlm_driver_guard(struct dlm_ctx *ctx, struct dlm_compute *compute)
{
    const bool none[DLM_BACKEND_COUNT] = {false};
    bool loads_any = false;

    for (size_t i = 0; i < DLM_ARRAY_LEN(driver_kinds); i++)
        loads_any |= loads(compute, driver_kinds[i]);
    return loads_any && dlm_ctx_can_probe(ctx) ? ask(ctx, compute, none, false) : DLM_OK;
}

enum dlm_status dlm_driver_guard_once(struct dlm_ctx *ctx, struct dlm_compute *compute)
{
    bool is_left_out[DLM_BACKEND_COUNT] = {false}, is_open = false;

    for (size_t i = 0; dlm_ctx_can_probe(ctx) && i < DLM_ARRAY_LEN(driver_kinds); i++) {
        const enum dlm_backend_kind kind = driver_kinds[i];
        struct dlm_driver_mark mark;
        if (!loads(compute, kind))
            continue;
        dlm_driver_mark_read(ctx, kind, &mark);
        is_open |= !mark.is_there || mark.faults;
        is_left_out[kind] = mark.faults && compute->backend == DLM_BACKEND_AUTO;
        if (is_left_out[kind])
            say_known(ctx, kind, &mark);
        dlm_driver_mark_finish(&mark);
    }
    return is_open ? ask(ctx, compute, is_left_out, true) : DLM_OK;
}

/* --- loading --- */

/* "the driver 'bad.icd'", or what can be said of several; owned, NULL: no memory. */
static char *who_is(struct dlm_ctx *ctx, enum dlm_backend_kind kind)
{
    struct dlm_driver_files files = {0};
    char *who = NULL;

    if (kind == DLM_BACKEND_AUTO)
        return dlm_strdup(ctx, "a driver");
    if (!dlm_driver_files_find(ctx, &files, kind))
        who = files.num == 1
                  ? dlm_strf(ctx, "the driver '%s'", files.paths[0])
                  : dlm_strf(ctx, "a driver of backend '%s'", dlm_backend_name(kind));
    dlm_driver_files_finish(ctx, &files);
    return who;
}

/* What the context's dlm_load_fn knows while drivers are loaded; all zero: it is not asked. */
struct loading {
    struct dlm_load load; /* borrows the others */
    char *who;
    char *marks[DLM_ARRAY_LEN(driver_kinds) + 1]; /* ends with NULL */
};

static void begin(struct dlm_ctx *ctx, struct loading *l, enum dlm_backend_kind kind)
{
    size_t num = 0;

    *l = (struct loading){0};
    if (!dlm_ctx_can_watch(ctx) || kind == DLM_BACKEND_CPU || !(l->who = who_is(ctx, kind)))
        return;
    for (size_t i = 0; i < DLM_ARRAY_LEN(driver_kinds); i++)
        if (is_of(driver_kinds[i], kind)) {
            l->marks[num] = dlm_driver_mark_path(ctx, driver_kinds[i]);
            num += l->marks[num] != NULL;
        }
    l->load = (struct dlm_load){l->who, (const char *const *)l->marks};
    dlm_ctx_watch(ctx, &l->load);
}

static void end(struct dlm_ctx *ctx, struct loading *l)
{
    if (l->who)
        dlm_ctx_watch(ctx, NULL);
    for (size_t i = 0; i < DLM_ARRAY_LEN(l->marks); i++)
        dlm_free(l->marks[i]);
    dlm_free(l->who);
}

enum dlm_status dlm_driver_open(struct dlm_ctx *ctx, struct dlm_device **out,
                                const struct dlm_device_params *params)
{
    struct loading l;

    begin(ctx, &l, params->kind);
    enum dlm_status st = dlm_device_open(ctx, out, params);
    end(ctx, &l);
    return st;
}

enum dlm_status dlm_driver_find(struct dlm_ctx *ctx, const struct dlm_device_params *params,
                                struct dlm_device_info *info)
{
    struct loading l;

    begin(ctx, &l, params->kind);
    enum dlm_status st = dlm_device_find(ctx, params, info);
    end(ctx, &l);
    return st;
}
