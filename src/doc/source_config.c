/* Which files of a source are taken: the document's patterns, the default excludes, and the `.dlm/`
 * folders inside the tree (training.yaml, ignore), outer to inner. */
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "doc/doc_impl.h"
#include "doc/sources_impl.h"
#include "doc/text.h"

#define MAX_CONFIG_BYTES (1 << 20)

static const char *const default_excludes[] = {
    /* version control */
    ".git/**", ".hg/**", ".svn/**",
    /* secrets */
    ".env", ".env.*", "**/.env", "**/.env.*", "**/id_rsa", "**/id_ed25519", "**/*.pem", "**/*.key",
    "**/secrets.*",
    /* Python, JavaScript */
    "**/__pycache__/**", "**/*.pyc", "**/*.pyo", ".venv/**", "venv/**", ".tox/**",
    "node_modules/**", "**/*.min.js", "**/*.min.css", "**/*.map",
    /* compiled */
    "target/**", "**/*.rlib", "**/*.class", "**/*.jar", "**/*.o", "**/*.so", "**/*.dylib",
    "**/*.dll",
    /* built */
    "build/**", "dist/**", "__generated__/**", "generated/**",
    /* lock files */
    "**/package-lock.json", "**/yarn.lock", "**/pnpm-lock.yaml", "**/Cargo.lock", "**/uv.lock",
    "**/poetry.lock", "**/Pipfile.lock",
    /* archives and other binaries */
    "**/*.ico", "**/*.pdf", "**/*.zip", "**/*.tar", "**/*.gz", "**/*.xz", "**/*.bz2", "**/*.7z",
    "**/*.wasm",
    /* our own configuration */
    ".dlm/**", "**/.dlm/**",
};

/* --- deciding ------------------------------------------------------------------------------ */

static bool matches_any(const struct dlm_doc_strings *patterns, const char *path)
{
    for (size_t i = 0; i < patterns->len; i++) {
        if (dlm_doc_glob_match(patterns->items[i], path))
            return true;
    }
    return false;
}

/* The first len bytes of path against a pattern. */
static bool matches_part(const char *pattern, const char *from, size_t len)
{
    char part[4096];
    if (len >= sizeof(part))
        return false;
    memcpy(part, from, len);
    part[len] = '\0';
    return dlm_doc_glob_match(pattern, part);
}

/* path: a file's, relative to the folder of the rule. A rule that is not anchored may begin at any
 * component; one for folders matches a file through a folder above it. */
static bool rule_matches(const struct dlm_source_rule *rule, const char *path)
{
    if (!rule->is_for_dirs && rule->is_anchored)
        return dlm_doc_glob_match(rule->pattern, path);
    for (const char *p = path; p;) {
        const char *slash = strchr(p, '/');
        if (!rule->is_for_dirs && dlm_doc_glob_match(rule->pattern, p))
            return true;
        const char *from = rule->is_anchored ? path : p;
        if (rule->is_for_dirs && slash && matches_part(rule->pattern, from, (size_t)(slash - from)))
            return true;
        p = slash ? slash + 1 : NULL;
    }
    return false;
}

/* Outer configurations first, so that inner ones have the last word. */
static void apply_excludes(const struct dlm_source_config *config, const char *path, bool *excluded)
{
    if (!config)
        return;
    apply_excludes(config->parent, path, excluded);
    if (matches_any(&config->exclude, path + config->anchor_len))
        *excluded = true;
}

static void apply_rules(const struct dlm_source_config *config, const char *path, bool *excluded)
{
    if (!config)
        return;
    apply_rules(config->parent, path, excluded);
    for (size_t i = 0; i < config->num_rules; i++) {
        if (rule_matches(&config->rules[i], path + config->anchor_len))
            *excluded = !config->rules[i].is_negation;
    }
}

