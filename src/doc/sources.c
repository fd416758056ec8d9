/* training.sources: walks files and folders in the order of their paths and makes sections of
 * them. */
#include "doc/sources.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "doc/doc_impl.h"
#include "doc/sources_impl.h"
#include "doc/text.h"

#define MAX_FILE_BYTES ((int64_t)256 << 20)
#define MAX_DEPTH 100
#define SNIFF_BYTES 1024

struct walk {
    struct dlm_ctx *ctx;
    struct dlm_doc_sources *out;
    size_t cap;
    const struct dlm_doc_source *source;
    struct dlm_doc_provenance *counts;
    const char *base_dir; /* of the document */
    bool is_strict;
    size_t root_len; /* bytes of an absolute path up to the part that is relative to the root */
    int depth;
};

enum file_kind { FILE_TEXT, FILE_IMAGE, FILE_AUDIO };

/* The suffix that Python's Path gives, "" if none: ".png" alone is a name. */
static const char *suffix_of(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && dot > name && dot[1] ? dot : "";
}

static enum file_kind kind_of(const char *name)
{
    static const char *const images[] = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tiff"};
    static const char *const audios[] = {".wav", ".flac", ".ogg"};
    const char *suffix = suffix_of(name);

    for (size_t i = 0; i < DLM_ARRAY_LEN(images); i++) {
        if (!strcasecmp(suffix, images[i]))
            return FILE_IMAGE;
    }
    for (size_t i = 0; i < DLM_ARRAY_LEN(audios); i++) {
        if (!strcasecmp(suffix, audios[i]))
            return FILE_AUDIO;
    }
    return FILE_TEXT;
}

static bool is_full(const struct walk *w)
{
    int64_t taken = w->counts->file_count + w->counts->image_count;
    return w->source->max_files && taken >= w->source->max_files;
}

/* --- one file ------------------------------------------------------------------------------ */

static enum dlm_status fail_policy(struct dlm_ctx *ctx, const char *path, const char *base_dir)
{
    return dlm_fail(ctx, DLM_ERR_INVALID,
                    "directive path %s escapes strict-policy root %s; either move the path under "
                    "the .dlm's parent directory or set `training.sources_policy: permissive` to "
                    "allow external paths",
                    path, base_dir);
}

/* Under the strict policy a link inside the tree must not lead out of the document's folder. */
static enum dlm_status check_link(const struct walk *w, const char *path)
{
    struct stat info;

    if (!w->is_strict || lstat(path, &info) || !S_ISLNK(info.st_mode))
        return DLM_OK;
    char *resolved = realpath(path, NULL);
    bool is_inside = !resolved || dlm_doc_is_inside(w->base_dir, resolved);
    enum dlm_status st = is_inside ? DLM_OK : fail_policy(w->ctx, resolved, w->base_dir);
    free(resolved);
    return st;
}

static enum dlm_status add_section(struct walk *w, struct dlm_doc_section *section)
{
    dlm_doc_section_id(section, NULL, section->id);
    if (!dlm_arena_grow(w->ctx, &w->out->arena, &w->out->sections, &w->cap, w->out->num_sections,
                        sizeof(*section)))
        return DLM_ERR_MEMORY;
    w->out->sections[w->out->num_sections++] = *section;
    return DLM_OK;
}

/* Reads a text file into the arena. *text stays NULL, and the reason is counted, when it is not
 * text; *bytes is its size on disk. */
static enum dlm_status read_text(struct walk *w, const char *path, char **text, size_t *len,
                                 size_t *bytes)
{
    struct dlm_str data = {0};
    const char *reason = NULL;
    size_t offset = 0;

    *text = NULL;
    if (access(path, R_OK)) {
        dlm_log(w->ctx, DLM_LOG_WARNING, "skipping '%s': %s", path, strerror(errno));
        return DLM_OK;
    }
    enum dlm_status st = dlm_file_read(w->ctx, path, (size_t)MAX_FILE_BYTES, &data);
    const char *p = dlm_str_text(&data);
    *bytes = data.len;
    if (st)
        goto done;
    if (memchr(p, '\0', DLM_MIN(data.len, SNIFF_BYTES))) {
        w->counts->skipped_binary++;
    } else if (!dlm_text_check_utf8(p, data.len, &offset, &reason)) {
        dlm_log(w->ctx, DLM_LOG_WARNING, "skipping '%s': it is not UTF-8 (byte %zu: %s)", path,
                offset, reason);
        w->counts->skipped_encoding++;
    } else {
        st = dlm_text_normalize(w->ctx, &w->out->arena, p, data.len, text, len, NULL);
    }
done:
    dlm_str_finish(&data);
    return st;
}

