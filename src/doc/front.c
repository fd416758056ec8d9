/* The front matter: cut out of the text, read as YAML, brought to the current version, checked. */
#include <string.h>

#include "base/log.h"
#include "doc/doc_impl.h"
#include "doc/schema.h"
#include "doc/text.h"

#define MAX_FRONT_BYTES (1 << 20)

/* Length of the line at text[0..len), without its LF. */
static size_t line_len(const char *text, size_t len)
{
    const char *end = memchr(text, '\n', len);
    return end ? (size_t)(end - text) : len;
}

static bool is_delimiter(const char *line, size_t len)
{
    return len == 3 && !memcmp(line, "---", 3);
}

static enum dlm_status fail_first_line(struct dlm_ctx *ctx, const char *path, const char *line,
                                       size_t len)
{
    struct dlm_str repr = {0};

    enum dlm_status st = dlm_text_append_repr(ctx, &repr, line, len);
    if (!st)
        st = dlm_doc_fail(ctx, path, 1, 1, "expected '---' on line 1 to open frontmatter, got %s",
                          repr.data);
    dlm_str_finish(&repr);
    return st;
}

/* Cuts normalised text at its two delimiters. */
static enum dlm_status split_lines(struct dlm_ctx *ctx, const char *path, const char *text,
                                   size_t len, struct dlm_doc_parts *parts)
{
    size_t n = line_len(text, len);

    if (!is_delimiter(text, n))
        return fail_first_line(ctx, path, text, n);
    int64_t line = 1;
    size_t begin = n + 1;
    for (size_t pos = begin; pos <= len; pos += n + 1) {
        n = line_len(text + pos, len - pos);
        line++;
        if (!is_delimiter(text + pos, n))
            continue;
        parts->yaml = text + begin;
        parts->yaml_len = pos > begin ? pos - 1 - begin : 0;
        size_t after = DLM_MIN(pos + n + 1, len);
        parts->body = text + after;
        parts->body_len = len - after;
        parts->body_line = line + 1;
        return DLM_OK;
    }
    return dlm_doc_fail(ctx, path, 1, 1, "no closing '---' found for frontmatter block");
}

enum dlm_status dlm_doc_split(struct dlm_ctx *ctx, struct dlm_arena *arena, const char *path,
                              const char *text, size_t len, struct dlm_doc_parts *parts)
{
    const char *reason = NULL;
    size_t offset = 0;
    char *copy = NULL;
    size_t copy_len = 0;

    if (!dlm_text_check_utf8(text, len, &offset, &reason))
        return dlm_fail(ctx, DLM_ERR_PARSE, "%s: invalid UTF-8 at byte %zu: %s",
                        path ? path : "<text>", offset, reason);
    enum dlm_status st =
        dlm_text_normalize(ctx, arena, text, len, &copy, &copy_len, &parts->had_bom);
    if (st)
        return st;
    return split_lines(ctx, path, copy, copy_len, parts);
}

/* --- migration ----------------------------------------------------------------------------- */

/* Copies the pair `from` of dpo to `to` of the map, if there is one. */
static enum dlm_status carry(struct dlm_ctx *ctx, struct dlm_arena *arena,
                             const struct dlm_yaml *dpo, const char *key, struct dlm_yaml *map)
{
    const struct dlm_yaml_pair *pair = dlm_yaml_find(dpo, key);
    if (!pair)
        return DLM_OK;
    const struct dlm_yaml *value = pair->value;
    if (!strcmp(key, "reference") && value->kind == DLM_YAML_STR &&
        !strcmp(value->text, "pre_dpo_adapter")) {
        value = dlm_yaml_new_text(ctx, arena, "pre_adapter");
        if (!value)
            return DLM_ERR_MEMORY;
    }
    return dlm_yaml_set(ctx, arena, map, pair->key, value);
}

