/* The store's .lock: the reference's three lines in a file whose owner is who holds its flock, so
 * that it dies with its holder. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "store/store_impl.h"

/* First line of the payload, 0 if there is none. */
static long read_pid(int fd)
{
    char text[32];
    ssize_t len = pread(fd, text, sizeof(text) - 1, 0);

    if (len <= 0)
        return 0;
    text[len] = '\0';
    return strtol(text, NULL, 10);
}

static void write_payload(int fd)
{
    char host[256] = "", text[512];

    if (gethostname(host, sizeof(host) - 1))
        host[0] = '\0';
    int len = snprintf(text, sizeof(text), "%ld\n%s\n%lld\n", (long)getpid(), host,
                       (long long)time(NULL));
    /* The flock is the lock; on a full disk the lines for the reader are missing, no more. */
    if (ftruncate(fd, 0) || pwrite(fd, text, (size_t)len, 0) < 0)
        return;
}

/* True when path still names the open file: its holder may have removed it before we got it. */
static bool is_same_file(int fd, const char *path)
{
    struct stat a, b;

    return !fstat(fd, &a) && !stat(path, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* False: the store is this process's user's. */
static bool find_other_owner(const char *root, long *owner)
{
    struct stat sb;

    if (stat(root, &sb) || sb.st_uid == geteuid())
        return false;
    *owner = (long)sb.st_uid;
    return true;
}

/* Opens and locks path in the store at root. *again: it vanished meanwhile. */
static enum dlm_status try_lock(struct dlm_ctx *ctx, const char *root, const char *path, int *fd,
                                bool *again)
{
    long owner;

    *again = false;
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (*fd < 0) {
        const bool is_denied = errno == EACCES;
        dlm_fail(ctx, DLM_ERR_IO, "cannot open '%s': %s", path, strerror(errno));
        if (is_denied && find_other_owner(root, &owner))
            dlm_log(ctx, DLM_LOG_HINT, "the store is user %ld's, and this is user %ld: run dlm as "
                    "the other, or have the store given away (`chown -R %ld '%s'`)", owner,
                    (long)geteuid(), (long)geteuid(), root);
        return DLM_ERR_IO;
    }
    /* The text of the first failure is the reference's, hence no quotes. */
    if (flock(*fd, LOCK_EX | LOCK_NB)) {
        enum dlm_status st =
            errno == EWOULDBLOCK
                ? dlm_fail(ctx, DLM_ERR_INVALID, "%s: already locked by PID %ld", path,
                           read_pid(*fd))
                : dlm_fail(ctx, DLM_ERR_IO, "cannot lock '%s': %s", path, strerror(errno));
        close(*fd);
        return st;
    }
    *again = !is_same_file(*fd, path);
    if (*again)
        close(*fd);
    return DLM_OK;
}

enum dlm_status dlm_store_lock(struct dlm_ctx *ctx, struct dlm_store *store)
{
    bool again = false;
    long owner;
    int fd = -1;
    enum dlm_status st = DLM_OK;

    if (store->lock_fd_plus_1)
        return dlm_fail(ctx, DLM_ERR_INVALID, "%s/.lock: already locked by PID %ld", store->root,
                        (long)getpid());
    char *path = dlm_store_pathf(ctx, store, ".lock");
    if (!path)
        return DLM_ERR_MEMORY;
    do
        st = try_lock(ctx, store->root, path, &fd, &again);
    while (!st && again);
    if (!st) {
        const long pid = read_pid(fd);
        if (pid > 0)
            dlm_log(ctx, DLM_LOG_WARNING, "'%s' was left by PID %ld, which is gone: taken over",
                    path, pid);
        if (find_other_owner(store->root, &owner))
            dlm_log(ctx, DLM_LOG_WARNING, "the store '%s' is user %ld's, and this is user %ld: "
                    "what is written there now, that one may not be able to change", store->root,
                    owner, (long)geteuid());
        write_payload(fd);
        store->lock_fd_plus_1 = fd + 1;
    }
    dlm_free(path);
    return st;
}

void dlm_store_unlock(struct dlm_store *store)
{
    if (!store->lock_fd_plus_1)
        return;
    char *path = dlm_store_pathf(NULL, store, ".lock");
    if (path)
        (void)unlink(path); /* a file that stays is taken over by the next */
    close(store->lock_fd_plus_1 - 1);
    store->lock_fd_plus_1 = 0;
    dlm_free(path);
}
