/* The canonical text: front matter along the schema's tables, then the sections. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "doc/doc_impl.h"
#include "doc/schema.h"
#include "doc/text.h"

struct writer {
    struct dlm_ctx *ctx;
    struct dlm_str *out;
    bool keep_written;
};

static enum dlm_status write_map(const struct writer *w, const struct dlm_schema_map *map,
                                 const void *object, int indent, bool is_item);

/* --- scalars ------------------------------------------------------------------------------- */

/* True for characters a plain or block scalar cannot carry through a YAML 1.1 reader. */
static bool has_special(const char *text, size_t len, bool allow_lf)
{
    for (size_t i = 0; i < len;) {
        uint32_t c = 0;
        i += dlm_text_decode(text + i, len - i, &c);
        bool is_fine = (c >= 0x20 && c <= 0x7e) || c == '\t' || (c == '\n' && allow_lf) ||
                       (c >= 0xa0 && c != 0x2028 && c != 0x2029 && c != 0xfeff && c < 0xfffe) ||
                       c > 0xffff;
        if (!is_fine)
            return true;
    }
    return false;
}

/* The reference's rule, and beyond it what would not be read back as this string. */
static bool needs_quotes(const char *text, bool in_list)
{
    static const char *const words[] = {"true", "false", "null", "yes", "no", "on", "off", "~"};
    struct dlm_yaml value = {0};
    const char *reason = NULL;

    for (size_t i = 0; i < DLM_ARRAY_LEN(words); i++) {
        if (!strcasecmp(text, words[i]))
            return true;
    }
    if (strpbrk(text, " \t\n#\"':&*!|>?%@`{}[]") || text[0] == '-' || text[0] == ',')
        return true;
    if ((in_list && strchr(text, ',')) || !strcmp(text, "=") || !strcmp(text, "<<"))
        return true;
    if (!strcmp(text, "..."))
        return true;
    return !dlm_yaml_resolve(text, strlen(text), &value, &reason) || value.kind != DLM_YAML_STR ||
           has_special(text, strlen(text), false);
}

static enum dlm_status write_quoted(const struct writer *w, const char *text)
{
    size_t len = strlen(text);
    enum dlm_status st = dlm_str_appendz(w->ctx, w->out, "\"");

    for (size_t i = 0; !st && i < len;) {
        uint32_t c = 0;
        size_t n = dlm_text_decode(text + i, len - i, &c);
        if (c == '"' || c == '\\')
            st = dlm_str_appendf(w->ctx, w->out, "\\%c", (int)c);
        else if (c == '\n')
            st = dlm_str_appendz(w->ctx, w->out, "\\n");
        else if (has_special(text + i, n, false))
            st = dlm_str_appendf(w->ctx, w->out, "\\U%08X", (unsigned)c);
        else
            st = dlm_str_append(w->ctx, w->out, text + i, n);
        i += n;
    }
    return st ? st : dlm_str_appendz(w->ctx, w->out, "\"");
}

static enum dlm_status write_string(const struct writer *w, const char *text, bool in_list)
{
    return !*text || needs_quotes(text, in_list) ? write_quoted(w, text)
                                                 : dlm_str_appendz(w->ctx, w->out, text);
}

enum dlm_status dlm_doc_write_string(struct dlm_ctx *ctx, const char *text, struct dlm_str *out)
{
    const struct writer w = {ctx, out, false};

    return write_string(&w, text, false);
}

static enum dlm_status write_float(const struct writer *w, double value)
{
    return value == 0 ? dlm_str_appendz(w->ctx, w->out, "0.0")
                      : dlm_text_append_float(w->ctx, w->out, value);
}

static enum dlm_status write_list(const struct writer *w, const struct dlm_doc_strings *list)
{
    enum dlm_status st = dlm_str_appendz(w->ctx, w->out, "[");
    for (size_t i = 0; !st && i < list->len; i++) {
        if (i)
            st = dlm_str_appendz(w->ctx, w->out, ", ");
        if (!st)
            st = write_string(w, list->items[i], true);
    }
    return st ? st : dlm_str_appendz(w->ctx, w->out, "]");
}

