/* Prefix rules and left-out components of weight names. */
#include "weights/names.h"

#include <string.h>

#include "base/str.h"

/* Length of `prefix` when name starts with it and a component ends there; else 0. */
static size_t match_prefix(const char *name, const char *prefix)
{
    size_t len = strlen(prefix);

    if (strncmp(name, prefix, len) || (name[len] && name[len] != '.'))
        return 0;
    return len;
}

char *dlm_name_canonical(struct dlm_ctx *ctx, const struct dlm_name_map *map, const char *name)
{
    size_t len = 0;
    const struct dlm_name_rule *rule = NULL;

    if (!map)
        return dlm_strdup(ctx, name);
    for (size_t i = 0; i < map->num_rules && !rule; i++) {
        len = match_prefix(name, map->rules[i].prefix);
        if (len)
            rule = &map->rules[i];
    }
    char *out = rule ? dlm_strf(ctx, "%s%s", rule->replacement, name + len) : dlm_strdup(ctx, name);
    for (size_t i = 0; out && i < map->num_drops; i++) {
        const size_t at = match_prefix(out, map->drops[i].under);
        if (!at || out[at] != '.')
            continue;
        const size_t inner = match_prefix(out + at + 1, map->drops[i].component);
        if (inner) /* shorten in place: ".vision_model" goes */
            memmove(out + at, out + at + 1 + inner, strlen(out + at + 1 + inner) + 1);
    }
    return out;
}

char *dlm_name_with_drops(struct dlm_ctx *ctx, const struct dlm_name_map *map, const char *name)
{
    char *out = dlm_strdup(ctx, name);

    for (size_t i = map ? map->num_drops : 0; out && i-- > 0;) {
        const struct dlm_name_drop *drop = &map->drops[i];
        const size_t at = match_prefix(out, drop->under);
        if (!at || out[at] != '.')
            continue;
        char *longer = dlm_strf(ctx, "%.*s.%s%s", (int)at, out, drop->component, out + at);
        dlm_free(out);
        out = longer;
    }
    return out;
}
