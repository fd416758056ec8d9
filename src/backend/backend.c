/* What all backends share: names, enumeration, opening a device, checks of ranges, the counters of
 * bytes and the memory of a loss. Arithmetic, memory and queues are the backends' own. */
#include "backend/backend.h"

#include <stdlib.h>
#include <string.h>

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

/* What params name, of a device that computes. */
static enum dlm_status choose(struct dlm_ctx *ctx, const struct dlm_device_params *params,
                              const struct dlm_backend **backend, struct dlm_device_info *info)
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
    return choose(ctx, params, &backend, info);
}

static void limit_caps(struct dlm_device_caps *caps, const struct dlm_device_params *params)
{
    const size_t max_alloc_bytes = params->max_alloc_bytes;

    if (params->max_free_bytes && (!caps->free_bytes || caps->free_bytes > params->max_free_bytes))
        caps->free_bytes = params->max_free_bytes;
    caps->plan_bytes = caps->info.memory_bytes;
    if (params->max_free_bytes)
        caps->plan_bytes = DLM_MIN(caps->plan_bytes, params->max_free_bytes);
    if (params->max_work)
        caps->max_work = params->max_work;
    if (!max_alloc_bytes)
        return;
    caps->max_alloc_bytes = DLM_MIN(caps->max_alloc_bytes, max_alloc_bytes);
    caps->max_range_bytes = DLM_MIN(caps->max_range_bytes, max_alloc_bytes);
    caps->info.max_alloc_bytes = DLM_MIN(caps->info.max_alloc_bytes, max_alloc_bytes);
}

enum dlm_status dlm_device_open(struct dlm_ctx *ctx, struct dlm_device **out,
                                const struct dlm_device_params *params)
{
    const struct dlm_backend *backend = &dlm_backend_null;
    struct dlm_device_info info = {.index = -1};
    enum dlm_status st;

    *out = NULL;
    DLM_REQUIRE(ctx, (unsigned)params->kind < DLM_BACKEND_COUNT);
    DLM_REQUIRE(ctx, params->index >= -1);
    st = params->is_null ? DLM_OK : choose(ctx, params, &backend, &info);
    if (!st)
        st = backend->open(ctx, out, info.index, params);
    if (st)
        goto done;
    if (params->is_null && params->null_caps)
        (*out)->caps = *params->null_caps;
    limit_caps(&(*out)->caps, params);
    (*out)->caps.no_matrix = params->no_matrix;
    (*out)->caps.bits |= (*out)->all_bits & params->show_caps;
    (*out)->caps.bits &= ~params->hide_caps;
done:
    return st;
}

void dlm_device_destroy(struct dlm_device **device)
{
    if (!device || !*device)
        return;
    while ((*device)->banned) {
        struct dlm_banned_kernel *next = (*device)->banned->next;
        dlm_free((*device)->banned);
        (*device)->banned = next;
    }
    (*device)->backend->close(*device);
    *device = NULL;
}

const struct dlm_device_caps *dlm_device_get_caps(const struct dlm_device *device)
{
    return &device->caps;
}

void dlm_device_tune(struct dlm_device *device, const uint8_t tuned[DLM_NUM_TUNED])
{
    memcpy(device->caps.tuned, tuned, sizeof(device->caps.tuned));
}

size_t dlm_device_max_tensor(const struct dlm_device *device)
{
    return DLM_MIN(device->caps.max_alloc_bytes, device->caps.max_range_bytes);
}

uint64_t dlm_device_used_bytes(const struct dlm_device *device)
{
    return device->used_bytes;
}

uint64_t dlm_device_peak_bytes(const struct dlm_device *device)
{
    return device->peak_bytes;
}

/* Remembers a loss; passes the status on. The backend has logged it. */
static enum dlm_status note(struct dlm_device *device, enum dlm_status st)
{
    if (st == DLM_ERR_DEVICE_LOST)
        device->lost = true;
    return st;
}

