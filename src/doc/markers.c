/* Provenance markers: HTML comments on the first lines of generated sections. They are metadata, so
 * they leave the content before it is hashed. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "doc/doc_impl.h"
#include "doc/text.h"

#define MAX_KEYS 5

/* Keys in sorted order, as messages list them. */
struct marker {
    const char *name; /* in messages */
    const char *prefix;
    const char *allowed; /* the keys as Python prints the list */
    const char *const keys[MAX_KEYS];
};

enum { MINED_JUDGE, MINED_CHOSEN, MINED_REJECTED, MINED_AT, MINED_RUN };
static const struct marker mined_marker = {
    "dlm-auto-mined",
    "<!-- dlm-auto-mined:",
    "['judge_name', 'judge_score_chosen', 'judge_score_rejected', 'mined_at', 'mined_run_id']",
    {"judge_name", "judge_score_chosen", "judge_score_rejected", "mined_at", "mined_run_id"},
};

enum { SYNTH_SOURCE, SYNTH_AT, SYNTH_STRATEGY, SYNTH_TEACHER };
static const struct marker synth_marker = {
    "dlm-auto-synth",
    "<!-- dlm-auto-synth:",
    "['source_section_id', 'synth_at', 'synth_strategy', 'synth_teacher']",
    {"source_section_id", "synth_at", "synth_strategy", "synth_teacher"},
};

static const char harvest_prefix[] = "<!-- dlm-auto-harvest: source=\"";
static const char comment_end[] = " -->";

/* The text between prefix and " -->" of a line, if it is such a comment. */
static bool inside(const char *line, size_t len, const char *prefix, const char **text,
                   size_t *text_len)
{
    size_t before = strlen(prefix);
    size_t after = sizeof(comment_end) - 1;

    if (len < before + after || memcmp(line, prefix, before) ||
        memcmp(line + len - after, comment_end, after))
        return false;
    *text = line + before;
    *text_len = len - before - after;
    return true;
}

struct lifter {
    struct dlm_ctx *ctx;
    struct dlm_doc *doc;
    struct dlm_doc_section *section;
};

static enum dlm_status fail(const struct lifter *l, const struct marker *marker, const char *text)
{
    return dlm_doc_fail(l->ctx, l->doc->path, l->section->start_line, 1, "%s marker %s",
                        marker->name, text);
}

static int find_key(const struct marker *marker, const struct dlm_doc_attribute *a)
{
    for (int i = 0; i < MAX_KEYS && marker->keys[i]; i++) {
        if (strlen(marker->keys[i]) == a->key_len && !memcmp(marker->keys[i], a->key, a->key_len))
            return i;
    }
    return -1;
}

/* Names the keys that have no value, as Python prints a list. */
static enum dlm_status fail_missing(const struct lifter *l, const struct marker *marker,
                                    const char *const values[MAX_KEYS])
{
    struct dlm_str list = {0};
    enum dlm_status st = DLM_OK;

    for (int i = 0; !st && i < MAX_KEYS && marker->keys[i]; i++) {
        if (!values[i])
            st = dlm_str_appendf(l->ctx, &list, "%s'%s'", list.len ? ", " : "", marker->keys[i]);
    }
    if (!st)
        st = dlm_doc_fail(l->ctx, l->doc->path, l->section->start_line, 1,
                          "%s marker is missing required attribute(s) [%s]", marker->name,
                          list.data);
    dlm_str_finish(&list);
    return st;
}

