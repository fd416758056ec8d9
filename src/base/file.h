/* Files: map for reading, read whole, replace atomically. Every failure names the path. A git-lfs
 * pointer in place of a file is one: DLM_ERR_IO. */
#ifndef DLM_BASE_FILE_H
#define DLM_BASE_FILE_H

#include <stdint.h>

#include "base/str.h"

/* A read-only mapping. All zero is valid and empty. An empty file maps to data NULL, bytes 0. */
struct dlm_map {
    const uint8_t *data;
    size_t bytes;
};

enum dlm_status dlm_map_open(struct dlm_ctx *ctx, struct dlm_map *map,
                             const char *path) DLM_CHECK_RESULT;
void dlm_map_close(struct dlm_map *map);

/* Tells the kernel that the pages of map[offset, offset+bytes) are not needed any more. */
void dlm_map_drop(const struct dlm_map *map, size_t offset, size_t bytes);

/* Reads at most max_bytes of a regular file (or of standard input for "-") into out; a larger file
 * is DLM_ERR_INVALID. */
enum dlm_status dlm_file_read(struct dlm_ctx *ctx, const char *path, size_t max_bytes,
                              struct dlm_str *out) DLM_CHECK_RESULT;

/* Where writing `path` puts its bytes: the file at the end of its links, or path itself. Only a
 * regular file or an absent path may be replaced: DLM_ERR_IO for a device, a pipe, a folder, and a
 * link to nothing. *target is owned by the caller. */
enum dlm_status dlm_file_target(struct dlm_ctx *ctx, const char *path,
                                char **target) DLM_CHECK_RESULT;

/* <target>.tmp.<pid>.<nonce>, owned by the caller; NULL when out of memory. */
char *dlm_file_temporary(struct dlm_ctx *ctx, const char *target) DLM_CHECK_RESULT;

/* Writes path whole or not at all: temporary file beside dlm_file_target(), fsync, rename, fsync of
 * the folder. A file that was there gives it its mode and owner; a warning says if it cannot. */
enum dlm_status dlm_file_replace(struct dlm_ctx *ctx, const char *path, const void *data,
                                 size_t bytes) DLM_CHECK_RESULT;

/* Writes a file that is not there yet, with the mode and owner of `like`. *is_taken: path exists,
 * and was left alone. */
enum dlm_status dlm_file_create_like(struct dlm_ctx *ctx, const char *path, const char *like,
                                     const void *data, size_t bytes,
                                     bool *is_taken) DLM_CHECK_RESULT;

/* fsync of a folder. */
enum dlm_status dlm_dir_sync(struct dlm_ctx *ctx, const char *path) DLM_CHECK_RESULT;

/* mkdir -p. */
enum dlm_status dlm_dir_make(struct dlm_ctx *ctx, const char *path) DLM_CHECK_RESULT;

/* Removes a file or folder with all below it, without following links. A missing path is fine. */
enum dlm_status dlm_path_remove(struct dlm_ctx *ctx, const char *path) DLM_CHECK_RESULT;

bool dlm_path_is_file(const char *path);
bool dlm_path_is_dir(const char *path);

/* Whether a process holds the file or folder by flock, as what it is writing. */
bool dlm_path_is_held(const char *path);

/* Adds to *bytes the sizes of all files below path: of links to files their targets' with `follow`,
 * else their own. What is gone meanwhile counts nothing. */
enum dlm_status dlm_path_bytes(struct dlm_ctx *ctx, const char *path, bool follow,
                               uint64_t *bytes) DLM_CHECK_RESULT;

/* What the file system of a folder has free for this user. */
enum dlm_status dlm_path_free_bytes(struct dlm_ctx *ctx, const char *path,
                                    uint64_t *bytes) DLM_CHECK_RESULT;

/* The folder of stores, caches and the user's own bases: home as given, else the context's, else
 * $DLM_HOME, else ~/.dlm; a leading "~/" is the user's folder. Owned by the caller, NULL after
 * logging. */
char *dlm_path_home(struct dlm_ctx *ctx, const char *home) DLM_CHECK_RESULT;

/* Where compiled kernels are kept: $DLM_KERNEL_CACHE, else in the user's cache folder; owned by the
 * caller. NULL: nowhere. */
char *dlm_path_kernel_cache(struct dlm_ctx *ctx);

/* a + "/" + b, owned by the caller; NULL when out of memory. */
char *dlm_path_join(struct dlm_ctx *ctx, const char *a, const char *b) DLM_CHECK_RESULT;

/* Folder part of path ("." if it has none), owned by the caller. */
char *dlm_path_dirname(struct dlm_ctx *ctx, const char *path) DLM_CHECK_RESULT;

/* Last component of path; points into path. */
const char *dlm_path_basename(const char *path);

/* Sorted (bytewise) names in a folder, without "." and "..", as an owned NULL-terminated array of
 * owned strings; free with dlm_names_free(). */
enum dlm_status dlm_dir_list(struct dlm_ctx *ctx, const char *path, char ***names) DLM_CHECK_RESULT;
void dlm_names_free(char **names);

#endif