bool dlm_source_is_included(const struct dlm_doc_source *source,
                            const struct dlm_source_config *config, const char *rel_path)
{
    const struct dlm_source_config *nearest = config;
    while (nearest && !nearest->has_config)
        nearest = nearest->parent;
    const struct dlm_source_config *including = nearest;
    while (including && !including->include.len)
        including = including->parent;

    if (!matches_any(including ? &including->include : &source->include, rel_path))
        return false;
    bool excluded = matches_any(&source->exclude, rel_path);
    for (size_t i = 0; !excluded && !(nearest && nearest->no_defaults) &&
                       i < DLM_ARRAY_LEN(default_excludes);
         i++)
        excluded = dlm_doc_glob_match(default_excludes[i], rel_path);
    apply_excludes(config, rel_path, &excluded);
    apply_rules(config, rel_path, &excluded);
    return !excluded;
}

/* --- reading ------------------------------------------------------------------------------- */

/* Reads a small text file if it is there; *text stays NULL, with a warning if there is a reason. */
static enum dlm_status read_text(struct dlm_ctx *ctx, struct dlm_arena *arena, const char *path,
                                 char **text, size_t *len)
{
    struct dlm_str bytes = {0};
    const char *reason = NULL;
    size_t offset = 0;

    *text = NULL;
    if (!dlm_path_is_file(path))
        return DLM_OK;
    enum dlm_status st = dlm_file_read(ctx, path, MAX_CONFIG_BYTES, &bytes);
    if (!st && dlm_text_check_utf8(dlm_str_text(&bytes), bytes.len, &offset, &reason))
        st = dlm_text_normalize(ctx, arena, dlm_str_text(&bytes), bytes.len, text, len, NULL);
    else if (!st)
        dlm_log(ctx, DLM_LOG_WARNING, "ignoring '%s': invalid UTF-8 at byte %zu", path, offset);
    dlm_str_finish(&bytes);
    return st;
}

/* A list of strings; false when it is something else. */
static bool take_strings(struct dlm_ctx *ctx, struct dlm_arena *arena, const struct dlm_yaml *value,
                         struct dlm_doc_strings *out, enum dlm_status *st)
{
    if (value->kind != DLM_YAML_LIST)
        return false;
    out->items = dlm_arena_alloc(ctx, arena, (value->len + 1) * sizeof(*out->items));
    if (!out->items) {
        *st = DLM_ERR_MEMORY;
        return true;
    }
    for (size_t i = 0; i < value->len; i++) {
        if (value->items[i]->kind != DLM_YAML_STR)
            return false;
        out->items[out->len++] = value->items[i]->text;
    }
    return true;
}

static bool take_pair(struct dlm_ctx *ctx, struct dlm_arena *arena, const struct dlm_yaml *key,
                      const struct dlm_yaml *value, struct dlm_source_config *config,
                      enum dlm_status *st)
{
    if (key->kind != DLM_YAML_STR)
        return false;
    if (!strcmp(key->text, "dlm_training_version"))
        return value->kind == DLM_YAML_INT && value->number == 1;
    if (!strcmp(key->text, "include"))
        return take_strings(ctx, arena, value, &config->include, st);
    if (!strcmp(key->text, "exclude"))
        return take_strings(ctx, arena, value, &config->exclude, st);
    if (!strcmp(key->text, "exclude_defaults")) {
        config->no_defaults = !value->boolean;
        return value->kind == DLM_YAML_BOOL;
    }
    /* Tags and weights: nothing reads them. */
    return (!strcmp(key->text, "metadata") || !strcmp(key->text, "weights")) &&
           value->kind == DLM_YAML_MAP;
}

