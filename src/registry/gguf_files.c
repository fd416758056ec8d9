/* Finding the files of gguf:PATH. */
#include "registry/gguf_files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"

/* *out: the file at path, absolute. */
static enum dlm_status find_file(struct dlm_ctx *ctx, const struct dlm_base *base,
                                 const char *path, char **out)
{
    char *real = realpath(path, NULL);
    enum dlm_status st = DLM_OK;

    if (!real || !dlm_path_is_file(real))
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot find base '%s': '%s': %s", base->key, path,
                      real ? "not a file" : strerror(errno));
    if (!st && !(*out = dlm_strdup(ctx, real)))
        st = DLM_ERR_MEMORY;
    free(real);
    return st;
}

static bool is_tower(const char *name)
{
    const size_t len = strlen(name);

    return strstr(name, "mmproj") && len > 5 && !strcmp(name + len - 5, ".gguf");
}

/* The one file beside the language model that is called a tower's. */
static enum dlm_status find_tower(struct dlm_ctx *ctx, struct dlm_base *base)
{
    char *dir = dlm_path_dirname(ctx, base->dir);
    char **names = NULL;
    const char *found = NULL;
    size_t num = 0;

    enum dlm_status st = dir ? dlm_dir_list(ctx, dir, &names) : DLM_ERR_MEMORY;
    for (size_t i = 0; !st && names[i]; i++)
        if (is_tower(names[i]) && strcmp(names[i], dlm_path_basename(base->dir))) {
            found = names[i];
            num++;
        }
    if (!st && num != 1) {
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot find the vision tower of base '%s': %s called "
                      "*mmproj*.gguf in '%s'", base->key,
                      num ? "there are several files" : "there is no file", dir);
        dlm_log(ctx, DLM_LOG_HINT, "name it: `mmproj: PATH` in the document, or --mmproj PATH");
    }
    if (!st && !(base->mmproj = dlm_path_join(ctx, dir, found)))
        st = DLM_ERR_MEMORY;
    dlm_names_free(names);
    dlm_free(dir);
    return st;
}

enum dlm_status dlm_gguf_files_find(struct dlm_ctx *ctx, struct dlm_base *base, const char *path,
                                    const char *mmproj)
{
    enum dlm_status st = find_file(ctx, base, path, &base->dir);

    if (st)
        return st;
    return mmproj ? find_file(ctx, base, mmproj, &base->mmproj) : find_tower(ctx, base);
}
