/* The bodies of instruction and preference sections: `### Header` lines and the texts below them.
 * A line that is almost a header is an error: as text it would end up in the answer above. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

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
    bool in_code; /* between ``` lines, where `# a` is a comment */
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

/* Fails at a line of the section (0-based) and a column (0: none); got is quoted when not NULL. */
static enum dlm_status fail_at(struct body *b, size_t at, int64_t column, const struct line *got,
                               const char *text)
{
    const struct dlm_doc_section *s = b->section;
    struct dlm_str repr = {0};
    enum dlm_status st = DLM_OK;
    int64_t lifted = (s->harvest_source != NULL) + (s->mined != NULL) + (s->synth != NULL);
    int64_t line = s->start_line ? s->start_line + lifted + (int64_t)at + 1 : 0;

    if (got)
        st = dlm_text_append_repr(b->ctx, &repr, got->text, got->len);
    if (!st)
        st = dlm_doc_fail(b->ctx, b->path, line, column, "section %s, line %zu: %s%s%s", s->id,
                          at + 1, text, got ? ", got " : "", dlm_str_text(&repr));
    dlm_str_finish(&repr);
    return st;
}

static enum dlm_status fail(struct body *b, size_t at, const struct line *got, const char *text)
{
    return fail_at(b, at, 0, got, text);
}

static bool is_any_header(const struct body *b, const struct line *line)
{
    for (size_t i = 0; b->headers[i]; i++) {
        if (line_is(line, b->headers[i]))
            return true;
    }
    return false;
}

/* True when the line, stripped, is a header but for the number of '#', blanks, case or a colon at
 * its end. With other text behind it, it is one only where it is `next`: `### A better way` is a
 * heading like any other in an answer, and a lost header below a question. */
static bool is_near_header(const char *text, size_t len, const char *header, const char *next)
{
    const char *name = header + strspn(header, "# ");
    size_t num_marks = 0;

    while (num_marks < len && text[num_marks] == '#')
        num_marks++;
    const char *word = dlm_text_skip_space(text + num_marks, text + len);
    size_t rest = len - (size_t)(word - text);
    bool has_blank = word > text + num_marks;
    if (!num_marks || num_marks > 6 || (num_marks == 1 && !has_blank) || rest < strlen(name) ||
        strncasecmp(word, name, strlen(name)))
        return false;
    const char *behind = word + strlen(name);
    const char *after = dlm_text_skip_space(behind, text + len);
    while (after < text + len && *after == ':')
        after++;
    return dlm_text_skip_space(after, text + len) == text + len ||
           (header == next && (after > behind || *after == '!'));
}

/* True for `### Question` and `### Answer`, with a colon or without, in place of the letter. */
static bool is_word_header(const char *text, size_t len, const char *header)
{
    const char *word = header == header_q ? "### question" : header == header_a ? "### answer" : "";
    const size_t word_len = strlen(word);

    return word_len && (len == word_len || (len == word_len + 1 && text[word_len] == ':')) &&
           !strncasecmp(text, word, word_len);
}

/* Fails if the current line, which is no header, is almost one. */
static enum dlm_status check_near_miss(struct body *b, const char *next)
{
    const struct line *line = &b->lines[b->i];
    const char *text = line->text;
    size_t len = line->len;
    char message[64];

    dlm_text_strip(&text, &len);
    if (len >= 3 && !memcmp(text, "```", 3))
        b->in_code = !b->in_code;
    for (size_t i = 0; !b->in_code && b->headers[i]; i++) {
        if (!is_near_header(text, len, b->headers[i], next) &&
            !is_word_header(text, len, b->headers[i]))
            continue;
        (void)snprintf(message, sizeof(message), "expected `%s` header alone on its line",
                       b->headers[i]);
        return fail_at(b, b->i, (int64_t)(text - line->text) + 1, line, message);
    }
    return DLM_OK;
}

/* The lines up to the next header or the end, joined by LF and stripped; `next` is the header that
 * ends a text like this one. */
static enum dlm_status read_text(struct body *b, const char *next, const char **text, size_t *len)
{
    struct dlm_str joined = {0};
    enum dlm_status st = DLM_OK;

    b->in_code = false; /* a header ends code too, as in the reference */
    for (bool first = true; !st && b->i < b->num_lines && !is_any_header(b, &b->lines[b->i]);
         b->i++) {
        st = check_near_miss(b, next);
        if (!st && !first)
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
    return st || *text ? st : DLM_ERR_MEMORY;
}

static enum dlm_status read_pair(struct body *b, struct dlm_doc_pair *pair)
{
    static const struct line plain_q = {header_q, sizeof(header_q) - 1};

    pair->is_probe = line_is(&b->lines[b->i], header_probe);
    if (!pair->is_probe && !line_is(&b->lines[b->i], header_q))
        return fail(b, b->i, &b->lines[b->i], "expected `### Q` header alone on its line");
    b->i++;
    enum dlm_status st = read_text(b, header_a, &pair->question, &pair->question_len);
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
    st = read_text(b, header_q, &pair->answer, &pair->answer_len);
    if (st)
        return st;
    return pair->answer_len ? DLM_OK : fail(b, b->i, NULL, "### A body is empty");
}

enum dlm_status dlm_doc_parse_pairs(struct dlm_ctx *ctx, struct dlm_arena *arena, const char *path,
                                    const struct dlm_doc_section *section,
                                    struct dlm_doc_pair **pairs, size_t *num_pairs)
{
    static const char *const headers[] = {header_probe, header_q, header_a, NULL};
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

static enum dlm_status read_field(struct body *b, const char *header, const char *next,
                                  const char **text, size_t *len)
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
    enum dlm_status st = read_text(b, next, text, len);
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
        st = read_field(&b, header_prompt, header_chosen, &t->prompt, &t->prompt_len);
        if (!st)
            st = read_field(&b, header_chosen, header_rejected, &t->chosen,
                            &t->chosen_len);
        if (!st)
            st = read_field(&b, header_rejected, header_prompt, &t->rejected,
                            &t->rejected_len);
        skip_blank(&b);
    }
    if (!st && !*num_triples)
        st = fail(&b, 0, NULL,
                  "preference block has no ### Prompt / ### Chosen / ### Rejected triples");
    return st;
}
