/* Paths and folders. */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/ctx_impl.h"
#include "base/log.h"

bool dlm_path_is_file(const char *path)
{
    struct stat sb;
    return !stat(path, &sb) && S_ISREG(sb.st_mode);
}

bool dlm_path_is_dir(const char *path)
{
    struct stat sb;
    return !stat(path, &sb) && S_ISDIR(sb.st_mode);
}

char *dlm_path_join(struct dlm_ctx *ctx, const char *a, const char *b)
{
    size_t len = strlen(a);
    return dlm_strf(ctx, len && a[len - 1] == '/' ? "%s%s" : "%s/%s", a, b);
}

/* The user's home folder, NULL if the system knows none. */
static const char *user_home(void)
{
    const char *home = getenv("HOME");

    if (home && *home)
        return home;
    const struct passwd *pw = getpwuid(getuid());
    return pw ? pw->pw_dir : NULL;
}

char *dlm_path_home(struct dlm_ctx *ctx, const char *home)
{
    const char *user = user_home();

    if (!home || !*home)
        home = ctx->params.home;
    if (!home || !*home)
        home = getenv("DLM_HOME");
    if (!home || !*home)
        home = "~/.dlm";
    if (home[0] != '~' || (home[1] && home[1] != '/'))
        return dlm_strdup(ctx, home);
    if (!user) {
        (void)dlm_fail(ctx, DLM_ERR_IO, "cannot find the home folder: HOME is not set");
        return NULL;
    }
    return dlm_strf(ctx, "%s%s", user, home + 1);
}

char *dlm_path_kernel_cache(struct dlm_ctx *ctx)
{
    const char *own = getenv("DLM_KERNEL_CACHE"), *xdg = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");

    if (own && *own)
        return dlm_strdup(ctx, own);
    if (xdg && *xdg)
        return dlm_path_join(ctx, xdg, "dlm/kernels");
    return home && *home ? dlm_path_join(ctx, home, ".cache/dlm/kernels") : NULL;
}

char *dlm_path_dirname(struct dlm_ctx *ctx, const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return dlm_strdup(ctx, ".");
    return dlm_strndup(ctx, path, slash == path ? 1 : (size_t)(slash - path));
}

const char *dlm_path_basename(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

enum dlm_status dlm_dir_make(struct dlm_ctx *ctx, const char *path)
{
    char *p = dlm_strdup(ctx, path);
    enum dlm_status st = DLM_OK;

    if (!p)
        return DLM_ERR_MEMORY;
    for (char *at = p; !st && *at;) {
        at += strspn(at, "/");
        at += strcspn(at, "/");
        char cut = *at;
        *at = '\0';
        if (mkdir(p, 0755) && errno != EEXIST && !(errno == EROFS && dlm_path_is_dir(p)))
            st = dlm_fail(ctx, DLM_ERR_IO, "cannot make folder '%s': %s", p, strerror(errno));
        *at = cut;
    }
    if (!st && !dlm_path_is_dir(path))
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot make folder '%s': a file is in the way", path);
    dlm_free(p);
    return st;
}

bool dlm_path_is_held(const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    const bool is_held = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB);

    if (fd >= 0)
        close(fd);
    return is_held;
}

static bool is_dot(const char *name)
{
    return !strcmp(name, ".") || !strcmp(name, "..");
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum dlm_status dlm_dir_list(struct dlm_ctx *ctx, const char *path, char ***names)
{
    char **list = NULL;
    size_t len = 0, cap = 0;
    enum dlm_status st = DLM_OK;

    *names = NULL;
    DIR *dir = opendir(path);
    if (!dir)
        return dlm_fail(ctx, DLM_ERR_IO, "cannot open folder '%s': %s", path, strerror(errno));
    for (struct dirent *entry; !st && (entry = readdir(dir));) {
        if (is_dot(entry->d_name))
            continue;
        if (!dlm_grow(ctx, &list, &cap, len + 1, sizeof(*list)) ||
            !(list[len] = dlm_strdup(ctx, entry->d_name)))
            st = DLM_ERR_MEMORY;
        else
            list[++len] = NULL;
    }
    closedir(dir);
    if (!st && !list && !(list = dlm_alloc_array(ctx, 1, sizeof(*list))))
        st = DLM_ERR_MEMORY;
    if (st) {
        for (size_t i = 0; i < len; i++)
            dlm_free(list[i]);
        dlm_free(list);
        return st;
    }
    qsort(list, len, sizeof(*list), compare_names);
    *names = list;
    return DLM_OK;
}

void dlm_names_free(char **names)
{
    if (!names)
        return;
    for (size_t i = 0; names[i]; i++)
        dlm_free(names[i]);
    dlm_free(names);
}

enum dlm_status dlm_path_remove(struct dlm_ctx *ctx, const char *path)
{
    struct stat sb;
    char **names = NULL;

    if (lstat(path, &sb))
        return errno == ENOENT ? DLM_OK
                               : dlm_fail(ctx, DLM_ERR_IO, "cannot remove '%s': %s", path,
                                          strerror(errno));
    enum dlm_status st = DLM_OK;
    if (S_ISDIR(sb.st_mode)) {
        st = dlm_dir_list(ctx, path, &names);
        for (size_t i = 0; !st && names[i]; i++) {
            char *child = dlm_path_join(ctx, path, names[i]);
            st = child ? dlm_path_remove(ctx, child) : DLM_ERR_MEMORY;
            dlm_free(child);
        }
        dlm_names_free(names);
    }
    if (!st && remove(path))
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot remove '%s': %s", path, strerror(errno));
    return st;
}

/* Deeper than any folder of ours. */
#define MAX_DEPTH 32

static enum dlm_status add_bytes(struct dlm_ctx *ctx, const char *path, bool follow, int depth,
                                 uint64_t *bytes)
{
    struct stat sb;
    char **names = NULL;

    if (lstat(path, &sb) || (follow && S_ISLNK(sb.st_mode) && stat(path, &sb)))
        return DLM_OK;
    if (!S_ISDIR(sb.st_mode)) {
        *bytes += (uint64_t)sb.st_size;
        return DLM_OK;
    }
    if (depth == MAX_DEPTH)
        return DLM_OK;
    enum dlm_status st = dlm_dir_list(ctx, path, &names);
    for (size_t i = 0; !st && names[i]; i++) {
        char *child = dlm_path_join(ctx, path, names[i]);
        st = child ? add_bytes(ctx, child, follow, depth + 1, bytes) : DLM_ERR_MEMORY;
        dlm_free(child);
    }
    dlm_names_free(names);
    return st;
}

enum dlm_status dlm_path_bytes(struct dlm_ctx *ctx, const char *path, bool follow, uint64_t *bytes)
{
    return add_bytes(ctx, path, follow, 0, bytes);
}

enum dlm_status dlm_path_free_bytes(struct dlm_ctx *ctx, const char *path, uint64_t *bytes)
{
    struct statvfs fs;

    if (statvfs(path, &fs))
        return dlm_fail(ctx, DLM_ERR_IO, "cannot read the free space of '%s': %s", path,
                        strerror(errno));
    *bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    return DLM_OK;
}
