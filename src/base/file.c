/* Files: mapping, whole reads, atomic replacement. Paths and folders are in path.c. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

/* The pointer that git-lfs leaves where a file was not fetched: a text of three lines. */
static bool is_lfs_pointer(int fd, const struct stat *sb)
{
    static const char first[] = "version https://git-lfs.github.com/spec/v1\n";
    char head[sizeof(first) - 1];

    return sb->st_size < 1024 && pread(fd, head, sizeof(head), 0) == (ssize_t)sizeof(head) &&
           !memcmp(head, first, sizeof(head));
}

static enum dlm_status open_regular(struct dlm_ctx *ctx, const char *path, int *fd, struct stat *sb)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0)
        return dlm_fail(ctx, DLM_ERR_IO, "cannot open '%s': %s", path, strerror(errno));
    if (fstat(*fd, sb) || !S_ISREG(sb->st_mode)) {
        close(*fd);
        return dlm_fail(ctx, DLM_ERR_IO, "cannot read '%s': not a regular file", path);
    }
    if (is_lfs_pointer(*fd, sb)) {
        close(*fd);
        dlm_fail(ctx, DLM_ERR_IO, "cannot read '%s': it is a git-lfs pointer, not the file", path);
        dlm_log(ctx, DLM_LOG_HINT, "`git lfs pull` in its repository fetches the file");
        return DLM_ERR_IO;
    }
    return DLM_OK;
}

enum dlm_status dlm_map_open(struct dlm_ctx *ctx, struct dlm_map *map, const char *path)
{
    struct stat sb;
    int fd;

    *map = (struct dlm_map){0};
    enum dlm_status st = open_regular(ctx, path, &fd, &sb);
    if (st)
        return st;
    if (sb.st_size > 0) {
        void *p = mmap(NULL, (size_t)sb.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED) {
            st = dlm_fail(ctx, DLM_ERR_IO, "cannot map '%s': %s", path, strerror(errno));
        } else {
            map->data = p;
            map->bytes = (size_t)sb.st_size;
        }
    }
    close(fd);
    return st;
}

void dlm_map_close(struct dlm_map *map)
{
    if (map->data)
        munmap((void *)(uintptr_t)map->data, map->bytes);
    *map = (struct dlm_map){0};
}

void dlm_map_drop(const struct dlm_map *map, size_t offset, size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    if (!map->data || offset >= map->bytes)
        return;
    bytes = DLM_MIN(bytes, map->bytes - offset);
    size_t begin = (offset + page - 1) / page * page;
    size_t end = (offset + bytes) / page * page;
    if (end > begin) /* advice only: a failure changes nothing */
        (void)madvise((void *)(uintptr_t)(map->data + begin), end - begin, MADV_DONTNEED);
}

enum dlm_status dlm_file_read(struct dlm_ctx *ctx, const char *path, size_t max_bytes,
                              struct dlm_str *out)
{
    char chunk[65536];
    struct stat sb;
    int fd = STDIN_FILENO;
    enum dlm_status st = DLM_OK;
    const bool is_stdin = !strcmp(path, "-");

    if (!is_stdin)
        st = open_regular(ctx, path, &fd, &sb);
    if (st)
        return st;
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            st = dlm_fail(ctx, DLM_ERR_IO, "cannot read '%s': %s", path, strerror(errno));
        if (n <= 0)
            break;
        if ((size_t)n > max_bytes - out->len) {
            st = dlm_fail(ctx, DLM_ERR_INVALID, "cannot read '%s': larger than %zu bytes", path,
                          max_bytes);
            break;
        }
        st = dlm_str_append(ctx, out, chunk, (size_t)n);
        if (st)
            break;
    }
    if (!is_stdin)
        close(fd);
    return st;
}

enum dlm_status dlm_dir_sync(struct dlm_ctx *ctx, const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return dlm_fail(ctx, DLM_ERR_IO, "cannot open folder '%s': %s", path, strerror(errno));
    int rc = fsync(fd);
    int error = errno;
    close(fd);
    if (rc && error != EINVAL) /* EINVAL: a file system without folder sync */
        return dlm_fail(ctx, DLM_ERR_IO, "cannot sync '%s': %s", path, strerror(error));
    return DLM_OK;
}

enum dlm_status dlm_file_target(struct dlm_ctx *ctx, const char *path, char **target)
{
    struct stat sb;
    char *real = NULL;

