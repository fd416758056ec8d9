/* libyaml's events made into a tree the way PyYAML's safe_load does: resolved scalars, aliases,
 * merge keys, no tag that makes anything but plain data. */
#include "doc/yaml.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <yaml.h>

#include "base/hash.h"
#include "base/log.h"
#include "doc/text.h"

#define MAX_DEPTH 100
#define MAX_MERGED 1000000
#define MAX_ANCHORS 1000
#define TAG_PREFIX "tag:yaml.org,2002:"

struct anchor {
    char *name;
    struct dlm_yaml *value;
};

struct reader {
    struct dlm_ctx *ctx;
    struct dlm_arena *arena;
    struct dlm_yaml_error *error;
    yaml_parser_t parser;
    struct anchor *anchors;
    size_t num_anchors, cap_anchors;
    size_t num_merged;
    int depth;
    bool at_key; /* the next node is a key of a map */
};

static enum dlm_status read_node(struct reader *r, const yaml_event_t *event,
                                 struct dlm_yaml **out);

DLM_PRINTF(3, 4)
static enum dlm_status fail(struct reader *r, yaml_mark_t mark, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(r->error->text, sizeof(r->error->text), fmt, args);
    va_end(args);
    r->error->line = (int64_t)mark.line;
    r->error->col = (int64_t)mark.column;
    return DLM_ERR_PARSE;
}

static enum dlm_status fail_in_parser(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;

    if (p->error == YAML_MEMORY_ERROR)
        return dlm_fail(r->ctx, DLM_ERR_MEMORY, "out of memory in the YAML parser");
    if (p->error == YAML_READER_ERROR) {
        (void)fail(r, p->mark, "unacceptable character #x%04x: %s", (unsigned)p->problem_value,
                   p->problem ? p->problem : "unreadable");
        r->error->line = -1;
        return DLM_ERR_PARSE;
    }
    if (p->context)
        return fail(r, p->problem_mark, "%s: %s", p->context, p->problem);
    return fail(r, p->problem_mark, "%s", p->problem ? p->problem : "unreadable");
}

static enum dlm_status next_event(struct reader *r, yaml_event_t *event)
{
    return yaml_parser_parse(&r->parser, event) ? DLM_OK : fail_in_parser(r);
}

struct dlm_yaml *dlm_yaml_new(struct dlm_ctx *ctx, struct dlm_arena *arena, enum dlm_yaml_kind kind)
{
    struct dlm_yaml *value = dlm_arena_alloc(ctx, arena, sizeof(*value));
    if (value)
        value->kind = kind;
    return value;
}

struct dlm_yaml *dlm_yaml_new_text(struct dlm_ctx *ctx, struct dlm_arena *arena, const char *text)
{
    struct dlm_yaml *value = dlm_yaml_new(ctx, arena, DLM_YAML_STR);
    if (value) {
        value->text = text;
        value->text_len = strlen(text);
    }
    return value;
}

const char *dlm_yaml_type_name(const struct dlm_yaml *value)
{
    static const char *const names[] = {
        [DLM_YAML_NULL] = "NoneType", [DLM_YAML_BOOL] = "bool",
        [DLM_YAML_INT] = "int",       [DLM_YAML_FLOAT] = "float",
        [DLM_YAML_STR] = "str",       [DLM_YAML_DATE] = "date",
        [DLM_YAML_BYTES] = "bytes",   [DLM_YAML_DATETIME] = "datetime",
        [DLM_YAML_LIST] = "list",     [DLM_YAML_MAP] = "dict",
    };
    return names[value->kind];
}

/* --- maps ---------------------------------------------------------------------------------- */

static bool same_key(const struct dlm_yaml *a, const struct dlm_yaml *b)
{
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case DLM_YAML_NULL:
        return true;
    case DLM_YAML_BOOL:
        return a->boolean == b->boolean;
    case DLM_YAML_INT:
        return a->is_big == b->is_big && a->integer == b->integer && a->number == b->number;
    default:
        return a->text_len == b->text_len && !memcmp(a->text, b->text, a->text_len);
    }
}

