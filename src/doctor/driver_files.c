/* Where the loaders look: ocl-icd(7) and the Khronos loaders' documents. They take other variables
 * and folders on other systems; what is not found here is not told apart, and no more. */
#include "doctor/driver_files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#define OPENCL_FOLDER "/etc/OpenCL/vendors"
#define VULKAN_FOLDER "vulkan/icd.d"

static const char *get_env(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static bool has_ending(const char *name, const char *ending)
{
    const size_t len = strlen(name), end = strlen(ending);
    return len > end && !strcmp(name + len - end, ending);
}

/* Takes path. */
static enum dlm_status add(struct dlm_ctx *ctx, struct dlm_driver_files *files, char *path)
{
    if (!path)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; i < files->num; i++)
        if (!strcmp(files->paths[i], path)) {
            dlm_free(path);
            return DLM_OK;
        }
    if (!dlm_grow(ctx, &files->paths, &files->cap, files->num + 1, sizeof(*files->paths))) {
        dlm_free(path);
        return DLM_ERR_MEMORY;
    }
    files->paths[files->num++] = path;
    files->paths[files->num] = NULL;
    return DLM_OK;
}

/* A file, or those in a folder that end so. */
static enum dlm_status add_place(struct dlm_ctx *ctx, struct dlm_driver_files *files,
                                 const char *path, const char *ending)
{
    char **names = NULL;

    if (!dlm_path_is_dir(path))
        return dlm_path_is_file(path) ? add(ctx, files, dlm_strdup(ctx, path)) : DLM_OK;
    enum dlm_status st = dlm_dir_list(ctx, path, &names);
    if (st) /* one that may not be read has no driver for this user */
        return st == DLM_ERR_MEMORY ? st : DLM_OK;
    for (size_t i = 0; !st && names[i]; i++)
        if (has_ending(names[i], ending))
            st = add(ctx, files, dlm_path_join(ctx, path, names[i]));
    dlm_names_free(names);
    return st;
}

/* Places between colons, each with `below` behind it. */
static enum dlm_status add_places(struct dlm_ctx *ctx, struct dlm_driver_files *files,
                                  const char *list, const char *below)
{
    enum dlm_status st = DLM_OK;

    while (!st && *list) {
        const size_t len = strcspn(list, ":");
        char *path = dlm_strf(ctx, "%.*s%s%s", (int)len, list, *below ? "/" : "", below);
        st = path ? DLM_OK : DLM_ERR_MEMORY;
        if (!st && len)
            st = add_place(ctx, files, path, ".json");
        dlm_free(path);
        list += len + (list[len] == ':');
    }
    return st;
}

/* A variable's folders, else those below the user's. */
static enum dlm_status add_user(struct dlm_ctx *ctx, struct dlm_driver_files *files,
                                const char *name, const char *below)
{
    const char *home = get_env("HOME"), *value = get_env(name);

    if (value)
        return add_places(ctx, files, value, VULKAN_FOLDER);
    if (!home)
        return DLM_OK;
    char *path = dlm_strf(ctx, "%s/%s/" VULKAN_FOLDER, home, below);
    enum dlm_status st = path ? add_place(ctx, files, path, ".json") : DLM_ERR_MEMORY;
    dlm_free(path);
    return st;
}

static enum dlm_status find_vulkan(struct dlm_ctx *ctx, struct dlm_driver_files *files)
{
    const char *own = get_env("VK_DRIVER_FILES"), *added = get_env("VK_ADD_DRIVER_FILES");
    const char *config = get_env("XDG_CONFIG_DIRS"), *data = get_env("XDG_DATA_DIRS");

    own = own ? own : get_env("VK_ICD_FILENAMES");
    if (own)
        return add_places(ctx, files, own, "");
    enum dlm_status st = added ? add_places(ctx, files, added, "") : DLM_OK;
    if (!st)
        st = add_user(ctx, files, "XDG_CONFIG_HOME", ".config");
    if (!st)
        st = add_places(ctx, files, config ? config : "/etc/xdg", VULKAN_FOLDER);
    if (!st)
        st = add_places(ctx, files, "/usr/local/etc:/etc", VULKAN_FOLDER);
    if (!st)
        st = add_user(ctx, files, "XDG_DATA_HOME", ".local/share");
    return st ? st
              : add_places(ctx, files, data ? data : "/usr/local/share:/usr/share", VULKAN_FOLDER);
}

static enum dlm_status find_opencl(struct dlm_ctx *ctx, struct dlm_driver_files *files)
{
    const char *place = get_env("OCL_ICD_VENDORS");

    place = place ? place : get_env("OPENCL_VENDOR_PATH");
    return add_place(ctx, files, place ? place : OPENCL_FOLDER, ".icd");
}

enum dlm_status dlm_driver_files_find(struct dlm_ctx *ctx, struct dlm_driver_files *files,
                                      enum dlm_backend_kind kind)
{
    *files = (struct dlm_driver_files){.kind = kind};
    return kind == DLM_BACKEND_VULKAN   ? find_vulkan(ctx, files)
           : kind == DLM_BACKEND_OPENCL ? find_opencl(ctx, files)
                                        : DLM_OK;
}

