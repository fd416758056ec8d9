/* Adapter versions: written in a temporary folder, fsynced, renamed, and only then pointed to. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "store/store_impl.h"


static const char temporary_prefix[] = ".tmp-";

struct dlm_version {
    struct dlm_store *store; /* borrowed */
    int64_t run_id;
    char *dir;      /* the temporary folder, or the version that exists */
    int64_t number; /* of the version that exists; 0: to be made */
    bool use_qlora;
    char tiles_sha256[65]; /* "": not known */
};

/* --- the pointer --- */

/* Whether path, links resolved, lies in root. */
static bool is_inside(const char *path, const char *root)
{
    char *real_path = realpath(path, NULL), *real_root = realpath(root, NULL);
    const size_t len = real_root ? strlen(real_root) : 0;
    const bool inside = real_path && real_root && !strncmp(real_path, real_root, len) &&
                        (real_path[len] == '/' || !strcmp(real_root, "/"));

    free(real_path);
    free(real_root);
    return inside;
}

static bool has_parent_part(const char *path)
{
    for (const char *p = path; *p;) {
        const size_t len = strcspn(p, "/");
        if (len == 2 && !strncmp(p, "..", 2))
            return true;
        p += len + (p[len] == '/');
    }
    return false;
}

/* Checks the pointer's text and sets *dir (owned). */
static enum dlm_status follow(struct dlm_ctx *ctx, const struct dlm_store *store,
                              const char *pointer, char **dir)
{
    *dir = NULL;
    if (*pointer == '/' || has_parent_part(pointer))
        return dlm_fail(ctx, DLM_ERR_PARSE, "adapter pointer '%.200s' escapes store root: '%s'",
                        pointer, store->root);
    char *path = dlm_path_join(ctx, store->root, pointer);
    if (!path)
        return DLM_ERR_MEMORY;
    enum dlm_status st = DLM_OK;
    if (!*pointer || !dlm_path_is_dir(path))
        st = dlm_fail(ctx, DLM_ERR_PARSE, "adapter pointer '%.200s' names no folder in '%s'",
                      pointer, store->root);
    else if (!is_inside(path, store->root))
        st = dlm_fail(ctx, DLM_ERR_PARSE, "adapter pointer '%.200s' escapes store root: '%s'",
                      pointer, store->root);
    if (st)
        dlm_free(path);
    else
        *dir = path;
    return st;
}

enum dlm_status dlm_store_current(struct dlm_ctx *ctx, const struct dlm_store *store, char **dir,
                                  int64_t *version)
{
    struct dlm_str text = {0};
    char *path = dlm_store_pathf(ctx, store, "adapter/current.txt");
    enum dlm_status st = path ? DLM_OK : DLM_ERR_MEMORY;

    *dir = NULL;
    if (version)
        *version = 0;
    if (st || !dlm_path_is_file(path))
        goto done;
    st = dlm_file_read(ctx, path, 4096, &text);
    if (st)
        goto done;
    while (text.len && strchr(" \t\r\n", text.data[text.len - 1]))
        text.data[--text.len] = '\0';
    st = follow(ctx, store, dlm_str_text(&text), dir);
    if (!st && version)
        *version = DLM_MAX(dlm_name_number(dlm_path_basename(*dir), "v"), 0);
done:
    dlm_str_finish(&text);
    dlm_free(path);
    return st;
}

enum dlm_status dlm_store_point_to(struct dlm_ctx *ctx, const struct dlm_store *store,
                                   int64_t number)
{
    char *path = dlm_store_pathf(ctx, store, "adapter/current.txt");
    char text[64];

    if (!path)
        return DLM_ERR_MEMORY;
    int len = snprintf(text, sizeof(text), "adapter/versions/v%04lld\n", (long long)number);
    enum dlm_status st = dlm_file_replace(ctx, path, text, (size_t)len);
    dlm_free(path);
    return st;
}

/* --- what exists --- */

