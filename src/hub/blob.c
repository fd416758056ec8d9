/* Blobs of the hub's cache, from the first byte to their names. */
#include "hub/blob.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "registry/registry.h"

#define SLICE_BYTES ((size_t)8 << 20) /* hashed in one go: some 30 ms */
#define CHUNK_BYTES ((size_t)64 << 10)

/* --- folders and locks --- */

enum dlm_status dlm_hub_cache_open(struct dlm_ctx *ctx, struct dlm_hub_cache *cache, const char *id)
{
    char *root = dlm_hub_cache_dir(ctx);
    char *blobs = NULL, *snapshots = NULL;
    enum dlm_status st = DLM_ERR_MEMORY;

    *cache = (struct dlm_hub_cache){0};
    cache->repo = root ? dlm_hub_repo_dir(ctx, root, id) : NULL;
    if (cache->repo)
        cache->locks = dlm_strf(ctx, "%s/.locks/%s", root, dlm_path_basename(cache->repo));
    if (cache->locks)
        blobs = dlm_path_join(ctx, cache->repo, "blobs");
    if (blobs)
        snapshots = dlm_path_join(ctx, cache->repo, "snapshots");
    if (snapshots)
        st = dlm_dir_make(ctx, blobs);
    if (!st)
        st = dlm_dir_make(ctx, snapshots);
    if (!st)
        st = dlm_dir_make(ctx, cache->locks);
    dlm_free(root);
    dlm_free(blobs);
    dlm_free(snapshots);
    return st;
}

void dlm_hub_cache_finish(struct dlm_hub_cache *cache)
{
    dlm_free(cache->repo);
    dlm_free(cache->locks);
    *cache = (struct dlm_hub_cache){0};
}