/* training.dpo of version 1 as training.preference of version 2. */
static enum dlm_status preference_from_dpo(struct dlm_ctx *ctx, struct dlm_arena *arena,
                                           const struct dlm_yaml *dpo,
                                           const struct dlm_yaml **out)
{
    static const char *const hyperparams_keys[] = {"beta", "learning_rate", "num_epochs"};
    struct dlm_yaml *map = dlm_yaml_new(ctx, arena, DLM_YAML_MAP);
    struct dlm_yaml *hyperparams = dlm_yaml_new(ctx, arena, DLM_YAML_MAP);
    struct dlm_yaml *hyperparams_key = dlm_yaml_new_text(ctx, arena, "hyperparams");
    struct dlm_yaml *method_key = dlm_yaml_new_text(ctx, arena, "method");
    struct dlm_yaml *method = dlm_yaml_new_text(ctx, arena, "dpo");

    if (!map || !hyperparams || !hyperparams_key || !method_key || !method)
        return DLM_ERR_MEMORY;
    enum dlm_status st = dlm_yaml_set(ctx, arena, map, method_key, method);
    if (!st)
        st = carry(ctx, arena, dpo, "enabled", map);
    for (size_t i = 0; !st && i < DLM_ARRAY_LEN(hyperparams_keys); i++)
        st = carry(ctx, arena, dpo, hyperparams_keys[i], hyperparams);
    if (!st && hyperparams->len)
        st = dlm_yaml_set(ctx, arena, map, hyperparams_key, hyperparams);
    if (!st)
        st = carry(ctx, arena, dpo, "loss_type", map);
    if (!st)
        st = carry(ctx, arena, dpo, "reference", map);
    *out = map;
    return st;
}

/* Version 1 to 2, the only step that changes data: a map without "dpo", with "preference". What is
 * not a map stays, for the schema to complain about. */
static enum dlm_status migrate_training(struct dlm_ctx *ctx, struct dlm_arena *arena,
                                        const struct dlm_yaml *training,
                                        const struct dlm_yaml **out)
{
    const struct dlm_yaml_pair *pair =
        training->kind == DLM_YAML_MAP ? dlm_yaml_find(training, "dpo") : NULL;
    enum dlm_status st = DLM_OK;

    *out = training;
    if (!pair)
        return DLM_OK;
    const struct dlm_yaml *dpo = pair->value;
    const struct dlm_yaml *preference = dpo;
    if (dpo->kind == DLM_YAML_MAP)
        st = preference_from_dpo(ctx, arena, dpo, &preference);
    struct dlm_yaml *map = dlm_yaml_new(ctx, arena, DLM_YAML_MAP);
    struct dlm_yaml *key = dlm_yaml_new_text(ctx, arena, "preference");
    if (st || !map || !key)
        return DLM_ERR_MEMORY;
    key->line = pair->key->line;
    key->col = pair->key->col;
    for (size_t i = 0; !st && i < training->len; i++) {
        if (&training->pairs[i] != pair)
            st = dlm_yaml_set(ctx, arena, map, training->pairs[i].key, training->pairs[i].value);
    }
    if (!st && dpo->kind != DLM_YAML_NULL)
        st = dlm_yaml_set(ctx, arena, map, key, preference);
    *out = map;
    return st;
}

static enum dlm_status migrate(struct dlm_ctx *ctx, struct dlm_doc *doc,
                               const struct dlm_yaml *root, const struct dlm_yaml **out)
{
    struct dlm_arena *arena = &doc->arena;
    enum dlm_status st = DLM_OK;

    *out = root;
    if (doc->declared_version != 1)
        return DLM_OK;
    struct dlm_yaml *map = dlm_yaml_new(ctx, arena, DLM_YAML_MAP);
    if (!map)
        return DLM_ERR_MEMORY;
    const struct dlm_yaml *training = dlm_yaml_get(root, "training");
    for (size_t i = 0; !st && i < root->len; i++) {
        const struct dlm_yaml *value = root->pairs[i].value;
        if (training && root->pairs[i].key->kind == DLM_YAML_STR &&
            !strcmp(root->pairs[i].key->text, "training"))
            st = migrate_training(ctx, arena, training, &value);
        if (!st)
            st = dlm_yaml_set(ctx, arena, map, root->pairs[i].key, value);
    }
    *out = map;
    return st;
}

/* --- reading ------------------------------------------------------------------------------- */

static enum dlm_status fail_yaml(struct dlm_ctx *ctx, const char *path,
                                 const struct dlm_yaml_error *error)
{
    if (error->line < 0)
        return dlm_doc_fail(ctx, path, 0, 0, "invalid YAML: %s", error->text);
    return dlm_doc_fail(ctx, path, error->line + 2, error->col + 1, "invalid YAML: %s",
                        error->text);
}