    *target = NULL;
    const bool is_there = !lstat(path, &sb);
    if (is_there && S_ISLNK(sb.st_mode)) {
        real = realpath(path, NULL);
        if (!real || stat(real, &sb)) {
            enum dlm_status st = dlm_fail(ctx, DLM_ERR_IO, "cannot replace '%s': its link: %s",
                                          path, strerror(errno));
            free(real);
            return st;
        }
    }
    enum dlm_status st = DLM_OK;
    if (is_there && !S_ISREG(sb.st_mode))
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot replace '%s': not a regular file", path);
    else if (!(*target = dlm_strdup(ctx, real ? real : path)))
        st = DLM_ERR_MEMORY;
    free(real);
    return st;
}

char *dlm_file_temporary(struct dlm_ctx *ctx, const char *target)
{
    static atomic_uint counter;
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    unsigned nonce = (unsigned)now.tv_nsec ^ (unsigned)now.tv_sec << 16 ^
                     atomic_fetch_add(&counter, 0x9E3779B9u);
    return dlm_strf(ctx, "%s.tmp.%ld.%08x", target, (long)getpid(), nonce);
}

static enum dlm_status write_all(struct dlm_ctx *ctx, int fd, const char *path, const void *data,
                                 size_t bytes)
{
    const char *p = data;

    while (bytes) {
        ssize_t n = write(fd, p, DLM_MIN(bytes, (size_t)1 << 30));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return dlm_fail(ctx, DLM_ERR_IO, "cannot write '%s': %s", path, strerror(errno));
        p += n;
        bytes -= (size_t)n;
    }
    return DLM_OK;
}

/* Gives a new file the owner and mode of an old one. Who may not give it away keeps it, and then
 * nobody gets a right through the group it has now. */
static enum dlm_status keep_access(struct dlm_ctx *ctx, int fd, const char *path,
                                   const struct stat *old)
{
    mode_t mode = old->st_mode & 07777;

    if (fchown(fd, old->st_uid, old->st_gid)) {
        if (fchown(fd, (uid_t)-1, old->st_gid))
            mode &= (mode_t)~070;
        mode &= 0777;
        dlm_log(ctx, DLM_LOG_WARNING, "'%s' belongs to you now: its owner cannot be kept", path);
    }
    if (fchmod(fd, mode))
        return dlm_fail(ctx, DLM_ERR_IO, "cannot set the mode of '%s': %s", path, strerror(errno));
    return DLM_OK;
}

/* Fills a new file and closes it; old is the file whose owner and mode it gets, or NULL. */
static enum dlm_status fill_new(struct dlm_ctx *ctx, int fd, const char *path,
                                const struct stat *old, const void *data, size_t bytes)
{
    enum dlm_status st = old ? keep_access(ctx, fd, path, old) : DLM_OK;

    if (!st)
        st = write_all(ctx, fd, path, data, bytes);
    if (!st && fsync(fd))
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot write '%s': %s", path, strerror(errno));
    if (close(fd) && !st)
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot write '%s': %s", path, strerror(errno));
    return st;
}

enum dlm_status dlm_file_replace(struct dlm_ctx *ctx, const char *path, const void *data,
                                 size_t bytes)
{
    char *target = NULL, *temporary = NULL, *folder = NULL;
    bool is_there = false;
    struct stat old;

    enum dlm_status st = dlm_file_target(ctx, path, &target);
    if (st)
        return st;
    const bool is_new = stat(target, &old) != 0;
    temporary = dlm_file_temporary(ctx, target);
    folder = dlm_path_dirname(ctx, target);
    if (!temporary || !folder) {
        st = DLM_ERR_MEMORY;
        goto done;
    }
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, is_new ? 0644 : 0600);
    if (fd < 0) {
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot create '%s': %s", path, strerror(errno));
        goto done;
    }
    is_there = true;
    st = fill_new(ctx, fd, path, is_new ? NULL : &old, data, bytes);
    if (!st && rename(temporary, target))
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot replace '%s': %s", path, strerror(errno));
    is_there = st != DLM_OK;
    if (!st)
        st = dlm_dir_sync(ctx, folder);
done:
    if (is_there)
        (void)unlink(temporary); /* the failure that led here is already reported */
    dlm_free(target);
    dlm_free(temporary);
    dlm_free(folder);
    return st;
}

enum dlm_status dlm_file_create_like(struct dlm_ctx *ctx, const char *path, const char *like,
                                     const void *data, size_t bytes, bool *is_taken)
{
    struct stat old;

    *is_taken = false;
    if (stat(like, &old))
        return dlm_fail(ctx, DLM_ERR_IO, "cannot read '%s': %s", like, strerror(errno));
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST) {
        *is_taken = true;
        return DLM_OK;
    }
    if (fd < 0)
        return dlm_fail(ctx, DLM_ERR_IO, "cannot create '%s': %s", path, strerror(errno));
    enum dlm_status st = fill_new(ctx, fd, path, &old, data, bytes);
    if (st)
        (void)unlink(path); /* the failure is already reported */
    return st;
}
