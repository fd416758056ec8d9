/* One value of the front matter into one member, by the rules and with the messages of the
 * reference's validation in its lax mode. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "doc/schema.h"
#include "doc/text.h"

static void set_memory_failure(struct dlm_schema_check *check)
{
    check->st = DLM_ERR_MEMORY;
}

/* --- numbers ------------------------------------------------------------------------------- */

/* NaN is out of every range. Upper bound first, as in the reference; what no f32 holds last. */
static bool is_in_range(struct dlm_schema_check *check, const struct dlm_schema_field *field,
                        const struct dlm_schema_place *place, double x)
{
    if (field->has_max && !(x <= field->max)) {
        dlm_schema_report(check, place, "Input should be less than or equal to %g", field->max);
        return false;
    }
    if (field->has_min && field->must_exceed_min && !(x > field->min)) {
        dlm_schema_report(check, place, "Input should be greater than %g", field->min);
        return false;
    }
    if (field->has_min && !field->must_exceed_min && !(x >= field->min)) {
        dlm_schema_report(check, place, "Input should be greater than or equal to %g", field->min);
        return false;
    }
    if (field->has_limit && !isfinite(x)) {
        dlm_schema_report(check, place, "Input should be a finite number");
        return false;
    }
    if (field->has_limit && x > field->limit) {
        dlm_schema_report(check, place, "Input should be less than or equal to %.10g",
                          field->limit);
        return false;
    }
    return true;
}

enum int_result { INT_OK, INT_MALFORMED, INT_TOO_BIG };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Sign, digits with single underscores between them, and an optional ".000". */
static enum int_result text_to_int(const char *text, size_t len, int64_t *value)
{
    enum int_result result = INT_OK;
    int64_t n = 0; /* negative, so that INT64_MIN fits */

    dlm_text_strip(&text, &len);
    const char *end = text + len;
    bool negative = len && *text == '-';
    const char *p = text + (len && (*text == '-' || *text == '+'));
    if (p >= end || !is_digit(*p))
        return INT_MALFORMED;
    for (; p < end && *p != '.'; p++) {
        if (*p == '_' && is_digit(p[-1]) && p + 1 < end && is_digit(p[1]))
            continue;
        if (!is_digit(*p))
            return INT_MALFORMED;
        int digit = *p - '0';
        if (n < (INT64_MIN + digit) / 10)
            result = INT_TOO_BIG;
        else
            n = n * 10 - digit;
    }
    if (p < end && p + 1 + strspn(p + 1, "0") != end)
        return INT_MALFORMED;
    if (p < end && p + 1 == end)
        return INT_MALFORMED;
    if (!negative && n == INT64_MIN)
        return INT_TOO_BIG;
    *value = negative ? n : -n;
    return result;
}

static bool float_to_int(struct dlm_schema_check *check, const struct dlm_schema_place *place,
                         double x, int64_t *out)
{
    if (!isfinite(x)) {
        dlm_schema_report(check, place, "Input should be a finite number");
        return false;
    }
    if (x != floor(x)) {
        dlm_schema_report(check, place,
                          "Input should be a valid integer, got a number with a fractional part");
        return false;
    }
    if (x >= 9223372036854775808.0 || x < -9223372036854775808.0) {
        dlm_schema_report(check, place,
                          "Unable to parse input string as an integer, exceeded maximum size");
        return false;
    }
    *out = (int64_t)x;
    return true;
}

/* Any value to an integer. The range is checked only where it explains better than the size does.
 * */
