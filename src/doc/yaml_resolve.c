/* The YAML 1.1 scalar rules as PyYAML states them: which plain texts are null, bool, int, float,
 * date or merge key, and what number they are. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "doc/text.h"
#include "doc/yaml.h"

static bool is_one_of(const char *text, size_t len, const char *const *words, size_t num_words)
{
    for (size_t i = 0; i < num_words; i++) {
        if (strlen(words[i]) == len && !memcmp(words[i], text, len))
            return true;
    }
    return false;
}

static bool is_null(const char *text, size_t len)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    return is_one_of(text, len, words, DLM_ARRAY_LEN(words));
}

static bool is_bool(const char *text, size_t len, bool *value)
{
    static const char *const yes[] = {"yes",  "Yes", "YES", "true", "True",
                                      "TRUE", "on",  "On",  "ON"};
    static const char *const no[] = {"no",    "No",  "NO",  "false", "False",
                                     "FALSE", "off", "Off", "OFF"};
    *value = is_one_of(text, len, yes, DLM_ARRAY_LEN(yes));
    return *value || is_one_of(text, len, no, DLM_ARRAY_LEN(no));
}

/* Number of characters of [p, end) out of the set. */
static size_t span(const char *p, const char *end, const char *set)
{
    const char *start = p;
    while (p < end && *p && strchr(set, *p))
        p++;
    return (size_t)(p - start);
}

static const char *skip_sign(const char *p, const char *end)
{
    return p < end && (*p == '+' || *p == '-') ? p + 1 : p;
}

/* One or more ":" [0-5]?[0-9] at p; NULL when there is none. */
static const char *skip_sexagesimal(const char *p, const char *end)
{
    const char *start = p;
    while (p < end && *p == ':') {
        size_t n = span(p + 1, end, "0123456789");
        if (n < 1 || n > 2 || (n == 2 && p[1] > '5'))
            break;
        p += 1 + n;
    }
    return p > start ? p : NULL;
}

enum int_form { INT_NONE, INT_BINARY, INT_OCTAL, INT_DECIMAL, INT_HEX, INT_SEXAGESIMAL };

static enum int_form int_form(const char *text, size_t len)
{
    const char *end = text + len;
    const char *p = skip_sign(text, end);

    if (p >= end)
        return INT_NONE;
    if (*p == '0') {
        if (p + 1 == end)
            return INT_DECIMAL;
        if (p[1] == 'b')
            return p + 2 < end && p + 2 + span(p + 2, end, "01_") == end ? INT_BINARY : INT_NONE;
        if (p[1] == 'x')
            return p + 2 < end && p + 2 + span(p + 2, end, "0123456789abcdefABCDEF_") == end
                       ? INT_HEX
                       : INT_NONE;
        return p + 1 + span(p + 1, end, "01234567_") == end ? INT_OCTAL : INT_NONE;
    }
    if (*p < '1' || *p > '9')
        return INT_NONE;
    p += span(p, end, "0123456789_");
    if (p == end)
        return INT_DECIMAL;
    return skip_sexagesimal(p, end) == end ? INT_SEXAGESIMAL : INT_NONE;
}

/* Adds one digit; keeps an approximation once 64 bits do not hold it. */
static void push_digit(struct dlm_yaml *value, int base, int digit)
{
    value->number = value->number * base + digit;
    if (!value->is_big && value->integer <= (INT64_MAX - digit) / base)
        value->integer = value->integer * base + digit;
    else
        value->is_big = true;
}

static bool read_int(const char *text, size_t len, enum int_form form, struct dlm_yaml *value,
                     const char **reason)
{
    static const int bases[] = {
        [INT_BINARY] = 2, [INT_OCTAL] = 8,        [INT_DECIMAL] = 10,
        [INT_HEX] = 16,   [INT_SEXAGESIMAL] = 10,
    };
    const char *end = text + len;
    const char *p = skip_sign(text, end);
    size_t num_digits = 0;
    int64_t group = 0;

    value->kind = DLM_YAML_INT;
    if (form == INT_BINARY || form == INT_HEX)
        p += 2;
    for (; p < end; p++) {
        if (*p == '_')
            continue;
        if (*p == ':') {
            /* Each group of a sexagesimal number is one digit of base 60. */
            group = 0;
            size_t n = span(p + 1, end, "0123456789");
            for (size_t i = 1; i <= n; i++)
                group = group * 10 + (p[i] - '0');
            push_digit(value, 60, (int)group);
            p += n;
            continue;
        }
        int digit = *p <= '9' ? *p - '0' : tolower((unsigned char)*p) - 'a' + 10;
        push_digit(value, bases[form], digit);
        num_digits++;
    }
    if (!num_digits) {
        *reason = "a number without digits";
        return false;
    }
    if (text[0] == '-') {
        value->integer = -value->integer;
        value->number = -value->number;
    }
    return true;
}

/* An exponent "e" sign digits, where one stands; NULL when it is cut short. */
static const char *skip_exponent(const char *p, const char *end)
{
    if (p >= end || (*p != 'e' && *p != 'E'))
        return p;
    p++;
    if (p >= end || (*p != '+' && *p != '-'))
        return NULL;
    size_t n = span(p + 1, end, "0123456789");
    return n ? p + 1 + n : NULL;
}

enum float_form { FLOAT_NONE, FLOAT_DECIMAL, FLOAT_SEXAGESIMAL, FLOAT_INF, FLOAT_NAN };

static enum float_form float_form(const char *text, size_t len)
{
    static const char *const infs[] = {".inf", ".Inf", ".INF"};
    static const char *const nans[] = {".nan", ".NaN", ".NAN"};
    const char *end = text + len;
    const char *p = skip_sign(text, end);

