/* Names of a target list that no module has: what they could have meant. */
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "weights/adapter.h"

#define MAX_NEAR 4
#define MAX_NAME 64

/* Levenshtein's distance; to names of MAX_NAME bytes and more everything is far. */
static size_t distance(const char *a, const char *b)
{
    const size_t len = strlen(b);
    size_t row[MAX_NAME];

    if (len >= MAX_NAME)
        return SIZE_MAX;
    for (size_t j = 0; j <= len; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= len; j++) {
            const size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = DLM_MIN(replaced, DLM_MIN(diagonal, row[j - 1]) + 1);
        }
    }
    return row[len];
}

/* The nearest names of modules, nearest first. */
struct near {
    const char *names[MAX_NEAR];
    size_t distances[MAX_NEAR];
    size_t num;
};

static void add_near(struct near *near, const char *wanted, const char *name)
{
    const size_t d = distance(name, wanted);
    size_t at = near->num;

    for (size_t i = 0; i < near->num; i++)
        if (!strcmp(near->names[i], name))
            return;
    while (at && near->distances[at - 1] > d)
        at--;
    if (at == MAX_NEAR)
        return;
    near->num = DLM_MIN(near->num + 1, (size_t)MAX_NEAR);
    for (size_t i = near->num - 1; i > at; i--) {
        near->names[i] = near->names[i - 1];
        near->distances[i] = near->distances[i - 1];
    }
    near->names[at] = name;
    near->distances[at] = d;
}

static const char *last_component(const char *path)
{
    const char *dot = strrchr(path, '.');

    return dot ? dot + 1 : path;
}

/* Whether spec matches one of the paths; near, if not NULL, gets the names of all that it does. */
static enum dlm_status match_any(struct dlm_ctx *ctx, const struct dlm_target_spec *spec,
                                 const char *const *paths, size_t num_paths, const char *wanted,
                                 struct near *near, bool *any)
{
    struct dlm_lora_matcher *matcher = NULL;
    enum dlm_status st = dlm_lora_matcher_create(ctx, &matcher, spec);

    *any = false;
    for (size_t i = 0; !st && i < num_paths && (near || !*any); i++) {
        bool hit = false;
        st = dlm_lora_matches(ctx, matcher, paths[i], &hit);
        if (!st && hit && near)
            add_near(near, wanted, last_component(paths[i]));
        *any = *any || hit;
    }
    dlm_lora_matcher_destroy(&matcher);
    return st;
}

static enum dlm_status refuse(struct dlm_ctx *ctx, const char *name, const struct near *near)
{
    struct dlm_str text = {0};
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < near->num; i++)
        st = dlm_str_appendf(ctx, &text, "%s'%s'", i ? ", " : "", near->names[i]);
    if (!st) {
        st = dlm_fail(ctx, DLM_ERR_INVALID,
                      "target_modules: '%.200s' names no linear module of the language model",
                      name);
        dlm_log(ctx, DLM_LOG_HINT, "near names: %s; a regular expression reaches modules outside "
                "of it", dlm_str_text(&text));
    }
    dlm_str_finish(&text);
    return st;
}

enum dlm_status dlm_target_spec_check(struct dlm_ctx *ctx, const struct dlm_target_spec *spec,
                                      const char *const *paths, size_t num_paths)
{
    const struct dlm_target_spec all = {.kind = DLM_TARGET_ALL_LINEAR, .under = spec->under};
    enum dlm_status st = DLM_OK;

    if (spec->kind != DLM_TARGET_LIST)
        return DLM_OK;
    for (size_t i = 0; !st && i < spec->num_names; i++) {
        const struct dlm_target_spec one = {.names = &spec->names[i], .num_names = 1,
                                            .under = spec->under};
        struct near near = {0};
        bool any = false;
        st = match_any(ctx, &one, paths, num_paths, NULL, NULL, &any);
        if (st || any)
            continue;
        st = match_any(ctx, &all, paths, num_paths, spec->names[i], &near, &any);
        if (!st)
            st = refuse(ctx, spec->names[i], &near);
    }
    return st;
}
