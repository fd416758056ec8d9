/* The place of an export. */
#include "export/place.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "export/kept.h"
#include "export/tar.h"

#define MAX_MANIFEST_BYTES ((size_t)16 << 20)

/* --- what may be replaced --- */

/* Says that a folder has something that no export put there; name is below it. */
static enum dlm_status refuse(struct dlm_ctx *ctx, const char *target, const char *name)
{
    dlm_fail(ctx, DLM_ERR_INVALID, "cannot export to '%s': '%s' in it is no part of an export",
             target, name);
    dlm_log(ctx, DLM_LOG_HINT, "name another folder, or remove it");
    return DLM_ERR_INVALID;
}

static bool is_listed(const json_t *artifacts, const char *name)
{
    for (size_t i = 0; i < json_array_size(artifacts); i++) {
        const char *path =
            json_string_value(json_object_get(json_array_get(artifacts, i), "path"));
        if (path && !strcmp(path, name))
            return true;
    }
    return false;
}

/* In no manifest: for people, or a manifest itself. */
static bool is_beside(const char *name)
{
    return !strcmp(name, DLM_EXPORT_README) || !strcmp(name, DLM_EXPORT_MANIFEST) ||
           !strcmp(name, DLM_EXPORT_SNAPSHOT_MANIFEST);
}

/* Each file below dir, which lies at `under` in the target, is in the manifest, or beside it. */
static enum dlm_status check_files(struct dlm_ctx *ctx, const char *target, const char *dir,
                                   const char *under, const json_t *artifacts)
{
    char **names = NULL;
    struct stat sb;

    enum dlm_status st = dlm_dir_list(ctx, dir, &names);
    for (size_t i = 0; !st && names[i]; i++) {
        char *path = dlm_path_join(ctx, dir, names[i]);
        char *name = dlm_strf(ctx, "%s%s", under, names[i]);
        char *below = dlm_strf(ctx, "%s%s/", under, names[i]);
        if (!path || !name || !below)
            st = DLM_ERR_MEMORY;
        else if (!lstat(path, &sb) && S_ISDIR(sb.st_mode) && !*under)
            st = check_files(ctx, target, path, below, artifacts);
        else if (!is_listed(artifacts, name) && !is_beside(name))
            st = refuse(ctx, target, name);
        dlm_free(path);
        dlm_free(name);
        dlm_free(below);
    }
    dlm_names_free(names);
    return st;
}

static enum dlm_status check_folder(struct dlm_ctx *ctx, const char *target)
{
    static const char *const names[] = {DLM_EXPORT_SNAPSHOT_MANIFEST, DLM_EXPORT_MANIFEST};
    json_t *manifest = NULL;
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && !manifest && i < DLM_ARRAY_LEN(names); i++) {
        char *path = dlm_path_join(ctx, target, names[i]);
        if (!path)
            st = DLM_ERR_MEMORY;
        else if (dlm_path_is_file(path))
            st = dlm_json_load(ctx, path, MAX_MANIFEST_BYTES, &manifest);
        dlm_free(path);
    }
    if (!st)
        st = check_files(ctx, target, target, "", json_object_get(manifest, "artifacts"));
    json_decref(manifest);
    return st;
}

static enum dlm_status check_archive(struct dlm_ctx *ctx, const char *target)
{
    bool is_own = false;

    enum dlm_status st = dlm_tar_is_own(ctx, target, &is_own);
    if (st || is_own)
        return st;
    dlm_fail(ctx, DLM_ERR_INVALID, "cannot export to '%s': a file that is no export is there",
             target);
    dlm_log(ctx, DLM_LOG_HINT, "name another file, or remove it");
    return DLM_ERR_INVALID;
}

static enum dlm_status check_target(struct dlm_ctx *ctx, const char *target, bool is_tar)
{
    struct stat sb;

    if (lstat(target, &sb))
        return errno == ENOENT ? DLM_OK
                               : dlm_fail(ctx, DLM_ERR_IO, "cannot export to '%s': %s", target,
                                          strerror(errno));
    if (is_tar ? !S_ISREG(sb.st_mode) : !S_ISDIR(sb.st_mode))
        return dlm_fail(ctx, DLM_ERR_INVALID, "cannot export to '%s': it is no %s", target,
                        is_tar ? "file" : "folder");
    return is_tar ? check_archive(ctx, target) : check_folder(ctx, target);
}

/* --- what killed processes left --- */

/* <base>.tmp.<pid>.<8 hex digits> */
static bool is_on_its_way(const char *name, const char *base)
{
    const size_t len = strlen(base);
    char rest[sizeof(".tmp.")];

    if (strncmp(name, base, len))
        return false;
    name += len;
    snprintf(rest, sizeof(rest), "%s", name);
    if (strcmp(rest, ".tmp."))
        return false;
    name += strlen(rest);
    const size_t digits = strspn(name, "0123456789");
    name += digits;
    return digits && *name == '.' && strspn(name + 1, "0123456789abcdef") == 8 && !name[9];
}

/* Removes it, or keeps it as place->left; *bytes are of its files then. */
static enum dlm_status remove_or_keep(struct dlm_ctx *ctx, struct dlm_place *place, char *path,
                                      const char *identity, uint64_t *bytes)
{
    struct dlm_kept kept = {0};
    bool is_same = false;
    enum dlm_status st = DLM_OK;

    if (identity && !place->left && dlm_path_is_dir(path))
        st = dlm_kept_read(ctx, &kept, path, identity, &is_same);
    if (!st && is_same) {
        place->left = dlm_strdup(ctx, path);
        *bytes = kept.bytes;
        st = place->left ? DLM_OK : DLM_ERR_MEMORY;
    } else if (!st) {
        st = dlm_path_remove(ctx, path);
    }
    dlm_kept_finish(&kept);
    return st;
}

