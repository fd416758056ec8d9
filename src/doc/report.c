/* Failures of the schema, each with the path of its key, joined to one message. */
#include <stdarg.h>
#include <stdio.h>

#include "doc/schema.h"

#define MAX_ERRORS 100

static enum dlm_status append_place(struct dlm_schema_check *check,
                                    const struct dlm_schema_place *place)
{
    enum dlm_status st = DLM_OK;
    if (place->parent) {
        st = append_place(check, place->parent);
        if (!st)
            st = dlm_str_appendz(check->ctx, &check->errors->text, ".");
    }
    if (st)
        return st;
    return place->key ? dlm_str_append(check->ctx, &check->errors->text, place->key, place->key_len)
                      : dlm_str_appendf(check->ctx, &check->errors->text, "%zu", place->index);
}

/* The line and column of the nearest thing that stands in the text. The front matter begins on the
 * document's second line. */
static void find_place(const struct dlm_schema_place *place, int64_t *line, int64_t *col)
{
    while (place && !(place->at && place->at->line))
        place = place->parent;
    *line = place ? place->at->line + 1 : 2;
    *col = place ? place->at->col : 0;
}

void dlm_schema_report(struct dlm_schema_check *check, const struct dlm_schema_place *place,
                       const char *fmt, ...)
{
    char stack[512];
    va_list args;

    if (check->st || check->num_errors++ > MAX_ERRORS)
        return;
    if (check->num_errors > MAX_ERRORS) {
        check->st = dlm_str_appendz(check->ctx, &check->errors->text, "; and more");
        return;
    }
    va_start(args, fmt);
    int len = vsnprintf(stack, sizeof(stack), fmt, args);
    va_end(args);
    int64_t line, col;
    enum dlm_status st = DLM_OK;
    find_place(place, &line, &col);
    if (check->num_errors == 1) {
        check->errors->line = line;
        check->errors->col = col;
    } else if (col) {
        st = dlm_str_appendf(check->ctx, &check->errors->text, "; %lld:%lld: ", (long long)line,
                             (long long)col);
    } else {
        st = dlm_str_appendf(check->ctx, &check->errors->text, "; %lld: ", (long long)line);
    }
    if (!st)
        st = append_place(check, place);
    if (!st)
        st = dlm_str_appendf(check->ctx, &check->errors->text, ": %s", stack);
    if (!st && len >= (int)sizeof(stack))
        st = dlm_str_appendz(check->ctx, &check->errors->text, "...");
    check->st = st;
}
