/* Fence lines: `::type::`, `::type#adapter::` and `::type key="value" ...::`, with blanks around.
 * A line that begins like one of a known type is one or an error, never text. */
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "doc/doc_impl.h"
#include "doc/text.h"

/* A line without the blanks around it, and where it stands. */
struct fence_line {
    struct dlm_ctx *ctx;
    struct dlm_doc *doc;
    const char *start, *text, *end; /* start of the line, of what is not blank; its end */
    int64_t number;
};

/* 1-based, in characters. */
static int64_t column_of(const struct fence_line *l, const char *at)
{
    int64_t column = 1;
    uint32_t c = 0;

    for (const char *p = l->start; p < at; column++)
        p += dlm_text_decode(p, (size_t)(at - p), &c);
    return column;
}

static bool begins_with(const char *text, const char *end, const char *what)
{
    size_t n = strlen(what);
    return (size_t)(end - text) >= n && !memcmp(text, what, n);
}

static bool takes_attributes(enum dlm_doc_section_type type)
{
    return type == DLM_DOC_SECTION_IMAGE || type == DLM_DOC_SECTION_AUDIO;
}

static const char *allowed_attributes(enum dlm_doc_section_type type)
{
    return type == DLM_DOC_SECTION_IMAGE ? "['alt', 'path']" : "['path', 'transcript']";
}

/* Where the attribute of this name is kept; NULL: the type has none. */
static const char **find_attribute(struct dlm_doc_section *section, const char *key, size_t len)
{
    bool is_image = section->type == DLM_DOC_SECTION_IMAGE;
    const char *other = is_image ? "alt" : "transcript";

    if (len == strlen("path") && !memcmp(key, "path", len))
        return &section->media_path;
    if (len == strlen(other) && !memcmp(key, other, len))
        return is_image ? &section->media_alt : &section->media_transcript;
    return NULL;
}

/* --- fences that are well formed ------------------------------------------------------------ */

/* `::name key="value" ...::`: on true the name's length and the end of the attributes. */
static bool is_attribute_fence(const struct fence_line *l, size_t *name_len, const char **stop)
{
    if (!begins_with(l->text, l->end, "::"))
        return false;
    const char *name = l->text + 2;
    *name_len = dlm_doc_key_len(name, l->end);
    if (!*name_len || !dlm_doc_scan_attributes(name + *name_len, l->end, stop))
        return false;
    const char *p = dlm_text_skip_space(*stop, l->end);
    return l->end - p == 2 && !memcmp(p, "::", 2);
}

/* `::name::` or `::name#adapter::`. */
static bool is_bare_fence(const struct fence_line *l)
{
    if (l->end - l->text < 5 || !begins_with(l->text, l->end, "::") || memcmp(l->end - 2, "::", 2))
        return false;
    for (const char *p = l->text + 2; p < l->end - 2; p++) {
        if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
              *p == '_' || *p == '#' || *p == '-'))
            return false;
    }
    return true;
}

/* Keeps one attribute in the section. Any text of one line is a value; a control character in a
 * path or a caption is a slip of whatever wrote it. */
static enum dlm_status take_attribute(const struct fence_line *l,
                                      const struct dlm_doc_attribute *a,
                                      struct dlm_doc_section *section)
{
    const char *type = dlm_doc_section_type_name(section->type);
    const char **member = find_attribute(section, a->key, a->key_len);
    int64_t column = column_of(l, l->text);
    const char *path = l->doc->path;

    if (member && *member)
        return dlm_doc_fail(l->ctx, path, l->number, column,
                            "fence '::%s...::' repeats attribute '%.*s'", type, (int)a->key_len,
                            a->key);
    if (!member)
        return dlm_doc_fail(l->ctx, path, l->number, column,
                            "fence '::%s...::' has unknown attribute '%.*s' (allowed: %s)", type,
                            (int)a->key_len, a->key, allowed_attributes(section->type));
    for (size_t i = 0; i < a->value_len; i++) {
        unsigned char c = (unsigned char)a->value[i];
        if (c < 0x20 || c == 0x7f)
            return dlm_doc_fail(l->ctx, path, l->number, column_of(l, a->value + i),
                                "fence '::%s...::' attribute '%.*s' contains the control "
                                "character 0x%02x",
                                type, (int)a->key_len, a->key, c);
    }
    *member = dlm_arena_strndup(l->ctx, &l->doc->arena, a->value, a->value_len);
    return *member ? DLM_OK : DLM_ERR_MEMORY;
}