int64_t dlm_version_run_id(struct dlm_ctx *ctx, const char *dir)
{
    int64_t id = 0;
    json_t *json = NULL;
    char *path = dlm_path_join(ctx, dir, DLM_VERSION_RECORD);

    /* a damaged record names no run, which is no error */
    if (path && dlm_path_is_file(path) && !dlm_json_load(NULL, path, 1 << 20, &json) &&
        dlm_json_int(NULL, json, path, "run_id", 0, DLM_STORE_MAX_RUN_ID, &id))
        id = 0;
    json_decref(json);
    dlm_free(path);
    return id;
}

/* Highest number of any version, also of vNNNN-rejected, and the version that run_id made (0). */
static enum dlm_status scan_versions(struct dlm_ctx *ctx, const struct dlm_store *store,
                                     int64_t run_id, int64_t *last, int64_t *of_run)
{
    char **names = NULL;
    char *folder = dlm_store_pathf(ctx, store, "adapter/versions");
    enum dlm_status st = folder ? dlm_store_list(ctx, folder, &names) : DLM_ERR_MEMORY;

    *last = *of_run = 0;
    for (size_t i = 0; !st && names[i]; i++) {
        const int64_t number = dlm_name_number(names[i], "v");
        if (number < 0)
            continue;
        *last = DLM_MAX(*last, number);
        char *dir = dlm_path_join(ctx, folder, names[i]);
        if (!dir)
            st = DLM_ERR_MEMORY;
        else if (!strchr(names[i], '-') && dlm_version_run_id(ctx, dir) == run_id)
            *of_run = number;
        dlm_free(dir);
    }
    dlm_names_free(names);
    dlm_free(folder);
    return st;
}

/* --- commit --- */

enum dlm_status dlm_version_begin(struct dlm_ctx *ctx, struct dlm_store *store, int64_t run_id,
                                  struct dlm_version **out)
{
    int64_t last;
    enum dlm_status st;
    struct dlm_version *v = NULL;

    *out = NULL;
    DLM_REQUIRE(ctx, run_id > 0);
    DLM_REQUIRE(ctx, store->lock_fd_plus_1);
    v = dlm_alloc(ctx, sizeof(*v));
    if (!v)
        return DLM_ERR_MEMORY;
    v->store = store;
    v->run_id = run_id;
    st = scan_versions(ctx, store, run_id, &last, &v->number);
    if (st)
        goto done;
    v->dir = v->number ? dlm_store_pathf(ctx, store, "adapter/versions/v%04lld",
                                         (long long)v->number)
                       : dlm_store_pathf(ctx, store, "adapter/versions/%srun-%06lld",
                                         temporary_prefix, (long long)run_id);
    st = v->dir ? DLM_OK : DLM_ERR_MEMORY;
    if (!st && !v->number) { /* an attempt that was killed may have left it */
        st = dlm_path_remove(ctx, v->dir);
        if (!st)
            st = dlm_dir_make(ctx, v->dir);
    }
    if (st)
        goto done;
    *out = v;
    v = NULL;
done:
    dlm_version_abort(&v);
    return st;
}

enum dlm_status dlm_version_begin_new(struct dlm_ctx *ctx, struct dlm_store *store,
                                      struct dlm_version **out)
{
    int64_t last = 0;

    *out = NULL;
    enum dlm_status st = dlm_store_last_run_id(ctx, store, &last);
    return st ? st : dlm_version_begin(ctx, store, last + 1, out);
}

bool dlm_version_exists(const struct dlm_version *version)
{
    return version->number != 0;
}

const char *dlm_version_dir(const struct dlm_version *version)
{
    return version->dir;
}

void dlm_version_set_qlora(struct dlm_version *version)
{
    version->use_qlora = true;
}

void dlm_version_set_tiles(struct dlm_version *version, const char sha256[65])
{
    snprintf(version->tiles_sha256, sizeof(version->tiles_sha256), "%s", sha256);
}

