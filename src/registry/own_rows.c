/* Rows that the user adds: one YAML file a base in <home>/bases.d, with the members of a built-in
 * row as keys. A file that is not right is left out with a warning that names its line and key. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "doc/yaml.h"
#include "registry/registry.h"

#define MAX_FILE_BYTES (1 << 16)
#define MAX_TOTAL 1e15 /* parameters: far more than there are, and exact in a double */
#define MAX_GIGABYTES 1e6

enum kind {
    STRING,
    SWITCH,
    COUNT,     /* int of at least 1 */
    TOTAL,     /* double: a whole number from 1 to MAX_TOTAL */
    GIGABYTES, /* double above 0, at most MAX_GIGABYTES */
    SIZE,      /* [height, width] */
    MODULES,   /* list of names */
    RESIZE,    /* fixed | dynamic */
    REVISION,  /* 40 lower-case hexadecimal digits */
    HUB_ID,    /* org/name */
};

static const struct field {
    const char *key;
    enum kind kind;
    size_t offset;
    bool is_required;
} fields[] = {
#define FIELD(member, kind) {#member, kind, offsetof(struct dlm_base_row, member), false}
#define REQUIRED(member, kind) {#member, kind, offsetof(struct dlm_base_row, member), true}
    REQUIRED(key, STRING),
    REQUIRED(hf_id, HUB_ID),
    REQUIRED(revision, REVISION),
    REQUIRED(architecture, STRING),
    REQUIRED(license_spdx, STRING),
    FIELD(license_url, STRING),
    FIELD(requires_acceptance, SWITCH),
    FIELD(redistributable, SWITCH),
    FIELD(params, TOTAL),
    FIELD(size_gb_fp16, GIGABYTES),
    FIELD(context_length, COUNT),
    FIELD(recommended_seq_len, COUNT),
    FIELD(template_name, STRING),
    FIELD(gguf_arch, STRING),
    FIELD(tokenizer_pre, STRING),
    FIELD(image_token, STRING),
    FIELD(num_image_tokens, COUNT),
    {"target_size", SIZE, offsetof(struct dlm_base_row, target_height), false},
    FIELD(resize_policy, RESIZE),
    FIELD(target_modules, MODULES),
#undef FIELD
#undef REQUIRED
};

/* One file while it is read. */
struct reader {
    struct dlm_ctx *ctx;
    struct dlm_arena *arena;
    const char *path;
    bool is_wrong; /* and that has been said */
};

static void wrong(struct reader *r, const struct dlm_yaml *at, const char *fmt, ...)
    DLM_PRINTF(3, 4);

static void wrong(struct reader *r, const struct dlm_yaml *at, const char *fmt, ...)
{
    char text[256];
    va_list list;

    va_start(list, fmt);
    vsnprintf(text, sizeof(text), fmt, list);
    va_end(list);
    r->is_wrong = true;
    if (at && at->line)
        dlm_log_once(r->ctx, DLM_LOG_WARNING, "%s:%lld: %s; this base is left out", r->path,
                     (long long)at->line, text);
    else
        dlm_log_once(r->ctx, DLM_LOG_WARNING, "%s: %s; this base is left out", r->path, text);
}

static bool is_revision(const char *text)
{
    return strlen(text) == 40 && strspn(text, "0123456789abcdef") == 40;
}

/* A key of the registry: what a document's base_model can name. */
static bool is_key(const char *text)
{
    return *text && strlen(text) < 100 &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789.-_") == strlen(text);
}

static enum dlm_status set_text(struct reader *r, const struct field *f,
                                const struct dlm_yaml *value, const char **out)
{
    if (value->kind != DLM_YAML_STR || !value->text_len ||
        strlen(value->text) != value->text_len) {
        wrong(r, value, "'%s' is not a text", f->key);
        return DLM_OK;
    }
    if (f->kind == REVISION && !is_revision(value->text))
        wrong(r, value, "'%s' is not 40 lower-case hexadecimal digits", f->key);
    else if (f->kind == HUB_ID && !dlm_base_is_hf_id(value->text))
        wrong(r, value, "'%s' is not org/name", f->key);
    else if (!strcmp(f->key, "key") && !is_key(value->text))
        wrong(r, value, "'key' has others than lower-case letters, digits, '.', '-' and '_'");
    *out = dlm_arena_strndup(r->ctx, r->arena, value->text, value->text_len);
    return *out ? DLM_OK : DLM_ERR_MEMORY;
}

