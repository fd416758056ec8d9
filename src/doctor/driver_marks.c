/* A mark is an empty file, named by the start of the machine and the files by which the loader
 * finds drivers. */
#include "doctor/driver_marks.h"

#include "backend/backend.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "base/str.h"
#include "doctor/driver_files.h"

#define FORMAT_TEXT "dlm driver mark 1\n"
#define BOOT_FILE "/proc/sys/kernel/random/boot_id"

/* Without a context: what cannot be read here is no error, and a mark less. */
static enum dlm_status make_key(enum dlm_backend_kind kind, struct dlm_str *key)
{
    struct dlm_driver_files files = {0};

    enum dlm_status st = dlm_file_read(NULL, BOOT_FILE, 128, key);
    if (!st)
        st = dlm_str_appendf(NULL, key, FORMAT_TEXT "%s\n", dlm_backend_name(kind));
    if (!st)
        st = dlm_driver_files_find(NULL, &files, kind);
    if (!st)
        st = dlm_driver_files_identify(NULL, &files, key);
    dlm_driver_files_finish(NULL, &files);
    return st;
}

/* Owned; NULL: there can be none here. */
static char *mark_path(struct dlm_ctx *ctx, enum dlm_backend_kind kind)
{
    char *cache = dlm_path_kernel_cache(ctx), *path = NULL;
    struct dlm_str key = {0};
    char hex[65];

    if (cache && !make_key(kind, &key)) {
        dlm_sha256_of(key.data, key.len, hex);
        path = dlm_strf(ctx, "%s/%s.drivers", cache, hex);
    }
    dlm_str_finish(&key);
    dlm_free(cache);
    return path;
}

bool dlm_driver_mark_exists(struct dlm_ctx *ctx, enum dlm_backend_kind kind)
{
    char *path = mark_path(ctx, kind);
    const bool exists = path && dlm_path_is_file(path);

    dlm_free(path);
    return exists;
}

void dlm_driver_mark_set(struct dlm_ctx *ctx, enum dlm_backend_kind kind)
{
    char *path = mark_path(ctx, kind), *folder = path ? dlm_path_dirname(ctx, path) : NULL;

    if (folder && !dlm_path_is_file(path) &&
        (dlm_dir_make(NULL, folder) || dlm_file_replace(NULL, path, "", 0)))
        dlm_log(ctx, DLM_LOG_DEBUG, "cannot keep in '%s' that the drivers of %s answer", folder,
                dlm_backend_name(kind));
    dlm_free(folder);
    dlm_free(path);
}
