/* A compact regex for exactly a given set of module paths: paths that differ in one component
 * only are folded into an alternation, again and again. Folding never changes the set. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "weights/adapter.h"

/* Deeper paths are not folded beyond this. */
#define MAX_PARTS 64

/* One path, or several folded: parts are regexes of one component each. */
struct pattern {
    char *parts[MAX_PARTS];
    int num_parts;
};

static void finish_pattern(struct pattern *p)
{
    for (int i = 0; i < p->num_parts; i++)
        dlm_free(p->parts[i]);
    p->num_parts = 0;
}

/* A component with everything but letters, digits and '_' escaped. */
static char *escape(struct dlm_ctx *ctx, const char *text, size_t len)
{
    char *out = dlm_alloc(ctx, 2 * len + 1);
    size_t at = 0;

    for (size_t i = 0; out && i < len; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (c < 0x80 && !isalnum(c) && c != '_')
            out[at++] = '\\';
        out[at++] = (char)c;
    }
    return out;
}

static enum dlm_status split_path(struct dlm_ctx *ctx, const char *path, struct pattern *p)
{
    for (;;) {
        size_t len = strcspn(path, ".");
        if (p->num_parts == MAX_PARTS - 1)
            len = strlen(path); /* the rest as one component */
        char *part = escape(ctx, path, len);
        if (!part)
            return DLM_ERR_MEMORY;
        p->parts[p->num_parts++] = part;
        if (!path[len])
            return DLM_OK;
        path += len + 1;
    }
}

/* Numbers by value ("2" before "10"), the rest bytewise. */
static int compare_parts(const char *a, const char *b)
{
    const size_t na = strspn(a, "0123456789"), nb = strspn(b, "0123456789");

    if (na && nb && na != nb)
        return na < nb ? -1 : 1;
    return strcmp(a, b);
}

/* Compares by everything but part `skip`; -1 skips nothing. */
static int compare_without(const struct pattern *a, const struct pattern *b, int skip)
{
    if (a->num_parts != b->num_parts)
        return a->num_parts < b->num_parts ? -1 : 1;
    for (int i = 0; i < a->num_parts; i++) {
        int order = i == skip ? 0 : compare_parts(a->parts[i], b->parts[i]);
        if (order)
            return order;
    }
    return 0;
}

/* The part that the running fold unites; qsort takes no argument for its comparison. */
struct keyed {
    struct pattern p;
    int fold;
};

static int compare_keyed(const void *a, const void *b)
{
    const struct keyed *x = a, *y = b;
    int order = compare_without(&x->p, &y->p, x->fold);

    if (order || x->fold >= x->p.num_parts)
        return order;
    return compare_parts(x->p.parts[x->fold], y->p.parts[y->fold]);
}

/* Joins part `fold` of list[0..len) into list[0] as an alternation. */
static enum dlm_status unite(struct dlm_ctx *ctx, struct keyed *list, size_t len, int fold)
{
    struct dlm_str s = {0};
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < len; i++)
        st = dlm_str_appendf(ctx, &s, i ? "|%s" : "%s", list[i].p.parts[fold]);
    if (st) {
        dlm_str_finish(&s);
        return st;
    }
    dlm_free(list[0].p.parts[fold]);
    list[0].p.parts[fold] = s.data;
    for (size_t i = 1; i < len; i++)
        finish_pattern(&list[i].p);
    return DLM_OK;
}

/* One pass over part `fold`; *len shrinks by what was united. */
static enum dlm_status fold_part(struct dlm_ctx *ctx, struct keyed *list, size_t *len, int fold)
{
    size_t kept = 0, i = 0;

    for (size_t k = 0; k < *len; k++)
        list[k].fold = fold;
    qsort(list, *len, sizeof(*list), compare_keyed);
    while (i < *len) {
        size_t end = i + 1;
        while (end < *len && fold < list[i].p.num_parts &&
               !compare_without(&list[i].p, &list[end].p, fold))
            end++;
        if (end - i > 1) {
            enum dlm_status st = unite(ctx, &list[i], end - i, fold);
            if (st)
                return st;
        }
        struct keyed first = list[i];
        if (i != kept)
            list[i].p.num_parts = 0; /* moved, not copied */
        list[kept++] = first;
        i = end;
    }
    *len = kept;
    return DLM_OK;
}

/* A '|' that was not escaped: a component's own would follow a backslash. */
static bool is_alternation(const char *part)
{
    for (const char *p = part; *p; p++) {
        if (*p == '\\')
            p++;
        else if (*p == '|')
            return true;
    }
    return false;
}

static enum dlm_status append_pattern(struct dlm_ctx *ctx, struct dlm_str *out,
                                      const struct pattern *p)
{
    enum dlm_status st = DLM_OK;

    for (int i = 0; !st && i < p->num_parts; i++) {
        if (i)
            st = dlm_str_appendz(ctx, out, "\\.");
        if (!st && is_alternation(p->parts[i]))
            st = dlm_str_appendf(ctx, out, "(%s)", p->parts[i]);
        else if (!st)
            st = dlm_str_appendz(ctx, out, p->parts[i]);
    }
    return st;
}

char *dlm_target_regex_of(struct dlm_ctx *ctx, const char *const *paths, size_t num_paths)
{
    struct dlm_str out = {0};
    struct keyed *list = dlm_alloc_array(ctx, num_paths, sizeof(*list));
    enum dlm_status st = list ? DLM_OK : DLM_ERR_MEMORY;
    size_t len = num_paths;
    int max_parts = 0;

    for (size_t i = 0; !st && i < num_paths; i++) {
        st = split_path(ctx, paths[i], &list[i].p);
        max_parts = DLM_MAX(max_parts, list[i].p.num_parts);
    }
    /* From the last part on: names of one block unite before blocks do. */
    for (int fold = max_parts - 1; !st && fold >= 0; fold--)
        st = fold_part(ctx, list, &len, fold);
    for (size_t i = 0; !st && i < len; i++) {
        if (i)
            st = dlm_str_append(ctx, &out, "|", 1);
        if (!st)
            st = append_pattern(ctx, &out, &list[i].p);
    }
    if (!st && !out.data)
        st = dlm_str_append(ctx, &out, "", 0);
    for (size_t i = 0; list && i < num_paths; i++)
        finish_pattern(&list[i].p);
    dlm_free(list);
    if (st)
        dlm_str_finish(&out);
    return out.data;
}