static enum dlm_status read_version(struct dlm_ctx *ctx, struct dlm_doc *doc,
                                    const struct dlm_yaml *root)
{
    const struct dlm_yaml_pair *pair = dlm_yaml_find(root, "dlm_version");

    doc->declared_version = 1;
    if (!pair)
        return DLM_OK;
    const struct dlm_yaml *value = pair->value;
    int64_t line = pair->key->line + 1, col = pair->key->col;
    if (value->kind != DLM_YAML_INT)
        return dlm_doc_fail(ctx, doc->path, line, col, "dlm_version must be an integer, got %s",
                            dlm_yaml_type_name(value));
    if (value->number > DLM_DOC_VERSION && value->is_big)
        return dlm_doc_fail(ctx, doc->path, line, col,
                            "dlm_version %s is newer than this parser (CURRENT_SCHEMA_VERSION=%d); "
                            "upgrade dlm or check the source's schema.",
                            value->text, DLM_DOC_VERSION);
    if (value->number > DLM_DOC_VERSION)
        return dlm_doc_fail(ctx, doc->path, line, col,
                            "dlm_version %lld is newer than this parser "
                            "(CURRENT_SCHEMA_VERSION=%d); upgrade dlm or check the source's "
                            "schema.",
                            (long long)value->integer, DLM_DOC_VERSION);
    if (value->number < 1)
        return dlm_doc_fail(ctx, doc->path, line, col,
                            "no migrator registered for dlm_version=%lld; target_version=%d.",
                            (long long)value->integer, DLM_DOC_VERSION);
    doc->declared_version = value->integer;
    return DLM_OK;
}

static enum dlm_status check_schema(struct dlm_ctx *ctx, struct dlm_doc *doc,
                                    const struct dlm_yaml *root)
{
    struct dlm_schema_errors errors = {0};

    enum dlm_status st =
        dlm_schema_read(ctx, &doc->arena, &dlm_schema_root, root, doc, &errors);
    if (!st && errors.text.len)
        st = dlm_doc_fail(ctx, doc->path, errors.line, errors.col, "%s", errors.text.data);
    if (st == DLM_ERR_PARSE && (!doc->id || !dlm_ulid_is_valid(doc->id)))
        dlm_log(ctx, DLM_LOG_HINT, "`dlm init --new-id %s` gives the document a dlm_id",
                doc->path ? doc->path : "FILE");
    dlm_str_finish(&errors.text);
    return st;
}

enum dlm_status dlm_doc_read_yaml(struct dlm_ctx *ctx, struct dlm_arena *arena, const char *path,
                                  const struct dlm_doc_parts *parts, const struct dlm_yaml **out)
{
    static const struct dlm_yaml empty = {.kind = DLM_YAML_MAP};
    struct dlm_yaml_error error = {0};
    const struct dlm_yaml *root = &empty;

    if (parts->yaml_len > MAX_FRONT_BYTES)
        return dlm_doc_fail(ctx, path, 2, 0, "frontmatter is longer than %d bytes",
                            MAX_FRONT_BYTES);
    enum dlm_status st = DLM_OK;
    if (!dlm_text_is_blank(parts->yaml, parts->yaml_len))
        st = dlm_yaml_parse(ctx, arena, parts->yaml, parts->yaml_len, &root, &error);
    if (st == DLM_ERR_PARSE)
        return fail_yaml(ctx, path, &error);
    if (st)
        return st;
    if (root->kind != DLM_YAML_MAP)
        return dlm_doc_fail(ctx, path, 2, 0, "frontmatter must be a mapping, got %s",
                            dlm_yaml_type_name(root));
    *out = root;
    return DLM_OK;
}

enum dlm_status dlm_doc_read_front(struct dlm_ctx *ctx, struct dlm_doc *doc,
                                   const struct dlm_doc_parts *parts)
{
    const struct dlm_yaml *root = NULL;

    enum dlm_status st = dlm_doc_read_yaml(ctx, &doc->arena, doc->path, parts, &root);
    if (!st)
        st = read_version(ctx, doc, root);
    if (!st)
        st = migrate(ctx, doc, root, &root);
    doc->front = root;
    return st ? st : check_schema(ctx, doc, root);
}