static enum dlm_status open_attribute_fence(const struct fence_line *l, size_t name_len,
                                            const char *stop, struct dlm_doc_section *section)
{
    struct dlm_doc_attribute attribute;
    const char *path = l->doc->path, *name = l->text + 2;
    int64_t column = column_of(l, l->text);

    if (!dlm_doc_find_section_type(name, name_len, &section->type))
        return dlm_doc_fail(l->ctx, path, l->number, column,
                            "unknown attribute fence '::%.*s...::'; attribute form is only valid "
                            "for types ['audio', 'image']",
                            (int)name_len, name);
    const char *type = dlm_doc_section_type_name(section->type);
    if (!takes_attributes(section->type))
        return dlm_doc_fail(l->ctx, path, l->number, column,
                            "fence '::%s...::' does not take attributes", type);
    enum dlm_status st = DLM_OK;
    const char *p = name + name_len;
    while (!st && dlm_doc_next_attribute(&p, stop, &attribute))
        st = take_attribute(l, &attribute, section);
    if (st)
        return st;
    bool lacks_path = !section->media_path;
    bool lacks_transcript =
        section->type == DLM_DOC_SECTION_AUDIO && !section->media_transcript;
    if (!lacks_path && !lacks_transcript)
        return DLM_OK;
    return dlm_doc_fail(l->ctx, path, l->number, column,
                        "fence '::%s...::' is missing required attribute(s) [%s%s%s]", type,
                        lacks_path ? "'path'" : "", lacks_path && lacks_transcript ? ", " : "",
                        lacks_transcript ? "'transcript'" : "");
}

static enum dlm_status open_bare_fence(const struct fence_line *l, struct dlm_doc_section *section)
{
    const char *path = l->doc->path, *name = l->text + 2;
    size_t len = (size_t)(l->end - 2 - name);
    int64_t column = column_of(l, l->text);
    const char *hash = memchr(name, '#', len);
    size_t base_len = hash ? (size_t)(hash - name) : len;
    size_t adapter_len = hash ? len - base_len - 1 : 0;

    if (hash && !adapter_len)
        return dlm_doc_fail(l->ctx, path, l->number, column,
                            "fence '::%.*s::' has an empty adapter suffix after '#'", (int)len,
                            name);
    if (hash && !dlm_doc_is_adapter_name(hash + 1, adapter_len))
        return dlm_doc_fail(l->ctx, path, l->number, column,
                            "fence '::%.*s::' has an invalid adapter name '%.*s' (must match "
                            "^[a-z][a-z0-9_]{0,31}$)",
                            (int)len, name, (int)adapter_len, hash + 1);
    if (!dlm_doc_find_section_type(name, base_len, &section->type))
        return dlm_doc_fail(l->ctx, path, l->number, column,
                            "unknown section fence '::%.*s::'; valid types are ['prose', "
                            "'instruction', 'preference', 'image', 'audio']",
                            (int)len, name);
    if (takes_attributes(section->type))
        return dlm_doc_fail(l->ctx, path, l->number, column,
                            "fence '::%.*s::' requires attributes (expected e.g. `::%s "
                            "path=\"...\"::`)",
                            (int)len, name, dlm_doc_section_type_name(section->type));
    if (!hash)
        return DLM_OK;
    section->adapter = dlm_arena_strndup(l->ctx, &l->doc->arena, hash + 1, adapter_len);
    return section->adapter ? DLM_OK : DLM_ERR_MEMORY;
}

/* --- fences that are not -------------------------------------------------------------------- */

/* True when one inserted, lost or changed character, or two swapped ones, make word out of type;
 * case does not count. */
static bool is_one_slip(const char *word, size_t len, const char *type)
{
    size_t type_len = strlen(type);
    size_t shorter = DLM_MIN(len, type_len);
    size_t head = 0, tail = 0;

    while (head < shorter && !strncasecmp(word + head, type + head, 1))
        head++;
    while (tail < shorter - head &&
           !strncasecmp(word + len - 1 - tail, type + type_len - 1 - tail, 1))
        tail++;
    size_t rest = len - head - tail, type_rest = type_len - head - tail;
    if (rest == 2 && type_rest == 2)
        return !strncasecmp(word + head, type + head + 1, 1) &&
               !strncasecmp(word + head + 1, type + head, 1);
    return rest <= 1 && type_rest <= 1;
}

/* How a line begins that may be meant as a fence: colons, blanks, a word. */
struct fence_head {
    uint32_t invisible; /* the character before them that nobody sees, as U+FEFF; or 0 */
    const char *colons;
    size_t num_colons;
    const char *word;
    size_t word_len;
    enum dlm_doc_section_type type; /* that is meant by the word */
};