void dlm_driver_files_finish(struct dlm_ctx *ctx, struct dlm_driver_files *files)
{
    if (files->folder && dlm_path_remove(NULL, files->folder)) /* links left over harm nobody */
        dlm_log(ctx, DLM_LOG_DEBUG, "cannot remove folder '%s'", files->folder);
    dlm_free(files->folder);
    dlm_names_free(files->paths);
    *files = (struct dlm_driver_files){0};
}

/* Makes a folder, named by what is in it, that holds links to those files; one that is there
 * already will do. */
static enum dlm_status make_links(struct dlm_ctx *ctx, struct dlm_driver_files *files,
                                  const bool *is_in, char **folder)
{
    const char *temp = get_env("TMPDIR");
    struct dlm_str name = {0};
    enum dlm_status st = DLM_OK;

    *folder = NULL;
    if (!files->folder) {
        files->folder = dlm_strf(ctx, "%s/dlm-drivers-XXXXXX", temp ? temp : "/tmp");
        if (!files->folder)
            return DLM_ERR_MEMORY;
        if (!mkdtemp(files->folder)) {
            st = dlm_fail(ctx, DLM_ERR_IO, "cannot make folder '%s': %s", files->folder,
                          strerror(errno));
            dlm_free(files->folder);
            files->folder = NULL;
            return st;
        }
    }
    st = dlm_str_appendf(ctx, &name, "%s/", files->folder);
    for (size_t i = 0; !st && i < files->num; i++)
        st = dlm_str_appendz(ctx, &name, is_in[i] ? "1" : "0");
    const bool is_made = !st && dlm_path_is_dir(name.data);
    if (!st && !is_made)
        st = dlm_dir_make(ctx, name.data);
    for (size_t i = 0; !st && !is_made && i < files->num; i++) {
        char *target = is_in[i] ? realpath(files->paths[i], NULL) : NULL;
        char *link = target ? dlm_strf(ctx, "%s/%03zu.icd", name.data, i) : NULL;
        if (target && (!link || symlink(target, link)))
            st = dlm_fail(ctx, DLM_ERR_IO, "cannot make links in folder '%s'", name.data);
        dlm_free(link);
        free(target);
    }
    if (!st) {
        *folder = name.data;
        name = (struct dlm_str){0};
    }
    dlm_str_finish(&name);
    return st;
}

static enum dlm_status join_paths(struct dlm_ctx *ctx, const struct dlm_driver_files *files,
                                  const bool *is_in, struct dlm_str *out)
{
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < files->num; i++)
        if (is_in[i])
            st = dlm_str_appendf(ctx, out, "%s%s", out->len ? ":" : "", files->paths[i]);
    return st;
}

enum dlm_status dlm_driver_files_env(struct dlm_ctx *ctx, struct dlm_driver_files *files,
                                     const bool *is_in, char ***env)
{
    struct dlm_str paths = {0};
    char *folder = NULL;
    enum dlm_status st;

    *env = dlm_alloc_array(ctx, 3, sizeof(**env));
    if (!*env)
        return DLM_ERR_MEMORY;
    if (files->kind == DLM_BACKEND_OPENCL) {
        st = make_links(ctx, files, is_in, &folder);
        if (!st)
            (*env)[0] = dlm_strf(ctx, "OCL_ICD_VENDORS=%s", folder);
    } else {
        st = join_paths(ctx, files, is_in, &paths);
        if (!st)
            (*env)[0] = dlm_strf(ctx, "VK_DRIVER_FILES=%s", dlm_str_text(&paths));
        if (!st && (*env)[0]) /* the older name of the same */
            (*env)[1] = dlm_strf(ctx, "VK_ICD_FILENAMES=%s", dlm_str_text(&paths));
    }
    if (!st && (!(*env)[0] || (files->kind != DLM_BACKEND_OPENCL && !(*env)[1])))
        st = DLM_ERR_MEMORY;
    if (st) {
        dlm_names_free(*env);
        *env = NULL;
    }
    dlm_str_finish(&paths);
    dlm_free(folder);
    return st;
}

char *dlm_driver_files_way_out(struct dlm_ctx *ctx, const struct dlm_driver_files *files,
                               const bool *is_in)
{
    struct dlm_str paths = {0};
    size_t num = 0;
    char *text = NULL;

    for (size_t i = 0; i < files->num; i++)
        num += is_in[i];
    if (!num || join_paths(ctx, files, is_in, &paths))
        goto done;
    if (files->kind == DLM_BACKEND_VULKAN)
        text = dlm_strf(ctx, "VK_DRIVER_FILES=%s leaves it out", paths.data);
    else if (num == 1)
        text = dlm_strf(ctx, "OCL_ICD_VENDORS=%s leaves it out", paths.data);
    else
        text = dlm_strf(ctx, "OCL_ICD_VENDORS=FOLDER leaves it out, where FOLDER holds the other "
                        "drivers' .icd files");
done:
    dlm_str_finish(&paths);
    return text;
}
