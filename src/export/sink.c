/* Folders and archives, written file by file. */
#include "export/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/sha256.h"
#include "export/kept.h"
#include "export/place.h"
#include "export/stream.h"
#include "export/tar.h"
#include "weights/outfile.h"

#define COPY_BYTES ((size_t)1 << 20)
#define PROGRESS_SECONDS 0.1
#define ROOM_A_FILE 8192 /* on the disk besides its bytes: header, padding, manifest's line */

struct dlm_sink {
    struct dlm_sink_params params;
    struct dlm_place place;
    /* a folder: */
    char *temporary;
    int hold_plus_1; /* the folder, held */
    char *below;     /* the last folder made in it, "adapter"; NULL: none */
    struct dlm_kept kept; /* what was there before */
    bool is_recorded;     /* the file that is being written, when it has ended */
    /* an archive: */
    struct dlm_outfile tar;
    struct dlm_str root; /* what its names begin with, "hf-snapshot/" */
    /* the file that is being written: */
    int fd_plus_1; /* of a folder's */
    char *path;    /* for messages */
    uint64_t left;
    struct dlm_sha256 sha;
    struct dlm_stream *stream; /* to it */
    /* those that have ended: */
    struct dlm_export_file *files;
    size_t len, cap;
    /* progress: */
    uint64_t done;
    double began, told;
};

static int compare_files(const void *a, const void *b)
{
    const struct dlm_export_file *x = a, *y = b;

    return strcmp(x->path, y->path);
}

/* --- opening --- */

/* Holds what a killed export left; without s->temporary it is another's by now. */
static enum dlm_status open_left(struct dlm_ctx *ctx, struct dlm_sink *s)
{
    bool is_same = false;
    const int fd = open(s->place.left, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB)) {
        if (fd >= 0)
            close(fd);
        return DLM_OK;
    }
    s->hold_plus_1 = fd + 1;
    s->temporary = s->place.left;
    s->place.left = NULL;
    enum dlm_status st = dlm_kept_read(ctx, &s->kept, s->temporary, s->params.identity, &is_same);
    return st ? st : dlm_kept_clean(ctx, &s->kept, s->temporary);
}

static enum dlm_status open_folder(struct dlm_ctx *ctx, struct dlm_sink *s)
{
    enum dlm_status st = s->place.left ? open_left(ctx, s) : DLM_OK;
    if (st || s->temporary)
        return st;
    char *path = dlm_file_temporary(ctx, s->place.target);

    if (!path)
        return DLM_ERR_MEMORY;
    if (mkdir(path, 0755)) {
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot make folder '%s': %s", path, strerror(errno));
        dlm_free(path);
        return st;
    }
    s->temporary = path; /* from here on it is ours to remove */
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return dlm_fail(ctx, DLM_ERR_IO, "cannot open folder '%s': %s", path, strerror(errno));
    s->hold_plus_1 = fd + 1;
    st = dlm_place_hold(ctx, fd, path);
    return st || !s->params.identity ? st : dlm_kept_begin(ctx, path, s->params.identity);
}

/* Names in the archive begin with its own, without ".tar". */
static enum dlm_status open_tar(struct dlm_ctx *ctx, struct dlm_sink *s)
{
    static const char ending[] = ".tar";
    const char *name = dlm_path_basename(s->place.target);
    size_t len = strlen(name), n = sizeof(ending) - 1;

    if (len > n && !strcmp(name + len - n, ending))
        len -= n;
    enum dlm_status st = dlm_str_append(ctx, &s->root, name, len);
    if (!st)
        st = dlm_str_appendz(ctx, &s->root, "/");
    if (!st)
        st = dlm_outfile_open(ctx, &s->tar, s->place.target);
    return st ? st : dlm_place_hold(ctx, s->tar.fd_plus_1 - 1, s->place.target);
}

enum dlm_status dlm_sink_open(struct dlm_ctx *ctx, struct dlm_sink **out,
                              const struct dlm_sink_params *params)
{
    struct dlm_sink *s = dlm_alloc(ctx, sizeof(*s));

    *out = NULL;
    if (!s)
        return DLM_ERR_MEMORY;
    s->params = *params;
    s->began = s->told = dlm_now();
    enum dlm_status st = dlm_place_find(ctx, &s->place, params->path, params->is_tar,
                                        params->bytes + params->num_files * ROOM_A_FILE,
                                        params->identity);
    if (!st)
        st = params->is_tar ? open_tar(ctx, s) : open_folder(ctx, s);
    if (!st)
        st = dlm_stream_create(ctx, &s->stream);
    if (st)
        dlm_sink_close(&s);
    *out = s;
    return st;
}

