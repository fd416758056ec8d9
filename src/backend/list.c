/* Backends by name, their devices, and which one of them is meant. */
#include <string.h>

#include "backend/backend.h"
#include "backend/backend_impl.h"
#include "base/log.h"
#include "base/mem.h"

#define MAX_DEVICES 64 /* of one kind */

/* The order in which devices are listed. */
static const struct dlm_backend *const backends[] = {
    &dlm_backend_cpu,
#ifdef DLM_HAVE_VULKAN
    &dlm_backend_vulkan,
#endif
#ifdef DLM_HAVE_OPENCL
    &dlm_backend_opencl,
#endif
};

static const char *const kind_names[DLM_BACKEND_COUNT] = {
    [DLM_BACKEND_AUTO] = "auto",
    [DLM_BACKEND_CPU] = "cpu",
    [DLM_BACKEND_OPENCL] = "opencl",
    [DLM_BACKEND_VULKAN] = "vulkan",
};

const char *dlm_backend_name(enum dlm_backend_kind kind)
{
    return (unsigned)kind < DLM_BACKEND_COUNT ? kind_names[kind] : "?";
}

enum dlm_status dlm_backend_from_name(struct dlm_ctx *ctx, const char *name,
                                      enum dlm_backend_kind *kind)
{
    for (int i = 0; i < DLM_BACKEND_COUNT; i++) {
        if (strcmp(name, kind_names[i]))
            continue;
        *kind = (enum dlm_backend_kind)i;
        return DLM_OK;
    }
    dlm_fail(ctx, DLM_ERR_USAGE, "unknown backend '%s'", name);
    dlm_log(ctx, DLM_LOG_HINT, "the backends are auto, cpu, opencl and vulkan");
    return DLM_ERR_USAGE;
}

static const struct dlm_backend *find_backend(enum dlm_backend_kind kind)
{
    for (size_t i = 0; i < DLM_ARRAY_LEN(backends); i++) {
        if (backends[i]->kind == kind)
            return backends[i];
    }
    return NULL;
}

/* The devices of one backend in an array of MAX_DEVICES owned by the caller. */
static enum dlm_status enumerate(struct dlm_ctx *ctx, const struct dlm_backend *backend,
                                 struct dlm_device_info **list, int *num)
{
    *num = 0;
    *list = dlm_alloc_array(ctx, MAX_DEVICES, sizeof(**list));
    if (!*list)
        return DLM_ERR_MEMORY;
    *num = backend->enumerate(ctx, *list, MAX_DEVICES);
    return DLM_OK;
}

enum dlm_status dlm_device_list(struct dlm_ctx *ctx, struct dlm_device_info **list, int *num)
{
    struct dlm_device_info *all;

    *list = NULL;
    *num = 0;
    all = dlm_alloc_array(ctx, DLM_ARRAY_LEN(backends) * MAX_DEVICES, sizeof(*all));
    if (!all)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; i < DLM_ARRAY_LEN(backends); i++)
        *num += backends[i]->enumerate(ctx, all + *num, MAX_DEVICES);
    *list = all;
    return DLM_OK;
}

bool dlm_backend_is_built(enum dlm_backend_kind kind)
{
    return find_backend(kind) != NULL;
}

int dlm_device_probe(struct dlm_ctx *ctx, enum dlm_backend_kind kind,
                     struct dlm_device_properties *list, int max)
{
    return dlm_backend_is_built(kind) ? find_backend(kind)->probe(ctx, list, max) : 0;
}

void dlm_device_list_free(struct dlm_device_info *list)
{
    dlm_free(list);
}

const struct dlm_device_info *dlm_device_first(const struct dlm_device_info *list, int num,
                                               enum dlm_backend_kind kind)
{
    const struct dlm_device_info *software = NULL;

    for (int i = 0; i < num; i++) {
        if (list[i].kind == kind && !list[i].is_software)
            return &list[i];
        if (list[i].kind == kind && !software)
            software = &list[i];
    }
    return software;
}