static enum dlm_status set_modules(struct reader *r, const struct field *f,
                                   const struct dlm_yaml *value, const char **out)
{
    enum dlm_status st = DLM_OK;

    if (value->kind != DLM_YAML_LIST || !value->len ||
        value->len >= DLM_ARRAY_LEN(((struct dlm_base_row *)NULL)->target_modules)) {
        wrong(r, value, "'%s' is not a list of 1 to 7 names", f->key);
        return DLM_OK;
    }
    for (size_t i = 0; !st && i < value->len; i++)
        st = set_text(r, f, value->items[i], &out[i]);
    return st;
}

static bool read_count(struct reader *r, const struct field *f, const struct dlm_yaml *value,
                       int *out)
{
    if (value->kind != DLM_YAML_INT || value->is_big || value->integer < 1 ||
        value->integer > INT32_MAX) {
        wrong(r, value, "'%s' is not a whole number from 1 to %d", f->key, INT32_MAX);
        return false;
    }
    *out = (int)value->integer;
    return true;
}

static void set_size(struct reader *r, const struct field *f, const struct dlm_yaml *value,
                     int *height_width)
{
    if (value->kind != DLM_YAML_LIST || value->len != 2)
        wrong(r, value, "'%s' is not [height, width]", f->key);
    else if (read_count(r, f, value->items[0], height_width))
        (void)read_count(r, f, value->items[1], height_width + 1);
}

static bool is_between(const struct dlm_yaml *value, double min, double max)
{
    return (value->kind == DLM_YAML_INT || value->kind == DLM_YAML_FLOAT) &&
           value->number >= min && value->number <= max; /* not NaN */
}

static enum dlm_status set_field(struct reader *r, const struct field *f,
                                 const struct dlm_yaml *value, struct dlm_base_row *row)
{
    void *member = (char *)row + f->offset;

    switch (f->kind) {
    case STRING:
    case REVISION:
    case HUB_ID:
        return set_text(r, f, value, member);
    case MODULES:
        return set_modules(r, f, value, member);
    case SWITCH:
        if (value->kind != DLM_YAML_BOOL)
            wrong(r, value, "'%s' is neither true nor false", f->key);
        *(bool *)member = value->boolean;
        break;
    case COUNT:
        (void)read_count(r, f, value, member);
        break;
    case TOTAL:
        if (!is_between(value, 1, MAX_TOTAL) || floor(value->number) != value->number)
            wrong(r, value, "'%s' is not a whole number from 1 to 1e+15", f->key);
        *(double *)member = value->number;
        break;
    case GIGABYTES:
        if (!is_between(value, 0, MAX_GIGABYTES) || value->number == 0)
            wrong(r, value, "'%s' is not a number above 0 and up to 1e+6", f->key);
        *(double *)member = value->number;
        break;
    case SIZE:
        set_size(r, f, value, member);
        break;
    case RESIZE:
        if (value->kind == DLM_YAML_STR && !strcmp(value->text, "dynamic"))
            row->resize_policy = DLM_RESIZE_DYNAMIC;
        else if (value->kind != DLM_YAML_STR || strcmp(value->text, "fixed") != 0)
            wrong(r, value, "'%s' is neither fixed nor dynamic", f->key);
        break;
    }
    return DLM_OK;
}

/* Every key of the file is a field and stands once, every required field is there. */
static void check_keys(struct reader *r, const struct dlm_yaml *root)
{
    for (size_t i = 0; i < root->len; i++) {
        const struct dlm_yaml *key = root->pairs[i].key;
        size_t f = 0;
        while (f < DLM_ARRAY_LEN(fields) && strcmp(fields[f].key, key->text) != 0)
            f++;
        if (f == DLM_ARRAY_LEN(fields))
            wrong(r, key, "unknown key '%.60s'", key->text);
    }
    if (root->again)
        wrong(r, root->again, "'%.60s' stands there twice", root->again->text);
    for (size_t f = 0; f < DLM_ARRAY_LEN(fields); f++)
        if (fields[f].is_required && !dlm_yaml_find(root, fields[f].key))
            wrong(r, NULL, "'%s' is missing", fields[f].key);
}

/* What trains a base of this architecture, by the built-in rows. */
static const char *family_of(const char *architecture)
{
    for (size_t i = 0; i < dlm_registry_num_rows(); i++) {
        const struct dlm_base_row *row = dlm_registry_row(i);
        if (row->architecture && !strcmp(row->architecture, architecture))
            return row->family;
    }
    return NULL;
}

static enum dlm_status read_row(struct reader *r, const struct dlm_yaml *root,
                                struct dlm_base_row *row)
{
    enum dlm_status st = DLM_OK;

