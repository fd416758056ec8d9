/* The tokenizer of a GGUF base, used on a text. */
#ifndef DLM_TESTS_FUZZ_USE_TOKENIZER_H
#define DLM_TESTS_FUZZ_USE_TOKENIZER_H

#include "models/gguf_model.h"

/* Loads it, encodes the text with it and decodes that; any of these may fail. */
static inline enum dlm_status use_tokenizer(struct dlm_ctx *ctx,
                                            const struct dlm_gguf_paths *paths)
{
    static const char text[] = "blue an? <image> \xc3\xa9\n<|im_end|> [INST] 12345";
    struct dlm_tokenizer *tok = NULL;
    struct dlm_ids ids = {0};
    struct dlm_str back = {0};

    enum dlm_status st = dlm_gguf_load_tokenizer(ctx, &tok, paths);
    if (!st)
        st = dlm_tokenizer_encode(ctx, tok, text, sizeof(text) - 1, DLM_ENCODE_ADD_SPECIAL, &ids);
    if (!st)
        st = dlm_tokenizer_decode(ctx, tok, ids.ids, ids.len, false, &back);
    dlm_str_finish(&back);
    dlm_ids_finish(&ids);
    dlm_tokenizer_destroy(&tok);
    return st;
}

#endif