uint64_t dlm_device_num_waits(const struct dlm_device *device)
{
    return device->num_waits;
}

enum dlm_status dlm_buffer_create(struct dlm_device *device, struct dlm_buffer **out, size_t bytes)
{
    enum dlm_status st;

    *out = NULL;
    if (device->lost)
        return DLM_ERR_DEVICE_LOST;
    DLM_REQUIRE(device->ctx, bytes > 0);
    if (bytes > device->caps.max_alloc_bytes) {
        st = dlm_fail(device->ctx, DLM_ERR_MEMORY,
                      "cannot make a buffer of %zu bytes on '%s': the largest has %zu", bytes,
                      device->caps.info.name, device->caps.max_alloc_bytes);
        goto done;
    }
    st = note(device, device->backend->buffer_create(device, out, bytes));
    if (st)
        goto done;
    device->used_bytes += bytes;
    device->peak_bytes = DLM_MAX(device->peak_bytes, device->used_bytes);
done:
    return st;
}

void dlm_buffer_destroy(struct dlm_buffer **buffer)
{
    if (!buffer || !*buffer)
        return;
    struct dlm_device *device = (*buffer)->device;
    device->used_bytes -= (*buffer)->bytes;
    device->backend->buffer_destroy(*buffer);
    *buffer = NULL;
}

size_t dlm_buffer_bytes(const struct dlm_buffer *buffer)
{
    return buffer->bytes;
}

static bool is_inside(const struct dlm_buffer *buffer, size_t offset, size_t bytes)
{
    return offset <= buffer->bytes && bytes <= buffer->bytes - offset;
}

enum dlm_status dlm_buffer_write(struct dlm_buffer *buffer, size_t offset, const void *data,
                                 size_t bytes)
{
    struct dlm_device *device = buffer->device;
    enum dlm_status st;

    if (device->lost)
        return DLM_ERR_DEVICE_LOST;
    DLM_REQUIRE(device->ctx, is_inside(buffer, offset, bytes));
    st = bytes ? note(device, device->backend->buffer_write(buffer, offset, data, bytes)) : DLM_OK;
done:
    return st;
}

enum dlm_status dlm_buffer_read(struct dlm_buffer *buffer, size_t offset, void *data, size_t bytes)
{
    struct dlm_device *device = buffer->device;
    enum dlm_status st;

    if (device->lost)
        return DLM_ERR_DEVICE_LOST;
    DLM_REQUIRE(device->ctx, is_inside(buffer, offset, bytes));
    st = bytes ? note(device, device->backend->buffer_read(buffer, offset, data, bytes)) : DLM_OK;
done:
    return st;
}

enum dlm_status dlm_buffer_fill(struct dlm_buffer *buffer, size_t offset, size_t bytes,
                                uint32_t word)
{
    struct dlm_device *device = buffer->device;
    enum dlm_status st;

    if (device->lost)
        return DLM_ERR_DEVICE_LOST;
    DLM_REQUIRE(device->ctx, is_inside(buffer, offset, bytes));
    DLM_REQUIRE(device->ctx, offset % 4 == 0 && bytes % 4 == 0);
    st = bytes ? note(device, device->backend->buffer_fill(buffer, offset, bytes, word)) : DLM_OK;
done:
    return st;
}

void *dlm_buffer_host_data(struct dlm_buffer *buffer)
{
    const struct dlm_backend *backend = buffer->device->backend;

    return backend->buffer_host_data ? backend->buffer_host_data(buffer) : NULL;
}

size_t dlm_device_gemm_scratch(const struct dlm_device *device,
                               const struct dlm_gemm_params *params)
{
    return device->backend->gemm_scratch ? device->backend->gemm_scratch(device, params) : 0;
}

bool dlm_device_has_kernel(const struct dlm_device *device, const char *kernel)
{
    return device->backend->has_kernel(device, kernel);
}

