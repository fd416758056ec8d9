/* Growing strings and UTF-8 validation. */
#include "base/str.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static enum dlm_status reserve(struct dlm_ctx *ctx, struct dlm_str *s, size_t more)
{
    size_t need;

    if (!dlm_add_size(s->len, more, &need) || !dlm_add_size(need, 1, &need))
        return DLM_ERR_MEMORY;
    if (need <= s->cap)
        return DLM_OK;
    size_t cap = s->cap ? s->cap : 32;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    char *data = dlm_realloc(ctx, s->data, cap);
    if (!data)
        return DLM_ERR_MEMORY;
    s->data = data;
    s->cap = cap;
    return DLM_OK;
}

enum dlm_status dlm_str_append(struct dlm_ctx *ctx, struct dlm_str *s, const char *bytes,
                               size_t len)
{
    enum dlm_status st = reserve(ctx, s, len);
    if (st)
        return st;
    if (len)
        memcpy(s->data + s->len, bytes, len);
    s->len += len;
    s->data[s->len] = '\0';
    return DLM_OK;
}

enum dlm_status dlm_str_appendz(struct dlm_ctx *ctx, struct dlm_str *s, const char *text)
{
    return dlm_str_append(ctx, s, text, strlen(text));
}

enum dlm_status dlm_str_appendf(struct dlm_ctx *ctx, struct dlm_str *s, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (len < 0)
        return DLM_ERR_INVALID;
    enum dlm_status st = reserve(ctx, s, (size_t)len);
    if (st)
        return st;
    va_start(args, fmt);
    vsnprintf(s->data + s->len, (size_t)len + 1, fmt, args);
    va_end(args);
    s->len += (size_t)len;
    return DLM_OK;
}

void dlm_str_finish(struct dlm_str *s)
{
    dlm_free(s->data);
    *s = (struct dlm_str){0};
}

const char *dlm_str_text(const struct dlm_str *s)
{
    return s->data ? s->data : "";
}

/* Length of the sequence at p (1..4), 0 if it is not valid UTF-8 (RFC 3629 table). */
static size_t sequence_len(const uint8_t *p, size_t left)
{
    if (p[0] < 0x80)
        return 1;
    size_t n = p[0] >= 0xC2 && p[0] <= 0xDF ? 2 : p[0] >= 0xE0 && p[0] <= 0xEF ? 3
               : p[0] >= 0xF0 && p[0] <= 0xF4 ? 4 : 0;
    if (!n || n > left)
        return 0;
    uint8_t low = p[0] == 0xE0 ? 0xA0 : p[0] == 0xF0 ? 0x90 : 0x80;
    uint8_t high = p[0] == 0xED ? 0x9F : p[0] == 0xF4 ? 0x8F : 0xBF;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if (p[i] < 0x80 || p[i] > 0xBF)
            return 0;
    return n;
}

bool dlm_utf8_is_valid(const char *bytes, size_t len, size_t *bad)
{
    for (size_t i = 0; i < len;) {
        size_t n = sequence_len((const uint8_t *)bytes + i, len - i);
        if (!n) {
            if (bad)
                *bad = i;
            return false;
        }
        i += n;
    }
    return true;
}

void dlm_size_text(uint64_t bytes, char *text, size_t text_bytes)
{
    static const char *const units[] = {"KB", "MB", "GB", "TB"};
    double size = (double)bytes;
    size_t unit = 0;

    if (bytes < 1000) {
        snprintf(text, text_bytes, "%" PRIu64 " B", bytes);
        return;
    }
    for (size /= 1000; size >= 999.95 && unit + 1 < DLM_ARRAY_LEN(units); unit++)
        size /= 1000;
    snprintf(text, text_bytes, "%.1f %s", size, units[unit]);
}

void dlm_seconds_text(double seconds, char *text, size_t text_bytes)
{
    const double scale = seconds >= 1 ? 1 : seconds >= 1e-3 ? 1e3 : 1e6;
    const char *unit = seconds >= 1 ? "s" : seconds >= 1e-3 ? "ms" : "us";

    snprintf(text, text_bytes, seconds * scale < 99.5 ? "%.2g %s" : "%.0f %s", seconds * scale,
             unit);
}
