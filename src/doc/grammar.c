/* The bodies of instruction and preference sections: `### Header` lines and the texts below them.
 * */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "doc/doc_impl.h"
#include "doc/text.h"

static const char header_q[] = "### Q";
static const char header_a[] = "### A";
static const char header_probe[] = "### Q !probe";
static const char header_prompt[] = "### Prompt";
static const char header_chosen[] = "### Chosen";
static const char header_rejected[] = "### Rejected";

struct line {
    const char *text;
    size_t len;
};

struct body {
    struct dlm_ctx *ctx;
    struct dlm_arena *arena;
    const char *path;
    const struct dlm_doc_section *section;
    const char *const *headers; /* NULL-terminated: the lines that end a text */
    struct line *lines;
    size_t num_lines, cap;
    size_t i; /* current line */
};

static bool line_is(const struct line *line, const char *header)
{
    const char *text = line->text;
    size_t len = line->len;
    dlm_text_strip(&text, &len);
    return strlen(header) == len && !memcmp(text, header, len);
}

static enum dlm_status read_lines(struct body *b)
{
    const struct dlm_doc_section *section = b->section;
    struct line line;
    size_t pos = 0;

    while (dlm_text_next_line(section->content, section->content_len, &pos, &line.text,
                              &line.len)) {
        if (!dlm_arena_grow(b->ctx, b->arena, &b->lines, &b->cap, b->num_lines, sizeof(line)))
            return DLM_ERR_MEMORY;
        b->lines[b->num_lines++] = line;
    }
    return DLM_OK;
}

static void skip_blank(struct body *b)
{
    while (b->i < b->num_lines && dlm_text_is_blank(b->lines[b->i].text, b->lines[b->i].len))
        b->i++;
}

/* Fails at a line of the section (0-based); got is quoted when not NULL. */
static enum dlm_status fail(struct body *b, size_t at, const struct line *got, const char *text)
{
    const struct dlm_doc_section *s = b->section;
    struct dlm_str repr = {0};
    enum dlm_status st = DLM_OK;
    int64_t lifted = (s->harvest_source != NULL) + (s->mined != NULL) + (s->synth != NULL);
    int64_t line = s->start_line ? s->start_line + lifted + (int64_t)at + 1 : 0;

    if (got)
        st = dlm_text_append_repr(b->ctx, &repr, got->text, got->len);
    if (!st)
        st = dlm_doc_fail(b->ctx, b->path, line, 0, "section %s, line %zu: %s%s%s", s->id, at + 1,
                          text, got ? ", got " : "", dlm_str_text(&repr));
    dlm_str_finish(&repr);
    return st;
}

static bool is_any_header(const struct body *b, const struct line *line)
{
    for (size_t i = 0; b->headers[i]; i++) {
        if (line_is(line, b->headers[i]))
            return true;
    }
    return false;
}

/* The lines up to the next header or the end, joined by LF and stripped. */
static enum dlm_status read_text(struct body *b, const char **text, size_t *len)
{
    struct dlm_str joined = {0};
    enum dlm_status st = DLM_OK;

    for (bool first = true; !st && b->i < b->num_lines && !is_any_header(b, &b->lines[b->i]);
         b->i++) {
        if (!first)
            st = dlm_str_append(b->ctx, &joined, "\n", 1);
        if (!st)
            st = dlm_str_append(b->ctx, &joined, b->lines[b->i].text, b->lines[b->i].len);
        first = false;
    }
    const char *begin = dlm_str_text(&joined);
    *len = joined.len;
    dlm_text_strip(&begin, len);
    *text = st ? NULL : dlm_arena_strndup(b->ctx, b->arena, begin, *len);
    dlm_str_finish(&joined);
    return *text ? DLM_OK : DLM_ERR_MEMORY;
}

static enum dlm_status read_pair(struct body *b, struct dlm_doc_pair *pair)
{
    static const struct line plain_q = {header_q, sizeof(header_q) - 1};