static bool to_int(struct dlm_schema_check *check, const struct dlm_schema_field *field,
                   const struct dlm_yaml *value, const struct dlm_schema_place *place, int64_t *out)
{
    enum int_result result = INT_OK;

    switch (value->kind) {
    case DLM_YAML_INT:
        *out = value->integer;
        result = value->is_big ? INT_TOO_BIG : INT_OK;
        break;
    case DLM_YAML_BOOL:
        *out = value->boolean;
        return true;
    case DLM_YAML_FLOAT:
        return float_to_int(check, place, value->number, out);
    case DLM_YAML_STR:
        result = text_to_int(value->text, value->text_len, out);
        break;
    default:
        dlm_schema_report(check, place, "Input should be a valid integer");
        return false;
    }
    if (result == INT_MALFORMED)
        dlm_schema_report(check, place,
                          "Input should be a valid integer, unable to parse string as an integer");
    double size = value->kind == DLM_YAML_INT ? value->number : strtod(value->text, NULL);
    if (result == INT_TOO_BIG && is_in_range(check, field, place, size))
        dlm_schema_report(check, place,
                          "Unable to parse input string as an integer, exceeded maximum size");
    return result == INT_OK;
}

static void convert_int(struct dlm_schema_check *check, const struct dlm_schema_field *field,
                        const struct dlm_yaml *value, const struct dlm_schema_place *place,
                        int64_t *out)
{
    int64_t n;
    /* Bounds are far below 2^53, so that a double decides rightly. */
    if (to_int(check, field, value, place, &n) && is_in_range(check, field, place, (double)n))
        *out = n;
}

static void convert_float(struct dlm_schema_check *check, const struct dlm_schema_field *field,
                          const struct dlm_yaml *value, const struct dlm_schema_place *place,
                          double *out)
{
    double x = 0;

    if (value->kind == DLM_YAML_FLOAT || value->kind == DLM_YAML_INT) {
        x = value->number;
    } else if (value->kind == DLM_YAML_BOOL) {
        x = value->boolean;
    } else if (value->kind != DLM_YAML_STR) {
        dlm_schema_report(check, place, "Input should be a valid number");
        return;
    } else if (!dlm_text_to_float(value->text, value->text_len, &x)) {
        dlm_schema_report(check, place,
                          "Input should be a valid number, unable to parse string as a number");
        return;
    }
    if (is_in_range(check, field, place, x))
        *out = x;
}

static void convert_bool(struct dlm_schema_check *check, const struct dlm_yaml *value,
                         const struct dlm_schema_place *place, bool *out)
{
    static const char *const yes[] = {"1", "true", "t", "yes", "y", "on"};
    static const char *const no[] = {"0", "false", "f", "no", "n", "off"};
    bool is_number = value->kind == DLM_YAML_INT || value->kind == DLM_YAML_FLOAT;

    if (value->kind == DLM_YAML_BOOL) {
        *out = value->boolean;
        return;
    }
    if (is_number && (value->number == 0 || value->number == 1)) {
        *out = value->number == 1;
        return;
    }
    if (value->kind == DLM_YAML_STR && strlen(value->text) == value->text_len) {
        for (size_t i = 0; i < DLM_ARRAY_LEN(yes); i++) {
            bool is_yes = !strcasecmp(value->text, yes[i]);
            if (is_yes || !strcasecmp(value->text, no[i])) {
                *out = is_yes;
                return;
            }
        }
    }
    bool is_whole = is_number && value->number == floor(value->number) &&
                    fabs(value->number) < 9223372036854775808.0;
    bool is_readable = value->kind == DLM_YAML_STR || is_whole;
    dlm_schema_report(check, place, "Input should be a valid boolean%s",
                      is_readable ? ", unable to interpret input" : "");
}

/* --- texts --------------------------------------------------------------------------------- */

static bool is_text(struct dlm_schema_check *check, const struct dlm_yaml *value,
                    const struct dlm_schema_place *place)
{
    if (value->kind != DLM_YAML_STR) {
        dlm_schema_report(check, place, "Input should be a valid string");
        return false;
    }
    if (memchr(value->text, '\0', value->text_len)) {
        dlm_schema_report(check, place, "Input should not contain NUL characters");
        return false;
    }
    return true;
}

