/* Changes to a manifest in memory. */
#include <math.h>
#include <string.h>

#include "base/log.h"
#include "store/manifest.h"
#include "store/store_impl.h"

/* Sets object[key] to value, which it takes; NULL means that making the value failed. */
static enum dlm_status set(struct dlm_ctx *ctx, json_t *object, const char *key, json_t *value)
{
    if (!json_object_set_new(object, key, value))
        return DLM_OK;
    return dlm_fail(ctx, DLM_ERR_INVALID, "cannot record '%s': its text is no UTF-8, or no memory",
                    key);
}

static json_t *string_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

static json_t *time_or_null(time_t when)
{
    char text[20];

    if (!when)
        return json_null();
    dlm_time_iso(when, text);
    return json_string(text);
}

static json_t *number_or_null(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

const char *dlm_manifest_string(const struct dlm_manifest *m, const char *key)
{
    return json_string_value(json_object_get(m->root, key));
}

enum dlm_status dlm_manifest_set_string(struct dlm_ctx *ctx, struct dlm_manifest *m,
                                        const char *key, const char *value)
{
    return set(ctx, m->root, key, string_or_null(value));
}

int64_t dlm_manifest_adapter_version(const struct dlm_manifest *m)
{
    return (int64_t)json_integer_value(json_object_get(m->root, "adapter_version"));
}

enum dlm_status dlm_manifest_set_adapter_version(struct dlm_ctx *ctx, struct dlm_manifest *m,
                                                 int64_t version)
{
    return set(ctx, m->root, "adapter_version", json_integer((json_int_t)version));
}

enum dlm_status dlm_manifest_set_map(struct dlm_ctx *ctx, struct dlm_manifest *m, const char *key,
                                     const char *const *names, const char *const *values,
                                     size_t num)
{
    json_t *map = json_object();
    enum dlm_status st = map ? DLM_OK : dlm_fail(ctx, DLM_ERR_MEMORY, "out of memory");

    for (size_t i = 0; !st && i < num; i++)
        st = set(ctx, map, names[i], json_string(values[i]));
    if (st) {
        json_decref(map);
        return st;
    }
    return set(ctx, m->root, key, map);
}

bool dlm_manifest_has_license(const struct dlm_manifest *m)
{
    return json_is_object(json_object_get(m->root, "license_acceptance"));
}

enum dlm_status dlm_manifest_set_license(struct dlm_ctx *ctx, struct dlm_manifest *m,
                                         const char *url, const char *spdx, const char *via)
{
    json_t *license = json_object();
    enum dlm_status st = license ? DLM_OK : dlm_fail(ctx, DLM_ERR_MEMORY, "out of memory");

    if (!st)
        st = set(ctx, license, "accepted_at", time_or_null(time(NULL)));
    if (!st)
        st = set(ctx, license, "license_url", string_or_null(url));
    if (!st)
        st = set(ctx, license, "license_spdx", string_or_null(spdx));
    if (!st)
        st = set(ctx, license, "via", json_string(via));
    if (st) {
        json_decref(license);
        return st;
    }
    return set(ctx, m->root, "license_acceptance", license);
}

static enum dlm_status fill_run(struct dlm_ctx *ctx, json_t *entry,
                                const struct dlm_training_run *run)
{
    const struct {
        const char *key;
        json_t *value;
    } fields[] = {
        {"adapter_name", json_null()},
        {"adapter_version", json_integer((json_int_t)run->adapter_version)},
        {"base_model_revision", string_or_null(run->base_revision)},
        {"ended_at", time_or_null(run->ended_at)},
        {"final_train_loss", number_or_null(run->final_train_loss)},
        {"final_val_loss", number_or_null(run->final_val_loss)},
        {"pinned_versions", json_object()},
        {"run_id", json_integer((json_int_t)run->run_id)},
        {"seed", json_integer((json_int_t)run->seed)},
        {"started_at", time_or_null(run->started_at ? run->started_at : time(NULL))},
        {"status", json_string(run->status ? run->status : "completed")},
        {"steps", json_integer((json_int_t)run->steps)},
        {"summary_path", string_or_null(run->summary_path)},
        {"weight_distribution", json_null()},
    };
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; i < DLM_ARRAY_LEN(fields); i++) { /* all: each takes its value */
        enum dlm_status one = set(ctx, entry, fields[i].key, fields[i].value);
        st = st ? st : one;
    }
    return st;
}

enum dlm_status dlm_manifest_add_run(struct dlm_ctx *ctx, struct dlm_manifest *m,
                                     const struct dlm_training_run *run)
{
    json_t *runs = json_object_get(m->root, "training_runs");
    json_t *entry = json_object();
    size_t at = 0;

    enum dlm_status st = entry ? fill_run(ctx, entry, run)
                               : dlm_fail(ctx, DLM_ERR_MEMORY, "out of memory");
    if (st) {
        json_decref(entry);
        return st;
    }
    while (at < json_array_size(runs) &&
           json_integer_value(json_object_get(json_array_get(runs, at), "run_id")) != run->run_id)
        at++;
    const int rc = at < json_array_size(runs) ? json_array_set_new(runs, at, entry)
                                              : json_array_append_new(runs, entry);
    return rc ? dlm_fail(ctx, DLM_ERR_MEMORY, "out of memory") : DLM_OK;
}

enum dlm_status dlm_manifest_add_export(struct dlm_ctx *ctx, struct dlm_manifest *m,
                                        const struct dlm_export_entry *entry)
{
    json_t *json = json_pack(
        "{s:s?, s:n, s:n, s:s?, s:o, s:s?, s:b, s:n, s:n, s:s?, s:n, s:s}",
        "adapter_gguf_sha256", entry->adapter_gguf_sha256, "adapter_mix", "adapter_name",
        "base_gguf_sha256", entry->base_gguf_sha256, "exported_at",
        time_or_null(entry->exported_at), "llama_cpp_tag", entry->llama_cpp_tag, "merged",
        (int)entry->is_merged, "ollama_name", "ollama_version", "quant", entry->quant,
        "smoke_output_first_line", "target", entry->target);

    return json_array_append_new(json_object_get(m->root, "exports"), json)
               ? dlm_fail(ctx, DLM_ERR_MEMORY, "out of memory") : DLM_OK;
}

enum dlm_status dlm_manifest_set_model(struct dlm_ctx *ctx, struct dlm_manifest *m,
                                       const char *base_gguf_sha256, const char *name,
                                       const char *version)
{
    const json_t *exports = json_object_get(m->root, "exports");

    for (size_t i = json_array_size(exports); i-- > 0;) {
        json_t *entry = json_array_get(exports, i);
        const char *sha = json_string_value(json_object_get(entry, "base_gguf_sha256"));
        if (!sha || strcmp(sha, base_gguf_sha256))
            continue;
        const enum dlm_status st = set(ctx, entry, "ollama_name", json_string(name));
        return st ? st : set(ctx, entry, "ollama_version", string_or_null(version));
    }
    return DLM_OK;
}