static void free_version(struct dlm_version **version)
{
    dlm_free((*version)->dir);
    dlm_free(*version);
    *version = NULL;
}

void dlm_version_abort(struct dlm_version **version)
{
    if (!version || !*version)
        return;
    if ((*version)->dir && !(*version)->number && dlm_path_remove(NULL, (*version)->dir)) {
        /* Left for dlm_store_sweep(): no version counts before its rename. */
    }
    free_version(version);
}

static enum dlm_status sync_file(struct dlm_ctx *ctx, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return dlm_fail(ctx, DLM_ERR_IO, "cannot open '%s': %s", path, strerror(errno));
    enum dlm_status st = DLM_OK;
    if (fsync(fd))
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot sync '%s': %s", path, strerror(errno));
    close(fd);
    return st;
}

/* fsync of a folder and all below it. */
static enum dlm_status sync_tree(struct dlm_ctx *ctx, const char *dir)
{
    char **names = NULL;
    enum dlm_status st = dlm_dir_list(ctx, dir, &names);

    for (size_t i = 0; !st && names[i]; i++) {
        char *path = dlm_path_join(ctx, dir, names[i]);
        if (!path)
            st = DLM_ERR_MEMORY;
        else
            st = dlm_path_is_dir(path) ? sync_tree(ctx, path) : sync_file(ctx, path);
        dlm_free(path);
    }
    dlm_names_free(names);
    return st ? st : dlm_dir_sync(ctx, dir);
}

/* Adds a hash of each of the version's files to the record, by which damage is found. */
static enum dlm_status hash_files(struct dlm_ctx *ctx, const struct dlm_version *v, json_t *json)
{
    char **names = NULL, sha[65];
    json_t *files = json_object();
    enum dlm_status st = files ? dlm_dir_list(ctx, v->dir, &names) : DLM_ERR_MEMORY;

    for (size_t i = 0; !st && names[i]; i++) {
        char *path = dlm_path_join(ctx, v->dir, names[i]);
        st = path ? DLM_OK : DLM_ERR_MEMORY;
        if (!st && dlm_path_is_file(path)) {
            st = dlm_file_sha256(ctx, path, sha, NULL);
            if (!st && json_object_set_new(files, names[i], json_string(sha)))
                st = DLM_ERR_MEMORY;
        }
        dlm_free(path);
    }
    dlm_names_free(names);
    if (!st && json_object_set(json, "files_sha256", files))
        st = DLM_ERR_MEMORY;
    json_decref(files);
    return st;
}

static enum dlm_status write_record(struct dlm_ctx *ctx, const struct dlm_version *v,
                                    int64_t number)
{
    char *path = dlm_path_join(ctx, v->dir, DLM_VERSION_RECORD);
    json_t *json = json_pack("{s:I, s:I, s:b}", "run_id", (json_int_t)v->run_id,
                             "adapter_version", (json_int_t)number, "use_qlora", (int)v->use_qlora);
    const bool ok = json && (!*v->tiles_sha256 ||
                             !json_object_set_new(json, "tiles_sha256",
                                                  json_string(v->tiles_sha256)));
    enum dlm_status st = path && ok ? hash_files(ctx, v, json) : DLM_ERR_MEMORY;

    if (!st)
        st = dlm_json_replace(ctx, path, json);
    json_decref(json);
    dlm_free(path);
    return st;
}

/* Renames the temporary folder to `to` and makes the rename durable. */
static enum dlm_status move_into_place(struct dlm_ctx *ctx, const struct dlm_version *v,
                                       const char *to)
{
    char *folder = dlm_path_dirname(ctx, to);

    if (!folder)
        return DLM_ERR_MEMORY;
    enum dlm_status st = DLM_OK;
    if (rename(v->dir, to))
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot make '%s': %s", to, strerror(errno));
    if (!st)
        st = dlm_dir_sync(ctx, folder);
    dlm_free(folder);
    return st;
}

