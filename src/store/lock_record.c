/* dlm.lock. */
#include "store/lock_record.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "dlm/dlm.h"
#include "store/store_impl.h"

#define MAX_BYTES (1 << 20)

static json_t *to_json(const struct dlm_lock_record *r, const char *dlm_id)
{
    char created[20];
    json_t *license = r->license ? json_deep_copy(r->license) : json_null();

    dlm_time_iso(time(NULL), created);
    return json_pack("{s:s?, s:s?, s:s, s:n, s:s?, s:{}, s:s, s:s?, s:s?, s:I, s:o, s:i, s:{s:s}, "
                     "s:n, s:I, s:i}",
                     "base_model_revision", r->base_revision, "base_model_sha256", r->base_sha256,
                     "created_at", created, "cuda_version", "determinism_class",
                     r->determinism_class, "determinism_flags", "dlm_id", dlm_id, "dlm_sha256",
                     r->dlm_sha256, "hardware_tier", r->hardware_tier, "last_run_id",
                     (json_int_t)r->last_run_id, "license_acceptance", license, "lock_version", 1,
                     "pinned_versions", "dlm", dlm_version_text(), "rocm_version", "seed",
                     (json_int_t)r->seed, "world_size", 1);
}

/* What a difference of a member means. */
static const struct member {
    const char *key;
    bool is_error; /* else a warning */
    bool both;     /* compared only where both sides know it */
} members[] = {
    {"base_model_revision", true, false}, {"base_model_sha256", true, true},
    {"hardware_tier", false, false},      {"determinism_class", false, false},
    {"pinned_versions", false, false},    {"seed", false, false},
    {"license_acceptance", false, true},
};

/* Adds `key was X and is Y` to text. */
static enum dlm_status describe(struct dlm_ctx *ctx, struct dlm_str *text, const char *key,
                                const json_t *was, const json_t *is)
{
    char *a = json_dumps(was ? was : json_null(), JSON_ENCODE_ANY | JSON_SORT_KEYS);
    char *b = json_dumps(is, JSON_ENCODE_ANY | JSON_SORT_KEYS);
    enum dlm_status st = a && b ? dlm_str_appendf(ctx, text, "%s%s was %s and is %s",
                                                text->len ? "; " : "", key, a, b)
                                : DLM_ERR_MEMORY;
    free(a);
    free(b);
    return st;
}

static enum dlm_status compare(struct dlm_ctx *ctx, const char *path, const json_t *was,
                               const json_t *is, bool strict)
{
    struct dlm_str errors = {0}, warnings = {0};
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < DLM_ARRAY_LEN(members); i++) {
        const struct member *m = &members[i];
        const json_t *a = json_object_get(was, m->key), *b = json_object_get(is, m->key);
        if ((a && json_equal(a, b)) || (m->both && (!a || json_is_null(a) || json_is_null(b))))
            continue;
        st = describe(ctx, m->is_error || strict ? &errors : &warnings, m->key, a, b);
    }
    if (!st && warnings.len)
        dlm_log(ctx, DLM_LOG_WARNING, "lock: %s", warnings.data);
    if (!st && errors.len) {
        st = dlm_fail(ctx, DLM_ERR_INVALID, "lock: %s: lock validation failed (%s)", path,
                      errors.data);
        dlm_log(ctx, DLM_LOG_HINT, "--update-lock trains all the same and records what holds now");
    }
    dlm_str_finish(&errors);
    dlm_str_finish(&warnings);
    return st;
}

enum dlm_status dlm_lock_record_check_place(struct dlm_ctx *ctx, const struct dlm_store *store)
{
    char *target = NULL, *path = dlm_store_pathf(ctx, store, "dlm.lock");
    enum dlm_status st = path ? dlm_file_target(ctx, path, &target) : DLM_ERR_MEMORY;

    dlm_free(target);
    dlm_free(path);
    return st;
}

/* Reads the record at path: an object of version 1. */
static enum dlm_status read_record(struct dlm_ctx *ctx, const char *path, json_t **record)
{
    enum dlm_status st = dlm_json_load(ctx, path, MAX_BYTES, record);

    if (!st && !json_is_object(*record))
        st = dlm_fail(ctx, DLM_ERR_PARSE, "'%s': lock record is corrupt: no object", path);
    else if (!st && json_integer_value(json_object_get(*record, "lock_version")) != 1)
        st = dlm_fail(ctx, DLM_ERR_PARSE, "'%s': lock record is corrupt: lock_version is not 1",
                      path);
    if (st == DLM_ERR_PARSE)
        dlm_log(ctx, DLM_LOG_HINT, "--update-lock writes it anew");
    return st;
}

enum dlm_status dlm_lock_record_verify(struct dlm_ctx *ctx, const struct dlm_store *store)
{
    char *path = dlm_store_pathf(ctx, store, "dlm.lock");
    json_t *record = NULL;
    enum dlm_status st = path ? dlm_lock_record_check_place(ctx, store) : DLM_ERR_MEMORY;

    if (!st && dlm_path_is_file(path))
        st = read_record(ctx, path, &record);
    json_decref(record);
    dlm_free(path);
    return st;
}

enum dlm_status dlm_lock_record_check(struct dlm_ctx *ctx, const struct dlm_store *store,
                                      const struct dlm_lock_record *now, bool strict)
{
    char *path = dlm_store_pathf(ctx, store, "dlm.lock");
    json_t *was = NULL, *is = to_json(now, store->id);
    enum dlm_status st = path && is ? dlm_lock_record_check_place(ctx, store) : DLM_ERR_MEMORY;

    if (!st && dlm_path_is_file(path)) {
        st = read_record(ctx, path, &was);
        if (!st)
            st = compare(ctx, path, was, is, strict);
    }
    json_decref(was);
    json_decref(is);
    dlm_free(path);
    return st;
}

enum dlm_status dlm_lock_record_write(struct dlm_ctx *ctx, const struct dlm_store *store,
                                      const struct dlm_lock_record *record)
{
    char *path = dlm_store_pathf(ctx, store, "dlm.lock");
    json_t *root = to_json(record, store->id);
    enum dlm_status st = path ? DLM_OK : DLM_ERR_MEMORY;

    if (!st && !root)
        st = dlm_fail(ctx, DLM_ERR_INVALID, "cannot record '%s': a text is no UTF-8, or no memory",
                      path);
    if (!st)
        st = dlm_json_replace(ctx, path, root);
    json_decref(root);
    dlm_free(path);
    return st;
}