/* The order in which auto looks. */
static const enum dlm_backend_kind auto_order[] = {DLM_BACKEND_VULKAN, DLM_BACKEND_OPENCL,
                                                   DLM_BACKEND_CPU};

const struct dlm_device_info *dlm_device_auto(const struct dlm_device_info *list, int num)
{
    for (size_t k = 0; k < DLM_ARRAY_LEN(auto_order); k++) {
        const struct dlm_device_info *first = dlm_device_first(list, num, auto_order[k]);
        if (first && !first->is_software)
            return first;
    }
    return NULL;
}

/* Lists one backend after the other, so that no driver is loaded that is not needed. */
static enum dlm_status choose_auto(struct dlm_ctx *ctx, const struct dlm_backend **backend,
                                   struct dlm_device_info *info)
{
    struct dlm_device_info *list;
    bool found = false;
    int num;

    for (size_t k = 0; !found && k < DLM_ARRAY_LEN(auto_order); k++) {
        *backend = find_backend(auto_order[k]);
        if (!*backend)
            continue;
        enum dlm_status st = enumerate(ctx, *backend, &list, &num);
        if (st)
            return st;
        const struct dlm_device_info *chosen = dlm_device_auto(list, num);
        found = chosen != NULL;
        if (found)
            *info = *chosen;
        dlm_free(list);
    }
    return DLM_OK; /* there is always a CPU, and it comes last */
}

static enum dlm_status fail_none(struct dlm_ctx *ctx, const struct dlm_backend *backend)
{
    dlm_fail(ctx, DLM_ERR_NO_DEVICE, "backend '%s' has no device", dlm_backend_name(backend->kind));
    if (backend->hint_none)
        backend->hint_none(ctx);
    return DLM_ERR_NO_DEVICE;
}

/* A kind asked for by name: the device of that index, or for -1 the first one, hardware before
 * software. */
static enum dlm_status choose_kind(struct dlm_ctx *ctx, enum dlm_backend_kind kind, int wanted,
                                   const struct dlm_backend **backend,
                                   struct dlm_device_info *info)
{
    struct dlm_device_info *list;
    int num;

    *backend = find_backend(kind);
    if (!*backend) {
        return dlm_fail(ctx, DLM_ERR_NO_DEVICE, "backend '%s' is not part of this build",
                        dlm_backend_name(kind));
    }
    enum dlm_status st = enumerate(ctx, *backend, &list, &num);
    if (st)
        return st;
    const struct dlm_device_info *chosen = wanted < 0     ? dlm_device_first(list, num, kind)
                                           : wanted < num ? &list[wanted]
                                                          : NULL;
    if (chosen)
        *info = *chosen;
    else if (!num)
        st = fail_none(ctx, *backend);
    else
        st = dlm_fail(ctx, DLM_ERR_NO_DEVICE, "backend '%s' has no device %d: there are %d",
                      dlm_backend_name(kind), wanted, num);
    dlm_free(list);
    return st;
}

enum dlm_status dlm_backend_choose(struct dlm_ctx *ctx, const struct dlm_device_params *params,
                                   const struct dlm_backend **backend,
                                   struct dlm_device_info *info)
{
    if (params->kind == DLM_BACKEND_AUTO && params->index >= 0)
        return dlm_fail(ctx, DLM_ERR_USAGE, "device %d of backend 'auto': a device number needs a "
                                            "named backend", params->index);
    return params->kind == DLM_BACKEND_AUTO
               ? choose_auto(ctx, backend, info)
               : choose_kind(ctx, params->kind, params->index, backend, info);
}

enum dlm_status dlm_device_find(struct dlm_ctx *ctx, const struct dlm_device_params *params,
                                struct dlm_device_info *info)
{
    const struct dlm_backend *backend;

    *info = (struct dlm_device_info){0};
    return dlm_backend_choose(ctx, params, &backend, info);
}