static void convert_str(struct dlm_schema_check *check, const struct dlm_schema_field *field,
                        const struct dlm_yaml *value, const struct dlm_schema_place *place,
                        const char **out)
{
    if (!is_text(check, value, place))
        return;
    if (field->is_non_empty && !value->text_len) {
        dlm_schema_report(check, place, "String should have at least 1 character");
        return;
    }
    *out = value->text;
}

static void convert_id(struct dlm_schema_check *check, const struct dlm_yaml *value,
                       const struct dlm_schema_place *place, const char **out)
{
    struct dlm_str repr = {0};

    if (value->kind != DLM_YAML_STR) {
        dlm_schema_report(check, place, "Input should be a valid string");
        return;
    }
    *out = value->text;
    if (strlen(value->text) == value->text_len && dlm_ulid_is_valid(value->text))
        return;
    if (dlm_text_append_repr(check->ctx, &repr, value->text, value->text_len))
        set_memory_failure(check);
    dlm_schema_report(check, place,
                      "Value error, dlm_id must be a 26-char Crockford base32 ULID, got %s",
                      dlm_str_text(&repr));
    dlm_str_finish(&repr);
}

/* last: what is allowed besides the choices, or NULL. */
static void report_choices(struct dlm_schema_check *check, const struct dlm_schema_place *place,
                           const char *const *choices, const char *last)
{
    struct dlm_str list = {0};
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && choices[i]; i++) {
        const char *between = !i ? "" : choices[i + 1] || last ? ", " : " or ";
        st = dlm_str_appendf(check->ctx, &list, "%s'%s'", between, choices[i]);
    }
    if (!st && last)
        st = dlm_str_appendf(check->ctx, &list, " or %s", last);
    if (st)
        set_memory_failure(check);
    dlm_schema_report(check, place, "Input should be %s", dlm_str_text(&list));
    dlm_str_finish(&list);
}

/* The choice that the value names; -1: none. */
static int find_choice(const struct dlm_schema_field *field, const struct dlm_yaml *value)
{
    for (int i = 0; value->kind == DLM_YAML_STR && field->choices && field->choices[i]; i++) {
        if (strlen(field->choices[i]) == value->text_len &&
            !memcmp(field->choices[i], value->text, value->text_len))
            return i;
    }
    return -1;
}

static void convert_choice(struct dlm_schema_check *check, const struct dlm_schema_field *field,
                           const struct dlm_yaml *value, const struct dlm_schema_place *place,
                           void *out)
{
    int choice = find_choice(field, value);

    if (choice < 0) {
        report_choices(check, place, field->choices, NULL);
        return;
    }
    choice += field->can_be_null ? 1 : 0;
    memcpy(out, &choice, sizeof(choice));
}

/* A number, or one of the names that a field has besides. */
static void convert_named_int(struct dlm_schema_check *check, const struct dlm_schema_field *field,
                              const struct dlm_yaml *value, const struct dlm_schema_place *place,
                              int64_t *out)
{
    const int choice = find_choice(field, value);

    if (choice >= 0)
        *out = -1 - choice;
    else if (field->choices && value->kind == DLM_YAML_STR)
        report_choices(check, place, field->choices, "a valid integer");
    else
        convert_int(check, field, value, place, out);
}

static bool is_auto(const struct dlm_yaml *value)
{
    return value->kind == DLM_YAML_STR && value->text_len == 4 && !memcmp(value->text, "auto", 4);
}

static void convert_auto_int(struct dlm_schema_check *check, const struct dlm_schema_field *field,
                             const struct dlm_yaml *value, const struct dlm_schema_place *place,
                             int64_t *out)
{
    const struct dlm_schema_place as_auto = {place, "literal['auto']", 15, 0, NULL};
    const struct dlm_schema_place as_int = {place, "int", 3, 0, NULL};
    struct dlm_str *errors = &check->errors->text;
    size_t errors_len = errors->len;
    size_t num_errors = check->num_errors;
    int64_t n;

    if (is_auto(value)) {
        *out = 0;
        return;
    }
    /* Both ways to read it failed: the reference reports both, this one first. */
    dlm_schema_report(check, &as_auto, "Input should be 'auto'");
    if (!to_int(check, field, value, &as_int, &n) || !is_in_range(check, field, &as_int, (double)n))
        return;
    check->num_errors = num_errors;
    errors->len = errors_len;
    if (errors->data)
        errors->data[errors_len] = '\0';
    if (n < 1)
        dlm_schema_report(check, place, "Value error, must be a positive int or 'auto', got %lld",
                          (long long)n);
    else
        *out = n;
}