static enum dlm_status sweep(struct dlm_ctx *ctx, struct dlm_place *place, const char *identity,
                             uint64_t *bytes)
{
    char **names = NULL;

    enum dlm_status st = dlm_dir_list(ctx, place->folder, &names);
    for (size_t i = 0; !st && names[i]; i++) {
        if (!is_on_its_way(names[i], dlm_path_basename(place->target)))
            continue;
        char *path = dlm_path_join(ctx, place->folder, names[i]);
        if (!path)
            st = DLM_ERR_MEMORY;
        else if (!dlm_path_is_held(path))
            st = remove_or_keep(ctx, place, path, identity, bytes);
        dlm_free(path);
    }
    dlm_names_free(names);
    return st;
}

enum dlm_status dlm_place_hold(struct dlm_ctx *ctx, int fd, const char *path)
{
    if (!flock(fd, LOCK_EX | LOCK_NB) || errno == ENOLCK || errno == EOPNOTSUPP)
        return DLM_OK; /* without locks, sweep() gets none, either, and leaves all */
    return dlm_fail(ctx, DLM_ERR_IO, "cannot lock '%s': %s", path, strerror(errno));
}

/* --- the place --- */

static enum dlm_status check_room(struct dlm_ctx *ctx, const struct dlm_place *place,
                                  uint64_t bytes)
{
    char need[32], have[32];
    uint64_t room;

    enum dlm_status st = dlm_path_free_bytes(ctx, place->folder, &room);
    if (st || bytes < room)
        return st;
    dlm_size_text(bytes, need, sizeof(need));
    dlm_size_text(room, have, sizeof(have));
    dlm_fail(ctx, DLM_ERR_IO, "cannot export to '%s': it takes %s, %s are free", place->target,
             need, have);
    dlm_log(ctx, DLM_LOG_HINT, "--out names another place");
    return DLM_ERR_IO;
}

/* The target without slashes at its end, and behind its links. */
static enum dlm_status resolve(struct dlm_ctx *ctx, struct dlm_place *place, const char *path)
{
    struct stat sb;
    size_t len = strlen(path);

    while (len > 1 && path[len - 1] == '/')
        len--;
    place->target = dlm_strndup(ctx, path, len);
    if (!place->target)
        return DLM_ERR_MEMORY;
    const char *name = dlm_path_basename(place->target);
    if (!*name || !strcmp(name, ".") || !strcmp(name, "..") || strlen(name) > NAME_MAX - 32)
        return dlm_fail(ctx, DLM_ERR_INVALID, "cannot export to '%s': it is no name for %s", path,
                        "a folder or a file");
    if (!lstat(place->target, &sb) && S_ISLNK(sb.st_mode)) {
        char *real = realpath(place->target, NULL);
        if (!real)
            return dlm_fail(ctx, DLM_ERR_IO, "cannot export to '%s': its link: %s", path,
                            strerror(errno));
        dlm_free(place->target);
        place->target = dlm_strdup(ctx, real);
        free(real);
    }
    place->folder = place->target ? dlm_path_dirname(ctx, place->target) : NULL;
    return place->folder ? dlm_dir_make(ctx, place->folder) : DLM_ERR_MEMORY;
}

enum dlm_status dlm_place_find(struct dlm_ctx *ctx, struct dlm_place *place, const char *path,
                               bool is_tar, uint64_t bytes, const char *identity)
{
    uint64_t left = 0;

    *place = (struct dlm_place){0};
    enum dlm_status st = resolve(ctx, place, path);
    if (!st)
        st = check_target(ctx, place->target, is_tar);
    if (!st)
        st = sweep(ctx, place, is_tar ? NULL : identity, &left);
    if (!st)
        st = check_room(ctx, place, bytes - DLM_MIN(bytes, left));
    if (st)
        dlm_place_finish(place);
    return st;
}

void dlm_place_finish(struct dlm_place *place)
{
    dlm_free(place->target);
    dlm_free(place->folder);
    dlm_free(place->left);
    *place = (struct dlm_place){0};
}

/* Puts the new folder where an old one is, and the old one where the new one was. */
static int exchange(const char *temporary, const char *target)
{
#ifdef RENAME_EXCHANGE
    if (!renameat2(AT_FDCWD, temporary, AT_FDCWD, target, RENAME_EXCHANGE))
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
#endif
    /* a file system that cannot: for a moment there is none */
    char old[PATH_MAX];
    if (snprintf(old, sizeof(old), "%s.old", temporary) >= (int)sizeof(old)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (rename(target, old))
        return -1;
    if (rename(temporary, target)) {
        const int error = errno;
        (void)rename(old, target); /* the failure is reported */
        errno = error;
        return -1;
    }
    return rename(old, temporary);
}

enum dlm_status dlm_place_take(struct dlm_ctx *ctx, const struct dlm_place *place,
                               const char *temporary)
{
    bool has_old = false;
    int rc = rename(temporary, place->target); /* also in place of an empty folder */

    if (rc && (errno == ENOTEMPTY || errno == EEXIST)) {
        has_old = true;
        rc = exchange(temporary, place->target);
    }
    if (rc)
        return dlm_fail(ctx, DLM_ERR_IO, "cannot make '%s': %s", place->target, strerror(errno));
    enum dlm_status st = dlm_dir_sync(ctx, place->folder);
    return !st && has_old ? dlm_path_remove(ctx, temporary) : st;
}
