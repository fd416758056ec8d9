/* What `dlm show` says about a store, and which run ids it has used. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "store/manifest.h"
#include "store/run.h"
#include "store/store_impl.h"

/* The manifest's part of *info. */
static enum dlm_status inspect_manifest(struct dlm_ctx *ctx, const struct dlm_store *store,
                                        struct dlm_store_info *info)
{
    struct dlm_manifest m;
    struct stat sb;

    enum dlm_status st = dlm_manifest_load(ctx, &m, store);
    if (st)
        return st;
    const json_t *runs = json_object_get(m.root, "training_runs");
    info->num_runs = (int64_t)json_array_size(runs);
    if (info->num_runs) {
        const json_t *run = json_array_get(runs, json_array_size(runs) - 1);
        const char *ended = json_string_value(json_object_get(run, "ended_at"));
        const char *started = json_string_value(json_object_get(run, "started_at"));
        const char *last = ended ? ended : started ? started : "";
        snprintf(info->last_trained_at, sizeof(info->last_trained_at), "%s", last);
    }
    const char *source = dlm_manifest_string(&m, "source_path");
    info->orphaned = source && stat(source, &sb) != 0;
    dlm_manifest_finish(&m);
    return DLM_OK;
}

enum dlm_status dlm_store_inspect(struct dlm_ctx *ctx, const struct dlm_store *store,
                                  struct dlm_store_info *info)
{
    char *dir = NULL, *replay = NULL;
    int64_t *ids = NULL;
    size_t num = 0;

    *info = (struct dlm_store_info){.initialized = dlm_store_is_initialized(store)};
    if (!info->initialized)
        return DLM_OK;
    enum dlm_status st = inspect_manifest(ctx, store, info);
    if (!st)
        st = dlm_store_current(ctx, store, &dir, &info->adapter_version);
    info->has_current = dir != NULL;
    if (!st)
        st = dlm_path_bytes(ctx, store->root, false, &info->total_bytes);
    if (!st)
        st = dlm_store_subdir(ctx, store, "replay", false, &replay);
    if (!st)
        st = dlm_path_bytes(ctx, replay, false, &info->replay_bytes);
    if (!st)
        st = dlm_store_unfinished_runs(ctx, store, &ids, &num);
    info->num_unfinished = (int64_t)num;
    dlm_free(ids);
    dlm_free(replay);
    dlm_free(dir);
    return st;
}

/* Raises *id to the highest number behind prefix among the names in a folder of the store. */
static enum dlm_status raise_by_names(struct dlm_ctx *ctx, const struct dlm_store *store,
                                      const char *folder, const char *prefix, int64_t *id)
{
    char **names = NULL;
    char *path = dlm_store_pathf(ctx, store, "%s", folder);
    enum dlm_status st = path ? dlm_store_list(ctx, path, &names) : DLM_ERR_MEMORY;

    for (size_t i = 0; !st && names[i]; i++)
        *id = DLM_MAX(*id, dlm_name_number(names[i], prefix));
    dlm_names_free(names);
    dlm_free(path);
    return st;
}

static enum dlm_status raise_by_versions(struct dlm_ctx *ctx, const struct dlm_store *store,
                                         int64_t *id)
{
    char **names = NULL;
    char *path = dlm_store_pathf(ctx, store, "adapter/versions");
    enum dlm_status st = path ? dlm_store_list(ctx, path, &names) : DLM_ERR_MEMORY;

    for (size_t i = 0; !st && names[i]; i++) {
        char *dir = dlm_path_join(ctx, path, names[i]);
        if (!dir)
            st = DLM_ERR_MEMORY;
        else
            *id = DLM_MAX(*id, dlm_version_run_id(ctx, dir));
        dlm_free(dir);
    }
    dlm_names_free(names);
    dlm_free(path);
    return st;
}

enum dlm_status dlm_store_last_run_id(struct dlm_ctx *ctx, const struct dlm_store *store,
                                      int64_t *id)
{
    *id = 0;
    enum dlm_status st = raise_by_names(ctx, store, "runs", "", id);
    if (!st)
        st = raise_by_names(ctx, store, "logs", "train-", id);
    if (!st)
        st = raise_by_versions(ctx, store, id);
    if (st || !dlm_store_is_initialized(store))
        return st;
    struct dlm_manifest m;
    st = dlm_manifest_load(ctx, &m, store);
    if (st)
        return st;
    const json_t *runs = json_object_get(m.root, "training_runs");
    for (size_t i = 0; i < json_array_size(runs); i++) {
        const json_t *run = json_array_get(runs, i);
        const int64_t run_id = (int64_t)json_integer_value(json_object_get(run, "run_id"));
        if (run_id <= DLM_STORE_MAX_RUN_ID)
            *id = DLM_MAX(*id, run_id);
    }
    dlm_manifest_finish(&m);
    return DLM_OK;
}
