/* Patterns of names: matched, and filled in. */
#include "models/gguf_names.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool dlm_gguf_name_matches(const struct dlm_gguf_roots *roots, const char *pattern,
                           const char *name, struct dlm_gguf_match *m)
{
    *m = (struct dlm_gguf_match){.layer = -1};
    if (*pattern == '^')
        return !strcmp(name, roots->head);
    if (*pattern == '@') {
        const size_t len = strlen(roots->language);
        if (strncmp(name, roots->language, len))
            return false;
        name += len;
        pattern++;
    }
    for (; *pattern; pattern++) {
        if (*pattern == '*') {
            char *end;
            if (!isdigit((unsigned char)*name) || (*name == '0' && isdigit((unsigned char)name[1])))
                return false;
            m->layer = strtoll(name, &end, 10);
            name = end;
        } else if (*pattern == '?') {
            m->kind = name;
            return !strcmp(name, "weight") || !strcmp(name, "bias");
        } else if (*name++ != *pattern) {
            return false;
        }
    }
    return !*name;
}

void dlm_gguf_name_expand(const struct dlm_gguf_roots *roots, const char *pattern,
                          const struct dlm_gguf_match *m, char out[DLM_GGUF_NAME_BYTES])
{
    const size_t size = DLM_GGUF_NAME_BYTES;
    size_t len = 0;

    out[0] = '\0';
    for (; *pattern && len < size; pattern++) {
        const int n = *pattern == '*'   ? snprintf(out + len, size - len, "%lld", m->layer)
                      : *pattern == '?' ? snprintf(out + len, size - len, "%s", m->kind)
                      : *pattern == '@' ? snprintf(out + len, size - len, "%s", roots->language)
                      : *pattern == '^' ? snprintf(out + len, size - len, "%s", roots->head)
                                        : snprintf(out + len, size - len, "%c", *pattern);
        len += (size_t)n; /* never negative: no encoding can fail */
    }
}

bool dlm_gguf_name_of(const struct dlm_gguf_family *family, const char *language,
                      const char *canonical, int part, bool *is_tower,
                      char out[DLM_GGUF_NAME_BYTES])
{
    const struct dlm_gguf_roots roots = {language, family->head};
    struct dlm_gguf_match m;

    for (int file = 0; file < 2; file++) {
        const struct dlm_gguf_rules *rules = file ? family->vision : family->text;
        for (size_t i = 0; i < rules->num; i++)
            if (rules->rules[i].part == part &&
                dlm_gguf_name_matches(&roots, rules->rules[i].from, canonical, &m)) {
                *is_tower = file;
                dlm_gguf_name_expand(&roots, rules->rules[i].to, &m, out);
                return true;
            }
    }
    return false;
}
