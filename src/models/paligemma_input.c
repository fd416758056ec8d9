/* PaliGemma's input ids. The layout is PaliGemmaProcessor's (transformers 5.23) for a text without
 * an <image> of its own; that a user's text cannot hold special tokens is ours. */
#include "models/paligemma_input.h"

#include <stdio.h>

#include "base/log.h"

#define IMAGE_TOKEN "<image>"
#define BOS_TOKEN "<bos>"
#define EOS_TOKEN "<eos>"
#define NUM_LOC 1024
#define NUM_SEG 128

/* Adds format(0) .. format(num - 1). */
static enum dlm_status add_numbered(struct dlm_ctx *ctx, struct dlm_tokenizer *tok,
                                    const char *prefix, int digits, int num)
{
    enum dlm_status st = DLM_OK;
    char content[32];

    for (int i = 0; !st && i < num; i++) {
        snprintf(content, sizeof(content), "<%s%0*d>", prefix, digits, i);
        st = dlm_tokenizer_add(ctx, tok, content, false, NULL);
    }
    return st;
}

enum dlm_status dlm_paligemma_add_tokens(struct dlm_ctx *ctx, struct dlm_tokenizer *tok)
{
    enum dlm_status st = dlm_tokenizer_add(ctx, tok, IMAGE_TOKEN, true, NULL);
    if (!st)
        st = add_numbered(ctx, tok, "loc", 4, NUM_LOC);
    if (!st)
        st = add_numbered(ctx, tok, "seg", 3, NUM_SEG);
    return st;
}

static enum dlm_status append_token(struct dlm_ctx *ctx, const struct dlm_tokenizer *tok,
                                    const char *content, int64_t times, struct dlm_ids *ids)
{
    const int32_t id = dlm_tokenizer_id(tok, content);
    enum dlm_status st = DLM_OK;

    if (id < 0 && times)
        return dlm_fail(ctx, DLM_ERR_UNSUPPORTED,
                        "the tokenizer has no token '%s', which PaliGemma's input needs", content);
    for (int64_t i = 0; !st && i < times; i++)
        st = dlm_ids_append(ctx, ids, id);
    return st;
}

static enum dlm_status append_prefix(struct dlm_ctx *ctx, const struct dlm_tokenizer *tok,
                                     const struct dlm_input_text *text, struct dlm_ids *ids)
{
    struct dlm_str line = {0};

    /* one string: a newline may merge with what stands before it */
    enum dlm_status st = dlm_str_append(ctx, &line, text->prefix, text->prefix_len);
    if (!st && text->prefix_newline)
        st = dlm_str_append(ctx, &line, "\n", 1);
    if (!st)
        st = dlm_tokenizer_encode(ctx, tok, dlm_str_text(&line), line.len,
                                  DLM_ENCODE_SPECIAL_AS_TEXT, ids);
    dlm_str_finish(&line);
    return st;
}

enum dlm_status dlm_paligemma_input(struct dlm_ctx *ctx, const struct dlm_tokenizer *tok,
                                    const struct dlm_input_text *text, struct dlm_ids *ids,
                                    size_t *prefix_len)
{
    const size_t len_before = ids->len;

    enum dlm_status st = append_token(ctx, tok, IMAGE_TOKEN,
                                      text->num_images * text->tokens_per_image, ids);
    if (!st)
        st = append_token(ctx, tok, BOS_TOKEN, 1, ids);
    if (!st)
        st = append_prefix(ctx, tok, text, ids);
    if (!st && prefix_len)
        *prefix_len = ids->len - len_before;
    if (!st && text->suffix) {
        st = dlm_tokenizer_encode(ctx, tok, text->suffix, text->suffix_len,
                                  DLM_ENCODE_SPECIAL_AS_TEXT, ids);
        if (!st)
            st = append_token(ctx, tok, EOS_TOKEN, 1, ids);
    }
    if (st)
        ids->len = len_before;
    return st;
}
