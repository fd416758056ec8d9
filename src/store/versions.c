/* Which adapter versions a store has, and going back to one. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "store/manifest.h"
#include "store/store_impl.h"

/* The number of a version's folder; 0 for other names, "v0002-rejected" among them. */
static int64_t version_number(const char *name)
{
    return strspn(name, "v0123456789") == strlen(name) ? DLM_MAX(dlm_name_number(name, "v"), 0) : 0;
}

static int compare_numbers(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

enum dlm_status dlm_store_versions(struct dlm_ctx *ctx, const struct dlm_store *store,
                                   int64_t **numbers, size_t *num)
{
    char **names = NULL;
    size_t cap = 0;

    *numbers = NULL;
    *num = 0;
    char *folder = dlm_store_pathf(ctx, store, "adapter/versions");
    enum dlm_status st = folder ? dlm_store_list(ctx, folder, &names) : DLM_ERR_MEMORY;
    for (size_t i = 0; !st && names[i]; i++) {
        const int64_t number = version_number(names[i]);
        if (!number)
            continue;
        if (!dlm_grow(ctx, numbers, &cap, *num, sizeof(**numbers)))
            st = DLM_ERR_MEMORY;
        else
            (*numbers)[(*num)++] = number;
    }
    if (*num)
        qsort(*numbers, *num, sizeof(**numbers), compare_numbers);
    dlm_names_free(names);
    dlm_free(folder);
    return st;
}

/* Says which versions there are instead. */
static enum dlm_status no_version(struct dlm_ctx *ctx, const struct dlm_store *store,
                                  int64_t number)
{
    struct dlm_str text = {0};
    int64_t *numbers = NULL;
    size_t num = 0;

    enum dlm_status st = dlm_store_versions(ctx, store, &numbers, &num);
    for (size_t i = num > 10 ? num - 10 : 0; !st && i < num; i++)
        st = dlm_str_appendf(ctx, &text, "%s v%04lld", text.len ? "," : ":",
                             (long long)numbers[i]);
    if (!st)
        st = dlm_fail(ctx, DLM_ERR_INVALID,
                      "there is no version v%04lld of the adapter; the store '%s' has %zu%s",
                      (long long)number, store->root, num, dlm_str_text(&text));
    dlm_str_finish(&text);
    dlm_free(numbers);
    return st;
}

enum dlm_status dlm_store_version(struct dlm_ctx *ctx, const struct dlm_store *store,
                                  int64_t number, char **dir)
{
    *dir = dlm_store_pathf(ctx, store, "adapter/versions/v%04lld", (long long)number);
    if (!*dir)
        return DLM_ERR_MEMORY;
    if (dlm_path_is_dir(*dir))
        return DLM_OK;
    dlm_free(*dir);
    *dir = NULL;
    return no_version(ctx, store, number);
}

enum dlm_status dlm_store_use(struct dlm_ctx *ctx, struct dlm_store *store, const char *document,
                              int64_t number)
{
    struct dlm_manifest manifest = {0};
    char *dir = NULL;
    enum dlm_status st;

    DLM_REQUIRE(ctx, store->lock_fd_plus_1);
    st = dlm_store_version(ctx, store, number, &dir);
    if (!st)
        st = dlm_manifest_load(ctx, &manifest, store);
    if (!st)
        st = dlm_manifest_check_source(ctx, &manifest, document);
    if (!st)
        st = dlm_manifest_set_adapter_version(ctx, &manifest, number);
    if (!st)
        st = dlm_store_point_to(ctx, store, number);
    if (!st) /* for readers; which version is current, the pointer says */
        st = dlm_manifest_save(ctx, &manifest, store);
done:
    dlm_manifest_finish(&manifest);
    dlm_free(dir);
    return st;
}
