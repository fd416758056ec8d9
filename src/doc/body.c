/* The body: lines to sections. Fences count outside ``` blocks only. */
#include <string.h>

#include "base/log.h"
#include "doc/doc_impl.h"
#include "doc/text.h"

/* --- fences -------------------------------------------------------------------------------- */

struct splitter {
    struct dlm_ctx *ctx;
    struct dlm_doc *doc;
    struct dlm_doc_section current; /* fence fields only until it is closed */
    const char *begin, *end;        /* its content so far, with a final LF; begin NULL: no line */
    size_t cap;
    bool in_code;
};

static bool takes_attributes(enum dlm_doc_section_type type)
{
    return type == DLM_DOC_SECTION_IMAGE || type == DLM_DOC_SECTION_AUDIO;
}

/* `::name key="value" ...::`: on true the name and the attributes' range. */
static bool is_attribute_fence(const char *line, size_t len, size_t *name_len, const char **end)
{
    const char *limit = line + len;

    if (len < 4 || memcmp(line, "::", 2))
        return false;
    *name_len = dlm_doc_key_len(line + 2, limit);
    if (!*name_len || !dlm_doc_scan_attributes(line + 2 + *name_len, limit, end))
        return false;
    const char *p = dlm_text_skip_space(*end, limit);
    return limit - p == 2 && !memcmp(p, "::", 2);
}