static enum dlm_status add_text(struct walk *w, const char *path)
{
    struct dlm_doc_section section = {.type = DLM_DOC_SECTION_PROSE};
    struct dlm_str content = {0};
    char *text = NULL;
    size_t len = 0, bytes = 0;

    enum dlm_status st = read_text(w, path, &text, &len, &bytes);
    if (st || !text)
        return st;
    st = dlm_str_appendf(w->ctx, &content, "# source: %s\n\n", path + w->root_len);
    if (!st)
        st = dlm_str_append(w->ctx, &content, text, len);
    if (!st) {
        section.content_len = content.len;
        section.content =
            dlm_arena_strndup(w->ctx, &w->out->arena, content.data, content.len);
        section.source_file = dlm_arena_strndup(w->ctx, &w->out->arena, path, strlen(path));
        st = section.content && section.source_file ? add_section(w, &section) : DLM_ERR_MEMORY;
    }
    dlm_str_finish(&content);
    if (st)
        return st;
    w->counts->file_count++;
    w->counts->total_bytes += (int64_t)bytes;
    return DLM_OK;
}

/* False, counted, when the file is larger than what the source or we allow. */
static bool fits(struct walk *w, const struct stat *info)
{
    int64_t limit = w->source->max_bytes_per_file;
    if (!limit || limit > MAX_FILE_BYTES)
        limit = MAX_FILE_BYTES;
    if (info->st_size <= limit)
        return true;
    w->counts->skipped_over_size++;
    return false;
}

/* NAME.txt beside the image, if it is there and has text. */
static enum dlm_status read_caption(struct walk *w, const char *image_path,
                                    struct dlm_doc_section *section)
{
    const char *suffix = suffix_of(dlm_path_basename(image_path));
    struct stat info;
    char *text = NULL;
    size_t len = 0, bytes = 0;

    section->content = "";
    char *path = dlm_strf(w->ctx, "%.*s.txt", (int)(suffix - image_path), image_path);
    if (!path)
        return DLM_ERR_MEMORY;
    enum dlm_status st = DLM_OK;
    if (!stat(path, &info) && S_ISREG(info.st_mode) && fits(w, &info)) {
        st = check_link(w, path);
        if (!st)
            st = read_text(w, path, &text, &len, &bytes);
    }
    if (!st && text && !dlm_text_is_blank(text, len)) {
        section->content = text;
        section->content_len = len;
        w->counts->caption_count++;
    } else if (!st) {
        w->counts->images_without_caption++;
    }
    dlm_free(path);
    return st;
}

static enum dlm_status add_image(struct walk *w, const char *path, int64_t bytes)
{
    struct dlm_doc_section section = {.type = DLM_DOC_SECTION_IMAGE};
    struct dlm_arena *arena = &w->out->arena;
    const char *name = dlm_path_basename(path);
    const char *rel = path + w->root_len;

    section.source_file = dlm_arena_strndup(w->ctx, arena, path, strlen(path));
    section.media_path = dlm_arena_strndup(w->ctx, arena, rel, strlen(rel));
    section.media_alt = dlm_arena_strndup(w->ctx, arena, name, (size_t)(suffix_of(name) - name));
    if (!section.source_file || !section.media_path || !section.media_alt)
        return DLM_ERR_MEMORY;
    enum dlm_status st = read_caption(w, path, &section);
    if (!st)
        st = add_section(w, &section);
    if (st)
        return st;
    w->counts->image_count++;
    w->counts->image_bytes += bytes;
    return DLM_OK;
}