static void convert_strings(struct dlm_schema_check *check, const struct dlm_yaml *value,
                            const struct dlm_schema_place *place, const char *type_name,
                            struct dlm_doc_strings *out)
{
    if (value->kind != DLM_YAML_LIST) {
        dlm_schema_report(check, place, "Input should be a valid %s", type_name);
        return;
    }
    out->items = dlm_arena_alloc(check->ctx, check->arena, (value->len + 1) * sizeof(*out->items));
    if (!out->items) {
        set_memory_failure(check);
        return;
    }
    out->len = 0;
    for (size_t i = 0; i < value->len; i++) {
        const struct dlm_schema_place item = {place, NULL, 0, i, value->items[i]};
        if (is_text(check, value->items[i], &item))
            out->items[out->len++] = value->items[i]->text;
    }
}

static void convert_targets(struct dlm_schema_check *check, const struct dlm_yaml *value,
                            const struct dlm_schema_place *place, struct dlm_doc_targets *out)
{
    const struct dlm_schema_place as_auto = {place, "literal['auto']", 15, 0, NULL};
    const struct dlm_schema_place as_list = {place, "list[str]", 9, 0, NULL};
    size_t num_errors = check->num_errors;

    if (is_auto(value)) {
        out->kind = DLM_DOC_TARGETS_AUTO;
    } else if (value->kind == DLM_YAML_STR) {
        if (!is_text(check, value, place))
            return;
        if (!value->text_len)
            dlm_schema_report(check, place, "String should have at least 1 character");
        out->kind = DLM_DOC_TARGETS_REGEX;
        out->regex = value->text;
    } else {
        bool is_good = value->kind == DLM_YAML_LIST;
        for (size_t i = 0; is_good && i < value->len; i++)
            is_good = value->items[i]->kind == DLM_YAML_STR;
        if (!is_good)
            dlm_schema_report(check, &as_auto, "Input should be 'auto'");
        out->kind = DLM_DOC_TARGETS_LIST;
        convert_strings(check, value, is_good ? place : &as_list, "list", &out->list);
        if (check->num_errors > num_errors)
            out->kind = DLM_DOC_TARGETS_AUTO;
    }
}

void dlm_schema_convert(struct dlm_schema_check *check, const struct dlm_schema_field *field,
                        const struct dlm_yaml *value, const struct dlm_schema_place *place,
                        void *member)
{
    if (field->can_be_null && value->kind == DLM_YAML_NULL)
        return;
    switch (field->type) {
    case DLM_SCHEMA_ID:
        convert_id(check, value, place, member);
        break;
    case DLM_SCHEMA_STR:
        convert_str(check, field, value, place, member);
        break;
    case DLM_SCHEMA_BOOL:
        convert_bool(check, value, place, member);
        break;
    case DLM_SCHEMA_INT:
        convert_named_int(check, field, value, place, member);
        break;
    case DLM_SCHEMA_AUTO_INT:
        convert_auto_int(check, field, value, place, member);
        break;
    case DLM_SCHEMA_FLOAT:
        convert_float(check, field, value, place, member);
        break;
    case DLM_SCHEMA_CHOICE:
        convert_choice(check, field, value, place, member);
        break;
    case DLM_SCHEMA_STRINGS:
        convert_strings(check, value, place, "tuple", member);
        break;
    case DLM_SCHEMA_TARGETS:
        convert_targets(check, value, place, member);
        break;
    default: /* VERSION is checked elsewhere; maps and their lists in validate.c */
        break;
    }
}