void dlm_sink_close(struct dlm_sink **sink)
{
    struct dlm_sink *s = sink ? *sink : NULL;

    if (!s)
        return;
    dlm_stream_destroy(&s->stream); /* before its file */
    if (s->fd_plus_1)
        close(s->fd_plus_1 - 1);
    if (s->temporary && dlm_path_remove(NULL, s->temporary)) {
        /* The failure that led here is reported, and the next export removes what is left. */
    }
    if (s->hold_plus_1)
        close(s->hold_plus_1 - 1);
    dlm_outfile_finish(&s->tar);
    dlm_kept_finish(&s->kept);
    dlm_place_finish(&s->place);
    for (size_t i = 0; i < s->len; i++)
        dlm_free(s->files[i].path);
    dlm_free(s->files);
    dlm_str_finish(&s->root);
    dlm_free(s->temporary);
    dlm_free(s->below);
    dlm_free(s->path);
    dlm_free(s);
    *sink = NULL;
}

/* --- a file --- */

/* Makes the folder of name, which has at most one part. */
static enum dlm_status make_below(struct dlm_ctx *ctx, struct dlm_sink *s, const char *name)
{
    const char *slash = strchr(name, '/');

    if (!slash || (s->below && !strncmp(s->below, name, (size_t)(slash - name)) &&
                   !s->below[slash - name]))
        return DLM_OK;
    dlm_free(s->below);
    s->below = dlm_strndup(ctx, name, (size_t)(slash - name));
    char *path = s->below ? dlm_path_join(ctx, s->temporary, s->below) : NULL;
    enum dlm_status st = path ? dlm_dir_make(ctx, path) : DLM_ERR_MEMORY;
    dlm_free(path);
    return st;
}

static enum dlm_status begin_in_folder(struct dlm_ctx *ctx, struct dlm_sink *s, const char *name)
{
    enum dlm_status st = make_below(ctx, s, name);

    s->path = st ? NULL : dlm_path_join(ctx, s->temporary, name);
    if (!s->path)
        return st ? st : DLM_ERR_MEMORY;
    const int fd = open(s->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return dlm_fail(ctx, DLM_ERR_IO, "cannot create '%s': %s", s->path, strerror(errno));
    s->fd_plus_1 = fd + 1;
    return DLM_OK;
}

static enum dlm_status begin_in_tar(struct dlm_ctx *ctx, struct dlm_sink *s, const char *name,
                                    uint64_t bytes)
{
    struct dlm_str header = {0};

    s->path = dlm_strf(ctx, "%s%s", dlm_str_text(&s->root), name);
    enum dlm_status st = s->path ? dlm_tar_append_header(ctx, &header, s->path, bytes, time(NULL))
                                 : DLM_ERR_MEMORY;
    if (!st)
        st = dlm_outfile_write(ctx, &s->tar, header.data, header.len);
    dlm_str_finish(&header);
    return st;
}

/* Adds to those that have begun. */
static enum dlm_status add_file(struct dlm_ctx *ctx, struct dlm_sink *s, const char *name,
                                uint64_t bytes)
{
    if (!dlm_grow(ctx, &s->files, &s->cap, s->len, sizeof(*s->files)))
        return DLM_ERR_MEMORY;
    struct dlm_export_file *file = &s->files[s->len];
    *file = (struct dlm_export_file){.path = dlm_strdup(ctx, name), .bytes = bytes};
    if (!file->path)
        return DLM_ERR_MEMORY;
    s->len++;
    return DLM_OK;
}

enum dlm_status dlm_sink_begin(struct dlm_ctx *ctx, struct dlm_sink *s, const char *name,
                               uint64_t bytes)
{
    enum dlm_status st = add_file(ctx, s, name, bytes);

    if (st)
        return st;
    s->left = bytes;
    dlm_sha256_init(&s->sha);
    dlm_free(s->path);
    s->path = NULL;
    st = s->params.is_tar ? begin_in_tar(ctx, s, name, bytes) : begin_in_folder(ctx, s, name);
    if (!st)
        dlm_stream_begin(s->stream, (s->params.is_tar ? s->tar.fd_plus_1 : s->fd_plus_1) - 1);
    return st;
}

static void tell(struct dlm_sink *s, bool is_end)
{
    const double now = dlm_now(), seconds = now - s->began;

    if (!s->params.progress || (is_end ? s->told == s->began : now - s->told < PROGRESS_SECONDS))
        return; /* and nothing of what takes no time at all */
    s->told = now;
    const struct dlm_export_progress state = {
        .num_files = s->params.num_files,
        .files_done = is_end ? s->params.num_files : s->len - (s->path != NULL),
        .bytes = DLM_MAX(s->params.bytes, s->done),
        .bytes_done = is_end ? DLM_MAX(s->params.bytes, s->done) : s->done,
        .bytes_per_sec = seconds > PROGRESS_SECONDS ? (double)s->done / seconds : 0,
    };
    s->params.progress(s->params.user, &state);
}

static enum dlm_status cannot_write(struct dlm_ctx *ctx, const struct dlm_sink *s, int error)
{
    return dlm_fail(ctx, DLM_ERR_IO, "cannot write '%s': %s",
                    s->params.is_tar ? s->tar.path : s->path, strerror(error));
}

enum dlm_status dlm_sink_write(struct dlm_ctx *ctx, struct dlm_sink *s, const void *data,
                               size_t bytes)
{
    if (dlm_ctx_is_cancelled(ctx))
        return dlm_fail(ctx, DLM_ERR_CANCELLED, "interrupted");
    if (bytes > s->left)
        return dlm_fail(ctx, DLM_ERR_IO, "cannot write '%s': it has become longer meanwhile",
                        s->path);
    s->left -= bytes;
    dlm_sha256_update(&s->sha, data, bytes);
    const int error = dlm_stream_write(s->stream, data, bytes);
    if (error)
        return cannot_write(ctx, s, error);
    s->done += bytes;
    tell(s, false);
    return DLM_OK;
}

static enum dlm_status end_in_folder(struct dlm_ctx *ctx, struct dlm_sink *s)
{
    const int fd = s->fd_plus_1 - 1;
    const int error = fsync(fd) ? errno : 0;

