/* Which linear modules a target spec adapts. */
#include <string.h>

#include "base/mem.h"
#include "weights/adapter.h"
#include "weights/regex.h"

struct dlm_lora_matcher {
    enum dlm_target_kind kind;
    char **names; /* DLM_TARGET_LIST */
    size_t num_names;
    char *under; /* NULL: anywhere; not DLM_TARGET_REGEX */
    struct dlm_regex *regex;
};

static enum dlm_status copy_list(struct dlm_ctx *ctx, struct dlm_lora_matcher *m,
                                 const struct dlm_target_spec *spec)
{
    m->names = dlm_alloc_array(ctx, spec->num_names, sizeof(*m->names));
    if (!m->names)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; i < spec->num_names; i++) {
        m->names[i] = dlm_strdup(ctx, spec->names[i]);
        if (!m->names[i])
            return DLM_ERR_MEMORY;
        m->num_names++;
    }
    return DLM_OK;
}

enum dlm_status dlm_lora_matcher_create(struct dlm_ctx *ctx, struct dlm_lora_matcher **out,
                                        const struct dlm_target_spec *spec)
{
    enum dlm_status st = DLM_OK;

    *out = NULL;
    struct dlm_lora_matcher *m = dlm_alloc(ctx, sizeof(*m));
    if (!m)
        return DLM_ERR_MEMORY;
    m->kind = spec->kind;
    if (spec->under) {
        m->under = dlm_strdup(ctx, spec->under);
        st = m->under ? DLM_OK : DLM_ERR_MEMORY;
    }
    if (!st && spec->kind == DLM_TARGET_REGEX)
        st = dlm_regex_create(ctx, &m->regex, "target_modules", "", spec->regex, "");
    if (!st && spec->kind == DLM_TARGET_LIST)
        st = copy_list(ctx, m, spec);
    if (st)
        dlm_lora_matcher_destroy(&m);
    *out = m;
    return st;
}

void dlm_lora_matcher_destroy(struct dlm_lora_matcher **matcher)
{
    if (!matcher || !*matcher)
        return;
    struct dlm_lora_matcher *m = *matcher;
    for (size_t i = 0; i < m->num_names; i++)
        dlm_free(m->names[i]);
    dlm_free(m->names);
    dlm_free(m->under);
    dlm_regex_destroy(&m->regex);
    dlm_free(m);
    *matcher = NULL;
}

/* path == name, or path ends with "." + name. */
static bool ends_with_component(const char *path, const char *name)
{
    size_t len = strlen(path), n = strlen(name);

    if (!n || len < n || strcmp(path + len - n, name))
        return false;
    return len == n || path[len - n - 1] == '.';
}

enum dlm_status dlm_lora_matches(struct dlm_ctx *ctx, const struct dlm_lora_matcher *matcher,
                                 const char *path, bool *matches)
{
    *matches = false;
    if (matcher->kind == DLM_TARGET_REGEX)
        return dlm_regex_matches(ctx, matcher->regex, path, matches);
    const size_t under_len = matcher->under ? strlen(matcher->under) : 0;
    if (under_len && (strncmp(path, matcher->under, under_len) || path[under_len] != '.'))
        return DLM_OK;
    *matches = matcher->kind == DLM_TARGET_ALL_LINEAR;
    for (size_t i = 0; i < matcher->num_names && !*matches; i++)
        *matches = ends_with_component(path, matcher->names[i]);
    return DLM_OK;
}