/* Makes the version's folder and sets v->number; *path (owned) is the folder. */
static enum dlm_status make_version(struct dlm_ctx *ctx, struct dlm_version *v, char **path)
{
    int64_t last, of_run;

    enum dlm_status st = scan_versions(ctx, v->store, v->run_id, &last, &of_run);
    if (st)
        return st;
    st = write_record(ctx, v, last + 1);
    if (!st)
        st = sync_tree(ctx, v->dir);
    if (st)
        return st;
    *path = dlm_store_pathf(ctx, v->store, "adapter/versions/v%04lld", (long long)last + 1);
    if (!*path)
        return DLM_ERR_MEMORY;
    st = move_into_place(ctx, v, *path);
    if (!st)
        v->number = last + 1;
    return st;
}

enum dlm_status dlm_version_finish(struct dlm_ctx *ctx, struct dlm_version **version,
                                   int64_t *number, char **path)
{
    struct dlm_version *v = *version;
    char *dir = NULL, *current = NULL;
    int64_t current_number = 0;
    enum dlm_status st = DLM_OK;

    if (path)
        *path = NULL;
    if (v->number)
        dir = dlm_strdup(ctx, v->dir);
    else
        st = make_version(ctx, v, &dir);
    if (!st && !dir)
        st = DLM_ERR_MEMORY;
    if (!st && dlm_store_current(NULL, v->store, &current, &current_number))
        current_number = 0; /* a damaged pointer is replaced */
    if (!st && current_number < v->number)
        st = dlm_store_point_to(ctx, v->store, v->number);
    if (!st && number)
        *number = v->number;
    if (!st && path) {
        *path = dir;
        dir = NULL;
    }
    dlm_free(dir);
    dlm_free(current);
    dlm_version_abort(version);
    return st;
}

/* --- sweep --- */

bool dlm_store_is_leftover(const char *name)
{
    return strstr(name, ".tmp.") || !strncmp(name, temporary_prefix, sizeof(temporary_prefix) - 1);
}

static enum dlm_status sweep_folder(struct dlm_ctx *ctx, const struct dlm_store *store,
                                    const char *name)
{
    char **names = NULL;
    char *folder = dlm_store_pathf(ctx, store, "%s", name);
    enum dlm_status st = folder ? dlm_store_list(ctx, folder, &names) : DLM_ERR_MEMORY;

    for (size_t i = 0; !st && names[i]; i++) {
        if (!dlm_store_is_leftover(names[i]))
            continue;
        char *path = dlm_path_join(ctx, folder, names[i]);
        st = path ? dlm_path_remove(ctx, path) : DLM_ERR_MEMORY;
        dlm_free(path);
    }
    dlm_names_free(names);
    dlm_free(folder);
    return st;
}

static enum dlm_status sweep_blobs(struct dlm_ctx *ctx, const struct dlm_store *store)
{
    char **names = NULL;
    char *folder = dlm_store_pathf(ctx, store, "blobs");
    enum dlm_status st = folder ? dlm_store_list(ctx, folder, &names) : DLM_ERR_MEMORY;

    for (size_t i = 0; !st && names[i]; i++) {
        char name[300];
        snprintf(name, sizeof(name), "blobs/%.255s", names[i]);
        st = sweep_folder(ctx, store, name);
    }
    dlm_names_free(names);
    dlm_free(folder);
    return st;
}

enum dlm_status dlm_store_sweep(struct dlm_ctx *ctx, struct dlm_store *store)
{
    static const char *const folders[] = {".", "adapter", "adapter/versions", "logs"};
    enum dlm_status st = DLM_OK;

    DLM_REQUIRE(ctx, store->lock_fd_plus_1);
    for (size_t i = 0; !st && i < DLM_ARRAY_LEN(folders); i++)
        st = sweep_folder(ctx, store, folders[i]);
    if (!st)
        st = sweep_blobs(ctx, store);
    if (!st)
        st = dlm_store_sweep_runs(ctx, store);
done:
    return st;
}