    s->fd_plus_1 = 0;
    return close(fd) || error ? cannot_write(ctx, s, error ? error : errno) : DLM_OK;
}

/* Zeros up to a whole block, and so many blocks more. */
static enum dlm_status pad_tar(struct dlm_ctx *ctx, struct dlm_sink *s, uint64_t bytes,
                               size_t blocks)
{
    static const uint8_t zeros[3 * DLM_TAR_BLOCK];
    const size_t over = (size_t)(bytes % DLM_TAR_BLOCK);

    return dlm_outfile_write(ctx, &s->tar, zeros,
                             (over ? DLM_TAR_BLOCK - over : 0) + blocks * DLM_TAR_BLOCK);
}

enum dlm_status dlm_sink_end(struct dlm_ctx *ctx, struct dlm_sink *s)
{
    struct dlm_export_file *file = &s->files[s->len - 1];
    uint8_t digest[32];

    if (s->left)
        return dlm_fail(ctx, DLM_ERR_IO, "cannot write '%s': it has become shorter meanwhile",
                        s->path);
    const int error = dlm_stream_end(s->stream);
    if (error)
        return cannot_write(ctx, s, error);
    dlm_sha256_finish(&s->sha, digest);
    dlm_sha256_hex(digest, file->sha256);
    enum dlm_status st = s->params.is_tar ? pad_tar(ctx, s, file->bytes, 0)
                                          : end_in_folder(ctx, s);
    if (!st && s->is_recorded)
        st = dlm_kept_add(ctx, s->temporary, file);
    s->is_recorded = false;
    dlm_free(s->path);
    s->path = NULL;
    return st;
}

/* The hash of all of a file, or "" if it cannot be read or is not so long. */
static enum dlm_status hash_file(struct dlm_ctx *ctx, struct dlm_sink *s, const char *path,
                                 uint64_t bytes, char hex[65])
{
    uint8_t *buffer = dlm_alloc(ctx, COPY_BYTES), digest[32];
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    enum dlm_status st = buffer ? DLM_OK : DLM_ERR_MEMORY;
    struct dlm_sha256 sha;
    uint64_t num = 0;
    ssize_t n = fd < 0 ? -1 : 1;

    dlm_sha256_init(&sha);
    while (!st && n > 0) {
        n = read(fd, buffer, COPY_BYTES);
        num += n > 0 ? (uint64_t)n : 0;
        dlm_sha256_update(&sha, buffer, n > 0 ? (size_t)n : 0);
        if (dlm_ctx_is_cancelled(ctx))
            st = dlm_fail(ctx, DLM_ERR_CANCELLED, "interrupted");
        tell(s, false);
    }
    if (fd >= 0)
        close(fd);
    dlm_free(buffer);
    dlm_sha256_finish(&sha, digest);
    dlm_sha256_hex(digest, hex);
    if (n < 0 || num != bytes)
        hex[0] = '\0';
    return st;
}

enum dlm_status dlm_sink_take(struct dlm_ctx *ctx, struct dlm_sink *s, const char *name,
                              uint64_t bytes, bool *is_there)
{
    const struct dlm_export_file *kept = dlm_kept_find(&s->kept, name);
    char hex[65];

    *is_there = false;
    s->is_recorded = !s->params.is_tar && s->params.identity;
    if (!kept)
        return DLM_OK;
    char *path = dlm_path_join(ctx, s->temporary, name);
    enum dlm_status st = path ? hash_file(ctx, s, path, bytes, hex) : DLM_ERR_MEMORY;
    *is_there = !st && !strcmp(hex, kept->sha256);
    if (!st && !*is_there)
        st = dlm_path_remove(ctx, path);
    dlm_free(path);
    if (st || !*is_there)
        return st;
    s->is_recorded = false;
    s->done += bytes;
    st = add_file(ctx, s, name, bytes);
    if (!st)
        memcpy(s->files[s->len - 1].sha256, hex, sizeof(hex));
    if (!st)
        dlm_log(ctx, DLM_LOG_INFO, "'%s' is there already: an export that was killed wrote it",
                name);
    return st;
}

enum dlm_status dlm_sink_text(struct dlm_ctx *ctx, struct dlm_sink *s, const char *name,
                              const char *text, size_t len)
{
    enum dlm_status st = dlm_sink_begin(ctx, s, name, len);

    if (!st)
        st = dlm_sink_write(ctx, s, text, len);
    return st ? st : dlm_sink_end(ctx, s);
}

enum dlm_status dlm_sink_copy(struct dlm_ctx *ctx, struct dlm_sink *s, const char *name,
                              const char *path, uint64_t bytes)
{
    struct stat sb;
    ssize_t n = 1;
    uint8_t *buffer = dlm_alloc(ctx, COPY_BYTES);
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    enum dlm_status st = buffer ? DLM_OK : DLM_ERR_MEMORY;

    if (fd < 0 || fstat(fd, &sb) || !S_ISREG(sb.st_mode))
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot read '%s': %s", path,
                      fd < 0 ? strerror(errno) : "not a regular file");
    if (!st)
        st = dlm_sink_begin(ctx, s, name, bytes);
    while (!st && n) {
        n = read(fd, buffer, COPY_BYTES);
        if (n < 0 && errno != EINTR)
            st = dlm_fail(ctx, DLM_ERR_IO, "cannot read '%s': %s", path, strerror(errno));
        else if (n > 0)
            st = dlm_sink_write(ctx, s, buffer, (size_t)n);
    }
    if (fd >= 0)
        close(fd);
    dlm_free(buffer);
    return st ? st : dlm_sink_end(ctx, s);
}

