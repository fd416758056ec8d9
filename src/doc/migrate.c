/* `dlm migrate`: the same body under a front matter of the current version. It is written anew, in
 * canonical form; where comments would go, the version alone is changed if that is enough. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "doc/doc_impl.h"

/* Lines of YAML with a '#' that may begin a comment. */
static size_t count_comments(const char *text, size_t len)
{
    size_t num = 0;
    bool is_found = false;

    for (size_t i = 0; i < len; i++) {
        bool may_begin = !i || text[i - 1] == ' ' || text[i - 1] == '\t' || text[i - 1] == '\n';
        if (text[i] == '#' && may_begin && !is_found)
            num++;
        is_found = text[i] != '\n' && (is_found || (text[i] == '#' && may_begin));
    }
    return num;
}

/* Appends the body with one blank line before it and one LF behind. */
static enum dlm_status write_body(struct dlm_ctx *ctx, const struct dlm_doc_parts *parts,
                                  struct dlm_str *out)
{
    const char *body = parts->body;
    const char *end = body + parts->body_len;

    while (body < end && *body == '\n')
        body++;
    while (end > body && end[-1] == '\n')
        end--;
    enum dlm_status st = dlm_str_appendz(ctx, out, "\n");
    if (!st && end > body)
        st = dlm_str_append(ctx, out, body, (size_t)(end - body));
    return st || end == body ? st : dlm_str_appendz(ctx, out, "\n");
}

/* Reads text as far as its front matter; *front is that in canonical form. */
static enum dlm_status read_canonical(struct dlm_ctx *ctx, struct dlm_doc *doc, const char *text,
                                      size_t len, struct dlm_doc_parts *parts,
                                      struct dlm_str *front)
{
    enum dlm_status st = dlm_doc_split(ctx, &doc->arena, doc->path, text, len, parts);
    if (!st)
        st = dlm_doc_read_front(ctx, doc, parts);
    return st ? st : dlm_doc_write_front(ctx, doc, true, front);
}

/* Appends text with today's version in place of its own. *is_done only if the result reads as the
 * document does: version 1 has a key that today's has not. */
static enum dlm_status edit_version(struct dlm_ctx *ctx, const char *path, const char *text,
                                    size_t len, const struct dlm_str *front, struct dlm_str *out,
                                    bool *is_done)
{
    struct dlm_ctx *quiet = NULL; /* what cannot be read is no failure */
    struct dlm_doc doc = {.path = path};
    struct dlm_doc_parts parts = {0};
    struct dlm_str edited = {0}, again = {0};
    char version[16];

    snprintf(version, sizeof(version), "%d", DLM_DOC_VERSION);
    enum dlm_status st = dlm_doc_set_key(ctx, path, text, len, "dlm_version", version, "base_model",
                                         &edited, is_done);
    if (st || !*is_done)
        goto done;
    enum dlm_status read = read_canonical(quiet, &doc, edited.data, edited.len, &parts, &again);
    if (read == DLM_ERR_MEMORY) {
        st = dlm_fail(ctx, read, "out of memory");
        goto done;
    }
    *is_done = !read && doc.declared_version == DLM_DOC_VERSION && again.len == front->len &&
               !memcmp(again.data, front->data, front->len);
    if (*is_done)
        st = dlm_str_append(ctx, out, edited.data, edited.len);
done:
    dlm_str_finish(&edited);
    dlm_str_finish(&again);
    dlm_arena_finish(&doc.arena);
    return st;
}

enum dlm_status dlm_doc_migrate(struct dlm_ctx *ctx, const char *path, const char *text, size_t len,
                                struct dlm_str *out, int64_t *from_version)
{
    struct dlm_doc doc = {.path = path};
    struct dlm_doc_parts parts = {0};
    struct dlm_str front = {0};
    bool is_done = false;

    enum dlm_status st = read_canonical(ctx, &doc, text, len, &parts, &front);
    if (st)
        goto done;
    *from_version = doc.declared_version;
    if (doc.declared_version == DLM_DOC_VERSION)
        goto done;
    bool has_comments =
        count_comments(parts.yaml, parts.yaml_len) > count_comments(front.data, front.len);
    if (has_comments)
        st = edit_version(ctx, path, text, len, &front, out, &is_done);
    if (st || is_done)
        goto done;
    if (has_comments)
        dlm_log(ctx, DLM_LOG_WARNING,
                "%s: the comments of the front matter go, as it has to be written anew",
                path ? path : "<text>");
    st = dlm_str_append(ctx, out, front.data, front.len);
    if (!st)
        st = write_body(ctx, &parts, out);
done:
    dlm_str_finish(&front);
    dlm_arena_finish(&doc.arena);
    return st;
}