static enum dlm_status read_training_yaml(struct dlm_ctx *ctx, struct dlm_arena *arena,
                                          const char *path, struct dlm_source_config *config)
{
    struct dlm_yaml_error error = {0};
    const struct dlm_yaml *root = NULL;
    struct dlm_source_config read = {0};
    char *text = NULL;
    size_t len = 0;

    enum dlm_status st = read_text(ctx, arena, path, &text, &len);
    if (st || !text)
        return st;
    st = dlm_yaml_parse(ctx, arena, text, len, &root, &error);
    if (st == DLM_ERR_PARSE) {
        dlm_log(ctx, DLM_LOG_WARNING, "ignoring '%s': invalid YAML: %s", path, error.text);
        return DLM_OK;
    }
    if (st)
        return st;
    if (root->kind != DLM_YAML_MAP && root->kind != DLM_YAML_NULL) {
        dlm_log(ctx, DLM_LOG_WARNING, "ignoring '%s': not a mapping", path);
        return DLM_OK;
    }
    for (size_t i = 0; !st && root->kind == DLM_YAML_MAP && i < root->len; i++) {
        const struct dlm_yaml *key = root->pairs[i].key;
        if (!take_pair(ctx, arena, key, root->pairs[i].value, &read, &st)) {
            dlm_log(ctx, DLM_LOG_WARNING, "ignoring '%s': key '%s' is unknown or malformed", path,
                    key->text);
            return DLM_OK;
        }
    }
    if (!st && root->kind == DLM_YAML_MAP && dlm_yaml_get(root, "weights"))
        dlm_log(ctx, DLM_LOG_WARNING, "'%s': weights are not used", path);
    config->has_config = true;
    config->no_defaults = read.no_defaults;
    config->include = read.include;
    config->exclude = read.exclude;
    return st;
}

/* One line: comment, blank, or [!][/]pattern[/]. False when nothing is left of it. */
static bool parse_rule(const char *line, size_t len, struct dlm_source_rule *rule, size_t *begin,
                       size_t *end)
{
    const char *start = line;

    dlm_text_strip(&line, &len);
    *end = (size_t)(line + len - start); /* white space at the left belongs to the pattern */
    *begin = 0;
    if (!len || line[0] == '#')
        return false;
    rule->is_negation = start[*begin] == '!';
    *begin += rule->is_negation;
    rule->is_anchored = *begin < *end && start[*begin] == '/';
    *begin += rule->is_anchored;
    rule->is_for_dirs = *begin < *end && start[*end - 1] == '/';
    *end -= rule->is_for_dirs;
    return *begin < *end;
}

static enum dlm_status read_ignore(struct dlm_ctx *ctx, struct dlm_arena *arena, const char *path,
                                   struct dlm_source_config *config)
{
    char *text = NULL;
    const char *line = NULL;
    size_t len = 0, line_len = 0, pos = 0, cap = 0;

    enum dlm_status st = read_text(ctx, arena, path, &text, &len);
    if (st || !text)
        return st;
    while (dlm_text_next_line(text, len, &pos, &line, &line_len)) {
        struct dlm_source_rule rule = {0};
        size_t begin = 0, end = 0;
        if (!parse_rule(line, line_len, &rule, &begin, &end))
            continue;
        rule.pattern = dlm_arena_strndup(ctx, arena, line + begin, end - begin);
        if (!rule.pattern || !dlm_arena_grow(ctx, arena, &config->rules, &cap, config->num_rules,
                                             sizeof(rule)))
            return DLM_ERR_MEMORY;
        config->rules[config->num_rules++] = rule;
    }
    return DLM_OK;
}

enum dlm_status dlm_source_config_read(struct dlm_ctx *ctx, struct dlm_arena *arena,
                                       const char *dir, const struct dlm_source_config *parent,
                                       size_t anchor_len, struct dlm_source_config **out)
{
    enum dlm_status st = DLM_ERR_MEMORY;
    char *config_dir = dlm_path_join(ctx, dir, ".dlm");
    char *yaml_path = NULL, *ignore_path = NULL;

    *out = NULL;
    if (!config_dir)
        return st;
    if (!dlm_path_is_dir(config_dir)) {
        st = DLM_OK;
        goto done;
    }
    struct dlm_source_config *config = dlm_arena_alloc(ctx, arena, sizeof(*config));
    yaml_path = dlm_path_join(ctx, config_dir, "training.yaml");
    ignore_path = dlm_path_join(ctx, config_dir, "ignore");
    if (!config || !yaml_path || !ignore_path)
        goto done;
    config->parent = parent;
    config->anchor_len = anchor_len;
    st = read_training_yaml(ctx, arena, yaml_path, config);
    if (!st)
        st = read_ignore(ctx, arena, ignore_path, config);
    *out = config;
done:
    dlm_free(ignore_path);
    dlm_free(yaml_path);
    dlm_free(config_dir);
    return st;
}