static size_t word_len(const char *text, const char *end)
{
    size_t n = 0;
    while (text + n < end && ((text[n] >= 'a' && text[n] <= 'z') ||
                              (text[n] >= 'A' && text[n] <= 'Z') ||
                              (text[n] >= '0' && text[n] <= '9') || text[n] == '_' ||
                              text[n] == '-'))
        n++;
    return n;
}

/* Behind the byte order marks and the spaces and joiners of no width that text copied from
 * elsewhere brings along. */
static const char *skip_invisible(const char *p, const char *end, uint32_t *found)
{
    while (p < end) {
        uint32_t c = 0;
        size_t n = dlm_text_decode(p, (size_t)(end - p), &c);
        if (c != 0xfeff && c != 0x2060 && !(c >= 0x200b && c <= 0x200f))
            break;
        *found = c;
        p += n;
    }
    return p;
}

/* True when the line begins like a fence of a known type. The name of a type behind two colons is
 * enough; with one colon, or with a slip in the name, the rest has to look like a fence too, so
 * that `:image: a.png` and `::rose` stay text. */
static bool looks_like_fence(const struct fence_line *l, struct fence_head *head)
{
    const char *p = skip_invisible(l->text, l->end, &head->invisible);
    head->colons = p;
    while (p < l->end && *p == ':')
        p++;
    head->num_colons = (size_t)(p - head->colons);
    head->word = dlm_text_skip_space(p, l->end);
    head->word_len = word_len(head->word, l->end);
    if (!head->num_colons || !head->word_len)
        return false;
    const char *rest = head->word + head->word_len;
    bool is_closed = l->end - rest >= 2 && !memcmp(l->end - 2, "::", 2);
    bool has_value = memchr(rest, '=', (size_t)(l->end - rest));
    for (int i = 0; i < DLM_DOC_SECTION_TYPE_COUNT; i++) {
        const char *type = dlm_doc_section_type_name((enum dlm_doc_section_type)i);
        bool is_type =
            strlen(type) == head->word_len && !strncasecmp(type, head->word, head->word_len);
        head->type = (enum dlm_doc_section_type)i;
        if (is_type && (head->num_colons > 1 || is_closed))
            return true;
        if (head->num_colons > 1 && (is_closed || has_value) &&
            is_one_slip(head->word, head->word_len, type))
            return true;
    }
    return false;
}

/* What is wrong behind `key=` when it is no quoted value. */
static enum dlm_status fail_value(const struct fence_line *l, const char *type, const char *key,
                                  size_t key_len, const char *p)
{
    static const char *const quotes[] = {"'",            "\xe2\x80\x9c", "\xe2\x80\x9d",
                                         "\xe2\x80\x9e", "\xe2\x80\x98", "\xe2\x80\x99",
                                         "\xc2\xab",     "\xef\xbc\x82", "`"};
    const char *path = l->doc->path;
    int64_t column = column_of(l, p);

    for (size_t i = 0; i < DLM_ARRAY_LEN(quotes); i++) {
        if (begins_with(p, l->end, quotes[i]))
            return dlm_doc_fail(l->ctx, path, l->number, column,
                                "fence '::%s...::' attribute '%.*s' needs straight double quotes, "
                                "got %s",
                                type, (int)key_len, key, quotes[i]);
    }
    if (p < l->end && *p == '"')
        return dlm_doc_fail(l->ctx, path, l->number, column,
                            "fence '::%s...::' attribute '%.*s' has no closing '\"'", type,
                            (int)key_len, key);
    if (dlm_text_skip_space(p, l->end) != p)
        return dlm_doc_fail(l->ctx, path, l->number, column,
                            "fence '::%s...::' has a blank after '%.*s='", type, (int)key_len, key);
    return dlm_doc_fail(l->ctx, path, l->number, column,
                        "fence '::%s...::' attribute '%.*s' needs its value in double quotes", type,
                        (int)key_len, key);
}

/* What is wrong at p, where an attribute should begin and none does. */
static enum dlm_status fail_attribute(const struct fence_line *l, struct dlm_doc_section *section,
                                      const char *p)
{
    const char *type = dlm_doc_section_type_name(section->type);
    const char *path = l->doc->path;
    size_t n = word_len(p, l->end);
    const char *after = p + n;
    const char *sign = dlm_text_skip_space(after, l->end);

    if (!n)
        return dlm_doc_fail(l->ctx, path, l->number, column_of(l, p),
                            "fence '::%s...::' wants key=\"value\" or the closing '::' here", type);
    if (!find_attribute(section, p, n))
        return dlm_doc_fail(l->ctx, path, l->number, column_of(l, p),
                            "fence '::%s...::' has unknown attribute '%.*s' (allowed: %s)", type,
                            (int)n, p, allowed_attributes(section->type));
    if (sign == l->end || *sign != '=')
        return dlm_doc_fail(l->ctx, path, l->number, column_of(l, after),
                            "fence '::%s...::' attribute '%.*s' has no value", type, (int)n, p);
    if (sign != after)
        return dlm_doc_fail(l->ctx, path, l->number, column_of(l, after),
                            "fence '::%s...::' has a blank before the '=' of '%.*s'", type, (int)n,
                            p);
    return fail_value(l, type, p, n, sign + 1);
}

