/* Preloaded into the program: a disk that is full from some call on, or for one call alone. Counted
 * are the calls that write, sync, make, link or rename something below a folder; the one with the
 * wanted number fails with ENOSPC.
 *
 *     FULL_DISK_BELOW  the folder, absolute
 *     FULL_DISK_AT     number of the call, from 1; 0: none fails
 *     FULL_DISK_ONCE   set: the later ones succeed
 *     FULL_DISK_KILL   set: instead of failing, the call kills the process
 *     FULL_DISK_REMOVE set: calls that remove are counted as well, and do not fail
 *     FULL_DISK_FREE   bytes that are free, by statvfs(); unset: what is
 *     FULL_DISK_COUNT  file that gets the number of calls at the end; unset: none
 *
 * A write that fails has put down half of its bytes before. Streams write by themselves: fflush and
 * fopen stand for them. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static long num_calls; /* the store is written by one thread */

/* The C library's own, under its symbol's name. */
#define REAL(name, symbol)                                                                         \
    static __typeof__(name) *real;                                                                 \
    if (!real)                                                                                     \
        *(void **)&real = dlsym(RTLD_NEXT, symbol)

static bool is_below(const char *path)
{
    const char *folder = getenv("FULL_DISK_BELOW");
    const size_t len = folder ? strlen(folder) : 0;

    return len && !strncmp(path, folder, len) && path[len] == '/';
}

static bool is_fd_below(int fd)
{
    char link[64], path[4096];

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    const ssize_t len = readlink(link, path, sizeof(path) - 1);
    path[len > 0 ? len : 0] = '\0';
    return is_below(path);
}

/* Counts a call; true where it is to fail. */
static bool is_wanted(void)
{
    const char *at = getenv("FULL_DISK_AT");
    const long wanted = at ? atol(at) : 0;

    num_calls++;
    return wanted && num_calls >= wanted && !(getenv("FULL_DISK_ONCE") && num_calls > wanted);
}

static void fail(void)
{
    if (getenv("FULL_DISK_KILL"))
        raise(SIGKILL);
    errno = ENOSPC;
}

/* Counts a call; true, with errno set, where it is to fail. */
static bool fails(void)
{
    if (!is_wanted())
        return false;
    fail();
    return true;
}

static void count_removal(const char *path)
{
    if (getenv("FULL_DISK_REMOVE") && is_below(path))
        (void)fails();
}

__attribute__((destructor)) static void report(void)
{
    const char *path = getenv("FULL_DISK_COUNT");
    FILE *file = path ? fopen(path, "w") : NULL;

    if (!file)
        return;
    fprintf(file, "%ld\n", num_calls);
    fclose(file);
}

ssize_t write(int fd, const void *data, size_t bytes)
{
    REAL(write, "write");
    if (!is_fd_below(fd) || !is_wanted())
        return real(fd, data, bytes);
    if (real(fd, data, bytes / 2) >= 0)
        fail();
    return -1;
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t at)
{
    REAL(pwrite, "pwrite64");
    if (!is_fd_below(fd) || !is_wanted())
        return real(fd, data, bytes, at);
    if (real(fd, data, bytes / 2, at) >= 0)
        fail();
    return -1;
}

int ftruncate(int fd, off_t bytes)
{
    REAL(ftruncate, "ftruncate64");
    return is_fd_below(fd) && fails() ? -1 : real(fd, bytes);
}

int fsync(int fd)
{
    REAL(fsync, "fsync");
    return is_fd_below(fd) && fails() ? -1 : real(fd);
}

int fflush(FILE *file)
{
    REAL(fflush, "fflush");
    return file && is_fd_below(fileno(file)) && fails() ? EOF : real(file);
}

FILE *fopen(const char *path, const char *mode)
{
    REAL(fopen, "fopen64");
    return *mode != 'r' && is_below(path) && fails() ? NULL : real(path, mode);
}

int open(const char *path, int flags, ...)
{
    REAL(open, "open64");
    mode_t mode = 0;

    if (flags & O_CREAT) {
        va_list args;
        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
        if (is_below(path) && fails())
            return -1;
    }
    return real(path, flags, mode);
}

int mkdir(const char *path, mode_t mode)
{
    REAL(mkdir, "mkdir");
    return is_below(path) && access(path, F_OK) && fails() ? -1 : real(path, mode);
}

int rename(const char *from, const char *to)
{
    REAL(rename, "rename");
    return is_below(to) && fails() ? -1 : real(from, to);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    REAL(renameat2, "renameat2");
    return is_below(to) && fails() ? -1 : real(from_dir, from, to_dir, to, flags);
}

int statvfs(const char *path, struct statvfs *fs)
{
    REAL(statvfs, "statvfs64");
    const char *bytes = getenv("FULL_DISK_FREE");
    const int rc = real(path, fs);

    if (!rc && bytes)
        fs->f_bavail = (fsblkcnt_t)strtoull(bytes, NULL, 10) / fs->f_frsize;
    return rc;
}

int symlink(const char *target, const char *path)
{
    REAL(symlink, "symlink");
    return is_below(path) && fails() ? -1 : real(target, path);
}

int unlink(const char *path)
{
    REAL(unlink, "unlink");
    count_removal(path);
    return real(path);
}

int remove(const char *path)
{
    REAL(remove, "remove");
    count_removal(path);
    return real(path);
}
