/* Snapshots and refs. */
#include "hub/snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"

/* Makes path a link to the blob, in place of whatever has that name. */
static enum dlm_status link_to(struct dlm_ctx *ctx, const char *path, const char *blob)
{
    char *temporary = dlm_file_temporary(ctx, path);
    enum dlm_status st = temporary ? DLM_OK : DLM_ERR_MEMORY;

    if (!st && (symlink(blob, temporary) || rename(temporary, path))) {
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot link '%s': %s", path, strerror(errno));
        (void)unlink(temporary); /* the failure is reported */
    }
    dlm_free(temporary);
    return st;
}

/* Is the file there, whole by its size? What another program put there stays. */
static bool is_there(const char *path, const struct dlm_hub_file *file)
{
    struct stat sb;

    return !stat(path, &sb) && S_ISREG(sb.st_mode) && (uint64_t)sb.st_size == file->bytes;
}

/* dir is two folders below the repository's. */
static enum dlm_status link_files(struct dlm_ctx *ctx, const char *dir,
                                  const struct dlm_hub_listing *listing)
{
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < listing->len; i++) {
        const struct dlm_hub_file *file = &listing->files[i];
        char *path = dlm_path_join(ctx, dir, file->name);
        char *blob = path ? dlm_strf(ctx, "../../blobs/%s", file->hash) : NULL;
        if (!blob)
            st = DLM_ERR_MEMORY;
        else if (!is_there(path, file))
            st = link_to(ctx, path, blob);
        dlm_free(path);
        dlm_free(blob);
    }
    return st ? st : dlm_dir_sync(ctx, dir);
}

/* A folder that is not there yet is filled under another name, so that it is never seen in part. */
static enum dlm_status make(struct dlm_ctx *ctx, const struct dlm_hub_cache *cache,
                            const struct dlm_hub_listing *listing, const char *dir)
{
    if (dlm_path_is_dir(dir))
        return link_files(ctx, dir, listing);
    char *temporary = dlm_strf(ctx, "%s/%s.incomplete", cache->repo, listing->commit);
    if (!temporary)
        return DLM_ERR_MEMORY;
    enum dlm_status st = dlm_path_remove(ctx, temporary); /* of a process that died */
    if (!st)
        st = dlm_dir_make(ctx, temporary);
    if (!st)
        st = link_files(ctx, temporary, listing);
    const int error = !st && rename(temporary, dir) ? errno : 0;
    if (error == EEXIST || error == ENOTEMPTY) /* another program has just begun one */
        st = link_files(ctx, dir, listing);
    else if (error)
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot rename '%s' to '%s': %s", temporary, dir,
                      strerror(error));
    if (error && !st)
        st = dlm_path_remove(ctx, temporary);
    dlm_free(temporary);
    return st;
}

static enum dlm_status write_ref(struct dlm_ctx *ctx, const struct dlm_hub_cache *cache,
                                 const char *ref, const char *commit)
{
    char *path = dlm_strf(ctx, "%s/refs/%s", cache->repo, ref);
    char *folder = path ? dlm_path_dirname(ctx, path) : NULL;
    enum dlm_status st = folder ? dlm_dir_make(ctx, folder) : DLM_ERR_MEMORY;

    if (!st)
        st = dlm_file_replace(ctx, path, commit, strlen(commit));
    dlm_free(folder);
    dlm_free(path);
    return st;
}

/* Waits for another process that places the same snapshot, which takes it no time. */
static enum dlm_status lock(struct dlm_ctx *ctx, const struct dlm_hub_cache *cache,
                            const char *commit, int *fd)
{
    bool is_busy = true;
    enum dlm_status st = DLM_OK;

    for (int i = 0; !st && is_busy && i < 200; i++) {
        st = dlm_hub_lock(ctx, cache, commit, fd, &is_busy);
        if (!st && is_busy)
            usleep(50000);
    }
    if (!st && is_busy)
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot place the snapshot: '%s/%s.lock' is held by another "
                      "process", cache->locks, commit);
    return st;
}

enum dlm_status dlm_hub_snapshot_place(struct dlm_ctx *ctx, const struct dlm_hub_cache *cache,
                                       const struct dlm_hub_listing *listing, const char *ref,
                                       char **dir)
{
    int fd = -1;
    char *blobs = dlm_path_join(ctx, cache->repo, "blobs");
    char *snapshots = blobs ? dlm_path_join(ctx, cache->repo, "snapshots") : NULL;

    *dir = snapshots ? dlm_path_join(ctx, snapshots, listing->commit) : NULL;
    enum dlm_status st = *dir ? lock(ctx, cache, listing->commit, &fd) : DLM_ERR_MEMORY;
    if (!st)
        st = dlm_dir_sync(ctx, blobs);
    if (!st)
        st = make(ctx, cache, listing, *dir);
    if (!st)
        st = dlm_dir_sync(ctx, snapshots);
    if (!st && ref)
        st = write_ref(ctx, cache, ref, listing->commit);
    if (fd >= 0)
        close(fd);
    if (st) {
        dlm_free(*dir);
        *dir = NULL;
    }
    dlm_free(blobs);
    dlm_free(snapshots);
    return st;
}
