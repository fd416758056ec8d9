/* Reading of tests/golden/tokens/<name>.jsonl.zst, whose format tools/dev/make_tokens_goldens.py
 * describes. */
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

#endif
