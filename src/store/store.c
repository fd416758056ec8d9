/* Where the store of a document is, and its folders. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "store/store_impl.h"

/* 26 characters of Crockford's base 32: no I, L, O, U. */
bool dlm_store_is_id(const char *id)
{
    return strlen(id) == 26 && strspn(id, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") == 26;
}

enum dlm_status dlm_store_open(struct dlm_ctx *ctx, struct dlm_store **out, const char *home,
                               const char *dlm_id)
{
    *out = NULL;
    if (!dlm_store_is_id(dlm_id))
        return dlm_fail(ctx, DLM_ERR_INVALID,
                        "dlm_id must be a 26-char Crockford base32 ULID, got '%.100s'", dlm_id);
    char *folder = dlm_path_home(ctx, home);
    if (!folder)
        return DLM_ERR_IO;
    struct dlm_store *store = dlm_alloc(ctx, sizeof(*store));
    if (store) {
        store->id = dlm_strdup(ctx, dlm_id);
        store->root = dlm_strf(ctx, "%s/store/%s", folder, dlm_id);
    }
    dlm_free(folder);
    if (!store || !store->id || !store->root) {
        dlm_store_close(&store);
        return DLM_ERR_MEMORY;
    }
    *out = store;
    return DLM_OK;
}

void dlm_store_close(struct dlm_store **store)
{
    if (!store || !*store)
        return;
    dlm_store_unlock(*store);
    dlm_free((*store)->id);
    dlm_free((*store)->root);
    dlm_free(*store);
    *store = NULL;
}

const char *dlm_store_path(const struct dlm_store *store)
{
    return store->root;
}

const char *dlm_store_id(const struct dlm_store *store)
{
    return store->id;
}

char *dlm_store_pathf(struct dlm_ctx *ctx, const struct dlm_store *store, const char *fmt, ...)
{
    char name[512];
    va_list args;

    va_start(args, fmt);
    int len = vsnprintf(name, sizeof(name), fmt, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof(name)) { /* our own names are far shorter */
        (void)dlm_fail(ctx, DLM_ERR_INVALID, "'%s': name too long", store->root);
        return NULL;
    }
    return dlm_path_join(ctx, store->root, name);
}

bool dlm_store_is_initialized(const struct dlm_store *store)
{
    char *path = dlm_store_pathf(NULL, store, "manifest.json");
    const bool there = path && dlm_path_is_file(path);

    dlm_free(path);
    return there;
}

enum dlm_status dlm_store_subdir(struct dlm_ctx *ctx, const struct dlm_store *store,
                                 const char *name, bool make, char **path)
{
    *path = dlm_store_pathf(ctx, store, "%s", name);
    if (!*path)
        return DLM_ERR_MEMORY;
    enum dlm_status st = make ? dlm_dir_make(ctx, *path) : DLM_OK;
    if (st) {
        dlm_free(*path);
        *path = NULL;
    }
    return st;
}

enum dlm_status dlm_store_prepare(struct dlm_ctx *ctx, struct dlm_store *store)
{
    static const char *const folders[] = {"adapter/versions", "logs"};
    enum dlm_status st = dlm_dir_make(ctx, store->root);

    for (size_t i = 0; !st && i < DLM_ARRAY_LEN(folders); i++) {
        char *path;
        st = dlm_store_subdir(ctx, store, folders[i], true, &path);
        if (!st)
            dlm_free(path);
    }
    return st;
}

int64_t dlm_name_number(const char *name, const char *prefix)
{
    const size_t len = strlen(prefix);
    int64_t n = 0;

    if (strncmp(name, prefix, len) || name[len] < '0' || name[len] > '9')
        return -1;
    for (const char *p = name + len; *p >= '0' && *p <= '9'; p++) {
        n = n * 10 + (*p - '0');
        if (n > 1000000000)
            return -1;
    }
    return n;
}

enum dlm_status dlm_store_list(struct dlm_ctx *ctx, const char *path, char ***names)
{
    if (dlm_path_is_dir(path))
        return dlm_dir_list(ctx, path, names);
    *names = dlm_alloc_array(ctx, 1, sizeof(**names));
    return *names ? DLM_OK : DLM_ERR_MEMORY;
}
