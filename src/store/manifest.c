/* manifest.json: its schema as a table, reading with every key checked, canonical writing. */
#include "store/manifest.h"

#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "store/store_impl.h"

#define MAX_MANIFEST_BYTES ((size_t)256 << 20)

/* What a value may be; several bits for several types. */
enum {
    IS_NULL = 1,
    IS_STRING = 2,
    IS_COUNT = 4,    /* integer >= 0 */
    IS_NUMBER = 8,   /* real or integer */
    IS_BOOL = 16,
    IS_STRINGS = 32, /* object of strings */
    IS_OBJECT = 64,
    IS_ARRAY = 128,
    IS_REQUIRED = 256, /* an absent one is no default */
    IS_INTEGER = 512,
};

struct field {
    const char *key;
    unsigned kinds;
};

static const struct field top_fields[] = {
    {"adapter_config_sha256", IS_STRING | IS_NULL},
    {"adapter_sha256", IS_STRING | IS_NULL},
    {"adapter_version", IS_COUNT},
    {"adapter_versions", IS_OBJECT},
    {"base_model", IS_STRING | IS_REQUIRED},
    {"base_model_revision", IS_STRING | IS_NULL},
    {"base_model_sha256", IS_STRING | IS_NULL},
    {"content_hashes", IS_STRINGS},
    {"created_at", IS_STRING | IS_REQUIRED},
    {"dlm_id", IS_STRING | IS_REQUIRED},
    {"exports", IS_ARRAY},
    {"license_acceptance", IS_OBJECT | IS_NULL},
    {"pinned_versions", IS_STRINGS},
    {"schema_version", IS_COUNT | IS_REQUIRED},
    {"source_path", IS_STRING | IS_NULL},
    {"training_runs", IS_ARRAY},
    {"updated_at", IS_STRING | IS_REQUIRED},
};

static const struct field run_fields[] = {
    {"adapter_name", IS_STRING | IS_NULL},
    {"adapter_version", IS_COUNT | IS_REQUIRED},
    {"base_model_revision", IS_STRING | IS_NULL},
    {"ended_at", IS_STRING | IS_NULL},
    {"final_train_loss", IS_NUMBER | IS_NULL},
    {"final_val_loss", IS_NUMBER | IS_NULL},
    {"pinned_versions", IS_STRINGS},
    {"run_id", IS_COUNT | IS_REQUIRED},
    {"seed", IS_INTEGER | IS_NULL},
    {"started_at", IS_STRING | IS_REQUIRED},
    {"status", IS_STRING},
    {"steps", IS_COUNT},
    {"summary_path", IS_STRING | IS_NULL},
    {"weight_distribution", IS_OBJECT | IS_NULL},
};

static const struct field export_fields[] = {
    {"adapter_gguf_sha256", IS_STRING | IS_NULL},
    {"adapter_mix", IS_OBJECT | IS_ARRAY | IS_STRING | IS_NULL},
    {"adapter_name", IS_STRING | IS_NULL},
    {"base_gguf_sha256", IS_STRING | IS_NULL},
    {"exported_at", IS_STRING | IS_REQUIRED},
    {"llama_cpp_tag", IS_STRING | IS_NULL},
    {"merged", IS_BOOL},
    {"ollama_name", IS_STRING | IS_NULL},
    {"ollama_version", IS_STRING | IS_NULL},
    {"quant", IS_STRING | IS_NULL},
    {"smoke_output_first_line", IS_STRING | IS_NULL},
    {"target", IS_STRING},
};

static const struct field license_fields[] = {
    {"accepted_at", IS_STRING | IS_REQUIRED},
    {"license_spdx", IS_STRING | IS_NULL},
    {"license_url", IS_STRING | IS_NULL},
    {"via", IS_STRING | IS_REQUIRED},
};

static bool holds_strings(json_t *object)
{
    const char *key;
    json_t *value;

    json_object_foreach(object, key, value)
        if (!json_is_string(value))
            return false;
    return true;
}

static bool is_of_kind(json_t *value, unsigned kinds)
{
    switch (json_typeof(value)) {
    case JSON_NULL: return kinds & IS_NULL;
    case JSON_STRING: return kinds & IS_STRING;
    case JSON_TRUE:
    case JSON_FALSE: return kinds & IS_BOOL;
    case JSON_REAL: return kinds & IS_NUMBER;
    case JSON_INTEGER:
        return (kinds & (IS_NUMBER | IS_INTEGER)) ||
               ((kinds & IS_COUNT) && json_integer_value(value) >= 0);
    case JSON_ARRAY: return kinds & IS_ARRAY;
    case JSON_OBJECT: return (kinds & IS_OBJECT) || ((kinds & IS_STRINGS) && holds_strings(value));
    }
    return false;
}

static enum dlm_status corrupt(struct dlm_ctx *ctx, const char *path, const char *where,
                               const char *key, const char *what)
{
    return dlm_fail(ctx, DLM_ERR_PARSE, "'%s': manifest is corrupt: %s%s%.100s: %s", path, where,
                    *where ? "." : "", key, what);
}

/* The value of a key that an older writer left out. */
static json_t *default_of(unsigned kinds)
{
    if (kinds & IS_NULL)
        return json_null();
    if (kinds & (IS_STRINGS | IS_OBJECT))
        return json_object();
    if (kinds & IS_ARRAY)
        return json_array();
    if (kinds & IS_BOOL)
        return json_false();
    return kinds & IS_STRING ? json_string("") : json_integer(0);
}

