/* The body: lines to sections. Fences count outside ``` blocks only. */
#include <string.h>

#include "doc/doc_impl.h"
#include "doc/text.h"

struct splitter {
    struct dlm_ctx *ctx;
    struct dlm_doc *doc;
    struct dlm_doc_section current; /* fence fields only until it is closed */
    const char *begin, *end;        /* its content so far, with a final LF; begin NULL: no line */
    size_t cap;
    bool in_code, in_indented_code;
};

/* Ends the current section; blank prose is dropped. */
static enum dlm_status close_section(struct splitter *s)
{
    struct dlm_doc *doc = s->doc;
    struct dlm_doc_section section = s->current;

    section.content = s->begin ? s->begin : s->end;
    section.content_len = s->begin ? (size_t)(s->end - s->begin) : 0;
    if (section.type == DLM_DOC_SECTION_PROSE &&
        dlm_text_is_blank(section.content, section.content_len))
        return DLM_OK;
    enum dlm_status st = dlm_doc_lift_markers(s->ctx, doc, &section);
    if (st)
        return st;
    section.content =
        dlm_arena_strndup(s->ctx, &doc->arena, section.content, section.content_len);
    if (!section.content)
        return DLM_ERR_MEMORY;
    dlm_doc_section_id(&section, NULL, section.id);
    if (!dlm_arena_grow(s->ctx, &doc->arena, &doc->sections, &s->cap, doc->num_sections,
                        sizeof(*doc->sections)))
        return DLM_ERR_MEMORY;
    doc->sections[doc->num_sections++] = section;
    return DLM_OK;
}

/* Follows the ``` lines. Only those in the first column make code of what stands in the first
 * column; an indented block, as in a list, makes code of what is indented too. */
static void follow_code(struct splitter *s, const char *line, size_t len)
{
    bool is_at_start = len >= 3 && !memcmp(line, "```", 3);

    dlm_text_strip(&line, &len);
    if (is_at_start) {
        s->in_code = !s->in_code;
        s->in_indented_code = false;
    } else if (!s->in_code && len >= 3 && !memcmp(line, "```", 3)) {
        s->in_indented_code = !s->in_indented_code;
    }
}

static enum dlm_status read_line(struct splitter *s, const char *line, size_t len, int64_t number)
{
    struct dlm_doc_section next = {.start_line = number};
    enum dlm_status st = DLM_OK;
    bool is_fence = false;

    follow_code(s, line, len);
    bool is_indented = dlm_text_skip_space(line, line + len) > line;
    if (!s->in_code && !(s->in_indented_code && is_indented))
        st = dlm_doc_read_fence(s->ctx, s->doc, line, len, &next, &is_fence);
    if (st)
        return st;
    if (is_fence) {
        st = close_section(s);
        s->current = next;
        s->begin = NULL;
        s->end = line + len;
        /* Prose behind another section is written without its fence: what it is must not
         * depend on the fence. */
        if (next.type != DLM_DOC_SECTION_PROSE)
            s->in_indented_code = false;
        return st;
    }
    if (!s->begin)
        s->begin = line;
    s->end = line + len;
    return DLM_OK;
}

enum dlm_status dlm_doc_read_body(struct dlm_ctx *ctx, struct dlm_doc *doc,
                                  const struct dlm_doc_parts *parts)
{
    const char *body = parts->body;
    size_t len = parts->body_len;
    int64_t line = parts->body_line;
    enum dlm_status st = DLM_OK;

    /* The canonical text has one blank line after the front matter and one LF at its end. */
    if (len && body[0] == '\n') {
        body++;
        len--;
        line++;
    }
    if (len && body[len - 1] == '\n')
        len--;
    struct splitter s = {.ctx = ctx, .doc = doc, .end = body, .current.start_line = line};
    for (size_t pos = 0; !st && len && pos <= len; line++) {
        const char *lf = memchr(body + pos, '\n', len - pos);
        size_t n = lf ? (size_t)(lf - body) - pos : len - pos;
        st = read_line(&s, body + pos, n, line);
        pos += n + 1;
    }
    if (st)
        return st;
    if (s.in_code)
        return dlm_doc_fail(ctx, doc->path, s.current.start_line, 0,
                            "unterminated triple-backtick code block in body");
    return close_section(&s);
}
