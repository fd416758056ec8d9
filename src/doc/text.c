/* White space, lines, decoding and repr() by Python's rules, which the format's texts and section
 * hashes depend on. Dates are in text_date.c. */
#include "doc/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <utf8proc.h>

static bool is_continuation(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

/* Length of the sequence that starts with lead, 0 when no sequence does. */
static size_t sequence_len(unsigned char lead)
{
    if (lead < 0x80)
        return 1;
    if (lead >= 0xc2 && lead <= 0xdf)
        return 2;
    if (lead >= 0xe0 && lead <= 0xef)
        return 3;
    return lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
}

/* The second byte's range excludes overlong forms, surrogates and what lies beyond U+10FFFF. */
static bool is_second_byte(unsigned char lead, unsigned char c)
{
    if (lead == 0xe0)
        return c >= 0xa0 && c <= 0xbf;
    if (lead == 0xed)
        return c >= 0x80 && c <= 0x9f;
    if (lead == 0xf0)
        return c >= 0x90 && c <= 0xbf;
    if (lead == 0xf4)
        return c >= 0x80 && c <= 0x8f;
    return is_continuation(c);
}

bool dlm_text_check_utf8(const char *bytes, size_t len, size_t *offset, const char **reason)
{
    const unsigned char *p = (const unsigned char *)bytes;

    for (size_t i = 0; i < len;) {
        size_t n = sequence_len(p[i]);
        *offset = i;
        if (!n) {
            *reason = "invalid start byte";
            return false;
        }
        for (size_t k = 1; k < n; k++) {
            if (i + k >= len) {
                *reason = "unexpected end of data";
                return false;
            }
            if (!(k == 1 ? is_second_byte(p[i], p[i + 1]) : is_continuation(p[i + k]))) {
                *reason = "invalid continuation byte";
                return false;
            }
        }
        i += n;
    }
    return true;
}

enum dlm_status dlm_text_normalize(struct dlm_ctx *ctx, struct dlm_arena *arena, const char *text,
                                   size_t len, char **out, size_t *out_len, bool *had_bom)
{
    bool bom = len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3);
    if (had_bom)
        *had_bom = bom;
    if (bom) {
        text += 3;
        len -= 3;
    }
    char *copy = dlm_arena_alloc(ctx, arena, len + 1);
    if (!copy)
        return DLM_ERR_MEMORY;
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\r' && i + 1 < len && text[i + 1] == '\n')
            continue;
        copy[n++] = text[i] == '\r' ? '\n' : text[i];
    }
    copy[n] = '\0';
    *out = copy;
    *out_len = n;
    return DLM_OK;
}

size_t dlm_text_decode(const char *text, size_t len, uint32_t *codepoint)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t n = sequence_len(p[0]);

    if (n < 2 || n > len) {
        *codepoint = p[0];
        return 1;
    }
    uint32_t c = p[0] & (0xffu >> (n + 1));
    for (size_t k = 1; k < n; k++)
        c = c << 6 | (p[k] & 0x3fu);
    *codepoint = c;
    return n;
}

bool dlm_text_is_space(uint32_t c)
{
    if (c < 0x80)
        return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20);
    return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
           c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

const char *dlm_text_skip_space(const char *p, const char *end)
{
    while (p < end) {
        uint32_t c = 0;
        size_t n = dlm_text_decode(p, (size_t)(end - p), &c);
        if (!dlm_text_is_space(c))
            break;
        p += n;
    }
    return p;
}

void dlm_text_strip(const char **text, size_t *len)
{
    const char *begin = *text;
    const char *end = begin + *len;
    uint32_t c = 0;

    while (begin < end) {
        size_t n = dlm_text_decode(begin, (size_t)(end - begin), &c);
        if (!dlm_text_is_space(c))
            break;
        begin += n;
    }
    while (end > begin) {
        const char *last = end - 1;
        while (last > begin && is_continuation((unsigned char)*last))
            last--;
        dlm_text_decode(last, (size_t)(end - last), &c);
        if (!dlm_text_is_space(c))
            break;
        end = last;
    }
    *text = begin;
    *len = (size_t)(end - begin);
}

bool dlm_text_is_blank(const char *text, size_t len)
{
    dlm_text_strip(&text, &len);
    return !len;
}

static bool is_line_end(uint32_t c)
{
    return (c >= 0x0a && c <= 0x0d) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 ||
           c == 0x2029;
}

