/* A tokenizer.json from anywhere, a NUL, and a text: read, then used on the text both ways. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tokens/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(struct dlm_ctx *ctx, struct dlm_tokenizer *tok, const char *text, size_t len)
{
    struct dlm_ids ids = {0};
    struct dlm_str out = {0};
    enum dlm_status st = dlm_tokenizer_add(ctx, tok, "<image>", true, NULL);
    if (!st)
        st = dlm_tokenizer_add(ctx, tok, "ab", false, NULL);
    for (unsigned flags = 0; !st && flags < 4; flags++)
        st = dlm_tokenizer_encode(ctx, tok, text, len, flags, &ids);
    for (int32_t id = -1; !st && id < DLM_MIN(dlm_tokenizer_vocab_len(tok) + 1, 1000); id++)
        st = dlm_ids_append(ctx, &ids, id);
    for (int skip = 0; !st && skip < 2; skip++) {
        out.len = 0;
        st = dlm_tokenizer_decode(ctx, tok, ids.ids, ids.len, skip, &out);
        if (!st && !dlm_utf8_is_valid(dlm_str_text(&out), out.len, NULL))
            __builtin_trap();
    }
    dlm_str_finish(&out);
    dlm_ids_finish(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *json = (const char *)data;
    const char *nul = size ? memchr(json, 0, size) : NULL;
    size_t json_len = nul ? (size_t)(nul - json) : size;
    struct dlm_ctx *ctx = dlm_ctx_create(NULL);
    struct dlm_tokenizer *tok = NULL;

    if (ctx && !dlm_tokenizer_parse(ctx, &tok, "fuzz", json, json_len)) {
        use(ctx, tok, "<image>ab 1 e\xCC\x81\xCC\xA7\n", 16);
        if (nul)
            use(ctx, tok, nul + 1, size - json_len - 1);
    }
    dlm_tokenizer_destroy(&tok);
    dlm_ctx_destroy(&ctx);
    return 0;
}
