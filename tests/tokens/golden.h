/* Reading of tests/golden/tokens/<name>.jsonl.zst, whose format tools/dev/make_tokens_goldens.py
 * describes, and files changed in one place. */
#ifndef DLM_TESTS_TOKENS_GOLDEN_H
#define DLM_TESTS_TOKENS_GOLDEN_H

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/file.h"
#include "check.h"
#include "tokens/tokenizer.h"

/* Decompresses the whole file; data is freed by the caller. NULL if there is no such file. */
static inline char *golden_read(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    ZSTD_DStream *zs = ZSTD_createDStream();
    char in[65536], *out = NULL;
    size_t got = 0, cap = 0, rc = 1;
    *len = 0;
    while (zs && (got = fread(in, 1, sizeof(in), f)) > 0) {
        ZSTD_inBuffer src = {in, got, 0};
        while (src.pos < src.size || rc == 0) {
            if (cap - *len < 65536)
                out = realloc(out, cap = cap ? cap * 2 : 1 << 20);
            ZSTD_outBuffer dst = {out + *len, cap - *len - 1, 0};
            rc = ZSTD_decompressStream(zs, &dst, &src);
            *len += dst.pos;
            if (ZSTD_isError(rc) || (rc == 0 && src.pos == src.size))
                break;
        }
    }
    ZSTD_freeDStream(zs);
    fclose(f);
    if (ZSTD_isError(rc) || rc) {
        free(out);
        return NULL;
    }
    out[*len] = '\0';
    return out;
}

/* The next line as JSON, owned; NULL at the end. */
static inline json_t *golden_line(const char **at, const char *end)
{
    const char *newline = *at < end ? memchr(*at, '\n', (size_t)(end - *at)) : NULL;
    if (!newline)
        return NULL;
    json_t *line = json_loadb(*at, (size_t)(newline - *at), JSON_ALLOW_NUL, NULL);
    *at = newline + 1;
    return line;
}

static inline enum dlm_status load_json(struct dlm_ctx *ctx, struct dlm_tokenizer **tok,
                                        const json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);
    enum dlm_status st = text ? dlm_tokenizer_parse(ctx, tok, "x.json", text, strlen(text))
                              : DLM_ERR_MEMORY;
    free(text);
    return st;
}

/* Sets the member at a path of keys and indices, "added_tokens.0.id"; value NULL removes it. */
static inline void set_path(json_t *root, const char *path, const char *value)
{
    char key[64];
    json_t *at = root;
    for (;;) {
        size_t n = strcspn(path, ".");
        snprintf(key, sizeof(key), "%.*s", (int)n, path);
        path += n;
        if (!*path)
            break;
        path++;
        at = json_is_array(at) ? json_array_get(at, strtoul(key, NULL, 10))
                               : json_object_get(at, key);
    }
    json_t *json = value ? json_loads(value, JSON_DECODE_ANY, NULL) : NULL;
    if (value && !CHECK(json))
        printf("     bad value of the test: %s\n", value);
    if (json_is_array(at))
        json_array_set_new(at, strtoul(key, NULL, 10), json);
    else if (json)
        json_object_set_new(at, key, json);
    else
        json_object_del(at, key);
}

#endif