static enum dlm_status write_targets(const struct writer *w, const struct dlm_doc_targets *targets)
{
    if (targets->kind == DLM_DOC_TARGETS_LIST)
        return write_list(w, &targets->list);
    return write_string(w, targets->kind == DLM_DOC_TARGETS_AUTO ? "auto" : targets->regex, false);
}

/* The value of a field that is one line. */
static enum dlm_status write_value(const struct writer *w, const struct dlm_schema_field *field,
                                   const void *object)
{
    const void *member = dlm_schema_const_member(field, object);

    if (field->can_be_null && dlm_schema_is_default(field, object))
        return dlm_str_appendz(w->ctx, w->out, "null");
    switch (field->type) {
    case DLM_SCHEMA_VERSION:
        return dlm_str_appendf(w->ctx, w->out, "%d", DLM_DOC_VERSION);
    case DLM_SCHEMA_ID:
    case DLM_SCHEMA_STR: {
        const char *text;
        memcpy(&text, member, sizeof(text));
        return write_string(w, text, false);
    }
    case DLM_SCHEMA_BOOL:
        return dlm_str_appendz(w->ctx, w->out, *(const bool *)member ? "true" : "false");
    case DLM_SCHEMA_AUTO_INT:
        if (!*(const int64_t *)member)
            return dlm_str_appendz(w->ctx, w->out, "auto");
        /* fall through */
    case DLM_SCHEMA_INT:
        if (field->choices && *(const int64_t *)member < 0)
            return dlm_str_appendz(w->ctx, w->out, field->choices[-1 - *(const int64_t *)member]);
        return dlm_str_appendf(w->ctx, w->out, "%lld", (long long)*(const int64_t *)member);
    case DLM_SCHEMA_FLOAT:
        return write_float(w, *(const double *)member);
    case DLM_SCHEMA_CHOICE: {
        int choice;
        memcpy(&choice, member, sizeof(choice));
        return dlm_str_appendz(w->ctx, w->out,
                               field->choices[choice - (field->can_be_null ? 1 : 0)]);
    }
    case DLM_SCHEMA_STRINGS:
        return write_list(w, member);
    case DLM_SCHEMA_TARGETS:
        return write_targets(w, member);
    case DLM_SCHEMA_ADAPTERS:
    case DLM_SCHEMA_SOURCES:
        return dlm_str_appendz(w->ctx, w->out, "[]"); /* a list that is there, but empty */
    case DLM_SCHEMA_MAP:
        break;
    }
    return DLM_OK;
}

/* --- maps ---------------------------------------------------------------------------------- */

static enum dlm_status write_adapters(const struct writer *w,
                                      const struct dlm_doc_training *training, int indent)
{
    enum dlm_status st = DLM_OK;
    for (size_t i = 0; !st && i < training->num_adapters; i++) {
        const struct dlm_doc_adapter *adapter = &training->adapters[i];
        st = dlm_str_appendf(w->ctx, w->out, "%*s", indent, "");
        if (!st)
            st = write_string(w, adapter->name, false);
        if (!st)
            st = dlm_str_appendz(w->ctx, w->out, ":\n");
        size_t before = w->out->len;
        if (!st)
            st = write_map(w, &dlm_schema_adapter, adapter, indent + 2, false);
        if (!st && w->out->len == before) {
            w->out->len--; /* no key: the map is written as one */
            st = dlm_str_appendz(w->ctx, w->out, " {}\n");
        }
    }
    return st;
}

static enum dlm_status write_sources(const struct writer *w,
                                     const struct dlm_doc_training *training, int indent)
{
    enum dlm_status st = DLM_OK;
    for (size_t i = 0; !st && i < training->num_sources; i++)
        st = write_map(w, &dlm_schema_source, &training->sources[i], indent + 2, true);
    return st;
}