/* What is wrong at p, behind the name and whole attributes. */
static enum dlm_status fail_rest(const struct fence_line *l, struct dlm_doc_section *section,
                                 const char *p)
{
    const char *type = dlm_doc_section_type_name(section->type);
    const char *path = l->doc->path;
    const char *rest = dlm_text_skip_space(p, l->end);
    bool is_closed = begins_with(rest, l->end, "::");
    int64_t column = column_of(l, rest);

    if (rest == l->end || (*rest == ':' && !is_closed))
        return dlm_doc_fail(l->ctx, path, l->number, column,
                            "fence '::%s...' is missing its closing '::'", type);
    if (is_closed && rest + 2 < l->end)
        return dlm_doc_fail(l->ctx, path, l->number, column_of(l, rest + 2),
                            "fence '::%s...::' has text after its closing '::'", type);
    if (is_closed && rest > p)
        return dlm_doc_fail(l->ctx, path, l->number, column_of(l, p),
                            "fence '::%s ::' has a blank before its closing '::'", type);
    if (*rest == '#' && takes_attributes(section->type))
        return dlm_doc_fail(l->ctx, path, l->number, column,
                            "fence '::%s...::' does not take an adapter", type);
    if (!takes_attributes(section->type))
        return dlm_doc_fail(l->ctx, path, l->number, column,
                            "fence '::%s...::' wants its closing '::' here", type);
    if (rest == p && p[-1] == '"')
        return dlm_doc_fail(l->ctx, path, l->number, column,
                            "fence '::%s...::' wants a blank or the closing '::' after a value%s",
                            type, p[-2] == '\\' ? "; a value cannot hold '\"', nor escape it" : "");
    return fail_attribute(l, section, rest);
}

/* Says what keeps the line from being the fence that it begins like. */
static enum dlm_status fail_near_miss(const struct fence_line *l, const struct fence_head *head)
{
    struct dlm_doc_section section = {.type = head->type};
    const char *type = dlm_doc_section_type_name(head->type);
    const char *path = l->doc->path;
    const char *p = head->word + head->word_len;

    if (head->invisible)
        return dlm_doc_fail(l->ctx, path, l->number, column_of(l, l->text),
                            "fence '::%s...::' has the invisible character U+%04X before it", type,
                            (unsigned)head->invisible);
    if (head->num_colons != 2)
        return dlm_doc_fail(l->ctx, path, l->number, column_of(l, head->colons),
                            "fence '::%s...::' begins with two colons, not %zu", type,
                            head->num_colons);
    if (head->word != head->colons + 2)
        return dlm_doc_fail(l->ctx, path, l->number, column_of(l, head->colons + 2),
                            "fence '::%s...::' has a blank before its name", type);
    if (head->word_len != strlen(type) || memcmp(head->word, type, head->word_len))
        return dlm_doc_fail(l->ctx, path, l->number, column_of(l, head->word),
                            "unknown section fence '::%.*s...::'; did you mean '::%s...::'?",
                            (int)head->word_len, head->word, type);
    if (takes_attributes(head->type))
        (void)dlm_doc_scan_attributes(p, l->end, &p); /* p is where they end, be there none */
    else if (p < l->end && *p == '#')
        p += 1 + word_len(p + 1, l->end);
    return fail_rest(l, &section, p);
}

enum dlm_status dlm_doc_read_fence(struct dlm_ctx *ctx, struct dlm_doc *doc, const char *line,
                                   size_t len, struct dlm_doc_section *section, bool *is_fence)
{
    struct fence_line l = {ctx, doc, line, line, NULL, section->start_line};
    struct fence_head head = {0};
    const char *stop = NULL;
    size_t name_len = 0;

    dlm_text_strip(&l.text, &len);
    l.end = l.text + len;
    *is_fence = true;
    if (is_attribute_fence(&l, &name_len, &stop))
        return open_attribute_fence(&l, name_len, stop, section);
    if (is_bare_fence(&l))
        return open_bare_fence(&l, section);
    *is_fence = false;
    if (!looks_like_fence(&l, &head))
        return DLM_OK;
    enum dlm_status st = fail_near_miss(&l, &head);
    dlm_log(ctx, DLM_LOG_HINT, "text that begins like a fence goes between ``` lines");
    return st;
}
