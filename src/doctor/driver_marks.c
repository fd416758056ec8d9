/* A mark is a file, named by the start of the machine, the files by which the loader finds drivers
 * and the libraries in them. It holds the faults, or is empty. */
#include "doctor/driver_marks.h"

#include <string.h>
#include <sys/stat.h>

#include "backend/backend.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "base/str.h"
#include "doctor/driver_files.h"

#define FORMAT_TEXT "dlm driver mark 2\n"
#define MAX_FILE_BYTES (1 << 16)
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

char *dlm_driver_mark_path(struct dlm_ctx *ctx, enum dlm_backend_kind kind)
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

void dlm_driver_mark_read(struct dlm_ctx *ctx, enum dlm_backend_kind kind,
                          struct dlm_driver_mark *mark)
{
    char *path = dlm_driver_mark_path(ctx, kind);
    struct dlm_str text = {0};
    struct stat sb;

    *mark = (struct dlm_driver_mark){0};
    if (path && !stat(path, &sb) && !dlm_file_read(NULL, path, MAX_FILE_BYTES, &text)) {
        mark->is_there = true;
        mark->when = sb.st_mtime;
        if (text.len) {
            mark->faults = text.data;
            text = (struct dlm_str){0};
        }
    }
    dlm_str_finish(&text);
    dlm_free(path);
}

void dlm_driver_mark_finish(struct dlm_driver_mark *mark)
{
    dlm_free(mark->faults);
    *mark = (struct dlm_driver_mark){0};
}

void dlm_driver_mark_set(struct dlm_ctx *ctx, enum dlm_backend_kind kind, const char *faults)
{
    char *path = dlm_driver_mark_path(ctx, kind);
    char *folder = path ? dlm_path_dirname(ctx, path) : NULL;
    const char *text = faults ? faults : "";

    if (folder && (dlm_dir_make(NULL, folder) || dlm_file_replace(NULL, path, text, strlen(text))))
        dlm_log(ctx, DLM_LOG_DEBUG, "cannot keep in '%s' what is known of the drivers of %s",
                folder, dlm_backend_name(kind));
    dlm_free(folder);
    dlm_free(path);
}

void dlm_driver_mark_remove(struct dlm_ctx *ctx, enum dlm_backend_kind kind)
{
    char *path = dlm_driver_mark_path(ctx, kind);

    if (path && dlm_path_remove(NULL, path))
        dlm_log(ctx, DLM_LOG_DEBUG, "cannot remove '%s'", path);
    dlm_free(path);
}