/* Is name an image of the folder that is ingested, with a stem of stem_len bytes? */
static bool is_taken_image(const struct walk *w, const struct dlm_source_config *config,
                           const char *dir, const char *name, size_t stem_len)
{
    if (kind_of(name) != FILE_IMAGE || (size_t)(suffix_of(name) - name) != stem_len)
        return false;
    char *path = dlm_path_join(w->ctx, dir, name);
    bool is_taken = path && dlm_path_is_file(path) &&
                    dlm_source_is_included(w->source, config, path + w->root_len);
    dlm_free(path);
    return is_taken;
}

/* Is *name, of the sorted and NULL-terminated names of its folder, the NAME.txt of an ingested
 * image and so its caption? Names with the same stem stand side by side. */
static bool is_caption(const struct walk *w, const struct dlm_source_config *config,
                       const char *dir, char *const *names, char *const *name)
{
    size_t stem_len = (size_t)(suffix_of(*name) - *name);

    if (strcmp(suffix_of(*name), ".txt"))
        return false;
    for (char *const *p = name; p > names && !strncmp(p[-1], *name, stem_len + 1); p--) {
        if (is_taken_image(w, config, dir, p[-1], stem_len))
            return true;
    }
    for (char *const *p = name + 1; *p && !strncmp(*p, *name, stem_len + 1); p++) {
        if (is_taken_image(w, config, dir, *p, stem_len))
            return true;
    }
    return false;
}

/* path: an existing regular file or a link to one. */
static enum dlm_status add_file(struct walk *w, const struct dlm_source_config *config,
                                const char *path)
{
    const char *name = dlm_path_basename(path);
    struct stat info;

    if (!dlm_utf8_is_valid(path, strlen(path), NULL)) {
        dlm_log(w->ctx, DLM_LOG_WARNING, "skipping '%s': its name is not UTF-8", path);
        w->counts->skipped_encoding++;
        return DLM_OK;
    }
    if (!dlm_source_is_included(w->source, config, path + w->root_len)) {
        w->counts->skipped_by_descent++;
        return DLM_OK;
    }
    enum dlm_status st = check_link(w, path);
    if (st)
        return st;
    if (stat(path, &info)) {
        dlm_log(w->ctx, DLM_LOG_WARNING, "skipping '%s': %s", path, strerror(errno));
        return DLM_OK;
    }
    if (!fits(w, &info))
        return DLM_OK;
    if (kind_of(name) == FILE_AUDIO) {
        w->counts->audio_skipped++;
        return DLM_OK;
    }
    return kind_of(name) == FILE_IMAGE ? add_image(w, path, (int64_t)info.st_size)
                                       : add_text(w, path);
}

/* --- folders ------------------------------------------------------------------------------- */

static bool is_link(const char *path)
{
    struct stat info;
    return !lstat(path, &info) && S_ISLNK(info.st_mode);
}

static enum dlm_status walk_dir(struct walk *w, const struct dlm_source_config *outer,
                                const char *dir);

static enum dlm_status walk_entry(struct walk *w, const struct dlm_source_config *config,
                                  const char *dir, char *const *names, char *const *name)
{
    char *path = dlm_path_join(w->ctx, dir, *name);
    enum dlm_status st = DLM_OK;

    if (!path)
        return DLM_ERR_MEMORY;
    if (dlm_ctx_is_cancelled(w->ctx))
        st = DLM_ERR_CANCELLED;
    else if (dlm_path_is_file(path))
        st = is_caption(w, config, dir, names, name) ? DLM_OK : add_file(w, config, path);
    else if (dlm_path_is_dir(path) && !is_link(path)) /* links to folders are not followed */
        st = walk_dir(w, config, path);
    dlm_free(path);
    return st;
}