/* A key whose value takes lines of its own; one without lines is left out. */
static enum dlm_status write_block(const struct writer *w, const struct dlm_schema_field *field,
                                   const void *object, int indent)
{
    size_t before = w->out->len;
    enum dlm_status st = dlm_str_appendf(w->ctx, w->out, "%*s%s:\n", indent, "", field->key);
    size_t head = w->out->len;

    if (st)
        return st;
    if (field->type == DLM_SCHEMA_ADAPTERS)
        st = write_adapters(w, object, indent + 2);
    else if (field->type == DLM_SCHEMA_SOURCES)
        st = write_sources(w, object, indent + 2);
    else
        st = write_map(w, field->map, dlm_schema_const_member(field, object), indent + 2, false);
    if (!st && w->out->len == head) {
        w->out->len = before;
        w->out->data[before] = '\0';
    }
    return st;
}

static bool is_block(const struct dlm_schema_field *field, const void *object)
{
    if (field->type == DLM_SCHEMA_ADAPTERS || field->type == DLM_SCHEMA_SOURCES) {
        size_t count;
        memcpy(&count, (const char *)object + field->count_offset, sizeof(count));
        return count > 0;
    }
    return field->type == DLM_SCHEMA_MAP;
}

/* is_item: an entry of a list, whose first key follows "- ". */
static enum dlm_status write_map(const struct writer *w, const struct dlm_schema_map *map,
                                 const void *object, int indent, bool is_item)
{
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < map->num_fields; i++) {
        const struct dlm_schema_field *field = &map->fields[i];
        bool is_kept = field->is_required || !dlm_schema_is_default(field, object) ||
                       (w->keep_written && dlm_schema_is_written(map, object, field));
        if (!is_kept)
            continue;
        if (is_block(field, object)) {
            st = write_block(w, field, object, indent);
            continue;
        }
        int spaces = is_item && !i ? indent - 2 : indent;
        st = dlm_str_appendf(w->ctx, w->out, "%*s%s%s: ", spaces, "", is_item && !i ? "- " : "",
                             field->key);
        if (!st)
            st = write_value(w, field, object);
        if (!st)
            st = dlm_str_appendz(w->ctx, w->out, "\n");
    }
    return st;
}

/* A `|` block where it reads back as the text (but for one final LF), else a quoted string. */
static enum dlm_status write_system_prompt(const struct writer *w, const char *text)
{
    size_t len = strlen(text);
    bool is_block_text = len && !strchr(" \t\n", text[0]) && !has_special(text, len, true) &&
                         !(len > 1 && text[len - 1] == '\n' && text[len - 2] == '\n');

    enum dlm_status st =
        dlm_str_appendf(w->ctx, w->out, "system_prompt: %s", is_block_text ? "|\n" : "");
    if (st || !is_block_text) {
        if (!st)
            st = write_quoted(w, text);
        return st ? st : dlm_str_appendz(w->ctx, w->out, "\n");
    }
    for (const char *p = text; !st && *p;) {
        size_t n = strcspn(p, "\n");
        st = dlm_str_appendf(w->ctx, w->out, "  %.*s\n", (int)n, p);
        p += n + (p[n] ? 1 : 0);
    }
    return st;
}

enum dlm_status dlm_doc_write_front(struct dlm_ctx *ctx, const struct dlm_doc *doc,
                                    bool keep_written, struct dlm_str *out)
{
    const struct writer w = {ctx, out, keep_written};
    const struct dlm_schema_map *root = &dlm_schema_root;
    enum dlm_status st = dlm_str_appendz(ctx, out, "---\n");

    for (size_t i = 0; !st && i < root->num_fields; i++) {
        const struct dlm_schema_field *field = &root->fields[i];
        if (field->offset == offsetof(struct dlm_doc, system_prompt)) {
            if (doc->system_prompt)
                st = write_system_prompt(&w, doc->system_prompt);
        } else if (field->type == DLM_SCHEMA_MAP) {
            st = write_block(&w, field, doc, 0);
        } else if (field->is_required || !field->can_be_null ||
                   !dlm_schema_is_default(field, doc)) {
            st = dlm_str_appendf(ctx, out, "%s: ", field->key);
            if (!st)
                st = write_value(&w, field, doc);
            if (!st)
                st = dlm_str_appendz(ctx, out, "\n");
        }
    }
    return st ? st : dlm_str_appendz(ctx, out, "---\n");
}