bool dlm_text_next_line(const char *text, size_t len, size_t *pos, const char **line,
                        size_t *line_len)
{
    if (*pos >= len)
        return false;
    size_t i = *pos;
    *line = text + i;
    while (i < len) {
        uint32_t c = 0;
        size_t n = dlm_text_decode(text + i, len - i, &c);
        if (is_line_end(c)) {
            *line_len = (size_t)(text + i - *line);
            i += n;
            if (c == '\r' && i < len && text[i] == '\n')
                i++;
            *pos = i;
            return true;
        }
        i += n;
    }
    *line_len = (size_t)(text + i - *line);
    *pos = i;
    return true;
}

/* str.isprintable() of one character that is not ASCII. */
static bool is_printable(uint32_t c)
{
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return false;
    default:
        return true;
    }
}

static enum dlm_status append_repr_char(struct dlm_ctx *ctx, struct dlm_str *out, uint32_t c,
                                        const char *bytes, size_t n, char quote)
{
    if (c == '\n')
        return dlm_str_appendz(ctx, out, "\\n");
    if (c == '\r')
        return dlm_str_appendz(ctx, out, "\\r");
    if (c == '\t')
        return dlm_str_appendz(ctx, out, "\\t");
    if (c == '\\' || c == (unsigned char)quote)
        return dlm_str_appendf(ctx, out, "\\%c", (int)c);
    if (c < 0x20 || c == 0x7f || (c > 0x7f && c <= 0xff && !is_printable(c)))
        return dlm_str_appendf(ctx, out, "\\x%02x", (unsigned)c);
    if (c > 0xff && !is_printable(c))
        return dlm_str_appendf(ctx, out, c > 0xffff ? "\\U%08x" : "\\u%04x", (unsigned)c);
    return dlm_str_append(ctx, out, bytes, n);
}

enum dlm_status dlm_text_append_repr(struct dlm_ctx *ctx, struct dlm_str *out, const char *text,
                                     size_t len)
{
    bool has_single = memchr(text, '\'', len) != NULL;
    char quote = has_single && !memchr(text, '"', len) ? '"' : '\'';

    enum dlm_status st = dlm_str_append(ctx, out, &quote, 1);
    for (size_t i = 0; !st && i < len;) {
        uint32_t c = 0;
        size_t n = dlm_text_decode(text + i, len - i, &c);
        st = append_repr_char(ctx, out, c, text + i, n, quote);
        i += n;
    }
    return st ? st : dlm_str_append(ctx, out, &quote, 1);
}

/* repr(float) is the shortest digits that read back; the exponent form begins below 1e-4 and at
 * 1e16. */
enum dlm_status dlm_text_append_float(struct dlm_ctx *ctx, struct dlm_str *out, double value)
{
    if (isnan(value))
        return dlm_str_appendz(ctx, out, "nan");
    if (isinf(value))
        return dlm_str_appendz(ctx, out, value < 0 ? "-inf" : "inf");

    char text[40];
    int precision = 0;
    do {
        snprintf(text, sizeof(text), "%.*e", precision, value);
    } while (strtod(text, NULL) != value && ++precision < 17);
    char *exponent_text = strchr(text, 'e');
    int exponent = atoi(exponent_text + 1);
    if (exponent >= -4 && exponent < 16) {
        int decimals = precision - exponent;
        return dlm_str_appendf(ctx, out, "%.*f", decimals > 0 ? decimals : 1, value);
    }
    *exponent_text = '\0';
    return dlm_str_appendf(ctx, out, "%se%c%02d", text, exponent < 0 ? '-' : '+', abs(exponent));
}

/* Copies a number's text without underscores; they must stand between two digits. */
static bool copy_without_underscores(const char *text, size_t len, char *out, size_t out_bytes)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '_') {
            bool between = i > 0 && i + 1 < len && text[i - 1] >= '0' && text[i - 1] <= '9' &&
                           text[i + 1] >= '0' && text[i + 1] <= '9';
            if (!between)
                return false;
            continue;
        }
        if (n + 1 >= out_bytes)
            return false;
        out[n++] = text[i];
    }
    out[n] = '\0';
    return n > 0;
}

bool dlm_text_to_float(const char *text, size_t len, double *value)
{
    char copy[512];

    dlm_text_strip(&text, &len);
    if (!copy_without_underscores(text, len, copy, sizeof(copy)))
        return false;
    const char *body = copy + (copy[0] == '+' || copy[0] == '-');
    bool is_word = !strcasecmp(body, "inf") || !strcasecmp(body, "infinity") ||
                   !strcasecmp(body, "nan");
    /* strtod also reads hexadecimal and "nan(...)", and skips spaces: not Python. */
    if (!is_word && strspn(body, "0123456789.eE+-") != strlen(body))
        return false;
    if (!is_word && (body[0] < '0' || body[0] > '9') && body[0] != '.')
        return false;
    char *end = NULL;
    *value = strtod(copy, &end);
    return end != copy && !*end;
}