static enum dlm_status walk_dir(struct walk *w, const struct dlm_source_config *outer,
                                const char *dir)
{
    struct dlm_source_config *own = NULL;
    char **names = NULL;
    enum dlm_status st = DLM_OK;

    if (w->depth == MAX_DEPTH || access(dir, R_OK | X_OK)) {
        dlm_log(w->ctx, DLM_LOG_WARNING, "skipping folder '%s': %s", dir,
                w->depth == MAX_DEPTH ? "nested too deeply" : strerror(errno));
        return DLM_OK;
    }
    w->depth++;
    size_t anchor_len = strlen(dir) + 1 > w->root_len ? strlen(dir) + 1 - w->root_len : 0;
    st = dlm_source_config_read(w->ctx, &w->out->arena, dir, outer, anchor_len, &own);
    if (!st)
        st = dlm_dir_list(w->ctx, dir, &names);
    for (size_t i = 0; !st && names[i] && !is_full(w); i++)
        st = walk_entry(w, own ? own : outer, dir, names, &names[i]);
    w->depth--;
    dlm_names_free(names);
    return st;
}

/* --- one entry of training.sources --------------------------------------------------------- */

/* "~" and "~/..." start at HOME, other relative paths at the document's folder. */
static char *expand_path(struct dlm_ctx *ctx, const char *base_dir, const char *path)
{
    const char *home = getenv("HOME");

    if (path[0] == '~' && (path[1] == '/' || !path[1]) && home)
        return dlm_strf(ctx, "%s%s", home, path + 1);
    return path[0] == '/' ? dlm_strdup(ctx, path) : dlm_path_join(ctx, base_dir, path);
}

static enum dlm_status read_source(struct walk *w)
{
    const char *written = w->source->path;
    enum dlm_status st = DLM_ERR_MEMORY;
    char *root = NULL;
    char *path = expand_path(w->ctx, w->base_dir, written);
    if (!path)
        goto done;
    root = realpath(path, NULL);
    if (!root) {
        st = dlm_fail(w->ctx, DLM_ERR_IO, "directive path %s: %s", path,
                      errno == ENOENT ? "path does not exist" : strerror(errno));
        goto done;
    }
    st = DLM_OK;
    bool is_inside = dlm_doc_is_inside(w->base_dir, root);
    if (w->is_strict && !is_inside) {
        st = fail_policy(w->ctx, root, w->base_dir);
        goto done;
    }
    if (!is_inside && dlm_doc_is_inside(w->base_dir, path) && !strstr(path, "/../"))
        dlm_log(w->ctx, DLM_LOG_WARNING,
                "directive: symlink at %s escapes %s (permissive: proceeding)", path, w->base_dir);
    if (dlm_path_is_file(root)) {
        w->root_len = (size_t)(dlm_path_basename(root) - root);
        st = add_file(w, NULL, root);
    } else if (dlm_path_is_dir(root)) {
        w->root_len = strlen(root) + (strcmp(root, "/") ? 1 : 0);
        st = walk_dir(w, NULL, root);
    }
done:
    free(root);
    dlm_free(path);
    return st;
}

enum dlm_status dlm_doc_sources_read(struct dlm_ctx *ctx, const struct dlm_doc *doc,
                                     struct dlm_doc_sources *out)
{
    const struct dlm_doc_training *training = &doc->training;
    struct walk w = {
        .ctx = ctx, .out = out, .is_strict = training->sources_policy == DLM_DOC_POLICY_STRICT};
    char *base_dir = NULL;

    if (!training->num_sources)
        return DLM_OK;
    enum dlm_status st = DLM_OK;
    DLM_REQUIRE(ctx, doc->path != NULL);
    out->provenance =
        dlm_arena_alloc(ctx, &out->arena, training->num_sources * sizeof(*out->provenance));
    if (!out->provenance)
        return DLM_ERR_MEMORY;
    st = dlm_doc_base_dir(ctx, doc->path, &base_dir);
    w.base_dir = base_dir;
    for (size_t i = 0; !st && i < training->num_sources; i++) {
        w.source = &training->sources[i];
        w.counts = &out->provenance[out->num_provenance++];
        w.counts->path = dlm_arena_strndup(ctx, &out->arena, w.source->path,
                                           strlen(w.source->path));
        st = w.counts->path ? read_source(&w) : DLM_ERR_MEMORY;
    }
done:
    dlm_free(base_dir);
    return st;
}

void dlm_doc_sources_finish(struct dlm_doc_sources *sources)
{
    dlm_arena_finish(&sources->arena);
    *sources = (struct dlm_doc_sources){0};
}