enum dlm_status dlm_device_ban_kernel(struct dlm_device *device, const char *kernel,
                                      const char *fault)
{
    const size_t len = strlen(kernel);

    struct dlm_banned_kernel *ban = dlm_alloc(device->ctx, sizeof(*ban) + len + 1);
    if (!ban)
        return DLM_ERR_MEMORY;
    memcpy(ban->name, kernel, len + 1);
    ban->fault = fault;
    ban->next = device->banned;
    device->banned = ban;
    return DLM_OK;
}

const char *dlm_device_kernel_fault(const struct dlm_device *device, const char *kernel)
{
    for (const struct dlm_banned_kernel *ban = device->banned; ban; ban = ban->next) {
        if (!strcmp(ban->name, kernel))
            return ban->fault;
    }
    return NULL;
}

bool dlm_device_kernels_hash(const struct dlm_device *device, char hex[65])
{
    struct dlm_sha256 hash;
    uint8_t digest[32];

    if (!device->backend->hash_kernels)
        return false;
    dlm_sha256_init(&hash);
    device->backend->hash_kernels(&hash);
    dlm_sha256_finish(&hash, digest);
    dlm_sha256_hex(digest, hex);
    return true;
}

static enum dlm_status fail_banned(struct dlm_device *device, const char *kernel,
                                   const char *fault)
{
    const struct dlm_device_info *info = &device->caps.info;

    dlm_fail(device->ctx, DLM_ERR_DEVICE, "the driver '%s' of device '%s' %s compiling kernel '%s'",
             info->driver, info->name, fault, kernel);
    dlm_log(device->ctx, DLM_LOG_HINT, "take another device or driver; 'dlm doctor --ops' says "
                                       "what runs where");
    return DLM_ERR_DEVICE;
}

static enum dlm_status check_binding(struct dlm_device *device, const struct dlm_dispatch *d,
                                     uint32_t index)
{
    const struct dlm_binding *b = &d->bindings[index];
    const char *why = NULL;

    if (!b->buffer || b->buffer->device != device)
        why = "is no buffer of this device";
    else if (!b->bytes || !is_inside(b->buffer, b->offset, b->bytes))
        why = "is empty or outside its buffer";
    else if (b->offset % device->caps.align_bytes)
        why = "is not aligned";
    else if (b->bytes > device->caps.max_range_bytes)
        why = "is larger than the device's largest range";
    if (!why)
        return DLM_OK;
    return dlm_fail(device->ctx, DLM_ERR_INVALID, "kernel '%s': binding %u %s", d->kernel,
                    (unsigned)index, why);
}

static enum dlm_status check_dispatch(struct dlm_device *device, const struct dlm_dispatch *d)
{
    enum dlm_status st = DLM_OK;

    if (!device->backend->has_kernel(device, d->kernel))
        return dlm_fail(device->ctx, DLM_ERR_UNSUPPORTED, "device '%s' has no kernel '%s'",
                        device->caps.info.name, d->kernel);
    const char *fault = dlm_device_kernel_fault(device, d->kernel);
    if (fault)
        return fail_banned(device, d->kernel, fault);
    if (d->num_bindings > DLM_MAX_BINDINGS || d->params_bytes > DLM_MAX_PARAMS_BYTES ||
        d->num_specs > DLM_MAX_SPECS)
        return dlm_fail(device->ctx, DLM_ERR_INVALID, "kernel '%s': too many arguments", d->kernel);
    for (int i = 0; i < 3; i++) {
        if (!d->groups[i] || d->groups[i] > device->caps.max_groups)
            return dlm_fail(device->ctx, DLM_ERR_INVALID, "kernel '%s': %u groups in dimension %d",
                            d->kernel, (unsigned)d->groups[i], i);
    }
    if ((uint64_t)d->groups[0] * d->groups[1] > INT64_MAX / d->groups[2])
        return dlm_fail(device->ctx, DLM_ERR_INVALID, "kernel '%s': too many groups", d->kernel);
    for (uint32_t i = 0; !st && i < d->num_bindings; i++)
        st = check_binding(device, d, i);
    return st;
}