static size_t key_hash(const struct dlm_yaml *key)
{
    const uint32_t h = dlm_hash(DLM_HASH_START, &key->kind, sizeof(key->kind));

    if (key->kind == DLM_YAML_INT)
        return dlm_hash(h, &key->integer, sizeof(key->integer));
    if (key->kind == DLM_YAML_NULL || key->kind == DLM_YAML_BOOL)
        return h;
    return dlm_hash(h, key->text, key->text_len);
}

/* The slot of the key in the hash table: its pair's, or the free one where it belongs. */
static uint32_t *find_slot(const struct dlm_yaml *map, const struct dlm_yaml *key)
{
    size_t i = key_hash(key) & (map->index_len - 1);
    while (map->index[i] && !same_key(map->pairs[map->index[i] - 1].key, key))
        i = (i + 1) & (map->index_len - 1);
    return &map->index[i];
}

static enum dlm_status grow_index(struct dlm_ctx *ctx, struct dlm_arena *arena,
                                  struct dlm_yaml *map)
{
    size_t len = map->index_len ? 2 * map->index_len : 8;
    uint32_t *index = dlm_arena_alloc(ctx, arena, len * sizeof(*index));
    if (!index)
        return DLM_ERR_MEMORY;
    map->index = index;
    map->index_len = len;
    for (size_t i = 0; i < map->len; i++)
        *find_slot(map, map->pairs[i].key) = (uint32_t)(i + 1);
    return DLM_OK;
}

enum dlm_status dlm_yaml_set(struct dlm_ctx *ctx, struct dlm_arena *arena, struct dlm_yaml *map,
                             const struct dlm_yaml *key, const struct dlm_yaml *value)
{
    if (2 * (map->len + 1) > map->index_len && grow_index(ctx, arena, map))
        return DLM_ERR_MEMORY;
    uint32_t *slot = find_slot(map, key);
    if (*slot) {
        map->pairs[*slot - 1].value = value;
        return DLM_OK;
    }
    if (!dlm_arena_grow(ctx, arena, &map->pairs, &map->cap, map->len, sizeof(*map->pairs)))
        return DLM_ERR_MEMORY;
    map->pairs[map->len++] = (struct dlm_yaml_pair){key, value};
    *slot = (uint32_t)map->len;
    return DLM_OK;
}

const struct dlm_yaml_pair *dlm_yaml_find(const struct dlm_yaml *map, const char *key)
{
    const struct dlm_yaml wanted = {.kind = DLM_YAML_STR, .text = key, .text_len = strlen(key)};
    if (!map->index_len)
        return NULL;
    uint32_t slot = *find_slot(map, &wanted);
    return slot ? &map->pairs[slot - 1] : NULL;
}

const struct dlm_yaml *dlm_yaml_get(const struct dlm_yaml *map, const char *key)
{
    const struct dlm_yaml_pair *pair = dlm_yaml_find(map, key);
    return pair ? pair->value : NULL;
}

/* --- scalars ------------------------------------------------------------------------------- */

static enum dlm_status read_tagged(struct reader *r, const yaml_event_t *event, const char *tag,
                                   struct dlm_yaml *value)
{
    size_t prefix_len = strlen(TAG_PREFIX);
    const char *name = !strncmp(tag, TAG_PREFIX, prefix_len) ? tag + prefix_len : "";
    const char *reason = "another value";
    struct dlm_yaml plain = {0};

