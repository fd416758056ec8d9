/* Paths that a document states: where they start from, and whether they stay inside. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/log.h"
#include "doc/sources.h"
#include "doc/sources_impl.h"

bool dlm_doc_is_inside(const char *dir, const char *path)
{
    size_t len = strlen(dir);
    if (len && dir[len - 1] == '/')
        len--; /* the root folder */
    return !strncmp(path, dir, len) && (path[len] == '/' || !path[len]);
}

enum dlm_status dlm_doc_base_dir(struct dlm_ctx *ctx, const char *doc_path, char **dir)
{
    char *parent = dlm_path_dirname(ctx, doc_path);

    *dir = NULL;
    if (!parent)
        return DLM_ERR_MEMORY;
    char *resolved = realpath(parent, NULL);
    enum dlm_status st = DLM_OK;
    if (!resolved) {
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot find the folder '%s': %s", parent, strerror(errno));
        goto done;
    }
    char *last = strrchr(resolved, '/');
    if (!strcmp(last, "/.dlm"))
        last[last == resolved] = '\0';
    *dir = dlm_strdup(ctx, resolved);
    st = *dir ? DLM_OK : DLM_ERR_MEMORY;
done:
    free(resolved);
    dlm_free(parent);
    return st;
}

/* at: " (line 12)" or "". */
static enum dlm_status check_image(struct dlm_ctx *ctx, const char *dir, const char *rel,
                                   const char *at, const char *resolved)
{
    struct stat info;

    if (!dlm_doc_is_inside(dir, resolved))
        return dlm_fail(ctx, DLM_ERR_INVALID,
                        "cannot use image '%s'%s: it lies outside the document's folder '%s'", rel,
                        at, dir);
    if (stat(resolved, &info))
        return dlm_fail(ctx, DLM_ERR_IO, "cannot use image '%s'%s: %s", rel, at, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return dlm_fail(ctx, DLM_ERR_INVALID, "cannot use image '%s'%s: not a regular file", rel,
                        at);
    return DLM_OK;
}

enum dlm_status dlm_doc_resolve_image(struct dlm_ctx *ctx, const char *doc_path, const char *rel,
                                      int64_t line, char **abs_path)
{
    char *dir = NULL, *joined = NULL, *resolved = NULL, at[40] = "";

    *abs_path = NULL;
    if (line > 0)
        snprintf(at, sizeof(at), " (line %lld)", (long long)line);
    if (!*rel)
        return dlm_fail(ctx, DLM_ERR_INVALID, "cannot use image ''%s: the path is empty", at);
    enum dlm_status st = dlm_doc_base_dir(ctx, doc_path, &dir);
    if (st)
        goto done;
    joined = *rel == '/' ? dlm_strdup(ctx, rel) : dlm_path_join(ctx, dir, rel);
    if (!joined) {
        st = DLM_ERR_MEMORY;
        goto done;
    }
    resolved = realpath(joined, NULL);
    if (!resolved && errno == ENOENT) {
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot open image '%s'%s: no such file in '%s'", rel, at,
                      dir);
        goto done;
    }
    if (!resolved) {
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot open image '%s'%s: %s", rel, at, strerror(errno));
        goto done;
    }
    st = check_image(ctx, dir, rel, at, resolved);
    if (!st) {
        *abs_path = dlm_strdup(ctx, resolved);
        st = *abs_path ? DLM_OK : DLM_ERR_MEMORY;
    }
done:
    free(resolved);
    dlm_free(joined);
    dlm_free(dir);
    return st;
}