/* --- sections ------------------------------------------------------------------------------ */

static enum dlm_status write_attribute(const struct writer *w, const char *key, const char *value)
{
    return value ? dlm_str_appendf(w->ctx, w->out, " %s=\"%s\"", key, value) : DLM_OK;
}

static enum dlm_status write_fence(const struct writer *w, const struct dlm_doc_section *s)
{
    if (s->type == DLM_DOC_SECTION_PROSE)
        return DLM_OK;
    enum dlm_status st =
        dlm_str_appendf(w->ctx, w->out, "::%s", dlm_doc_section_type_name(s->type));
    if (!st && s->adapter)
        st = dlm_str_appendf(w->ctx, w->out, "#%s", s->adapter);
    if (!st)
        st = write_attribute(w, "path", s->media_path);
    if (!st)
        st = write_attribute(w, "alt", s->media_alt);
    if (!st)
        st = write_attribute(w, "transcript", s->media_transcript);
    return st ? st : dlm_str_appendz(w->ctx, w->out, "::\n");
}

static enum dlm_status write_mined(const struct writer *w, const struct dlm_doc_mined *mined)
{
    enum dlm_status st = dlm_str_appendf(
        w->ctx, w->out, "<!-- dlm-auto-mined: judge_name=\"%s\" judge_score_chosen=\"",
        mined->judge_name);
    if (!st)
        st = write_float(w, mined->score_chosen);
    if (!st)
        st = dlm_str_appendz(w->ctx, w->out, "\" judge_score_rejected=\"");
    if (!st)
        st = write_float(w, mined->score_rejected);
    if (!st)
        st = dlm_str_appendf(w->ctx, w->out, "\" mined_at=\"%s\" mined_run_id=\"%lld\" -->\n",
                             mined->mined_at, (long long)mined->run_id);
    return st;
}

static enum dlm_status write_markers(const struct writer *w, const struct dlm_doc_section *s)
{
    enum dlm_status st = DLM_OK;
    if (s->harvest_source)
        st = dlm_str_appendf(w->ctx, w->out, "<!-- dlm-auto-harvest: source=\"%s\" -->\n",
                             s->harvest_source);
    if (!st && s->mined)
        st = write_mined(w, s->mined);
    if (!st && s->synth)
        st = dlm_str_appendf(w->ctx, w->out,
                             "<!-- dlm-auto-synth: synth_teacher=\"%s\" synth_strategy=\"%s\" "
                             "synth_at=\"%s\" source_section_id=\"%s\" -->\n",
                             s->synth->teacher, s->synth->strategy, s->synth->synth_at,
                             s->synth->source_section_id);
    return st;
}

static enum dlm_status write_section(const struct writer *w, const struct dlm_doc_section *s)
{
    enum dlm_status st = write_fence(w, s);
    if (!st)
        st = write_markers(w, s);
    if (!st)
        st = dlm_str_append(w->ctx, w->out, s->content, s->content_len);
    bool lacks_lf = s->content_len && s->content[s->content_len - 1] != '\n';
    if (!st && lacks_lf)
        st = dlm_str_appendz(w->ctx, w->out, "\n");
    return st;
}

enum dlm_status dlm_doc_serialize(struct dlm_ctx *ctx, const struct dlm_doc *doc,
                                  struct dlm_str *out)
{
    const struct writer w = {.ctx = ctx, .out = out};

    enum dlm_status st = dlm_doc_write_front(ctx, doc, false, out);
    size_t body = out->len;
    for (size_t i = 0; !st && i < doc->num_sections; i++) {
        st = dlm_str_appendz(ctx, out, "\n");
        if (!st)
            st = write_section(&w, &doc->sections[i]);
    }
    if (!st && !doc->num_sections)
        st = dlm_str_appendz(ctx, out, "\n");
    /* The parser drops one final LF, so more than one would not be a fixed point. */
    while (!st && out->len > body + 2 && out->data[out->len - 1] == '\n' &&
           out->data[out->len - 2] == '\n')
        out->data[--out->len] = '\0';
    return st;
}