/* True when path still names the open file: its holder may remove it as it lets go. */
static bool is_same_file(int fd, const char *path)
{
    struct stat a, b;

    return !fstat(fd, &a) && !stat(path, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static enum dlm_status lock_path(struct dlm_ctx *ctx, const char *path, int *fd, bool *is_busy)
{
    for (;;) {
        *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0664); /* huggingface_hub's mode */
        if (*fd < 0)
            return dlm_fail(ctx, DLM_ERR_IO, "cannot open '%s': %s", path, strerror(errno));
        const int error = flock(*fd, LOCK_EX | LOCK_NB) ? errno : 0;
        if (!error && is_same_file(*fd, path))
            return DLM_OK;
        close(*fd);
        *fd = -1;
        *is_busy = error == EWOULDBLOCK;
        if (error && !*is_busy)
            dlm_log(ctx, DLM_LOG_WARNING, "cannot lock '%s': %s; nothing else should write there",
                    path, strerror(error));
        if (error)
            return DLM_OK;
    }
}

enum dlm_status dlm_hub_lock(struct dlm_ctx *ctx, const struct dlm_hub_cache *cache,
                             const char *name, int *fd, bool *is_busy)
{
    char *path = dlm_strf(ctx, "%s/%s.lock", cache->locks, name);

    *fd = -1;
    *is_busy = false;
    enum dlm_status st = path ? lock_path(ctx, path, fd, is_busy) : DLM_ERR_MEMORY;
    dlm_free(path);
    return st;
}

/* --- a blob --- */

enum dlm_status dlm_hub_blob_init(struct dlm_ctx *ctx, struct dlm_hub_blob *blob,
                                  const struct dlm_hub_cache *cache,
                                  const struct dlm_hub_file *file)
{
    *blob = (struct dlm_hub_blob){.file = file, .cache = cache, .lock_fd = -1, .fd = -1};
    blob->path = dlm_strf(ctx, "%s/blobs/%s", cache->repo, file->hash);
    blob->partial = blob->path ? dlm_strf(ctx, "%s.incomplete", blob->path) : NULL;
    return blob->partial ? DLM_OK : DLM_ERR_MEMORY;
}

static void let_go(struct dlm_hub_blob *blob)
{
    if (blob->fd >= 0)
        close(blob->fd);
    if (blob->lock_fd >= 0)
        close(blob->lock_fd);
    blob->fd = blob->lock_fd = -1;
}

void dlm_hub_blob_finish(struct dlm_hub_blob *blob)
{
    if (!blob->file)
        return;
    let_go(blob);
    dlm_free(blob->path);
    dlm_free(blob->partial);
    *blob = (struct dlm_hub_blob){0};
}

/* Is it in the cache? One of another size was cut or grown after it had got its name. */
static bool is_in_cache(const struct dlm_hub_blob *blob)
{
    struct stat sb;

    return !stat(blob->path, &sb) && S_ISREG(sb.st_mode) &&
           (uint64_t)sb.st_size == blob->file->bytes;
}

uint64_t dlm_hub_blob_missing(const struct dlm_hub_blob *blob)
{
    struct stat sb;

    if (is_in_cache(blob))
        return 0;
    if (stat(blob->partial, &sb) || (uint64_t)sb.st_size > blob->file->bytes)
        return blob->file->bytes;
    return blob->file->bytes - (uint64_t)sb.st_size;
}

static enum dlm_status failed(struct dlm_ctx *ctx, const struct dlm_hub_blob *blob,
                              const char *what)
{
    return dlm_fail(ctx, DLM_ERR_IO, "cannot %s '%s' of '%s': %s", what, blob->partial,
                    blob->file->name, strerror(errno));
}

/* Starts the hash anew; git puts a header before the bytes of a blob. */
static void init_hash(struct dlm_hub_blob *blob)
{
    char head[32];

    blob->hashed = 0;
    dlm_sha256_init(&blob->sha256);
    dlm_sha1_init(&blob->sha1);
    const int len = snprintf(head, sizeof(head), "blob %llu",
                             (unsigned long long)blob->file->bytes);
    dlm_sha1_update(&blob->sha1, head, (size_t)len + 1); /* with its NUL */
}

static void update_hash(struct dlm_hub_blob *blob, const void *data, size_t bytes)
{
    if (blob->file->is_sha256)
        dlm_sha256_update(&blob->sha256, data, bytes);
    else
        dlm_sha1_update(&blob->sha1, data, bytes);
    blob->hashed += bytes;
}

enum dlm_status dlm_hub_blob_open(struct dlm_ctx *ctx, struct dlm_hub_blob *blob, bool *is_busy)
{
    struct stat sb;

    enum dlm_status st = dlm_hub_lock(ctx, blob->cache, blob->file->hash, &blob->lock_fd, is_busy);
    if (st || *is_busy)
        return st;
    blob->is_placed = is_in_cache(blob);
    if (blob->is_placed) {
        let_go(blob);
        return DLM_OK;
    }
    blob->fd = open(blob->partial, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (blob->fd < 0 || fstat(blob->fd, &sb))
        return failed(ctx, blob, "open");
    init_hash(blob);
    if ((uint64_t)sb.st_size > blob->file->bytes)
        return dlm_hub_blob_restart(ctx, blob);
    blob->len = (uint64_t)sb.st_size;
    blob->is_joined = blob->len > 0;
    return DLM_OK;
}

enum dlm_status dlm_hub_blob_hash_some(struct dlm_ctx *ctx, struct dlm_hub_blob *blob)
{
    char chunk[CHUNK_BYTES];

    for (size_t done = 0; done < SLICE_BYTES && blob->hashed < blob->len;) {
        const size_t want = DLM_MIN(sizeof(chunk), blob->len - blob->hashed);
        const ssize_t n = pread(blob->fd, chunk, want, (off_t)blob->hashed);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return failed(ctx, blob, "read");
        if (!n) { /* cut meanwhile */
            blob->len = blob->hashed;
            return DLM_OK;
        }
        update_hash(blob, chunk, (size_t)n);
        done += (size_t)n;
    }
    return DLM_OK;
}

enum dlm_status dlm_hub_blob_append(struct dlm_ctx *ctx, struct dlm_hub_blob *blob,
                                    const void *data, size_t bytes)
{
    const char *p = data;

    while (bytes) {
        const ssize_t n = pwrite(blob->fd, p, bytes, (off_t)blob->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return failed(ctx, blob, "write");
        update_hash(blob, p, (size_t)n);
        blob->len += (uint64_t)n;
        p += n;
        bytes -= (size_t)n;
    }
    return DLM_OK;
}

enum dlm_status dlm_hub_blob_restart(struct dlm_ctx *ctx, struct dlm_hub_blob *blob)
{
    init_hash(blob);
    blob->len = 0;
    blob->is_joined = false;
    return ftruncate(blob->fd, 0) ? failed(ctx, blob, "cut") : DLM_OK;
}

/* The hash of all bytes as hex. */
static void finish_hash(struct dlm_hub_blob *blob, char hex[65])
{
    uint8_t digest[32] = {0};

    if (blob->file->is_sha256)
        dlm_sha256_finish(&blob->sha256, digest);
    else
        dlm_sha1_finish(&blob->sha1, digest);
    dlm_sha256_hex(digest, hex);
    if (!blob->file->is_sha256)
        hex[40] = '\0';
}

static enum dlm_status discard(struct dlm_ctx *ctx, struct dlm_hub_blob *blob, const char *got)
{
    if (blob->is_joined) {
        dlm_log(ctx, DLM_LOG_WARNING,
                "'%s': the part fetched earlier does not fit; fetching all of it again",
                blob->file->name);
        return dlm_hub_blob_restart(ctx, blob);
    }
    (void)unlink(blob->partial); /* what stays would be found wrong again */
    return dlm_fail(ctx, DLM_ERR_PARSE, "cannot use '%s': its %s is %s, not %s", blob->file->name,
                    blob->file->is_sha256 ? "SHA-256" : "git hash", got, blob->file->hash);
}

enum dlm_status dlm_hub_blob_place(struct dlm_ctx *ctx, struct dlm_hub_blob *blob)
{
    char hex[65];

    finish_hash(blob, hex);
    if (strcmp(hex, blob->file->hash))
        return discard(ctx, blob, hex);
    if (fsync(blob->fd))
        return failed(ctx, blob, "write");
    if (rename(blob->partial, blob->path))
        return failed(ctx, blob, "rename");
    blob->is_placed = true;
    let_go(blob);
    return DLM_OK;
}
