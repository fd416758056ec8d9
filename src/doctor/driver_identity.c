/* What tells a driver from the one that was there before: its file for the loader, and the library
 * that this names, where dlopen() finds it. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "doctor/driver_files.h"

#define MAX_FILE_BYTES (1 << 16)
#define LINKER_CACHE "/etc/ld.so.cache"

/* Where distributions keep libraries. Folders that /etc/ld.so.conf adds are told of by the linker's
 * cache, which is written when something is installed there. */
static const char usual_folders[] =
    "/usr/lib/x86_64-linux-gnu:/usr/lib/aarch64-linux-gnu:/usr/lib64:/usr/lib:/usr/local/lib";

static enum dlm_status add_file(struct dlm_ctx *ctx, const char *path, struct dlm_str *out)
{
    struct stat sb;

    if (stat(path, &sb)) /* of a link what it leads to */
        sb = (struct stat){0};
    return dlm_str_appendf(ctx, out, "%s %lld %lld.%09ld\n", path, (long long)sb.st_size,
                           (long long)sb.st_mtim.tv_sec, sb.st_mtim.tv_nsec);
}

/* The library in each of the folders between colons. */
static enum dlm_status add_in_folders(struct dlm_ctx *ctx, const char *folders, const char *name,
                                      struct dlm_str *out)
{
    enum dlm_status st = DLM_OK;

    while (!st && folders && *folders) {
        const size_t len = strcspn(folders, ":");
        char *path = dlm_strf(ctx, "%.*s/%s", len ? (int)len : 1, len ? folders : ".", name);
        st = path ? add_file(ctx, path, out) : DLM_ERR_MEMORY;
        dlm_free(path);
        folders += len + (folders[len] == ':');
    }
    return st;
}

/* base: the folder of a name that is relative and has a slash; NULL: the process's own. */
static enum dlm_status add_library(struct dlm_ctx *ctx, const char *name, const char *base,
                                   struct dlm_str *out)
{
    if (!strchr(name, '/')) {
        enum dlm_status st = add_in_folders(ctx, getenv("LD_LIBRARY_PATH"), name, out);
        if (!st)
            st = add_in_folders(ctx, usual_folders, name, out);
        return st ? st : add_file(ctx, LINKER_CACHE, out);
    }
    if (!base || *name == '/')
        return add_file(ctx, name, out);
    char *path = dlm_path_join(ctx, base, name);
    enum dlm_status st = path ? add_file(ctx, path, out) : DLM_ERR_MEMORY;
    dlm_free(path);
    return st;
}

/* Of a JSON file of a Vulkan driver: "library_path" of its "ICD". */
static enum dlm_status add_vulkan_library(struct dlm_ctx *ctx, const char *path,
                                          const struct dlm_str *text, struct dlm_str *out)
{
    json_t *json = json_loadb(dlm_str_text(text), text->len, 0, NULL); /* NULL will do */
    const char *name = json_string_value(json_object_get(json_object_get(json, "ICD"),
                                                         "library_path"));
    char *folder = name ? dlm_path_dirname(ctx, path) : NULL;
    enum dlm_status st = DLM_OK;

    if (name)
        st = folder ? add_library(ctx, name, folder, out) : DLM_ERR_MEMORY;
    dlm_free(folder);
    json_decref(json);
    return st;
}

/* Of an .icd file of OpenCL: its first line. */
static enum dlm_status add_opencl_library(struct dlm_ctx *ctx, struct dlm_str *text,
                                          struct dlm_str *out)
{
    if (!text->len)
        return DLM_OK;
    text->data[strcspn(text->data, "\r\n")] = '\0';
    return add_library(ctx, text->data, NULL, out);
}

/* A file that names no library is its own driver, as far as this can tell. */
static enum dlm_status add_driver(struct dlm_ctx *ctx, enum dlm_backend_kind kind,
                                  const char *path, struct dlm_str *out)
{
    struct dlm_str text = {0};

    enum dlm_status st = add_file(ctx, path, out);
    if (!st && !dlm_file_read(NULL, path, MAX_FILE_BYTES, &text))
        st = kind == DLM_BACKEND_VULKAN ? add_vulkan_library(ctx, path, &text, out)
                                        : add_opencl_library(ctx, &text, out);
    dlm_str_finish(&text);
    return st;
}

enum dlm_status dlm_driver_files_identify(struct dlm_ctx *ctx, const struct dlm_driver_files *files,
                                          struct dlm_str *out)
{
    const char *folders = getenv("LD_LIBRARY_PATH"), *preloaded = getenv("LD_PRELOAD");

    enum dlm_status st = dlm_str_appendf(ctx, out, "%s\n%s\n", folders ? folders : "",
                                         preloaded ? preloaded : "");
    for (size_t i = 0; !st && i < files->num; i++)
        st = add_driver(ctx, files->kind, files->paths[i], out);
    return st;
}
