/* Images of a chat file: paths, file: URLs (RFC 8089) and data: URLs (RFC 2397) with base64. And
 * how a failure names its place in the file. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api/chat_impl.h"
#include "base/base64.h"
#include "base/file.h"
#include "base/log.h"

enum dlm_status dlm_chat_fail(const struct dlm_chat_reader *r, enum dlm_status st, const char *fmt,
                              ...)
{
    char text[1024], part[48] = "";
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (r->part >= 0)
        snprintf(part, sizeof(part), ".content[%lld]", (long long)r->part);
    return dlm_fail(r->ctx, st, "cannot use '%s': messages[%zu]%s: %s", r->path, r->message, part,
                    text);
}

/* What stands behind a prefix, in any case of letters; NULL: text has not that prefix. */
static const char *behind(const char *text, const char *prefix)
{
    const size_t len = strlen(prefix);

    return strncasecmp(text, prefix, len) ? NULL : text + len;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Decodes %XX in place. False: not two digits behind a %, or a NUL. */
static bool decode_percent(char *text)
{
    char *out = text;

    while (*text) {
        if (*text != '%') {
            *out++ = *text++;
            continue;
        }
        const int high = hex_digit(text[1]), low = high < 0 ? -1 : hex_digit(text[2]);
        if (low < 0 || !(high | low))
            return false;
        *out++ = (char)(high << 4 | low);
        text += 3;
    }
    *out = '\0';
    return true;
}

/* data:[TYPE];base64,DATA */
static enum dlm_status read_data(struct dlm_chat_reader *r, const char *url, size_t len,
                                 struct dlm_message_part *out)
{
    static const char base64[] = ";base64";
    const char *comma = memchr(url, ',', len);
    const size_t head = comma ? (size_t)(comma - url) : 0, name_bytes = strlen(r->path) + 96;

    if (head < sizeof(base64) - 1 || !behind(comma - (sizeof(base64) - 1), base64))
        return dlm_chat_fail(r, DLM_ERR_UNSUPPORTED, "a data: URL of an image needs base64");
    const size_t text_len = len - head - 1;
    uint8_t *data = dlm_arena_alloc(r->ctx, &r->chat->arena, dlm_base64_room(text_len));
    char *name = dlm_arena_alloc(r->ctx, &r->chat->arena, name_bytes);
    if (!data || !name)
        return DLM_ERR_MEMORY;
    if (!dlm_base64_decode(comma + 1, text_len, data, &out->bytes))
        return dlm_chat_fail(r, DLM_ERR_PARSE, "the data: URL is not base64");
    snprintf(name, name_bytes, "%s: messages[%zu].content[%lld]", r->path, r->message,
             (long long)r->part);
    out->image = name;
    out->data = data;
    return DLM_OK;
}

/* A file below the chat file's folder, or with an absolute path. */
static enum dlm_status find_file(struct dlm_chat_reader *r, const char *path,
                                 struct dlm_message_part *out)
{
    char *joined = NULL;

    if (path[0] != '/') {
        joined = dlm_path_join(r->ctx, r->dir, path);
        if (!joined)
            return DLM_ERR_MEMORY;
        path = joined;
    }
    enum dlm_status st = DLM_OK;
    if (!dlm_path_is_file(path))
        st = dlm_chat_fail(r, DLM_ERR_IO, "image not found: '%s'", path);
    if (!st) {
        out->image = dlm_arena_strndup(r->ctx, &r->chat->arena, path, strlen(path));
        st = out->image ? DLM_OK : DLM_ERR_MEMORY;
    }
    dlm_free(joined);
    return st;
}

/* file:///PATH, file://localhost/PATH or file:/PATH, less its scheme. */
static enum dlm_status find_file_url(struct dlm_chat_reader *r, const char *rest,
                                     struct dlm_message_part *out)
{
    const char *host = behind(rest, "//");
    const char *local = host ? behind(host, "localhost") : NULL;
    const char *path = local ? local : host ? host : rest;

    if (path[0] != '/')
        return dlm_chat_fail(r, DLM_ERR_UNSUPPORTED,
                             "a file: URL has an absolute path on this machine");
    char *decoded = dlm_arena_strndup(r->ctx, &r->chat->arena, path, strlen(path));
    if (!decoded)
        return DLM_ERR_MEMORY;
    if (!decode_percent(decoded))
        return dlm_chat_fail(r, DLM_ERR_PARSE, "a %% in the file: URL without two hex digits");
    return find_file(r, decoded, out);
}

enum dlm_status dlm_chat_find_image(struct dlm_chat_reader *r, const char *location, size_t len,
                                    struct dlm_message_part *out)
{
    const char *data = behind(location, "data:"), *file = behind(location, "file:");
    const size_t scheme = strspn(location, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                           "0123456789+-.");

    if (data)
        return read_data(r, data, len - (size_t)(data - location), out);
    if (file)
        return find_file_url(r, file, out);
    if (!strncmp(location + scheme, "://", 3))
        return dlm_chat_fail(r, DLM_ERR_UNSUPPORTED, "nothing is fetched over %.*s: save the "
                             "image and give its path", (int)DLM_MIN(scheme, 16), location);
    if (!location[0])
        return dlm_chat_fail(r, DLM_ERR_PARSE, "the image's path is empty");
    return find_file(r, location, out);
}