    pair->is_probe = line_is(&b->lines[b->i], header_probe);
    if (!pair->is_probe && !line_is(&b->lines[b->i], header_q))
        return fail(b, b->i, &b->lines[b->i], "expected `### Q` header alone on its line");
    b->i++;
    enum dlm_status st = read_text(b, &pair->question, &pair->question_len);
    if (st)
        return st;
    if (!pair->question_len)
        return fail(b, b->i, NULL, "### Q body is empty");
    if (b->i == b->num_lines)
        return fail(b, b->i, NULL, "### Q without matching `### A` at end of section");
    const struct line *line = &b->lines[b->i];
    if (!line_is(line, header_a))
        return fail(b, b->i, line_is(line, header_probe) ? &plain_q : line,
                    "### Q must be followed by `### A` alone on its line");
    b->i++;
    st = read_text(b, &pair->answer, &pair->answer_len);
    if (st)
        return st;
    return pair->answer_len ? DLM_OK : fail(b, b->i, NULL, "### A body is empty");
}

enum dlm_status dlm_doc_parse_pairs(struct dlm_ctx *ctx, struct dlm_arena *arena, const char *path,
                                    const struct dlm_doc_section *section,
                                    struct dlm_doc_pair **pairs, size_t *num_pairs)
{
    static const char *const headers[] = {header_q, header_a, header_probe, NULL};
    struct body b = {
        .ctx = ctx, .arena = arena, .path = path, .section = section, .headers = headers};
    size_t cap = 0;

    *pairs = NULL;
    *num_pairs = 0;
    enum dlm_status st = read_lines(&b);
    skip_blank(&b);
    while (!st && b.i < b.num_lines) {
        if (!dlm_arena_grow(ctx, arena, pairs, &cap, *num_pairs, sizeof(**pairs)))
            return DLM_ERR_MEMORY;
        st = read_pair(&b, &(*pairs)[(*num_pairs)++]);
        skip_blank(&b);
    }
    if (!st && !*num_pairs)
        st = fail(&b, 0, NULL, "instruction block has no ### Q / ### A pairs");
    return st;
}

static enum dlm_status read_field(struct body *b, const char *header, const char **text,
                                  size_t *len)
{
    char message[64];

    if (b->i == b->num_lines) {
        (void)snprintf(message, sizeof(message), "expected `%s` header, got end of section",
                       header);
        return fail(b, b->i, NULL, message);
    }
    if (!line_is(&b->lines[b->i], header)) {
        (void)snprintf(message, sizeof(message), "expected `%s` header alone on its line", header);
        return fail(b, b->i, &b->lines[b->i], message);
    }
    b->i++;
    enum dlm_status st = read_text(b, text, len);
    if (st || *len)
        return st;
    (void)snprintf(message, sizeof(message), "`%s` body is empty", header);
    return fail(b, b->i, NULL, message);
}

enum dlm_status dlm_doc_parse_triples(struct dlm_ctx *ctx, struct dlm_arena *arena,
                                      const char *path, const struct dlm_doc_section *section,
                                      struct dlm_doc_triple **triples, size_t *num_triples)
{
    static const char *const headers[] = {header_prompt, header_chosen, header_rejected, NULL};
    struct body b = {
        .ctx = ctx, .arena = arena, .path = path, .section = section, .headers = headers};
    size_t cap = 0;

    *triples = NULL;
    *num_triples = 0;
    enum dlm_status st = read_lines(&b);
    skip_blank(&b);
    while (!st && b.i < b.num_lines) {
        if (!dlm_arena_grow(ctx, arena, triples, &cap, *num_triples, sizeof(**triples)))
            return DLM_ERR_MEMORY;
        struct dlm_doc_triple *t = &(*triples)[(*num_triples)++];
        st = read_field(&b, header_prompt, &t->prompt, &t->prompt_len);
        if (!st)
            st = read_field(&b, header_chosen, &t->chosen, &t->chosen_len);
        if (!st)
            st = read_field(&b, header_rejected, &t->rejected, &t->rejected_len);
        skip_blank(&b);
    }
    if (!st && !*num_triples)
        st = fail(&b, 0, NULL,
                  "preference block has no ### Prompt / ### Chosen / ### Rejected triples");
    return st;
}