/* Reads all keys of a marker, each exactly once, into values (owned by the document). */
static enum dlm_status read_values(const struct lifter *l, const struct marker *marker,
                                   const char *text, size_t len, const char *values[MAX_KEYS])
{
    const char *p = text, *end = text + len, *stop = NULL;
    struct dlm_doc_attribute a;
    bool is_complete = true;

    if (!dlm_doc_scan_attributes(text, end, &stop) || stop != end)
        return dlm_doc_fail(l->ctx, l->doc->path, l->section->start_line, 1,
                            "invalid %s marker syntax", marker->name);
    while (dlm_doc_next_attribute(&p, end, &a)) {
        int key = find_key(marker, &a);
        if (key >= 0 && values[key])
            return dlm_doc_fail(l->ctx, l->doc->path, l->section->start_line, 1,
                                "%s marker repeats attribute '%s'", marker->name,
                                marker->keys[key]);
        if (key < 0)
            return dlm_doc_fail(l->ctx, l->doc->path, l->section->start_line, 1,
                                "%s marker has unknown attribute '%.*s' (allowed: %s)",
                                marker->name, (int)a.key_len, a.key, marker->allowed);
        if (memchr(a.value, '\0', a.value_len))
            return fail(l, marker, "contains NUL characters");
        values[key] = dlm_arena_strndup(l->ctx, &l->doc->arena, a.value, a.value_len);
        if (!values[key])
            return DLM_ERR_MEMORY;
    }
    for (int i = 0; i < MAX_KEYS && marker->keys[i]; i++)
        is_complete = is_complete && values[i];
    return is_complete ? DLM_OK : fail_missing(l, marker, values);
}

/* Every 'Z' stands for "+00:00". */
static bool is_time(const struct lifter *l, const char *text, enum dlm_status *st)
{
    struct dlm_str out = {0};

    for (const char *p = text; !*st && *p; p++)
        *st = *p == 'Z' ? dlm_str_appendz(l->ctx, &out, "+00:00")
                        : dlm_str_append(l->ctx, &out, p, 1);
    bool is_good = dlm_text_is_iso_datetime(dlm_str_text(&out), out.len);
    dlm_str_finish(&out);
    return is_good;
}

/* int(): sign, digits with single underscores, white space around. */
static bool read_run_id(const char *text, int64_t *value)
{
    char copy[32];
    size_t n = 0;
    size_t len = strlen(text);

    dlm_text_strip(&text, &len);
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '_' && i > 0 && i + 1 < len && text[i - 1] != '_' && text[i - 1] != '-' &&
            text[i - 1] != '+')
            continue;
        if (!((text[i] >= '0' && text[i] <= '9') || (!i && (text[i] == '-' || text[i] == '+'))))
            return false;
        if (n + 1 == sizeof(copy))
            return false;
        copy[n++] = text[i];
    }
    copy[n] = '\0';
    char *end = NULL;
    errno = 0;
    *value = strtoll(copy, &end, 10);
    return end != copy && !*end && !errno;
}

static enum dlm_status lift_mined(const struct lifter *l, const char *text, size_t len)
{
    const char *values[MAX_KEYS] = {0};
    double chosen = 0, rejected = 0;
    int64_t run_id = 0;

    enum dlm_status st = read_values(l, &mined_marker, text, len, values);
    if (st)
        return st;
    if (!dlm_text_to_float(values[MINED_CHOSEN], strlen(values[MINED_CHOSEN]), &chosen) ||
        !dlm_text_to_float(values[MINED_REJECTED], strlen(values[MINED_REJECTED]), &rejected))
        return fail(l, &mined_marker, "judge scores must be floats");
    if (!isfinite(chosen) || !isfinite(rejected))
        return fail(l, &mined_marker, "judge scores must be finite");
    if (!is_time(l, values[MINED_AT], &st))
        return st ? st : fail(l, &mined_marker, "mined_at must be ISO-8601");
    if (!read_run_id(values[MINED_RUN], &run_id))
        return fail(l, &mined_marker, "mined_run_id must be an integer");
    if (run_id < 1)
        return fail(l, &mined_marker, "mined_run_id must be >= 1");
    struct dlm_doc_mined *mined = dlm_arena_alloc(l->ctx, &l->doc->arena, sizeof(*mined));
    if (!mined)
        return DLM_ERR_MEMORY;
    *mined = (struct dlm_doc_mined){
        .judge_name = values[MINED_JUDGE], .score_chosen = chosen,   .score_rejected = rejected,
        .mined_at = values[MINED_AT],      .run_id = run_id,
    };
    l->section->mined = mined;
    return DLM_OK;
}

