/* Qwen2-VL's input ids: those of its processor's apply_chat_template() (transformers 5.23), but
 * that a user's text cannot hold special tokens. */
#include "models/qwen2_vl_input.h"

#include "base/log.h"
#include "base/str.h"

#define TURN_BEGIN "<|im_start|>"
#define TURN_END "<|im_end|>"
#define IMAGE_BEGIN "<|vision_start|>"
#define IMAGE_TOKEN "<|image_pad|>"
#define IMAGE_END "<|vision_end|>"
#define TEXT_END "<|endoftext|>"
#define SYSTEM "You are a helpful assistant."
#define CAPTION_REQUEST "Describe this image."

/* What is being written, and the text since the last special token: its pieces may merge. */
struct writer {
    struct dlm_ctx *ctx;
    const struct dlm_tokenizer *tok;
    const struct dlm_image_plan *plans; /* of the next image */
    struct dlm_input *in;
    struct dlm_str text;
    size_t num_given; /* bytes at its begin that are never learned */
};

/* Marks what the first `given` bytes of the text became, from id `first` on, as not learned. An id
 * that stands for given bytes and others too is learned: it is what has to be said there. */
static enum dlm_status mark_given(struct writer *w, size_t first, size_t given)
{
    struct dlm_input alone = {0};
    const struct dlm_ids *ids = &w->in->ids;

    enum dlm_status st = dlm_input_add_text(w->ctx, &alone, w->tok, dlm_str_text(&w->text), given,
                                            false);
    for (size_t i = 0; !st && i < alone.ids.len && first + i < ids->len; i++) {
        if (ids->ids[first + i] != alone.ids.ids[i])
            break;
        w->in->is_label[first + i] = 0;
    }
    dlm_input_finish(&alone);
    return st;
}

static enum dlm_status flush(struct writer *w, bool is_label)
{
    const size_t first = w->in->ids.len, given = w->num_given;

    enum dlm_status st = dlm_input_add_text(w->ctx, w->in, w->tok, dlm_str_text(&w->text),
                                            w->text.len, is_label);
    if (!st && is_label && given)
        st = mark_given(w, first, given);
    w->text.len = 0;
    w->num_given = 0;
    return st;
}

static enum dlm_status add_token(struct writer *w, const char *content, int64_t times,
                                 bool is_label)
{
    enum dlm_status st = flush(w, is_label);
    return st ? st : dlm_input_add_token(w->ctx, w->in, w->tok, content, times, is_label);
}

/* is_label: of the text before; an image itself is never learned. */
static enum dlm_status add_image(struct writer *w, bool is_label)
{
    enum dlm_status st = flush(w, is_label);
    if (!st)
        st = add_token(w, IMAGE_BEGIN, 1, false);
    if (!st)
        st = add_token(w, IMAGE_TOKEN, w->plans++->tokens, false);
    return st ? st : add_token(w, IMAGE_END, 1, false);
}

static enum dlm_status add_part(struct writer *w, const struct dlm_part *part, bool is_label)
{
    switch (part->kind) {
    case DLM_PART_IMAGE:
        return add_image(w, is_label);
    case DLM_PART_CAPTION_REQUEST:
        return dlm_str_appendz(w->ctx, &w->text, CAPTION_REQUEST);
    default:
        return dlm_str_append(w->ctx, &w->text, part->text, part->len);
    }
}

static enum dlm_status begin_turn(struct writer *w, const char *role)
{
    enum dlm_status st = add_token(w, TURN_BEGIN, 1, false);
    if (!st)
        st = dlm_str_appendf(w->ctx, &w->text, "%s\n", role);
    w->num_given = w->text.len;
    return st;
}

static enum dlm_status add_turn(struct writer *w, const struct dlm_turn *turn, bool is_last)
{
    static const char *const roles[] = {[DLM_TURN_SYSTEM] = "system", [DLM_TURN_USER] = "user",
                                        [DLM_TURN_ASSISTANT] = "assistant"};
    const bool is_label = turn->role == DLM_TURN_ASSISTANT;

    enum dlm_status st = begin_turn(w, roles[turn->role]);
    for (size_t i = 0; !st && i < turn->num_parts; i++)
        st = add_part(w, &turn->parts[i], is_label);
    if (!st)
        st = add_token(w, TURN_END, 1, is_label);
    return st || (is_last && is_label) ? st : dlm_str_appendz(w->ctx, &w->text, "\n");
}

static enum dlm_status add_prose(struct writer *w, const struct dlm_turn *turn)
{
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < turn->num_parts; i++)
        st = add_part(w, &turn->parts[i], true);
    if (!st)
        st = add_token(w, TEXT_END, 1, true);
    if (!st)
        w->in->is_label[0] = 0; /* nothing stands before it that could tell */
    return st;
}

static enum dlm_status add_turns(struct writer *w, const struct dlm_conversation *c)
{
    static const struct dlm_part words = {
        .kind = DLM_PART_TEXT, .text = SYSTEM, .len = sizeof(SYSTEM) - 1};
    static const struct dlm_turn system = {DLM_TURN_SYSTEM, &words, 1};
    enum dlm_status st = DLM_OK;

    if (c->turns[0].role != DLM_TURN_SYSTEM)
        st = add_turn(w, &system, false);
    for (size_t i = 0; !st && i < c->num_turns; i++)
        st = c->turns[i].role == DLM_TURN_PROSE
                 ? dlm_fail(w->ctx, DLM_ERR_UNSUPPORTED, "prose is no part of a conversation")
                 : add_turn(w, &c->turns[i], i + 1 == c->num_turns);
    if (!st && c->turns[c->num_turns - 1].role != DLM_TURN_ASSISTANT)
        st = begin_turn(w, "assistant");
    return st ? st : flush(w, false);
}

enum dlm_status dlm_qwen2_vl_encode(struct dlm_ctx *ctx, const struct dlm_model *m,
                                    const struct dlm_tokenizer *tok,
                                    const struct dlm_conversation *conversation,
                                    const struct dlm_image_plan *plans, struct dlm_input *in)
{
    struct writer w = {.ctx = ctx, .tok = tok, .plans = plans, .in = in};
    const struct dlm_turn *turns = conversation->turns;
    const bool is_prose = conversation->num_turns == 1 && turns->role == DLM_TURN_PROSE;

    (void)m;
    dlm_input_clear(in);
    enum dlm_status st = is_prose ? add_prose(&w, turns) : add_turns(&w, conversation);
    dlm_str_finish(&w.text);
    return st;
}
