/* What all backends share: opening a device, checks of ranges, the counters of bytes and the memory
 * of a loss. Arithmetic, memory and queues are the backends' own; list.c finds devices. */
#include "backend/backend.h"

#include <stdlib.h>
#include <string.h>

#include "backend/backend_impl.h"
#include "base/log.h"
#include "base/mem.h"

static void limit_caps(struct dlm_device_caps *caps, const struct dlm_device_params *params)
{
    const size_t max_alloc_bytes = params->max_alloc_bytes;

    if (params->max_free_bytes && (!caps->free_bytes || caps->free_bytes > params->max_free_bytes))
        caps->free_bytes = params->max_free_bytes;
    caps->plan_bytes = caps->info.memory_bytes;
    if (params->max_free_bytes)
        caps->plan_bytes = caps->plan_bytes ? DLM_MIN(caps->plan_bytes, params->max_free_bytes)
                                            : params->max_free_bytes;
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
    st = params->is_null ? DLM_OK : dlm_backend_choose(ctx, params, &backend, &info);
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