/* Checks that object has the fields, of their kinds, and no others; fills in defaults. */
static enum dlm_status check_object(struct dlm_ctx *ctx, const char *path, const char *where,
                                    json_t *object, const struct field *fields, size_t num)
{
    const char *key;
    json_t *value;

    if (!json_is_object(object))
        return corrupt(ctx, path, where, "(whole)", "not an object");
    json_object_foreach(object, key, value) {
        size_t i = 0;
        while (i < num && strcmp(fields[i].key, key))
            i++;
        if (i == num)
            return corrupt(ctx, path, where, key, "unknown key");
        if (!is_of_kind(value, fields[i].kinds))
            return corrupt(ctx, path, where, key, "value of another type");
    }
    for (size_t i = 0; i < num; i++) {
        if (json_object_get(object, fields[i].key))
            continue;
        if (fields[i].kinds & IS_REQUIRED)
            return corrupt(ctx, path, where, fields[i].key, "missing");
        if (json_object_set_new(object, fields[i].key, default_of(fields[i].kinds)))
            return dlm_fail(ctx, DLM_ERR_MEMORY, "out of memory");
    }
    return DLM_OK;
}

static enum dlm_status check_list(struct dlm_ctx *ctx, const char *path, json_t *root,
                                  const char *name, const struct field *fields, size_t num)
{
    json_t *list = json_object_get(root, name);
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < json_array_size(list); i++)
        st = check_object(ctx, path, name, json_array_get(list, i), fields, num);
    return st;
}

static enum dlm_status check_root(struct dlm_ctx *ctx, const char *path, json_t *root)
{
    enum dlm_status st =
        check_object(ctx, path, "", root, top_fields, DLM_ARRAY_LEN(top_fields));

    if (!st && json_integer_value(json_object_get(root, "schema_version")) != 1)
        st = corrupt(ctx, path, "", "schema_version", "not 1");
    if (!st)
        st = check_list(ctx, path, root, "training_runs", run_fields, DLM_ARRAY_LEN(run_fields));
    if (!st)
        st = check_list(ctx, path, root, "exports", export_fields, DLM_ARRAY_LEN(export_fields));
    json_t *license = json_object_get(root, "license_acceptance");
    if (!st && json_is_object(license))
        st = check_object(ctx, path, "license_acceptance", license, license_fields,
                          DLM_ARRAY_LEN(license_fields));
    return st;
}

enum dlm_status dlm_manifest_load(struct dlm_ctx *ctx, struct dlm_manifest *m,
                                  const struct dlm_store *store)
{
    m->root = NULL;
    char *path = dlm_store_pathf(ctx, store, "manifest.json");
    if (!path)
        return DLM_ERR_MEMORY;
    enum dlm_status st = dlm_json_load(ctx, path, MAX_MANIFEST_BYTES, &m->root);
    if (!st)
        st = check_root(ctx, path, m->root);
    const char *id = st ? NULL : dlm_manifest_string(m, "dlm_id");
    if (id && strcmp(id, store->id))
        st = corrupt(ctx, path, "", "dlm_id", "of another document");
    if (st)
        dlm_manifest_finish(m);
    dlm_free(path);
    return st;
}

enum dlm_status dlm_manifest_save(struct dlm_ctx *ctx, struct dlm_manifest *m,
                                  const struct dlm_store *store)
{
    char now[20];

    dlm_time_iso(time(NULL), now);
    char *path = dlm_store_pathf(ctx, store, "manifest.json");
    if (!path)
        return DLM_ERR_MEMORY;
    enum dlm_status st = dlm_manifest_set_string(ctx, m, "updated_at", now);
    if (!st)
        st = check_root(ctx, path, m->root); /* never write what we would not read */
    if (!st)
        st = dlm_json_replace(ctx, path, m->root);
    dlm_free(path);
    return st;
}

void dlm_manifest_finish(struct dlm_manifest *m)
{
    json_decref(m->root);
    m->root = NULL;
}

enum dlm_status dlm_manifest_init(struct dlm_ctx *ctx, struct dlm_manifest *m, const char *dlm_id,
                                  const char *base_model, const char *base_revision,
                                  const char *source_path)
{
    char now[20];
    json_t *path = source_path ? json_string(source_path) : json_null();

    if (!path)
        return dlm_fail(ctx, DLM_ERR_INVALID, "cannot record '%s': its path is not UTF-8",
                        source_path);
    json_decref(path);
    dlm_time_iso(time(NULL), now);
    m->root = json_pack("{s:i}", "schema_version", 1);
    enum dlm_status st = m->root ? DLM_OK : dlm_fail(ctx, DLM_ERR_MEMORY, "out of memory");
    if (!st)
        st = dlm_manifest_set_string(ctx, m, "dlm_id", dlm_id);
    if (!st)
        st = dlm_manifest_set_string(ctx, m, "base_model", base_model);
    if (!st)
        st = dlm_manifest_set_string(ctx, m, "base_model_revision", base_revision);
    if (!st)
        st = dlm_manifest_set_string(ctx, m, "source_path", source_path);
    if (!st)
        st = dlm_manifest_set_string(ctx, m, "created_at", now);
    if (!st)
        st = dlm_manifest_set_string(ctx, m, "updated_at", now);
    if (!st)
        st = check_root(ctx, "manifest.json", m->root);
    if (st)
        dlm_manifest_finish(m);
    return st;
}