/* Cuts what is too long for the device and gives the rest as it is. first_part: [num + 1]. */
static void cut_list(const struct dlm_device *device, const struct dlm_dispatch *list, size_t num,
                     const size_t *first_part, struct dlm_dispatch *parts)
{
    for (size_t i = 0; i < num; i++) {
        if (first_part[i + 1] - first_part[i] > 1)
            dlm_dispatch_cut(&list[i], device->caps.max_work, &parts[first_part[i]]);
        else
            parts[first_part[i]] = list[i];
    }
}

static enum dlm_status create_recording(struct dlm_device *device, struct dlm_recording **out,
                                        const struct dlm_dispatch *list, size_t num)
{
    size_t *first_part = dlm_alloc_array(device->ctx, num + 1, sizeof(*first_part));
    struct dlm_dispatch *parts = NULL;
    enum dlm_status st = first_part ? DLM_OK : DLM_ERR_MEMORY;

    for (size_t i = 0; !st && i < num; i++)
        first_part[i + 1] = first_part[i] + dlm_dispatch_count_parts(&list[i],
                                                                     device->caps.max_work);
    const bool has_parts = !st && first_part[num] > num;
    if (has_parts) {
        parts = dlm_alloc_array(device->ctx, first_part[num], sizeof(*parts));
        st = parts ? DLM_OK : DLM_ERR_MEMORY;
    }
    if (!st && has_parts)
        cut_list(device, list, num, first_part, parts);
    if (!st)
        st = note(device, device->backend->recording_create(
                              device, out, has_parts ? parts : list,
                              has_parts ? first_part[num] : num));
    if (!st && has_parts) {
        (*out)->first_part = first_part;
        (*out)->num_listed = num;
        first_part = NULL;
    }
    dlm_free(parts);
    dlm_free(first_part);
    return st;
}

enum dlm_status dlm_recording_create(struct dlm_device *device, struct dlm_recording **out,
                                     const struct dlm_dispatch *list, size_t num)
{
    *out = NULL;
    if (device->lost)
        return DLM_ERR_DEVICE_LOST;
    for (size_t i = 0; i < num; i++) {
        enum dlm_status st = check_dispatch(device, &list[i]);
        if (st)
            return st;
    }
    return create_recording(device, out, list, num);
}

void dlm_recording_destroy(struct dlm_recording **recording)
{
    if (!recording || !*recording)
        return;
    dlm_free((*recording)->first_part);
    (*recording)->device->backend->recording_destroy(*recording);
    *recording = NULL;
}

enum dlm_status dlm_recording_run(struct dlm_recording *recording)
{
    struct dlm_device *device = recording->device;

    if (device->lost)
        return DLM_ERR_DEVICE_LOST;
    return note(device, device->backend->recording_run(recording));
}

enum dlm_status dlm_recording_profile(struct dlm_recording *recording, double *seconds)
{
    struct dlm_device *device = recording->device;
    const size_t *first = recording->first_part;

    if (device->lost)
        return DLM_ERR_DEVICE_LOST;
    if (!first)
        return note(device, device->backend->recording_profile(recording, seconds));
    double *parts = dlm_alloc_array(device->ctx, recording->num, sizeof(*parts));
    if (!parts)
        return DLM_ERR_MEMORY;
    enum dlm_status st = note(device, device->backend->recording_profile(recording, parts));
    for (size_t i = 0; !st && i < recording->num_listed; i++) {
        seconds[i] = 0;
        for (size_t k = first[i]; k < first[i + 1]; k++)
            seconds[i] += parts[k];
    }
    dlm_free(parts);
    return st;
}

enum dlm_status dlm_device_wait(struct dlm_device *device)
{
    if (device->lost)
        return DLM_ERR_DEVICE_LOST;
    return note(device, device->backend->wait(device));
}