    if (is_one_of(p, (size_t)(end - p), infs, DLM_ARRAY_LEN(infs)))
        return FLOAT_INF;
    if (is_one_of(text, len, nans, DLM_ARRAY_LEN(nans)))
        return FLOAT_NAN;
    if (p >= end)
        return FLOAT_NONE;
    if (*p == '.') {
        /* No sign before a leading point. */
        if (p > text || !span(p + 1, end, "0123456789"))
            return FLOAT_NONE;
        p += 1 + span(p + 1, end, "0123456789_");
        return skip_exponent(p, end) == end ? FLOAT_DECIMAL : FLOAT_NONE;
    }
    if (*p < '0' || *p > '9')
        return FLOAT_NONE;
    p += span(p, end, "0123456789_");
    const char *groups = skip_sexagesimal(p, end);
    p = groups ? groups : p;
    if (p >= end || *p != '.')
        return FLOAT_NONE;
    p += 1 + span(p + 1, end, "0123456789_");
    if (groups)
        return p == end ? FLOAT_SEXAGESIMAL : FLOAT_NONE;
    return skip_exponent(p, end) == end ? FLOAT_DECIMAL : FLOAT_NONE;
}

static bool read_float(const char *text, size_t len, enum float_form form, struct dlm_yaml *value,
                       const char **reason)
{
    char copy[512];
    size_t n = 0;

    value->kind = DLM_YAML_FLOAT;
    if (form == FLOAT_INF || form == FLOAT_NAN) {
        value->number = form == FLOAT_NAN ? NAN : text[0] == '-' ? -INFINITY : INFINITY;
        return true;
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '_')
            continue;
        if (n + 1 == sizeof(copy)) {
            *reason = "a number with too many digits";
            return false;
        }
        copy[n++] = text[i];
    }
    copy[n] = '\0';
    char *p = copy + (copy[0] == '+' || copy[0] == '-');
    double sum = 0;
    char *end = p;
    for (;;) {
        sum = sum * 60 + strtod(p, &end);
        if (*end != ':')
            break;
        p = end + 1;
    }
    value->number = copy[0] == '-' ? -sum : sum;
    return true;
}

static bool take_digits(const char **p, const char *end, int min, int max, int *value)
{
    int n = 0;
    *value = 0;
    while (n < max && *p < end && **p >= '0' && **p <= '9') {
        *value = *value * 10 + (*(*p)++ - '0');
        n++;
    }
    return n >= min;
}

static bool take(const char **p, const char *end, char wanted)
{
    if (*p >= end || **p != wanted)
        return false;
    (*p)++;
    return true;
}

static void skip_blanks(const char **p, const char *end)
{
    while (*p < end && (**p == ' ' || **p == '\t'))
        (*p)++;
}

/* The clock part of a timestamp, up to its end. */
static bool is_clock_form(const char *p, const char *end, bool *in_range)
{
    int hour = 0, minute = 0, second = 0, zone = 0, zone_minute = 0;

    if (!take_digits(&p, end, 1, 2, &hour) || !take(&p, end, ':') ||
        !take_digits(&p, end, 2, 2, &minute) || !take(&p, end, ':') ||
        !take_digits(&p, end, 2, 2, &second))
        return false;
    if (take(&p, end, '.'))
        p += span(p, end, "0123456789");
    *in_range = *in_range && hour < 24 && minute < 60 && second < 60;
    if (p == end)
        return true;
    skip_blanks(&p, end);
    if (take(&p, end, 'Z'))
        return p == end;
    if (!take(&p, end, '+') && !take(&p, end, '-'))
        return false;
    if (!take_digits(&p, end, 1, 2, &zone))
        return false;
    if (take(&p, end, ':') && !take_digits(&p, end, 2, 2, &zone_minute))
        return false;
    *in_range = *in_range && zone < 24;
    return p == end;
}

/* Kind of the timestamp that text is, or DLM_YAML_STR. */
static enum dlm_yaml_kind timestamp_kind(const char *text, size_t len, bool *in_range)
{
    static const int days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const char *end = text + len;
    const char *p = text;
    int year = 0, month = 0, day = 0;

    if (!take_digits(&p, end, 4, 4, &year) || !take(&p, end, '-') ||
        !take_digits(&p, end, 1, 2, &month) || !take(&p, end, '-') ||
        !take_digits(&p, end, 1, 2, &day))
        return DLM_YAML_STR;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    *in_range = year >= 1 && month >= 1 && month <= 12 && day >= 1 &&
                day <= days[month - 1] + (month == 2 && leap);
    if (p == end)
        return len == 10 ? DLM_YAML_DATE : DLM_YAML_STR;
    if (!take(&p, end, 'T') && !take(&p, end, 't')) {
        const char *before = p;
        skip_blanks(&p, end);
        if (p == before)
            return DLM_YAML_STR;
    }
    return is_clock_form(p, end, in_range) ? DLM_YAML_DATETIME : DLM_YAML_STR;
}

bool dlm_yaml_resolve(const char *text, size_t len, struct dlm_yaml *value, const char **reason)
{
    enum int_form integer = int_form(text, len);
    enum float_form number = float_form(text, len);
    bool in_range = true;

    value->kind = DLM_YAML_STR;
    if (is_null(text, len))
        value->kind = DLM_YAML_NULL;
    else if (is_bool(text, len, &value->boolean))
        value->kind = DLM_YAML_BOOL;
    else if (number)
        return read_float(text, len, number, value, reason);
    else if (integer)
        return read_int(text, len, integer, value, reason);
    else
        value->kind = timestamp_kind(text, len, &in_range);
    if (!in_range && value->kind != DLM_YAML_STR) {
        *reason = "a date that does not exist";
        return false;
    }
    return true;
}
