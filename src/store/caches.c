/* The store's caches: what they hold, and which files stay. What goes is made again by the run that
 * needs it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/log.h"
#include "store/store_impl.h"

#define SECONDS_PER_DAY 86400

const char *const dlm_cache_names[DLM_NUM_CACHES] = {"vl-cache", "vision-cache"};

struct cache_file {
    char *path; /* owned */
    uint64_t bytes;
    struct timespec used;
};

struct cache_list {
    struct cache_file *files;
    size_t len, cap;
    uint64_t bytes;
};

void dlm_cache_touch(const char *path)
{
    /* A file of another owner keeps its time, and is taken for less used than it is. */
    (void)utimensat(AT_FDCWD, path, NULL, 0);
}

int64_t dlm_seconds_of_days(int64_t days)
{
    return days < INT64_MAX / SECONDS_PER_DAY ? days * SECONDS_PER_DAY : INT64_MAX;
}

static enum dlm_status list_folder(struct dlm_ctx *ctx, const char *folder,
                                   struct cache_list *list);

/* Takes path, also on failure. */
static enum dlm_status list_entry(struct dlm_ctx *ctx, char *path, struct cache_list *list)
{
    struct stat sb;
    enum dlm_status st = DLM_OK;

    if (lstat(path, &sb)) {
        if (errno != ENOENT)
            st = dlm_fail(ctx, DLM_ERR_IO, "cannot read '%s': %s", path, strerror(errno));
    } else if (S_ISDIR(sb.st_mode)) {
        st = list_folder(ctx, path, list);
    } else if (S_ISREG(sb.st_mode)) {
        if (!dlm_grow(ctx, &list->files, &list->cap, list->len, sizeof(*list->files))) {
            st = DLM_ERR_MEMORY;
        } else {
            list->files[list->len++] =
                (struct cache_file){path, (uint64_t)sb.st_size, sb.st_mtim};
            list->bytes += (uint64_t)sb.st_size;
            path = NULL;
        }
    }
    dlm_free(path);
    return st;
}

static enum dlm_status list_folder(struct dlm_ctx *ctx, const char *folder,
                                   struct cache_list *list)
{
    char **names = NULL;
    enum dlm_status st = dlm_dir_list(ctx, folder, &names);

    for (size_t i = 0; !st && names[i]; i++) {
        char *path = dlm_path_join(ctx, folder, names[i]);
        st = path ? list_entry(ctx, path, list) : DLM_ERR_MEMORY;
    }
    dlm_names_free(names);
    return st;
}

/* Least recently used first; by name where the time says nothing. */
static int compare_use(const void *a, const void *b)
{
    const struct cache_file *x = a, *y = b;

    if (x->used.tv_sec != y->used.tv_sec)
        return x->used.tv_sec < y->used.tv_sec ? -1 : 1;
    if (x->used.tv_nsec != y->used.tv_nsec)
        return x->used.tv_nsec < y->used.tv_nsec ? -1 : 1;
    return strcmp(x->path, y->path);
}

static void finish(struct cache_list *list)
{
    for (size_t i = 0; i < list->len; i++)
        dlm_free(list->files[i].path);
    dlm_free(list->files);
}

/* Adds the files of a cache; one that is not there has none. */
static enum dlm_status list_cache(struct dlm_ctx *ctx, const struct dlm_store *store,
                                  size_t cache, struct cache_list *list)
{
    char *folder = dlm_store_pathf(ctx, store, "%s", dlm_cache_names[cache]);
    enum dlm_status st = folder ? DLM_OK : DLM_ERR_MEMORY;

    if (!st && dlm_path_is_dir(folder))
        st = list_folder(ctx, folder, list);
    dlm_free(folder);
    return st;
}

enum dlm_status dlm_store_cache_use(struct dlm_ctx *ctx, const struct dlm_store *store,
                                    size_t cache, struct dlm_cache_use *use)
{
    struct cache_list list = {0};

    *use = (struct dlm_cache_use){0};
    enum dlm_status st = list_cache(ctx, store, cache, &list);
    for (size_t i = 0; !st && i < list.len; i++) {
        const time_t used = list.files[i].used.tv_sec;
        use->first_used = i ? DLM_MIN(use->first_used, used) : used;
        use->last_used = i ? DLM_MAX(use->last_used, used) : used;
    }
    use->files = st ? 0 : list.len;
    use->bytes = st ? 0 : list.bytes;
    finish(&list);
    return st;
}

enum dlm_status dlm_store_prune_caches(struct dlm_ctx *ctx, const struct dlm_store *store,
                                       const struct dlm_cache_limits *limits)
{
    struct cache_list list = {0};
    enum dlm_status st = DLM_OK;
    size_t gone = 0;

    for (size_t i = 0; !st && i < DLM_NUM_CACHES; i++)
        st = list_cache(ctx, store, i, &list);
    if (!st && list.len)
        qsort(list.files, list.len, sizeof(*list.files), compare_use);
    for (; !st && gone < list.len; gone++) {
        const struct cache_file *file = &list.files[gone];
        const double age = difftime(limits->now, file->used.tv_sec);
        if (list.bytes <= limits->max_bytes && age <= (double)limits->max_age)
            break;
        st = dlm_path_remove(ctx, file->path);
        list.bytes -= file->bytes;
    }
    if (gone)
        dlm_log(ctx, DLM_LOG_DEBUG, "%zu of %zu files of the caches are gone, %llu bytes stay",
                gone, list.len, (unsigned long long)list.bytes);
    finish(&list);
    return st;
}

enum dlm_status dlm_store_clear_caches(struct dlm_ctx *ctx, const struct dlm_store *store)
{
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < DLM_NUM_CACHES; i++) {
        char *folder = dlm_store_pathf(ctx, store, "%s", dlm_cache_names[i]);
        st = folder ? dlm_path_remove(ctx, folder) : DLM_ERR_MEMORY;
        dlm_free(folder);
    }
    return st;
}
