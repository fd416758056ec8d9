/* The trial of a driver, as the process sees that asks for it: whether it took place already, and
 * what it said. The kernels are run by try.c, elsewhere. */
#include "doctor/trial.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/sha256.h"
#include "base/str.h"
#include "base/try.h"
#include "dlm/doctor.h"

#define FORMAT_TEXT "dlm driver trial 1\n"
#define CRASHED "crashed"
#define HUNG "hung"

struct dlm_trial {
    struct dlm_ctx *ctx;
    struct dlm_device *device;
    struct dlm_str text; /* what is kept: the format, then a line `FAULT KERNEL` for each fault */
};

/* Path of the result, named by all that it depends on; owned by the caller, NULL: no memory. */
static char *file_path(struct dlm_ctx *ctx, const struct dlm_device *device, const char *kernels,
                       const char *cache_dir)
{
    const struct dlm_device_info *info = &dlm_device_get_caps(device)->info;
    char hex[65], *path = NULL;

    char *key = dlm_strf(ctx, FORMAT_TEXT "%s\n%s\n%s\n%s\n%s", dlm_backend_name(info->kind),
                         info->name, info->driver, kernels,
                         dlm_device_get_caps(device)->no_matrix ? "no matrix units\n" : "");
    if (key) {
        dlm_sha256_of(key, strlen(key), hex);
        path = dlm_strf(ctx, "%s/%s.trial", cache_dir, hex);
    }
    dlm_free(key);
    return path;
}

/* Bans what a kept result names. False: there is none, or none that can be read. */
static bool load(struct dlm_device *device, const char *path, enum dlm_status *st)
{
    struct dlm_map map = {0};
    const size_t head = strlen(FORMAT_TEXT);
    bool is_good = false;

    *st = DLM_OK;
    if (!dlm_path_is_file(path) || dlm_map_open(NULL, &map, path))
        goto done;
    const char *at = (const char *)map.data, *end = at + map.bytes;
    is_good = map.bytes >= head && !memcmp(at, FORMAT_TEXT, head) && end[-1] == '\n';
    for (at += head; is_good && !*st && at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        char fault[16] = "", kernel[80] = "";
        char line[128];
        const size_t len = (size_t)(stop - at);
        memcpy(line, at, DLM_MIN(len, sizeof(line) - 1));
        line[DLM_MIN(len, sizeof(line) - 1)] = '\0';
        is_good = sscanf(line, "%15s %79s", fault, kernel) == 2;
        if (is_good)
            *st = dlm_device_ban_kernel(device, kernel, strcmp(fault, HUNG) ? CRASHED : HUNG);
        at = stop + 1;
    }
done:
    dlm_map_close(&map);
    return is_good;
}

enum dlm_status dlm_trial_add(struct dlm_trial *trial, const char *kernel, bool is_hung)
{
    const char *fault = is_hung ? HUNG : CRASHED;

    enum dlm_status st = dlm_device_ban_kernel(trial->device, kernel, fault);
    return st ? st : dlm_str_appendf(trial->ctx, &trial->text, "%s %s\n", fault, kernel);
}

bool dlm_trial_has_matrix_units(const struct dlm_trial *trial)
{
    return !dlm_device_get_caps(trial->device)->no_matrix;
}

enum dlm_status dlm_trial_run(struct dlm_ctx *ctx, struct dlm_device *device,
                              const char *cache_dir)
{
    const struct dlm_device_info *info = &dlm_device_get_caps(device)->info;
    struct dlm_trial trial = {.ctx = ctx, .device = device};
    char kernels[65], *path = NULL;
    enum dlm_status st = DLM_OK;

    if (!dlm_ctx_can_try(ctx) || !dlm_device_kernels_hash(device, kernels))
        return DLM_OK;
    if (cache_dir) {
        path = file_path(ctx, device, kernels, cache_dir);
        if (!path)
            return DLM_ERR_MEMORY;
        if (load(device, path, &st))
            goto done;
    }
    dlm_log(ctx, DLM_LOG_INFO, "tries driver '%s' of device '%s', which compiles every kernel once",
            info->driver, info->name);
    st = dlm_str_appendz(ctx, &trial.text, FORMAT_TEXT);
    if (!st)
        st = dlm_ctx_try(ctx, &trial, dlm_backend_name(info->kind), info->index);
    if (st == DLM_ERR_UNSUPPORTED) {
        st = DLM_OK;
        goto done;
    }
    /* A result that cannot be kept is found again by the next run. */
    if (!st && path &&
        (dlm_dir_make(NULL, cache_dir) ||
         dlm_file_replace(NULL, path, trial.text.data, trial.text.len)))
        dlm_log(ctx, DLM_LOG_DEBUG, "cannot keep the driver's trial in '%s'", path);
done:
    dlm_str_finish(&trial.text);
    dlm_free(path);
    return st;
}
