/* Removing a version, or the store. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "store/check_impl.h"
#include "store/manifest.h"
#include "store/store_impl.h"
#include "weights/adapter.h"

static const char going[] = ".tmp-rm-";

static bool is_whole(struct dlm_ctx *ctx, const struct dlm_store *store, int64_t number)
{
    struct dlm_adapter *adapter = NULL;
    char *dir = NULL;

    dlm_log_mute(ctx); /* a damaged one only does not become current */
    enum dlm_status st = dlm_store_version(ctx, store, number, &dir);
    if (!st)
        st = dlm_adapter_open(ctx, &adapter, dir, NULL);
    dlm_log_excuse(ctx, st);
    dlm_adapter_destroy(&adapter);
    dlm_free(dir);
    return !st;
}

enum dlm_status dlm_store_plan_removal(struct dlm_ctx *ctx, const struct dlm_store *store,
                                       int64_t number, struct dlm_removal *removal)
{
    char *dir = NULL, *current = NULL;
    int64_t *numbers = NULL, now = 0;
    size_t num = 0;

    *removal = (struct dlm_removal){0};
    enum dlm_status st = dlm_store_version(ctx, store, number, &dir);
    if (!st)
        st = dlm_store_versions(ctx, store, &numbers, &num);
    if (!st && dlm_store_current(NULL, store, &current, &now))
        now = 0; /* a pointer that is damaged names none */
    removal->is_current = now == number;
    if (!st && now && now != number)
        removal->next = now;
    for (size_t i = num; !st && !removal->next && i-- > 0;)
        if (numbers[i] != number && is_whole(ctx, store, numbers[i]))
            removal->next = numbers[i];
    dlm_free(current);
    dlm_free(numbers);
    dlm_free(dir);
    return st;
}

/* Moves the pointer, and the manifest's word for readers, away from what goes. */
static enum dlm_status point_away(struct dlm_ctx *ctx, struct dlm_store *store, int64_t next)
{
    struct dlm_manifest manifest = {0};
    char *path = dlm_store_pathf(ctx, store, "adapter/current.txt");
    enum dlm_status st = path ? DLM_OK : DLM_ERR_MEMORY;

    if (!st)
        st = next ? dlm_store_point_to(ctx, store, next) : dlm_path_remove(ctx, path);
    if (!st && dlm_store_is_initialized(store)) {
        st = dlm_manifest_load(ctx, &manifest, store);
        if (!st)
            st = dlm_manifest_set_adapter_version(ctx, &manifest, next);
        if (!st)
            st = dlm_manifest_save(ctx, &manifest, store);
    }
    dlm_manifest_finish(&manifest);
    dlm_free(path);
    return st;
}

/* Removes a folder by way of a name beside it that counts as left over. */
static enum dlm_status remove_folder(struct dlm_ctx *ctx, const char *path)
{
    char *folder = dlm_path_dirname(ctx, path);
    char *aside = folder ? dlm_strf(ctx, "%s/%s%s", folder, going, dlm_path_basename(path)) : NULL;
    enum dlm_status st = aside ? dlm_path_remove(ctx, aside) : DLM_ERR_MEMORY;

    if (!st && rename(path, aside))
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot remove '%s': %s", path, strerror(errno));
    if (!st)
        st = dlm_dir_sync(ctx, folder);
    if (!st)
        st = dlm_path_remove(ctx, aside);
    dlm_free(aside);
    dlm_free(folder);
    return st;
}

enum dlm_status dlm_store_remove_version(struct dlm_ctx *ctx, struct dlm_store *store,
                                         int64_t number, const struct dlm_removal *removal)
{
    char *dir = NULL;
    enum dlm_status st;

    DLM_REQUIRE(ctx, store->lock_fd_plus_1);
    st = dlm_store_version(ctx, store, number, &dir);
    if (!st && removal->is_current)
        st = point_away(ctx, store, removal->next);
    if (!st)
        st = remove_folder(ctx, dir);
done:
    dlm_free(dir);
    return st;
}

enum dlm_status dlm_stores_check_removed(struct dlm_ctx *ctx, const char *folder, bool repair,
                                         struct dlm_findings *findings)
{
    const struct dlm_store_check_params params = {.repair = repair};
    struct dlm_check c = {.ctx = ctx, .params = &params, .findings = findings};
    char **names = NULL;

    enum dlm_status st = dlm_dir_list(ctx, folder, &names);
    for (size_t i = 0; !st && names[i]; i++) {
        if (strncmp(names[i], going, sizeof(going) - 1))
            continue;
        char *path = dlm_path_join(ctx, folder, names[i]);
        st = path ? dlm_check_note(&c, "temporary", DLM_FINDING_LEFT | DLM_FINDING_REPAIRABLE,
                                   names[i], "a store whose removal was interrupted")
                  : DLM_ERR_MEMORY;
        if (!st && repair) {
            st = dlm_path_remove(ctx, path);
            if (!st)
                dlm_check_repaired(&c);
        }
        dlm_free(path);
    }
    dlm_names_free(names);
    return st;
}

enum dlm_status dlm_store_remove(struct dlm_ctx *ctx, struct dlm_store *store)
{
    struct dlm_findings findings = {0};
    char *folder = NULL;
    enum dlm_status st;

    DLM_REQUIRE(ctx, store->lock_fd_plus_1);
    folder = dlm_path_dirname(ctx, store->root);
    st = folder ? remove_folder(ctx, store->root) : DLM_ERR_MEMORY;
    if (!st) /* what killed processes have left of others goes as well */
        st = dlm_stores_check_removed(ctx, folder, true, &findings);
done:
    dlm_findings_finish(&findings);
    dlm_free(folder);
    return st;
}
