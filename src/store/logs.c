/* Names and lengths of log files, and the store's form of times. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "store/store_impl.h"

void dlm_time_iso(time_t when, char text[20])
{
    struct tm tm;

    if (!gmtime_r(&when, &tm) || !strftime(text, 20, "%Y-%m-%dT%H:%M:%S", &tm))
        memcpy(text, "1970-01-01T00:00:00", 20); /* a year of five digits */
}

enum dlm_status dlm_store_log_path(struct dlm_ctx *ctx, const struct dlm_store *store,
                                   int64_t run_id, time_t when, char **path)
{
    struct tm tm;
    char stamp[32];

    if (!gmtime_r(&when, &tm) || !strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%S", &tm))
        memcpy(stamp, "19700101T000000", 16);
    *path = dlm_store_pathf(ctx, store, "logs/train-%06lld-%s.jsonl", (long long)run_id, stamp);
    return *path ? DLM_OK : DLM_ERR_MEMORY;
}

enum dlm_status dlm_store_find_log(struct dlm_ctx *ctx, const struct dlm_store *store,
                                   int64_t run_id, char **path)
{
    char **names = NULL;
    const char *newest = NULL;
    char *folder = dlm_store_pathf(ctx, store, "logs");
    enum dlm_status st = folder ? dlm_store_list(ctx, folder, &names) : DLM_ERR_MEMORY;

    *path = NULL;
    for (size_t i = 0; !st && names[i]; i++) { /* by rising time */
        const size_t len = strlen(names[i]);
        if (dlm_name_number(names[i], "train-") == run_id && len > 6 &&
            !strcmp(names[i] + len - 6, ".jsonl"))
            newest = names[i];
    }
    if (newest && !(*path = dlm_path_join(ctx, folder, newest)))
        st = DLM_ERR_MEMORY;
    dlm_names_free(names);
    dlm_free(folder);
    return st;
}

enum dlm_status dlm_store_summary_path(struct dlm_ctx *ctx, const char *log_path, char **path)
{
    size_t len = strlen(log_path);

    if (len > 6 && !strcmp(log_path + len - 6, ".jsonl"))
        len -= 6;
    *path = dlm_strf(ctx, "%.*s.summary.json", (int)len, log_path);
    return *path ? DLM_OK : DLM_ERR_MEMORY;
}

enum dlm_status dlm_log_cut(struct dlm_ctx *ctx, const char *path, uint64_t bytes)
{
    struct stat sb;
    enum dlm_status st = DLM_OK;
    int fd = open(path, O_WRONLY | O_CLOEXEC | (bytes ? 0 : O_CREAT), 0644);

    if (fd < 0)
        return dlm_fail(ctx, DLM_ERR_IO, "cannot open '%s': %s", path, strerror(errno));
    if (fstat(fd, &sb))
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot read '%s': %s", path, strerror(errno));
    else if ((uint64_t)sb.st_size < bytes)
        st = dlm_fail(ctx, DLM_ERR_PARSE, "'%s' has %lld bytes, the saved state knows %llu", path,
                      (long long)sb.st_size, (unsigned long long)bytes);
    else if (ftruncate(fd, (off_t)bytes) || fsync(fd))
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot cut '%s': %s", path, strerror(errno));
    close(fd);
    return st;
}