/* --- the end --- */

const struct dlm_export_file *dlm_sink_files(struct dlm_sink *s, size_t *num)
{
    if (s->len)
        qsort(s->files, s->len, sizeof(*s->files), compare_files);
    *num = s->len;
    return s->files;
}

static enum dlm_status commit_folder(struct dlm_ctx *ctx, struct dlm_sink *s)
{
    char **names = NULL;
    char *record = dlm_path_join(ctx, s->temporary, DLM_KEPT_RECORD);

    enum dlm_status st = record ? dlm_path_remove(ctx, record) : DLM_ERR_MEMORY;
    dlm_free(record);
    if (!st)
        st = dlm_dir_list(ctx, s->temporary, &names);
    for (size_t i = 0; !st && names[i]; i++) {
        char *path = dlm_path_join(ctx, s->temporary, names[i]);
        if (!path)
            st = DLM_ERR_MEMORY;
        else if (dlm_path_is_dir(path))
            st = dlm_dir_sync(ctx, path);
        dlm_free(path);
    }
    dlm_names_free(names);
    if (!st)
        st = dlm_dir_sync(ctx, s->temporary);
    if (!st)
        st = dlm_place_take(ctx, &s->place, s->temporary);
    if (!st) {
        dlm_free(s->temporary);
        s->temporary = NULL;
    }
    return st;
}

static enum dlm_status commit_tar(struct dlm_ctx *ctx, struct dlm_sink *s)
{
    enum dlm_status st = pad_tar(ctx, s, 0, 2);

    return st ? st : dlm_outfile_commit(ctx, &s->tar);
}

enum dlm_status dlm_sink_commit(struct dlm_ctx *ctx, struct dlm_sink *s,
                                struct dlm_export_result *result)
{
    enum dlm_status st = DLM_OK;

    tell(s, true);
    if (s->params.check && !s->params.is_tar)
        st = s->params.check(ctx, s->params.check_user, s->temporary);
    if (!st)
        st = s->params.is_tar ? commit_tar(ctx, s) : commit_folder(ctx, s);
    if (st)
        return st;
    (void)dlm_sink_files(s, &result->num_files);
    result->files = s->files;
    for (size_t i = 0; i < s->len; i++)
        result->bytes += s->files[i].bytes;
    s->files = NULL;
    s->len = 0;
    result->path = s->place.target;
    s->place.target = NULL;
    return DLM_OK;
}
