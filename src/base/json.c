/* jansson with named errors. */
#include "base/json.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"

enum dlm_status dlm_json_parse(struct dlm_ctx *ctx, const char *name, const char *text, size_t len,
                               json_t **out)
{
    json_error_t error;

    *out = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    return *out ? DLM_OK
                : dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': line %d, column %d: %s", name,
                           error.line, error.column, error.text);
}

enum dlm_status dlm_json_load(struct dlm_ctx *ctx, const char *path, size_t max_bytes, json_t **out)
{
    struct dlm_str text = {0};

    *out = NULL;
    enum dlm_status st = dlm_file_read(ctx, path, max_bytes, &text);
    if (!st)
        st = dlm_json_parse(ctx, path, dlm_str_text(&text), text.len, out);
    dlm_str_finish(&text);
    return st;
}

enum dlm_status dlm_json_replace(struct dlm_ctx *ctx, const char *path, const json_t *json)
{
    char *text = json_dumps(json, JSON_SORT_KEYS | JSON_INDENT(2) | JSON_ENCODE_ANY);
    struct dlm_str line = {0};

    if (!text)
        return dlm_fail(ctx, DLM_ERR_MEMORY, "out of memory: cannot write '%s'", path);
    enum dlm_status st = dlm_str_appendz(ctx, &line, text);
    if (!st)
        st = dlm_str_append(ctx, &line, "\n", 1);
    if (!st)
        st = dlm_file_replace(ctx, path, line.data, line.len);
    dlm_str_finish(&line);
    free(text);
    return st;
}

static enum dlm_status wrong(struct dlm_ctx *ctx, const char *where, const char *key,
                             const char *what)
{
    return dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': '%s' is not %s", where, key, what);
}

enum dlm_status dlm_json_int(struct dlm_ctx *ctx, const json_t *object, const char *where,
                             const char *key, int64_t min, int64_t max, int64_t *value)
{
    const json_t *member = json_object_get(object, key);

    if (!member || json_is_null(member))
        return DLM_OK;
    double real = json_number_value(member);
    bool is_whole = json_is_integer(member) ||
                    (json_is_real(member) && real == floor(real) && fabs(real) < 9e15);
    if (!is_whole)
        return wrong(ctx, where, key, "an integer");
    int64_t n = json_is_integer(member) ? (int64_t)json_integer_value(member) : (int64_t)real;
    if (n < min || n > max)
        return dlm_fail(ctx, DLM_ERR_PARSE,
                        "cannot read '%s': '%s' is %lld, not in %lld..%lld", where, key,
                        (long long)n, (long long)min, (long long)max);
    *value = n;
    return DLM_OK;
}

enum dlm_status dlm_json_number(struct dlm_ctx *ctx, const json_t *object, const char *where,
                                const char *key, double *value)
{
    const json_t *member = json_object_get(object, key);

    if (!member || json_is_null(member))
        return DLM_OK;
    if (!json_is_number(member))
        return wrong(ctx, where, key, "a number");
    *value = json_number_value(member);
    return DLM_OK;
}

enum dlm_status dlm_json_bool(struct dlm_ctx *ctx, const json_t *object, const char *where,
                              const char *key, bool *value)
{
    const json_t *member = json_object_get(object, key);

    if (!member || json_is_null(member))
        return DLM_OK;
    if (!json_is_boolean(member))
        return wrong(ctx, where, key, "true or false");
    *value = json_is_true(member);
    return DLM_OK;
}

enum dlm_status dlm_json_string(struct dlm_ctx *ctx, const json_t *object, const char *where,
                                const char *key, const char **value)
{
    const json_t *member = json_object_get(object, key);

    if (!member || json_is_null(member))
        return DLM_OK;
    if (!json_is_string(member))
        return wrong(ctx, where, key, "a string");
    *value = json_string_value(member);
    return DLM_OK;
}

enum dlm_status dlm_json_append(struct dlm_ctx *ctx, struct dlm_str *out, const json_t *json,
                                int digits)
{
    char *text = json ? json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(digits)) : NULL;
    enum dlm_status st = text ? dlm_str_appendf(ctx, out, "%s\n", text)
                              : dlm_fail(ctx, DLM_ERR_MEMORY, "out of memory");

    free(text);
    return st;
}

enum dlm_status dlm_json_dump(struct dlm_ctx *ctx, const json_t *json, size_t flags, char **text)
{
    for (size_t digits = 1; digits <= 17; digits++) {
        *text = json_dumps(json, flags | JSON_REAL_PRECISION(digits));
        if (!*text)
            break;
        json_t *back = json_loads(*text, 0, NULL);
        const bool same = back && json_equal((json_t *)(uintptr_t)json, back);
        json_decref(back);
        if (same)
            return DLM_OK;
        free(*text);
    }
    *text = NULL;
    return dlm_fail(ctx, DLM_ERR_MEMORY, "out of memory");
}

json_t *dlm_json_text(const char *text)
{
    return text && *text ? json_string(text) : json_null();
}