static enum dlm_status lift_synth(const struct lifter *l, const char *text, size_t len)
{
    const char *values[MAX_KEYS] = {0};

    enum dlm_status st = read_values(l, &synth_marker, text, len, values);
    if (st)
        return st;
    if (!is_time(l, values[SYNTH_AT], &st))
        return st ? st : fail(l, &synth_marker, "synth_at must be ISO-8601");
    const char *source = values[SYNTH_SOURCE];
    if (strlen(source) != 16 || strspn(source, "0123456789abcdef") != 16)
        return fail(l, &synth_marker,
                    "source_section_id must be a 16-char lowercase hex section id");
    if (!*values[SYNTH_TEACHER])
        return fail(l, &synth_marker, "synth_teacher must be non-empty");
    if (!*values[SYNTH_STRATEGY])
        return fail(l, &synth_marker, "synth_strategy must be non-empty");
    struct dlm_doc_synth *synth = dlm_arena_alloc(l->ctx, &l->doc->arena, sizeof(*synth));
    if (!synth)
        return DLM_ERR_MEMORY;
    *synth = (struct dlm_doc_synth){
        .teacher = values[SYNTH_TEACHER], .strategy = values[SYNTH_STRATEGY],
        .synth_at = values[SYNTH_AT],     .source_section_id = source,
    };
    l->section->synth = synth;
    return DLM_OK;
}

/* `source="..." -->` behind the prefix, the value without '"' and NUL. */
static enum dlm_status lift_harvest(const struct lifter *l, const char *line, size_t len,
                                    bool *is_marker)
{
    const char *text = NULL;
    size_t text_len = 0;

    *is_marker = inside(line, len, harvest_prefix, &text, &text_len) && text_len &&
                 memchr(text, '"', text_len) == text + text_len - 1 &&
                 !memchr(text, '\0', text_len);
    if (!*is_marker)
        return DLM_OK;
    l->section->harvest_source =
        dlm_arena_strndup(l->ctx, &l->doc->arena, text, text_len - 1);
    return l->section->harvest_source ? DLM_OK : DLM_ERR_MEMORY;
}

static enum dlm_status lift_one(const struct lifter *l, const char *line, size_t len,
                                bool *is_marker)
{
    enum dlm_doc_section_type type = l->section->type;
    const char *text = NULL;
    size_t text_len = 0;

    enum dlm_status st = lift_harvest(l, line, len, is_marker);
    if (st || *is_marker)
        return st;
    *is_marker = true;
    if (type == DLM_DOC_SECTION_PREFERENCE &&
        inside(line, len, mined_marker.prefix, &text, &text_len))
        return lift_mined(l, text, text_len);
    if (type == DLM_DOC_SECTION_INSTRUCTION &&
        inside(line, len, synth_marker.prefix, &text, &text_len))
        return lift_synth(l, text, text_len);
    *is_marker = false;
    return DLM_OK;
}

enum dlm_status dlm_doc_lift_markers(struct dlm_ctx *ctx, struct dlm_doc *doc,
                                     struct dlm_doc_section *section)
{
    const struct lifter lifter = {ctx, doc, section};

    if (section->type != DLM_DOC_SECTION_INSTRUCTION && section->type != DLM_DOC_SECTION_PREFERENCE)
        return DLM_OK;
    while (section->content_len) {
        const char *end = memchr(section->content, '\n', section->content_len);
        size_t n = end ? (size_t)(end - section->content) : section->content_len;
        bool is_marker = false;
        enum dlm_status st = lift_one(&lifter, section->content, n, &is_marker);
        if (st || !is_marker)
            return st;
        n = DLM_MIN(n + 1, section->content_len);
        section->content += n;
        section->content_len -= n;
    }
    return DLM_OK;
}
