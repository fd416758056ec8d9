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
            st = dlm_str_appendz(check->ctx, check->errors, ".");
    }
    if (st)
        return st;
    return place->key ? dlm_str_append(check->ctx, check->errors, place->key, place->key_len)
                      : dlm_str_appendf(check->ctx, check->errors, "%zu", place->index);
}

void dlm_schema_report(struct dlm_schema_check *check, const struct dlm_schema_place *place,
                       const char *fmt, ...)
{
    char stack[512];
    va_list args;

    if (check->st || check->num_errors++ > MAX_ERRORS)
        return;
    if (check->num_errors > MAX_ERRORS) {
        check->st = dlm_str_appendz(check->ctx, check->errors, "; and more");
        return;
    }
    va_start(args, fmt);
    int len = vsnprintf(stack, sizeof(stack), fmt, args);
    va_end(args);
    enum dlm_status st = DLM_OK;
    if (check->num_errors > 1)
        st = dlm_str_appendz(check->ctx, check->errors, "; ");
    if (!st)
        st = append_place(check, place);
    if (!st)
        st = dlm_str_appendf(check->ctx, check->errors, ": %s", stack);
    if (!st && len >= (int)sizeof(stack))
        st = dlm_str_appendz(check->ctx, check->errors, "...");
    check->st = st;
}
