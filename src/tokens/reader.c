/* Checked access to the members of a tokenizer.json. */
#include "tokens/reader.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"

enum dlm_status dlm_tok_fail(const struct dlm_tok_reader *r, enum dlm_status status,
                             const char *fmt, ...)
{
    char message[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);
    return dlm_fail(r->ctx, status, "cannot read '%s': %s: %s", r->path, r->part, message);
}

static enum dlm_status fail_kind(const struct dlm_tok_reader *r, const json_t *value,
                                 const char *key, const char *kind)
{
    if (!value)
        return dlm_tok_fail(r, DLM_ERR_PARSE, "'%s' is missing", key);
    return dlm_tok_fail(r, DLM_ERR_PARSE, "'%s' is not %s", key, kind);
}

enum dlm_status dlm_tok_get_text(const struct dlm_tok_reader *r, const json_t *object,
                                 const char *key, const char **text, size_t *len)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value))
        return fail_kind(r, value, key, "a string");
    *text = json_string_value(value);
    *len = json_string_length(value);
    return DLM_OK;
}

enum dlm_status dlm_tok_get_bool(const struct dlm_tok_reader *r, const json_t *object,
                                 const char *key, bool *value)
{
    const json_t *member = json_object_get(object, key);
    if (!json_is_boolean(member))
        return fail_kind(r, member, key, "true or false");
    *value = json_is_true(member);
    return DLM_OK;
}

enum dlm_status dlm_tok_get_bool_or(const struct dlm_tok_reader *r, const json_t *object,
                                    const char *key, bool *value)
{
    const json_t *member = json_object_get(object, key);
    if (!member || json_is_null(member))
        return DLM_OK;
    return dlm_tok_get_bool(r, object, key, value);
}

enum dlm_status dlm_tok_get_int(const struct dlm_tok_reader *r, const json_t *object,
                                const char *key, json_int_t min, json_int_t max,
                                json_int_t *value)
{
    const json_t *member = json_object_get(object, key);
    if (!json_is_integer(member))
        return fail_kind(r, member, key, "a whole number");
    *value = json_integer_value(member);
    if (*value < min || *value > max)
        return dlm_tok_fail(r, DLM_ERR_PARSE,
                            "'%s' is %" JSON_INTEGER_FORMAT ", not between %" JSON_INTEGER_FORMAT
                            " and %" JSON_INTEGER_FORMAT,
                            key, *value, min, max);
    return DLM_OK;
}

enum dlm_status dlm_tok_get_type(const struct dlm_tok_reader *r, const json_t *object,
                                 const char **type)
{
    size_t len = 0;
    if (!json_is_object(object))
        return dlm_tok_fail(r, DLM_ERR_PARSE, "not an object");
    return dlm_tok_get_text(r, object, "type", type, &len);
}

enum dlm_status dlm_tok_fail_type(const struct dlm_tok_reader *r, const char *type)
{
    return dlm_tok_fail(r, DLM_ERR_UNSUPPORTED, "type '%.64s' is not supported", type);
}

enum dlm_status dlm_tok_read_sequence(struct dlm_tok_reader *r, const json_t *object,
                                      const char *key, dlm_tok_part_fn fn, void *user)
{
    const json_t *list = json_object_get(object, key), *part = NULL;
    size_t i = 0;
    enum dlm_status st = DLM_OK;

    if (!json_is_array(list))
        return fail_kind(r, list, key, "a list");
    if (r->depth >= DLM_TOK_MAX_DEPTH)
        return dlm_tok_fail(r, DLM_ERR_UNSUPPORTED, "'%s' is nested too deep", key);
    r->depth++;
    json_array_foreach(list, i, part)
    {
        st = fn(r, user, part);
        if (st)
            break;
    }
    r->depth--;
    return st;
}
