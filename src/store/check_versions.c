/* The check of adapter versions, and of the pointer to the current one. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "store/check_impl.h"
#include "store/manifest.h"
#include "store/store_impl.h"
#include "weights/adapter.h"

#define MAX_RECORD_BYTES ((size_t)4 << 20)

/* The files of a version are those that its record has hashes of. */
static enum dlm_status check_hashes(struct dlm_ctx *ctx, const char *dir, const json_t *files)
{
    const char *name, *want;
    enum dlm_status st = DLM_OK;
    json_t *value;
    char sha[65];

    json_object_foreach ((json_t *)files, name, value) {
        want = json_string_value(value);
        char *path = dlm_path_join(ctx, dir, name);
        st = path ? dlm_file_sha256(ctx, path, sha, NULL) : DLM_ERR_MEMORY;
        if (!st && (!want || strcmp(sha, want)))
            st = dlm_fail(ctx, DLM_ERR_PARSE, "'%s' is damaged: another hash than when it was "
                          "written", path);
        dlm_free(path);
        if (st)
            break;
    }
    return st;
}

/* Versions of the Python dlm state neither number nor hashes. */
static enum dlm_status check_record(struct dlm_ctx *ctx, const char *dir, int64_t number)
{
    int64_t stated = number;
    json_t *record = NULL;
    char *path = dlm_path_join(ctx, dir, DLM_VERSION_RECORD);
    enum dlm_status st = path ? DLM_OK : DLM_ERR_MEMORY;

    if (!st && dlm_path_is_file(path)) {
        st = dlm_json_load(ctx, path, MAX_RECORD_BYTES, &record);
        if (!st && !json_is_object(record))
            st = dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': it is no JSON object", path);
        if (!st)
            st = dlm_json_int(ctx, record, path, "adapter_version", 1, INT64_MAX, &stated);
        if (!st && stated != number)
            st = dlm_fail(ctx, DLM_ERR_PARSE, "'%s' is of version v%04lld", path,
                          (long long)stated);
        if (!st)
            st = check_hashes(ctx, dir, json_object_get(record, "files_sha256"));
    }
    json_decref(record);
    dlm_free(path);
    return st;
}

enum dlm_status dlm_store_verify_version(struct dlm_ctx *ctx, const char *dir, int64_t number)
{
    struct dlm_adapter *adapter = NULL;

    enum dlm_status st = dlm_adapter_open(ctx, &adapter, dir, NULL);
    if (!st)
        st = check_record(ctx, dir, number);
    dlm_adapter_destroy(&adapter);
    return st;
}

/* --- the pointer --- */

static enum dlm_status remove_pointer(struct dlm_check *c)
{
    char *path = dlm_store_pathf(c->ctx, c->store, "adapter/current.txt");
    enum dlm_status st = path ? dlm_path_remove(c->ctx, path) : DLM_ERR_MEMORY;

    dlm_free(path);
    return st;
}

/* The pointer is wrong: the newest version that is whole becomes current; none, if there is none at
 * all. */
static enum dlm_status repoint(struct dlm_check *c, unsigned class, const char *text)
{
    if (c->newest_good || !c->findings->num_versions)
        class |= DLM_FINDING_REPAIRABLE;
    enum dlm_status st = dlm_check_note(c, "pointer", class, "adapter/current.txt", text);
    if (st || !dlm_check_repairs(c))
        return st;
    st = c->newest_good ? dlm_store_point_to(c->ctx, c->store, c->newest_good) : remove_pointer(c);
    if (!st) {
        c->current = c->newest_good;
        dlm_check_repaired(c);
    }
    return st;
}

/* A kill before the first version is pointed to leaves none current; one that the manifest knows
 * was. */
static enum dlm_status check_absent_pointer(struct dlm_check *c)
{
    struct dlm_manifest manifest = {0};
    int64_t known = 0;

    if (!c->findings->num_versions)
        return DLM_OK;
    if (!dlm_manifest_load(NULL, &manifest, c->store))
        known = dlm_manifest_adapter_version(&manifest);
    dlm_manifest_finish(&manifest);
    return repoint(c, known ? DLM_FINDING_WRONG : DLM_FINDING_LEFT,
                   "it is not there, and no version is the current one");
}

static enum dlm_status check_pointer(struct dlm_check *c, const bool *is_good,
                                     const int64_t *numbers, size_t num)
{
    char *dir = NULL, text[128];
    int64_t number = 0;

    dlm_log_mute(c->ctx);
    enum dlm_status st = dlm_log_unmute(c->ctx, dlm_store_current(c->ctx, c->store, &dir, &number));
    const bool is_there = dir != NULL;
    dlm_free(dir);
    if (st == DLM_ERR_MEMORY)
        return st;
    if (st)
        return repoint(c, DLM_FINDING_WRONG, dlm_ctx_last_error(c->ctx));
    if (!is_there)
        return check_absent_pointer(c);
    for (size_t i = 0; i < num; i++) {
        if (numbers[i] != number)
            continue;
        c->current = number;
        if (is_good[i])
            return DLM_OK;
        snprintf(text, sizeof(text), "the current version v%04lld is damaged", (long long)number);
        return repoint(c, DLM_FINDING_WRONG, text);
    }
    return repoint(c, DLM_FINDING_WRONG, "it names no version");
}

enum dlm_status dlm_check_versions(struct dlm_check *c)
{
    int64_t *numbers = NULL;
    bool *is_good = NULL;
    size_t num = 0;

    enum dlm_status st = dlm_store_versions(c->ctx, c->store, &numbers, &num);
    if (!st && !(is_good = dlm_alloc_array(c->ctx, num, sizeof(*is_good))))
        st = DLM_ERR_MEMORY;
    for (size_t i = 0; !st && i < num; i++) {
        char *dir = NULL, name[64];
        snprintf(name, sizeof(name), "adapter/versions/v%04lld", (long long)numbers[i]);
        dlm_log_mute(c->ctx);
        st = dlm_store_version(c->ctx, c->store, numbers[i], &dir);
        if (!st)
            st = dlm_store_verify_version(c->ctx, dir, numbers[i]);
        st = dlm_check_note_status(c, st, "version", DLM_FINDING_WRONG, name, &is_good[i]);
        if (!st && is_good[i])
            c->newest_good = numbers[i];
        dlm_free(dir);
    }
    c->findings->num_versions = (int64_t)num;
    if (!st)
        st = check_pointer(c, is_good, numbers, num);
    dlm_free(is_good);
    dlm_free(numbers);
    return st;
}
