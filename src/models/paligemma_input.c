/* PaliGemma's input ids. The layout is PaliGemmaProcessor's (transformers 5.23) for a text without
 * an <image> of its own; that a user's text cannot hold special tokens is ours. */
#include "models/paligemma_input.h"

#include <stdio.h>

#include "base/log.h"

#define IMAGE_TOKEN "<image>"
#define BOS_TOKEN "<bos>"
#define EOS_TOKEN "<eos>"
#define CAPTION_REQUEST "caption en"
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

/* The text parts of a turn, and the words for a caption, as one string: a newline may merge with
 * what stands before it. */
static enum dlm_status add_words(struct dlm_ctx *ctx, const struct dlm_tokenizer *tok,
                                 const struct dlm_turn *turn, const char *end, bool is_label,
                                 struct dlm_input *in)
{
    struct dlm_str words = {0};
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < turn->num_parts; i++) {
        const struct dlm_part *part = &turn->parts[i];
        if (part->kind == DLM_PART_TEXT)
            st = dlm_str_append(ctx, &words, part->text, part->len);
        else if (part->kind == DLM_PART_CAPTION_REQUEST)
            st = dlm_str_appendz(ctx, &words, CAPTION_REQUEST);
    }
    if (!st)
        st = dlm_str_appendz(ctx, &words, end);
    if (!st)
        st = dlm_input_add_text(ctx, in, tok, dlm_str_text(&words), words.len, is_label);
    dlm_str_finish(&words);
    return st;
}

/* Images come first, wherever they stand in the turn. */
static enum dlm_status add_images(struct dlm_ctx *ctx, const struct dlm_tokenizer *tok,
                                  const struct dlm_turn *turn, const struct dlm_image_plan *plans,
                                  struct dlm_input *in)
{
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < turn->num_parts; i++)
        if (turn->parts[i].kind == DLM_PART_IMAGE)
            st = dlm_input_add_token(ctx, in, tok, IMAGE_TOKEN, plans++->tokens, false);
    return st;
}

static bool is_exchange(const struct dlm_conversation *c)
{
    const struct dlm_turn *t = c->turns;

    if (c->num_turns == 1)
        return t[0].role == DLM_TURN_USER || t[0].role == DLM_TURN_PROSE;
    return c->num_turns == 2 && t[0].role == DLM_TURN_USER && t[1].role == DLM_TURN_ASSISTANT;
}

enum dlm_status dlm_paligemma_encode(struct dlm_ctx *ctx, const struct dlm_model *m,
                                     const struct dlm_tokenizer *tok,
                                     const struct dlm_conversation *conversation,
                                     const struct dlm_image_plan *plans, struct dlm_input *in)
{
    const struct dlm_turn *turns = conversation->turns;
    const struct dlm_turn *learned = turns + conversation->num_turns - 1;
    enum dlm_status st = DLM_OK;

    (void)m;
    dlm_input_clear(in);
    if (!is_exchange(conversation))
        return dlm_fail(ctx, DLM_ERR_UNSUPPORTED, "PaliGemma takes one request and one answer");
    if (turns->role == DLM_TURN_USER)
        st = add_images(ctx, tok, turns, plans, in);
    if (!st)
        st = dlm_input_add_token(ctx, in, tok, BOS_TOKEN, 1, false);
    if (!st && turns->role == DLM_TURN_USER)
        st = add_words(ctx, tok, turns, "\n", false, in);
    in->bidirectional_len = (int64_t)in->ids.len; /* far below 2^63 */
    if (st || learned->role == DLM_TURN_USER)
        return st;
    st = add_words(ctx, tok, learned, "", true, in);
    return st ? st : dlm_input_add_token(ctx, in, tok, EOS_TOKEN, 1, true);
}
