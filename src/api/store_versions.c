/* Versions described. */
#include "api/store_versions.h"

#include <math.h>
#include <stdio.h>

#include "api/origin.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "store/manifest.h"

/* What the manifest knows about the run that made the version. */
static void describe_run(struct dlm_document_version *v, const json_t *runs)
{
    v->loss = NAN;
    for (size_t i = 0; i < json_array_size(runs); i++) {
        const json_t *run = json_array_get(runs, i);
        const json_t *loss = json_object_get(run, "final_train_loss");
        const char *ended = json_string_value(json_object_get(run, "ended_at"));
        if (json_integer_value(json_object_get(run, "adapter_version")) != v->number)
            continue;
        v->run_id = json_integer_value(json_object_get(run, "run_id"));
        v->steps = json_integer_value(json_object_get(run, "steps"));
        v->loss = json_is_number(loss) ? json_number_value(loss) : NAN;
        snprintf(v->trained_at, sizeof(v->trained_at), "%.19s", ended ? ended : "");
    }
}

static enum dlm_status measure(struct dlm_ctx *ctx, const struct dlm_store *store,
                               struct dlm_document_version *v)
{
    char *dir = NULL;

    enum dlm_status st = dlm_store_version(ctx, store, v->number, &dir);
    if (!st)
        st = dlm_path_bytes(ctx, dir, false, &v->bytes);
    dlm_free(dir);
    return st;
}

enum dlm_status dlm_store_describe_versions(struct dlm_ctx *ctx, const struct dlm_store *store,
                                            struct dlm_document_versions *versions)
{
    struct dlm_manifest manifest = {0};
    int64_t *numbers = NULL, current = 0;
    char *dir = NULL;
    size_t num = 0;

    enum dlm_status st = dlm_store_versions(ctx, store, &numbers, &num);
    if (!st)
        st = dlm_store_current(ctx, store, &dir, &current);
    if (!st && dlm_store_is_initialized(store))
        st = dlm_manifest_load(ctx, &manifest, store);
    if (!st) {
        versions->items = dlm_alloc_array(ctx, num, sizeof(*versions->items));
        st = versions->items ? DLM_OK : DLM_ERR_MEMORY;
    }
    for (size_t i = 0; !st && i < num; i++) {
        struct dlm_document_version *v = &versions->items[versions->len++];
        v->number = numbers[i];
        v->is_current = numbers[i] == current;
        describe_run(v, json_object_get(manifest.root, "training_runs"));
        st = measure(ctx, store, v);
    }
    dlm_manifest_finish(&manifest);
    dlm_free(numbers);
    dlm_free(dir);
    return st;
}

/* --- JSON --- */

static json_t *number_or_null(bool is_known, double x)
{
    return is_known && isfinite(x) ? json_real(x) : json_null();
}

static json_t *count_or_null(bool is_known, int64_t n)
{
    return is_known ? json_integer(n) : json_null();
}

static json_t *version_json(struct dlm_ctx *ctx, const struct dlm_store *store,
                            const struct dlm_document_version *v)
{
    struct dlm_origin origin = {0};
    const bool has_run = v->run_id != 0;
    char *dir = NULL, name[32];

    snprintf(name, sizeof(name), "v%04lld", (long long)v->number);
    dlm_log_mute(ctx); /* a record that is damaged says nothing; verify-store names it */
    enum dlm_status st = dlm_store_version(ctx, store, v->number, &dir);
    if (!st)
        st = dlm_origin_read(ctx, dir, &origin);
    if (st)
        dlm_origin_finish(&origin);
    dlm_log_excuse(ctx, st);
    const bool has_origin = origin.base_model != NULL;
    json_t *json = json_pack(
        "{s:s, s:I, s:b, s:o, s:o, s:o, s:o, s:I, s:s?, s:o, s:o, s:o, s:s?}", "name", name,
        "version", (json_int_t)v->number, "current", (int)v->is_current, "run_id",
        count_or_null(has_run, v->run_id), "trained_at", dlm_json_text(v->trained_at), "steps",
        count_or_null(has_run, v->steps), "final_train_loss", number_or_null(has_run, v->loss),
        "bytes", (json_int_t)v->bytes, "base_model", origin.base_model, "base_form",
        dlm_json_text(origin.base_form), "lora_r", count_or_null(has_origin, origin.lora_r),
        "lora_alpha", number_or_null(has_origin, origin.lora_alpha), "target_modules",
        origin.target_modules);
    dlm_origin_finish(&origin);
    dlm_free(dir);
    return json;
}

json_t *dlm_versions_json(struct dlm_ctx *ctx, const struct dlm_store *store,
                          const struct dlm_document_versions *versions)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < versions->len; i++) {
        if (json_array_append_new(list, version_json(ctx, store, &versions->items[i]))) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}