    bool read = dlm_yaml_resolve(value->text, value->text_len, &plain, &reason);
    enum dlm_yaml_kind kind = DLM_YAML_STR;
    if (!strcmp(tag, "!") || !strcmp(name, "str")) {
        value->kind = DLM_YAML_STR;
        return DLM_OK;
    } else if (!strcmp(name, "null")) {
        value->kind = DLM_YAML_NULL;
        return DLM_OK;
    } else if (!strcmp(name, "binary")) {
        value->kind = DLM_YAML_BYTES;
        return DLM_OK;
    } else if (!strcmp(name, "float")) {
        kind = DLM_YAML_FLOAT;
        if (plain.kind == DLM_YAML_INT)
            plain.kind = DLM_YAML_FLOAT;
        if (plain.kind == DLM_YAML_STR &&
            dlm_text_to_float(value->text, value->text_len, &plain.number))
            plain.kind = DLM_YAML_FLOAT;
    } else if (!strcmp(name, "int")) {
        kind = DLM_YAML_INT;
    } else if (!strcmp(name, "bool")) {
        kind = DLM_YAML_BOOL;
    } else if (!strcmp(name, "timestamp")) {
        kind = plain.kind == DLM_YAML_DATE ? DLM_YAML_DATE : DLM_YAML_DATETIME;
    } else {
        return fail(r, event->start_mark, "could not determine a constructor for the tag '%s'",
                    tag);
    }
    if (!read || plain.kind != kind)
        return fail(r, event->start_mark, "the value does not fit the tag '%s'", tag);
    value->kind = kind;
    value->boolean = plain.boolean;
    value->is_big = plain.is_big;
    value->integer = plain.integer;
    value->number = plain.number;
    return DLM_OK;
}

static enum dlm_status read_scalar(struct reader *r, const yaml_event_t *event,
                                   struct dlm_yaml *value)
{
    const char *text = (const char *)event->data.scalar.value;
    const char *tag = (const char *)event->data.scalar.tag;
    const char *reason = NULL;
    bool at_key = r->at_key;

    r->at_key = false;
    value->text_len = event->data.scalar.length;
    value->text = dlm_arena_strndup(r->ctx, r->arena, text, value->text_len);
    if (!value->text)
        return DLM_ERR_MEMORY;
    if (tag)
        return read_tagged(r, event, tag, value);
    if (!event->data.scalar.plain_implicit) {
        value->kind = DLM_YAML_STR;
        return DLM_OK;
    }
    if (!dlm_yaml_resolve(value->text, value->text_len, value, &reason))
        return fail(r, event->start_mark, "found %s", reason);
    /* Two plain texts have types of their own, which mean something in keys only. */
    bool is_merge = !strcmp(value->text, "<<");
    if (value->kind == DLM_YAML_STR && !at_key && (is_merge || !strcmp(value->text, "=")))
        return fail(r, event->start_mark, "could not determine a constructor for the tag '%s%s'",
                    TAG_PREFIX, is_merge ? "merge" : "value");
    return DLM_OK;
}

static bool is_merge_key(const yaml_event_t *event)
{
    if (event->type != YAML_SCALAR_EVENT)
        return false;
    const char *tag = (const char *)event->data.scalar.tag;
    if (tag)
        return !strcmp(tag, TAG_PREFIX "merge");
    return event->data.scalar.plain_implicit && event->data.scalar.length == 2 &&
           !memcmp(event->data.scalar.value, "<<", 2);
}

/* --- collections --------------------------------------------------------------------------- */

static enum dlm_status read_list(struct reader *r, struct dlm_yaml *list)
{
    for (;;) {
        yaml_event_t event;
        struct dlm_yaml *item = NULL;
        enum dlm_status st = next_event(r, &event);
        if (st)
            return st;
        bool at_end = event.type == YAML_SEQUENCE_END_EVENT;
        if (!at_end)
            st = read_node(r, &event, &item);
        yaml_event_delete(&event);
        if (st || at_end)
            return st;
        if (!dlm_arena_grow(r->ctx, r->arena, &list->items, &list->cap, list->len,
                            sizeof(*list->items)))
            return DLM_ERR_MEMORY;
        list->items[list->len++] = item;
    }
}

static enum dlm_status copy_pairs(struct reader *r, struct dlm_yaml *to,
                                  const struct dlm_yaml *from)
{
    enum dlm_status st = DLM_OK;
    for (size_t i = 0; !st && i < from->len; i++)
        st = dlm_yaml_set(r->ctx, r->arena, to, from->pairs[i].key, from->pairs[i].value);
    return st;
}

/* Adds what `<<: source` brings to merged. Of a list the first map wins, so the last goes in
 * first. */