    *row = (struct dlm_base_row){
        .modality = DLM_MODALITY_VISION_LANGUAGE,
        .target_modules = {"q_proj", "k_proj", "v_proj", "o_proj"}};
    if (root->kind != DLM_YAML_MAP) {
        wrong(r, root, "not a mapping");
        return DLM_OK;
    }
    check_keys(r, root);
    if (dlm_yaml_find(root, "target_modules"))
        memset(row->target_modules, 0, sizeof(row->target_modules));
    for (size_t f = 0; !st && f < DLM_ARRAY_LEN(fields); f++) {
        const struct dlm_yaml *value = dlm_yaml_get(root, fields[f].key);
        if (value)
            st = set_field(r, &fields[f], value, row);
    }
    if (st || r->is_wrong)
        return st;
    row->family = family_of(row->architecture);
    if (dlm_registry_find(row->key))
        wrong(r, dlm_yaml_get(root, "key"), "'%s' is a built-in base", row->key);
    return DLM_OK;
}

static enum dlm_status read_file(struct dlm_ctx *ctx, struct dlm_own_rows *own, const char *path)
{
    struct reader r = {.ctx = ctx, .arena = &own->arena, .path = path};
    const struct dlm_yaml *root = NULL;
    struct dlm_yaml_error error;
    struct dlm_str text = {0};
    struct dlm_base_row row;

    dlm_log_mute(ctx); /* a file that cannot be read is a row that is not there */
    enum dlm_status st = dlm_log_unmute(ctx, dlm_file_read(ctx, path, MAX_FILE_BYTES, &text));
    if (st && st != DLM_ERR_MEMORY) {
        dlm_log_once(ctx, DLM_LOG_WARNING, "%s; this base is left out", dlm_ctx_last_error(ctx));
        dlm_log_forget(ctx);
        return DLM_OK;
    }
    if (!st)
        st = dlm_yaml_parse(ctx, &own->arena, dlm_str_text(&text), text.len, &root, &error);
    dlm_str_finish(&text);
    if (st == DLM_ERR_PARSE) {
        const struct dlm_yaml at = {.line = error.line + 1};
        wrong(&r, &at, "invalid YAML: %s", error.text);
        return DLM_OK;
    }
    if (!st)
        st = read_row(&r, root, &row);
    for (size_t i = 0; !st && !r.is_wrong && i < own->len; i++)
        if (!strcmp(own->rows[i].key, row.key))
            wrong(&r, dlm_yaml_get(root, "key"), "'%s' stands in another file, too", row.key);
    if (st || r.is_wrong)
        return st;
    if (!dlm_arena_grow(ctx, &own->arena, &own->rows, &own->cap, own->len, sizeof(*own->rows)))
        return DLM_ERR_MEMORY;
    own->rows[own->len++] = row;
    return DLM_OK;
}

static bool is_yaml(const char *name)
{
    const size_t len = strlen(name);

    return len > 5 && name[0] != '.' && !strcmp(name + len - 5, ".yaml");
}

enum dlm_status dlm_own_rows_read(struct dlm_ctx *ctx, struct dlm_own_rows *own, const char *home)
{
    char **names = NULL;

    *own = (struct dlm_own_rows){0};
    char *folder = dlm_path_home(ctx, home);
    char *path = folder ? dlm_path_join(ctx, folder, "bases.d") : NULL;
    enum dlm_status st = path ? DLM_OK : DLM_ERR_IO;
    dlm_free(folder);
    if (!st && dlm_path_is_dir(path))
        st = dlm_dir_list(ctx, path, &names);
    for (size_t i = 0; !st && names && names[i]; i++) {
        char *file = is_yaml(names[i]) ? dlm_path_join(ctx, path, names[i]) : NULL;
        if (file)
            st = read_file(ctx, own, file);
        dlm_free(file);
    }
    dlm_names_free(names);
    dlm_free(path);
    if (st)
        dlm_own_rows_finish(own);
    return st;
}

void dlm_own_rows_finish(struct dlm_own_rows *own)
{
    dlm_arena_finish(&own->arena);
    *own = (struct dlm_own_rows){0};
}

const struct dlm_base_row *dlm_own_rows_find(const struct dlm_own_rows *own, const char *key,
                                             const char *hf_id)
{
    for (size_t i = 0; i < own->len; i++)
        if (key ? !strcmp(own->rows[i].key, key) : !strcmp(own->rows[i].hf_id, hf_id))
            return &own->rows[i];
    return NULL;
}
