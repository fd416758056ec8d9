/* Streaming atomic replacement of one file. */
#include "weights/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"

enum dlm_status dlm_outfile_open(struct dlm_ctx *ctx, struct dlm_outfile *f, const char *path)
{
    *f = (struct dlm_outfile){0};
    enum dlm_status st = dlm_file_target(ctx, path, &f->path);
    if (st)
        return st;
    char *temporary = dlm_file_temporary(ctx, f->path);
    if (!temporary) {
        dlm_outfile_finish(f);
        return DLM_ERR_MEMORY;
    }
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0) {
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot create '%s': %s", path, strerror(errno));
        dlm_free(temporary);
        dlm_outfile_finish(f);
        return st;
    }
    f->temporary = temporary; /* from here on it is ours to remove */
    f->fd_plus_1 = fd + 1;
    return DLM_OK;
}

enum dlm_status dlm_outfile_write(struct dlm_ctx *ctx, struct dlm_outfile *f, const void *data,
                                  size_t bytes)
{
    const uint8_t *p = data;

    while (bytes) {
        ssize_t n = write(f->fd_plus_1 - 1, p, DLM_MIN(bytes, (size_t)1 << 30));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return dlm_fail(ctx, DLM_ERR_IO, "cannot write '%s': %s", f->path, strerror(errno));
        p += n;
        bytes -= (size_t)n;
    }
    return DLM_OK;
}

enum dlm_status dlm_outfile_commit(struct dlm_ctx *ctx, struct dlm_outfile *f)
{
    return dlm_outfile_commit_as(ctx, f, f->path);
}

enum dlm_status dlm_outfile_commit_as(struct dlm_ctx *ctx, struct dlm_outfile *f, const char *path)
{
    int fd = f->fd_plus_1 - 1;
    enum dlm_status st = DLM_OK;
    char *folder = dlm_path_dirname(ctx, path);

    if (!folder)
        return DLM_ERR_MEMORY;
    if (fsync(fd))
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot write '%s': %s", path, strerror(errno));
    f->fd_plus_1 = 0;
    if (close(fd) && !st)
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot write '%s': %s", path, strerror(errno));
    if (!st && rename(f->temporary, path))
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot replace '%s': %s", path, strerror(errno));
    if (!st) {
        dlm_free(f->temporary);
        f->temporary = NULL;
        st = dlm_dir_sync(ctx, folder);
    }
    dlm_free(folder);
    return st;
}

void dlm_outfile_finish(struct dlm_outfile *f)
{
    if (f->fd_plus_1)
        close(f->fd_plus_1 - 1);
    if (f->temporary)
        (void)unlink(f->temporary); /* the failure that led here is already reported */
    dlm_free(f->temporary);
    dlm_free(f->path);
    *f = (struct dlm_outfile){0};
}