static enum dlm_status merge(struct reader *r, struct dlm_yaml *merged,
                             const struct dlm_yaml *source, yaml_mark_t mark)
{
    bool is_list = source->kind == DLM_YAML_LIST;
    size_t num_maps = is_list ? source->len : 1;

    for (size_t i = num_maps; i-- > 0;) {
        const struct dlm_yaml *map = is_list ? source->items[i] : source;
        if (map->kind != DLM_YAML_MAP)
            return fail(r, mark, "while constructing a mapping: expected a mapping%s for merging",
                        is_list ? "" : " or list of mappings");
        r->num_merged += map->len + 1;
        if (r->num_merged > MAX_MERGED)
            return fail(r, mark, "while constructing a mapping: the merge keys bring too much");
        enum dlm_status st = copy_pairs(r, merged, map);
        if (st)
            return st;
    }
    return DLM_OK;
}

/* Merged pairs come first and the map's own override them, whatever their order in the text. */
static enum dlm_status read_map(struct reader *r, struct dlm_yaml *map)
{
    struct dlm_yaml merged = {.kind = DLM_YAML_MAP};
    struct dlm_yaml own = {.kind = DLM_YAML_MAP};
    enum dlm_status st = DLM_OK;

    for (;;) {
        yaml_event_t event;
        struct dlm_yaml *key = NULL, *value = NULL;
        st = next_event(r, &event);
        if (st)
            return st;
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            break;
        }
        yaml_mark_t mark = event.start_mark;
        bool is_merge = is_merge_key(&event);
        r->at_key = true;
        if (!is_merge)
            st = read_node(r, &event, &key);
        r->at_key = false;
        yaml_event_delete(&event);
        if (!st && key && (key->kind == DLM_YAML_LIST || key->kind == DLM_YAML_MAP))
            st = fail(r, mark, "while constructing a mapping: found unhashable key");
        if (st)
            return st;
        st = next_event(r, &event);
        if (st)
            return st;
        mark = event.start_mark;
        st = read_node(r, &event, &value);
        yaml_event_delete(&event);
        const size_t num_own = own.len;
        if (!st)
            st = is_merge ? merge(r, &merged, value, mark)
                          : dlm_yaml_set(r->ctx, r->arena, &own, key, value);
        if (st)
            return st;
        if (!is_merge && own.len == num_own && !map->again)
            map->again = key;
    }
    if (!merged.len)
        merged = own;
    else
        st = copy_pairs(r, &merged, &own);
    map->pairs = merged.pairs;
    map->len = merged.len;
    map->cap = merged.cap;
    map->index = merged.index;
    map->index_len = merged.index_len;
    return st;
}

static enum dlm_status read_collection(struct reader *r, const yaml_event_t *event,
                                       struct dlm_yaml *value)
{
    bool is_map = event->type == YAML_MAPPING_START_EVENT;
    const char *tag = (const char *)(is_map ? event->data.mapping_start.tag
                                            : event->data.sequence_start.tag);

    value->kind = is_map ? DLM_YAML_MAP : DLM_YAML_LIST;
    if (tag && strcmp(tag, "!") && strcmp(tag, is_map ? TAG_PREFIX "map" : TAG_PREFIX "seq"))
        return fail(r, event->start_mark, "could not determine a constructor for the tag '%s'",
                    tag);
    if (r->depth == MAX_DEPTH)
        return fail(r, event->start_mark, "nested deeper than %d levels", MAX_DEPTH);
    value->is_open = true;
    r->depth++;
    enum dlm_status st = is_map ? read_map(r, value) : read_list(r, value);
    r->depth--;
    value->is_open = false;
    return st;
}

/* --- nodes --------------------------------------------------------------------------------- */

static struct dlm_yaml *find_anchor(struct reader *r, const char *name)
{
    for (size_t i = 0; i < r->num_anchors; i++) {
        if (!strcmp(r->anchors[i].name, name))
            return r->anchors[i].value;
    }
    return NULL;
}

