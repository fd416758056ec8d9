/* One value of the front matter changed in the text, every other byte as it is. */
#include <string.h>

#include "base/log.h"
#include "doc/doc_impl.h"
#include "doc/text.h"

/* Behind the end of the line that begins at p: LF, CRLF or CR, as in dlm_text_normalize(). */
static const char *next_line(const char *p, const char *end)
{
    while (p < end && *p != '\n' && *p != '\r')
        p++;
    if (p + 1 < end && p[0] == '\r' && p[1] == '\n')
        return p + 2;
    return p < end ? p + 1 : end;
}

/* The character at a 1-based line and column of the text. */
static const char *find_place(const char *text, const char *end, int64_t line, int64_t col)
{
    uint32_t c = 0;

    for (; line > 1; line--)
        text = next_line(text, end);
    for (; col > 1 && text < end; col--)
        text += dlm_text_decode(text, (size_t)(end - text), &c);
    return text;
}

/* Length of the scalar as it stands at `at`, plain or in quotes; 0 when it is written in any other
 * way: with a tag or an anchor, folded, with escapes. */
static size_t written_len(const struct dlm_yaml *value, const char *at, const char *end)
{
    size_t len = value->text_len, room = (size_t)(end - at);
    bool is_quoted = room && (*at == '"' || *at == '\'');

    if (!len || !value->line || value->kind == DLM_YAML_LIST || value->kind == DLM_YAML_MAP ||
        room < len + 2 * is_quoted || memcmp(at + is_quoted, value->text, len))
        return 0;
    if (is_quoted && at[len + 1] != *at)
        return 0;
    return len + 2 * is_quoted;
}

/* Appends text with `gone` bytes at `at` replaced by the parts of the new text. */
static enum dlm_status splice(struct dlm_ctx *ctx, const char *text, size_t len, const char *at,
                              size_t gone, const char *const parts[4], struct dlm_str *out)
{
    enum dlm_status st = dlm_str_append(ctx, out, text, (size_t)(at - text));
    for (size_t i = 0; !st && i < 4 && parts[i]; i++)
        st = dlm_str_appendz(ctx, out, parts[i]);
    at += gone;
    return st ? st : dlm_str_append(ctx, out, at, (size_t)(text + len - at));
}

enum dlm_status dlm_doc_set_key(struct dlm_ctx *ctx, const char *path, const char *text, size_t len,
                                const char *key, const char *value, const char *before,
                                struct dlm_str *out, bool *is_done)
{
    struct dlm_arena arena = {0};
    struct dlm_doc_parts parts = {0};
    const struct dlm_yaml *root = NULL;
    const char *end = text + len;

    *is_done = false;
    enum dlm_status st = dlm_doc_split(ctx, &arena, path, text, len, &parts);
    if (!st)
        st = dlm_doc_read_yaml(ctx, &arena, path, &parts, &root);
    if (st)
        goto done;
    const struct dlm_yaml_pair *pair = dlm_yaml_find(root, key);
    const struct dlm_yaml_pair *other = before ? dlm_yaml_find(root, before) : NULL;
    if (pair) {
        /* The front matter begins on the document's second line. */
        const char *at = find_place(text, end, pair->value->line + 1, pair->value->col);
        size_t gone = written_len(pair->value, at, end);
        if (!gone)
            goto done;
        st = splice(ctx, text, len, at, gone, (const char *const[4]){value}, out);
    } else {
        const char *first = next_line(text, end);
        const char *eol = first[-1] == '\r' ? "\r" : first[-2] == '\r' ? "\r\n" : "\n";
        const char *at = other ? find_place(text, end, other->key->line + 1, 1) : first;
        st = splice(ctx, text, len, at, 0, (const char *const[4]){key, ": ", value, eol}, out);
    }
    *is_done = true;
done:
    dlm_arena_finish(&arena);
    return st;
}

enum dlm_status dlm_doc_set_id(struct dlm_ctx *ctx, const char *path, const char *text, size_t len,
                               const char *id, struct dlm_str *out)
{
    bool is_done = false;

    enum dlm_status st = dlm_doc_set_key(ctx, path, text, len, "dlm_id", id, NULL, out, &is_done);
    if (st || is_done)
        return st;
    return dlm_doc_fail(ctx, path, 2, 0,
                        "dlm_id is not written as a plain text that can be edited");
}