/* `::name::` or `::name#adapter::`. */
static bool is_bare_fence(const char *line, size_t len)
{
    if (len < 5 || memcmp(line, "::", 2) || memcmp(line + len - 2, "::", 2))
        return false;
    for (size_t i = 2; i < len - 2; i++) {
        char c = line[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_' || c == '#' || c == '-'))
            return false;
    }
    return true;
}

static bool is_key(const struct dlm_doc_attribute *attribute, const char *key)
{
    return strlen(key) == attribute->key_len && !memcmp(key, attribute->key, attribute->key_len);
}

/* Checks one attribute and keeps it in the section. */
static enum dlm_status take_attribute(struct splitter *s, const struct dlm_doc_attribute *a,
                                      struct dlm_doc_section *section)
{
    bool is_image = section->type == DLM_DOC_SECTION_IMAGE;
    const char *type = dlm_doc_section_type_name(section->type);
    const char **member = NULL;

    if (is_key(a, "path"))
        member = &section->media_path;
    else if (is_key(a, is_image ? "alt" : "transcript"))
        member = is_image ? &section->media_alt : &section->media_transcript;
    if (member && *member)
        return dlm_doc_fail(s->ctx, s->doc->path, section->start_line, 1,
                            "fence '::%s...::' repeats attribute '%.*s'", type, (int)a->key_len,
                            a->key);
    if (!member)
        return dlm_doc_fail(s->ctx, s->doc->path, section->start_line, 1,
                            "fence '::%s...::' has unknown attribute '%.*s' (allowed: %s)", type,
                            (int)a->key_len, a->key,
                            is_image ? "['alt', 'path']" : "['path', 'transcript']");
    for (size_t i = 0; i < a->value_len; i++) {
        if (a->value[i] & 0x80 || !a->value[i])
            return dlm_doc_fail(s->ctx, s->doc->path, section->start_line, 1,
                                "fence '::%s...::' attribute '%.*s' contains %s characters", type,
                                (int)a->key_len, a->key, a->value[i] ? "non-ASCII" : "NUL");
    }
    *member = dlm_arena_strndup(s->ctx, &s->doc->arena, a->value, a->value_len);
    return *member ? DLM_OK : DLM_ERR_MEMORY;
}

static enum dlm_status open_attribute_fence(struct splitter *s, const char *name, size_t name_len,
                                            const char *end, struct dlm_doc_section *section)
{
    struct dlm_doc_attribute attribute;
    const char *path = s->doc->path;
    int64_t line = section->start_line;

    if (!dlm_doc_find_section_type(name, name_len, &section->type))
        return dlm_doc_fail(s->ctx, path, line, 1,
                            "unknown attribute fence '::%.*s...::'; attribute form is only valid "
                            "for types ['audio', 'image']",
                            (int)name_len, name);
    if (!takes_attributes(section->type))
        return dlm_doc_fail(s->ctx, path, line, 1, "fence '::%s...::' does not take attributes",
                            dlm_doc_section_type_name(section->type));
    enum dlm_status st = DLM_OK;
    const char *p = name + name_len;
    while (!st && dlm_doc_next_attribute(&p, end, &attribute))
        st = take_attribute(s, &attribute, section);
    if (st)
        return st;
    bool lacks_path = !section->media_path;
    bool lacks_transcript =
        section->type == DLM_DOC_SECTION_AUDIO && !section->media_transcript;
    if (!lacks_path && !lacks_transcript)
        return DLM_OK;
    return dlm_doc_fail(s->ctx, path, line, 1,
                        "fence '::%s...::' is missing required attribute(s) [%s%s%s]",
                        dlm_doc_section_type_name(section->type), lacks_path ? "'path'" : "",
                        lacks_path && lacks_transcript ? ", " : "",
                        lacks_transcript ? "'transcript'" : "");
}

static enum dlm_status open_bare_fence(struct splitter *s, const char *name, size_t len,
                                       struct dlm_doc_section *section)
{
    const char *path = s->doc->path;
    int64_t line = section->start_line;
    const char *hash = memchr(name, '#', len);
    size_t base_len = hash ? (size_t)(hash - name) : len;
    size_t adapter_len = hash ? len - base_len - 1 : 0;

    if (hash && !adapter_len)
        return dlm_doc_fail(s->ctx, path, line, 1,
                            "fence '::%.*s::' has an empty adapter suffix after '#'", (int)len,
                            name);
    if (hash && !dlm_doc_is_adapter_name(hash + 1, adapter_len))
        return dlm_doc_fail(s->ctx, path, line, 1,
                            "fence '::%.*s::' has an invalid adapter name '%.*s' (must match "
                            "^[a-z][a-z0-9_]{0,31}$)",
                            (int)len, name, (int)adapter_len, hash + 1);
    if (!dlm_doc_find_section_type(name, base_len, &section->type))
        return dlm_doc_fail(s->ctx, path, line, 1,
                            "unknown section fence '::%.*s::'; valid types are ['prose', "
                            "'instruction', 'preference', 'image', 'audio']",
                            (int)len, name);
    if (takes_attributes(section->type))
        return dlm_doc_fail(s->ctx, path, line, 1,
                            "fence '::%.*s::' requires attributes (expected e.g. `::%s "
                            "path=\"...\"::`)",
                            (int)len, name, dlm_doc_section_type_name(section->type));
    if (!hash)
        return DLM_OK;
    section->adapter = dlm_arena_strndup(s->ctx, &s->doc->arena, hash + 1, adapter_len);
    return section->adapter ? DLM_OK : DLM_ERR_MEMORY;
}

/* --- sections ------------------------------------------------------------------------------ */

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

static enum dlm_status read_line(struct splitter *s, const char *line, size_t len, int64_t number)
{
    struct dlm_doc_section next = {.start_line = number};
    const char *attributes_end = NULL;
    size_t name_len = 0;
    enum dlm_status st = DLM_OK;
    bool is_fence = false;

    if (len >= 3 && !memcmp(line, "```", 3)) {
        s->in_code = !s->in_code;
    } else if (!s->in_code && is_attribute_fence(line, len, &name_len, &attributes_end)) {
        is_fence = true;
        st = open_attribute_fence(s, line + 2, name_len, attributes_end, &next);
    } else if (!s->in_code && is_bare_fence(line, len)) {
        is_fence = true;
        st = open_bare_fence(s, line + 2, len - 4, &next);
    }
    if (st)
        return st;
    if (is_fence) {
        st = close_section(s);
        s->current = next;
        s->begin = NULL;
        s->end = line + len;
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
