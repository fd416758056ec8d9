/* Content-addressed files: blobs/<sha[:2]>/<sha><.ext>. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/sha256.h"
#include "store/store_impl.h"
#include "weights/outfile.h"

#define CHUNK_BYTES 262144

/* Extensions that are kept; any other file is a .bin. */
static const char *const extensions[] = {".png", ".jpg", ".jpeg", ".webp", ".gif",
                                         ".bmp", ".tiff", ".wav",  ".flac", ".ogg"};

static const char *extension_of(const char *path)
{
    const char *dot = strrchr(dlm_path_basename(path), '.');

    for (size_t i = 0; dot && i < DLM_ARRAY_LEN(extensions); i++)
        if (!strcasecmp(dot, extensions[i]))
            return extensions[i];
    return ".bin";
}

static enum dlm_status open_source(struct dlm_ctx *ctx, const char *path, int *fd)
{
    struct stat sb;

    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0)
        return dlm_fail(ctx, DLM_ERR_IO, "cannot open '%s': %s", path, strerror(errno));
    if (!fstat(*fd, &sb) && S_ISREG(sb.st_mode))
        return DLM_OK;
    close(*fd);
    return dlm_fail(ctx, DLM_ERR_IO, "cannot read '%s': not a regular file", path);
}

/* Streams path through SHA-256, and into `copy` unless that is NULL. */
static enum dlm_status stream(struct dlm_ctx *ctx, const char *path, struct dlm_outfile *copy,
                              char sha[65], uint64_t *bytes)
{
    struct dlm_sha256 hash;
    uint8_t digest[32];
    uint64_t total = 0;
    int fd = -1;
    uint8_t *chunk = dlm_alloc(ctx, CHUNK_BYTES);
    enum dlm_status st = chunk ? open_source(ctx, path, &fd) : DLM_ERR_MEMORY;

    dlm_sha256_init(&hash);
    while (!st) {
        ssize_t n = read(fd, chunk, CHUNK_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            st = dlm_fail(ctx, DLM_ERR_IO, "cannot read '%s': %s", path, strerror(errno));
        if (n <= 0)
            break;
        dlm_sha256_update(&hash, chunk, (size_t)n);
        total += (uint64_t)n;
        if (copy)
            st = dlm_outfile_write(ctx, copy, chunk, (size_t)n);
    }
    if (fd >= 0)
        close(fd);
    dlm_free(chunk);
    if (st)
        return st;
    dlm_sha256_finish(&hash, digest);
    dlm_sha256_hex(digest, sha);
    if (bytes)
        *bytes = total;
    return DLM_OK;
}

enum dlm_status dlm_file_sha256(struct dlm_ctx *ctx, const char *path, char sha[65],
                                uint64_t *bytes)
{
    return stream(ctx, path, NULL, sha, bytes);
}

static bool has_bytes(const char *path, uint64_t bytes)
{
    struct stat sb;

    return !stat(path, &sb) && S_ISREG(sb.st_mode) && (uint64_t)sb.st_size == bytes;
}

/* Copies src into folder; the copy is named after its own hash, since src may change meanwhile. */
static enum dlm_status copy_blob(struct dlm_ctx *ctx, struct dlm_store *store, const char *src,
                                 char sha[65], char **path)
{
    struct dlm_outfile copy = {0};
    char *folder = NULL;
    char *incoming = dlm_store_pathf(ctx, store, "blobs/%.2s/incoming", sha);
    const char *ext = extension_of(src);
    enum dlm_status st = incoming ? DLM_OK : DLM_ERR_MEMORY;

    if (!st && !(folder = dlm_path_dirname(ctx, incoming)))
        st = DLM_ERR_MEMORY;
    if (!st)
        st = dlm_dir_make(ctx, folder);
    if (!st)
        st = dlm_outfile_open(ctx, &copy, incoming);
    char prefix[3] = {sha[0], sha[1], '\0'};
    if (!st)
        st = stream(ctx, src, &copy, sha, NULL);
    if (!st && strncmp(sha, prefix, 2)) /* it belongs to another folder now */
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot copy '%s': it changes while it is read", src);
    if (!st && !(*path = dlm_store_pathf(ctx, store, "blobs/%.2s/%s%s", sha, sha, ext)))
        st = DLM_ERR_MEMORY;
    if (!st)
        st = dlm_outfile_commit_as(ctx, &copy, *path);
    dlm_outfile_finish(&copy);
    dlm_free(incoming);
    dlm_free(folder);
    return st;
}

enum dlm_status dlm_blob_put(struct dlm_ctx *ctx, struct dlm_store *store, const char *src,
                             char sha[65], char **path)
{
    uint64_t bytes = 0;
    char *blob = NULL;

    if (path)
        *path = NULL;
    enum dlm_status st = dlm_file_sha256(ctx, src, sha, &bytes);
    if (st)
        return st;
    blob = dlm_store_pathf(ctx, store, "blobs/%.2s/%s%s", sha, sha, extension_of(src));
    if (!blob)
        return DLM_ERR_MEMORY;
    if (!has_bytes(blob, bytes)) { /* absent, or cut by a failing disk */
        dlm_free(blob);
        blob = NULL;
        st = copy_blob(ctx, store, src, sha, &blob);
    }
    if (!st && path) {
        *path = blob;
        blob = NULL;
    }
    dlm_free(blob);
    return st;
}

enum dlm_status dlm_blob_get(struct dlm_ctx *ctx, const struct dlm_store *store, const char *sha,
                             char **path)
{
    char **names = NULL;
    char *folder = NULL;

    *path = NULL;
    if (strlen(sha) != 64 || strspn(sha, "0123456789abcdef") != 64)
        return dlm_fail(ctx, DLM_ERR_INVALID, "bad blob name '%.100s'", sha);
    folder = dlm_store_pathf(ctx, store, "blobs/%.2s", sha);
    enum dlm_status st = folder ? dlm_store_list(ctx, folder, &names) : DLM_ERR_MEMORY;
    for (size_t i = 0; !st && names[i] && !*path; i++)
        if (!strncmp(names[i], sha, 64) && names[i][64] == '.' &&
            !(*path = dlm_path_join(ctx, folder, names[i])))
            st = DLM_ERR_MEMORY;
    if (!st && !*path)
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot find blob '%s' in '%s'", sha, store->root);
    dlm_names_free(names);
    dlm_free(folder);
    return st;
}

enum dlm_status dlm_blob_verify(struct dlm_ctx *ctx, const struct dlm_store *store,
                                const char *sha)
{
    char got[65];
    char *path;

    enum dlm_status st = dlm_blob_get(ctx, store, sha, &path);
    if (st)
        return st;
    st = dlm_file_sha256(ctx, path, got, NULL);
    if (!st && strcmp(got, sha))
        st = dlm_fail(ctx, DLM_ERR_PARSE, "blob '%s' is damaged", path);
    dlm_free(path);
    return st;
}
