/* Records of exports on their way. */
#include "export/kept.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/sha256.h"

#define MAX_RECORD_BYTES ((size_t)1 << 20)
#define FIRST "dlm export 1 "

/* --- what files are made of --- */

/* Names, sizes and times of a folder's files. */
static enum dlm_status append_files(struct dlm_ctx *ctx, struct dlm_str *out, const char *dir)
{
    char **names = NULL;
    struct stat sb;

    enum dlm_status st = dlm_dir_list(ctx, dir, &names);
    for (size_t i = 0; !st && names[i]; i++) {
        char *path = dlm_path_join(ctx, dir, names[i]);
        if (!path)
            st = DLM_ERR_MEMORY;
        else if (!stat(path, &sb) && S_ISREG(sb.st_mode))
            st = dlm_str_appendf(ctx, out, "%s %lld %lld.%09ld\n", names[i], (long long)sb.st_size,
                                 (long long)sb.st_mtim.tv_sec, sb.st_mtim.tv_nsec);
        dlm_free(path);
    }
    dlm_names_free(names);
    return st;
}

enum dlm_status dlm_kept_identity(struct dlm_ctx *ctx, const struct dlm_export_job *job,
                                  const struct dlm_checkpoint *base, char identity[65])
{
    struct dlm_str text = {0};
    char weights[65];

    enum dlm_status st = dlm_checkpoint_identity(ctx, base, weights);
    if (!st)
        st = dlm_str_appendf(ctx, &text, "%s\n%s %d\n%s\n", dlm_version_text(),
                             job->is_gguf ? "gguf" : "merged",
                             job->is_gguf ? (int)job->quant : (int)job->dtype, weights);
    if (!st)
        st = append_files(ctx, &text, job->adapter);
    if (!st)
        st = append_files(ctx, &text, job->base->dir);
    if (!st)
        dlm_sha256_of(dlm_str_text(&text), text.len, identity);
    dlm_str_finish(&text);
    return st;
}

/* --- reading --- */

static bool is_hex(const char *text, size_t len)
{
    return strspn(text, "0123456789abcdef") >= len;
}

/* "SHA256 BYTES NAME"; what is no such line is passed over: it was being written. */
static enum dlm_status add_line(struct dlm_ctx *ctx, struct dlm_kept *kept, char *line)
{
    char *end;

    if (!is_hex(line, 64) || line[64] != ' ')
        return DLM_OK;
    const uint64_t bytes = strtoull(line + 65, &end, 10);
    if (*end != ' ' || !end[1] || strchr(end, '/'))
        return DLM_OK;
    if (!dlm_grow(ctx, &kept->files, &kept->cap, kept->len, sizeof(*kept->files)))
        return DLM_ERR_MEMORY;
    struct dlm_export_file *file = &kept->files[kept->len];
    *file = (struct dlm_export_file){.path = dlm_strdup(ctx, end + 1), .bytes = bytes};
    if (!file->path)
        return DLM_ERR_MEMORY;
    memcpy(file->sha256, line, 64);
    kept->len++;
    kept->bytes += bytes;
    return DLM_OK;
}

enum dlm_status dlm_kept_read(struct dlm_ctx *ctx, struct dlm_kept *kept, const char *folder,
                              const char *identity, bool *is_same)
{
    struct dlm_str text = {0};
    char *path = dlm_path_join(ctx, folder, DLM_KEPT_RECORD), *next = NULL;
    enum dlm_status st = path ? DLM_OK : DLM_ERR_MEMORY;

    *kept = (struct dlm_kept){0};
    *is_same = false;
    if (!st && !dlm_path_is_file(path))
        goto done;
    if (!st)
        st = dlm_file_read(ctx, path, MAX_RECORD_BYTES, &text);
    for (char *line = st ? NULL : text.data; !st && line; line = next) {
        char *end = strchr(line, '\n');
        if (!end)
            break;
        *end = '\0';
        next = end + 1;
        if (line == text.data && (strncmp(line, FIRST, sizeof(FIRST) - 1) ||
                                  strcmp(line + sizeof(FIRST) - 1, identity)))
            break;
        if (line == text.data)
            *is_same = true;
        else
            st = add_line(ctx, kept, line);
    }
done:
    if (st)
        dlm_kept_finish(kept);
    dlm_str_finish(&text);
    dlm_free(path);
    return st;
}

void dlm_kept_finish(struct dlm_kept *kept)
{
    for (size_t i = 0; i < kept->len; i++)
        dlm_free(kept->files[i].path);
    dlm_free(kept->files);
    *kept = (struct dlm_kept){0};
}

const struct dlm_export_file *dlm_kept_find(const struct dlm_kept *kept, const char *name)
{
    for (size_t i = kept->len; i-- > 0;)
        if (!strcmp(kept->files[i].path, name))
            return &kept->files[i];
    return NULL;
}

enum dlm_status dlm_kept_clean(struct dlm_ctx *ctx, const struct dlm_kept *kept, const char *folder)
{
    char **names = NULL;

    enum dlm_status st = dlm_dir_list(ctx, folder, &names);
    for (size_t i = 0; !st && names[i]; i++) {
        if (!strcmp(names[i], DLM_KEPT_RECORD) || dlm_kept_find(kept, names[i]))
            continue;
        char *path = dlm_path_join(ctx, folder, names[i]);
        st = path ? dlm_path_remove(ctx, path) : DLM_ERR_MEMORY;
        dlm_free(path);
    }
    dlm_names_free(names);
    return st;
}

/* --- writing --- */

static enum dlm_status append(struct dlm_ctx *ctx, const char *folder, int flags, const char *line)
{
    char *path = dlm_path_join(ctx, folder, DLM_KEPT_RECORD);
    enum dlm_status st = DLM_OK;

    if (!path)
        return DLM_ERR_MEMORY;
    const int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | flags, 0644);
    const size_t len = strlen(line);
    if (fd < 0 || write(fd, line, len) != (ssize_t)len || fsync(fd))
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot write '%s': %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    dlm_free(path);
    return st;
}

enum dlm_status dlm_kept_begin(struct dlm_ctx *ctx, const char *folder, const char *identity)
{
    char line[sizeof(FIRST) + 65];

    snprintf(line, sizeof(line), FIRST "%s\n", identity);
    return append(ctx, folder, O_CREAT | O_EXCL, line);
}

enum dlm_status dlm_kept_add(struct dlm_ctx *ctx, const char *folder,
                             const struct dlm_export_file *file)
{
    /* it begins a line, whatever a killed process left of its own */
    char *line = dlm_strf(ctx, "\n%s %" PRIu64 " %s\n", file->sha256, file->bytes, file->path);

    enum dlm_status st = line ? append(ctx, folder, 0, line) : DLM_ERR_MEMORY;
    dlm_free(line);
    return st;
}
