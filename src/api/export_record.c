/* Exports, and the models that ollama makes of them, in the records of the store and the folder. */
#include "api/export_record.h"

#include <string.h>

#include "api/store_find.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "dlm/export.h"

#define MANIFEST "export_manifest.json"
#define MAX_MANIFEST_BYTES ((size_t)16 << 20)

struct model {
    const char *base_gguf_sha256, *name, *version;
};

/* Appends the entry, or names the model. */
static enum dlm_status change_record(struct dlm_ctx *ctx, struct dlm_store *store,
                                     const struct dlm_export_entry *entry,
                                     const struct model *model)
{
    struct dlm_manifest manifest = {0};

    dlm_log_mute(ctx);
    enum dlm_status st = dlm_log_unmute(ctx, dlm_store_lock(ctx, store));
    if (st) {
        char why[512];
        dlm_log_take(ctx, why, sizeof(why));
        dlm_log(ctx, DLM_LOG_WARNING, "the store's record does not name this %s: %s",
                entry ? "export" : "model",
                st == DLM_ERR_INVALID ? "a training holds the store" : why);
        return DLM_OK;
    }
    st = dlm_manifest_load(ctx, &manifest, store);
    if (!st)
        st = entry ? dlm_manifest_add_export(ctx, &manifest, entry)
                   : dlm_manifest_set_model(ctx, &manifest, model->base_gguf_sha256, model->name,
                                            model->version);
    if (!st)
        st = dlm_manifest_save(ctx, &manifest, store);
    dlm_store_unlock(store);
    dlm_manifest_finish(&manifest);
    return st;
}

enum dlm_status dlm_export_record(struct dlm_ctx *ctx, struct dlm_store *store,
                                  const struct dlm_export_entry *entry)
{
    return change_record(ctx, store, entry, NULL);
}

static enum dlm_status name_in_store(struct dlm_ctx *ctx, const struct dlm_export_params *params,
                                     const struct model *model)
{
    struct dlm_store_list stores = {0};

    enum dlm_status st = dlm_store_list_open(ctx, &stores, params->home, params->document);
    if (!st)
        st = change_record(ctx, stores.items[0], NULL, model);
    dlm_store_list_close(&stores);
    return st;
}

static enum dlm_status set_name(struct dlm_ctx *ctx, json_t *json, const char *name)
{
    return json_object_set_new(json, "ollama_name", json_string(name))
               ? dlm_fail(ctx, DLM_ERR_MEMORY, "out of memory") : DLM_OK;
}

static enum dlm_status name_in_folder(struct dlm_ctx *ctx, const struct dlm_export_result *result)
{
    char *path = dlm_path_join(ctx, result->path, MANIFEST);
    json_t *json = NULL;

    enum dlm_status st = path ? dlm_json_load(ctx, path, MAX_MANIFEST_BYTES, &json)
                              : DLM_ERR_MEMORY;
    if (!st)
        st = set_name(ctx, json, result->ollama_name);
    if (!st)
        st = dlm_json_replace(ctx, path, json);
    json_decref(json);
    dlm_free(path);
    return st;
}

static enum dlm_status name_in_result(struct dlm_ctx *ctx, struct dlm_export_result *result)
{
    struct dlm_str text = {0};
    json_t *json = NULL;

    enum dlm_status st = dlm_json_parse(ctx, "export", result->json, strlen(result->json), &json);
    if (!st)
        st = set_name(ctx, json, result->ollama_name);
    if (!st)
        st = dlm_json_append(ctx, &text, json, 0);
    if (!st) {
        dlm_free(result->json);
        result->json = text.data;
        text = (struct dlm_str){0};
    }
    dlm_str_finish(&text);
    json_decref(json);
    return st;
}

enum dlm_status dlm_export_record_model(struct dlm_ctx *ctx, const struct dlm_export_params *params,
                                        struct dlm_export_result *result, const char *version)
{
    struct model model = {.name = result->ollama_name, .version = version};
    enum dlm_status st;

    DLM_REQUIRE(ctx, result->ollama_name && result->path && result->json && !params->is_tar);
    for (size_t i = 0; i < result->num_files; i++)
        if (!strncmp(result->files[i].path, "base.", 5))
            model.base_gguf_sha256 = result->files[i].sha256;
    DLM_REQUIRE(ctx, model.base_gguf_sha256);
    st = name_in_result(ctx, result);
    if (!st)
        st = name_in_folder(ctx, result);
    if (!st)
        st = name_in_store(ctx, params, &model);
done:
    return st;
}
