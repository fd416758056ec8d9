/* Lists of files to copy. */
#include "export/sources.h"

#include <sys/stat.h>

#include "base/file.h"
#include "base/log.h"

/* Takes path. */
static enum dlm_status add(struct dlm_ctx *ctx, struct dlm_source_list *list, char *path,
                           const char *prefix, uint64_t bytes)
{
    char *name = dlm_strf(ctx, "%s%s", prefix, dlm_path_basename(path));

    if (!name || !dlm_grow(ctx, &list->items, &list->cap, list->len, sizeof(*list->items))) {
        dlm_free(name);
        dlm_free(path);
        return DLM_ERR_MEMORY;
    }
    list->items[list->len++] = (struct dlm_source){.name = name, .path = path, .bytes = bytes};
    list->bytes += bytes;
    return DLM_OK;
}

enum dlm_status dlm_sources_add_all(struct dlm_ctx *ctx, struct dlm_source_list *list,
                                    const char *dir, const char *prefix)
{
    char **names = NULL;
    struct stat sb;

    enum dlm_status st = dlm_dir_list(ctx, dir, &names);
    for (size_t i = 0; !st && names[i]; i++) {
        char *path = dlm_path_join(ctx, dir, names[i]);
        if (!path) {
            st = DLM_ERR_MEMORY;
        } else if (lstat(path, &sb) || !S_ISREG(sb.st_mode)) {
            st = dlm_fail(ctx, DLM_ERR_INVALID, "cannot export '%s': it is no regular file", path);
            dlm_free(path);
        } else {
            st = add(ctx, list, path, prefix, (uint64_t)sb.st_size);
        }
    }
    dlm_names_free(names);
    return st;
}

/* Opens the file, as whoever reads the export will: a git-lfs pointer in its place is refused. */
static enum dlm_status add_readable(struct dlm_ctx *ctx, struct dlm_source_list *list,
                                    const char *dir, const char *name, const char *prefix)
{
    struct dlm_map map = {0};
    char *path = dlm_path_join(ctx, dir, name);
    enum dlm_status st = path ? dlm_map_open(ctx, &map, path) : DLM_ERR_MEMORY;
    const uint64_t bytes = map.bytes;

    dlm_map_close(&map);
    if (!st)
        return add(ctx, list, path, prefix, bytes);
    dlm_free(path);
    return st;
}

enum dlm_status dlm_sources_add_base(struct dlm_ctx *ctx, struct dlm_source_list *list,
                                     const char *dir, const char *prefix,
                                     bool (*wants)(enum dlm_base_file file))
{
    char **names = NULL;

    enum dlm_status st = dlm_dir_list(ctx, dir, &names);
    for (size_t i = 0; !st && names[i]; i++)
        if (wants(dlm_base_file_of(names[i])))
            st = add_readable(ctx, list, dir, names[i], prefix);
    dlm_names_free(names);
    return st;
}

void dlm_sources_finish(struct dlm_source_list *list)
{
    for (size_t i = 0; i < list->len; i++) {
        dlm_free(list->items[i].name);
        dlm_free(list->items[i].path);
    }
    dlm_free(list->items);
    *list = (struct dlm_source_list){0};
}

enum dlm_status dlm_sources_copy(struct dlm_ctx *ctx, const struct dlm_source_list *list,
                                 struct dlm_sink *sink)
{
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < list->len; i++)
        st = dlm_sink_copy(ctx, sink, list->items[i].name, list->items[i].path,
                           list->items[i].bytes);
    return st;
}