static enum dlm_status add_anchor(struct reader *r, const yaml_event_t *event, const char *name,
                                  struct dlm_yaml *value)
{
    if (!name)
        return DLM_OK;
    if (find_anchor(r, name))
        return fail(r, event->start_mark, "found duplicate anchor '%s'", name);
    if (r->num_anchors == MAX_ANCHORS)
        return fail(r, event->start_mark, "found more than %d anchors", MAX_ANCHORS);
    if (!dlm_arena_grow(r->ctx, r->arena, &r->anchors, &r->cap_anchors, r->num_anchors,
                        sizeof(*r->anchors)))
        return DLM_ERR_MEMORY;
    char *copy = dlm_arena_strndup(r->ctx, r->arena, name, strlen(name));
    if (!copy)
        return DLM_ERR_MEMORY;
    r->anchors[r->num_anchors++] = (struct anchor){copy, value};
    return DLM_OK;
}

static const char *anchor_of(const yaml_event_t *event)
{
    if (event->type == YAML_SCALAR_EVENT)
        return (const char *)event->data.scalar.anchor;
    if (event->type == YAML_MAPPING_START_EVENT)
        return (const char *)event->data.mapping_start.anchor;
    return (const char *)event->data.sequence_start.anchor;
}

/* Reads the node that begins with event, which stays the caller's. */
static enum dlm_status read_node(struct reader *r, const yaml_event_t *event, struct dlm_yaml **out)
{
    if (event->type == YAML_ALIAS_EVENT) {
        const char *name = (const char *)event->data.alias.anchor;
        *out = find_anchor(r, name);
        if (!*out)
            return fail(r, event->start_mark, "found undefined alias '%s'", name);
        if ((*out)->is_open)
            return fail(r, event->start_mark, "found recursive alias '%s'", name);
        return DLM_OK;
    }
    struct dlm_yaml *value = dlm_yaml_new(r->ctx, r->arena, DLM_YAML_NULL);
    if (!value)
        return DLM_ERR_MEMORY;
    value->line = (int64_t)event->start_mark.line + 1;
    value->col = (int64_t)event->start_mark.column + 1;
    *out = value;
    enum dlm_status st = add_anchor(r, event, anchor_of(event), value);
    if (st)
        return st;
    return event->type == YAML_SCALAR_EVENT ? read_scalar(r, event, value)
                                            : read_collection(r, event, value);
}

/* After the stream's start: a document, or none. */
static enum dlm_status read_document(struct reader *r, struct dlm_yaml **root)
{
    yaml_event_t event;
    enum dlm_status st = next_event(r, &event);
    if (st)
        return st;
    bool is_empty = event.type == YAML_STREAM_END_EVENT;
    yaml_event_delete(&event);
    if (is_empty) {
        *root = dlm_yaml_new(r->ctx, r->arena, DLM_YAML_NULL);
        return *root ? DLM_OK : DLM_ERR_MEMORY;
    }
    st = next_event(r, &event);
    if (st)
        return st;
    st = read_node(r, &event, root);
    yaml_event_delete(&event);
    for (int i = 0; !st && i < 2; i++) { /* the document's end, then the stream's */
        st = next_event(r, &event);
        if (st)
            return st;
        if (event.type == YAML_DOCUMENT_START_EVENT)
            st = fail(r, event.start_mark,
                      "expected a single document in the stream: but found another document");
        yaml_event_delete(&event);
    }
    return st;
}

enum dlm_status dlm_yaml_parse(struct dlm_ctx *ctx, struct dlm_arena *arena, const char *text,
                               size_t len, const struct dlm_yaml **root,
                               struct dlm_yaml_error *error)
{
    struct reader r = {.ctx = ctx, .arena = arena, .error = error};
    struct dlm_yaml *value = NULL;
    yaml_event_t event;

    *root = NULL;
    if (!yaml_parser_initialize(&r.parser))
        return dlm_fail(ctx, DLM_ERR_MEMORY, "out of memory in the YAML parser");
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
    enum dlm_status st = next_event(&r, &event); /* the stream's start */
    if (!st) {
        yaml_event_delete(&event);
        st = read_document(&r, &value);
    }
    yaml_parser_delete(&r.parser);
    if (!st)
        *root = value;
    return st;
}
