/* Qwen2-VL's input ids: those of its processor's apply_chat_template() (transformers 5.23), but
 * that a user's text cannot hold special tokens. */
#include "models/qwen2_vl_input.h"

#include "base/log.h"
#include "models/input_writer.h"

#define TURN_BEGIN "<|im_start|>"
#define TURN_END "<|im_end|>"
#define IMAGE_BEGIN "<|vision_start|>"
#define IMAGE_TOKEN "<|image_pad|>"
#define IMAGE_END "<|vision_end|>"
#define TEXT_END "<|endoftext|>"
#define SYSTEM "You are a helpful assistant."

struct writer {
    struct dlm_input_writer out;
    const struct dlm_image_plan *plans; /* of the next image */
};

/* is_label: of the text before; an image itself is never learned. */
static enum dlm_status add_image(struct writer *w, bool is_label)
{
    const int64_t tokens = w->plans++->tokens;
    struct dlm_input_writer *out = &w->out;

    enum dlm_status st = dlm_input_writer_flush(out, is_label);
    if (!st)
        st = dlm_input_writer_add_token(out, IMAGE_BEGIN, false);
    if (!st)
        st = dlm_input_add_token(out->ctx, out->in, out->tok, IMAGE_TOKEN, tokens, false);
    return st ? st : dlm_input_writer_add_token(out, IMAGE_END, false);
}

static enum dlm_status add_part(struct writer *w, const struct dlm_part *part, bool is_label)
{
    return part->kind == DLM_PART_IMAGE ? add_image(w, is_label)
                                        : dlm_input_writer_add_words(&w->out, part);
}

static enum dlm_status begin_turn(struct writer *w, const char *role)
{
    enum dlm_status st = dlm_input_writer_add_token(&w->out, TURN_BEGIN, false);
    if (!st)
        st = dlm_str_appendf(w->out.ctx, &w->out.text, "%s\n", role);
    w->out.num_given = w->out.text.len;
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
        st = dlm_input_writer_add_token(&w->out, TURN_END, is_label);
    return st || (is_last && is_label) ? st : dlm_str_appendz(w->out.ctx, &w->out.text, "\n");
}

static enum dlm_status add_prose(struct writer *w, const struct dlm_turn *turn)
{
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < turn->num_parts; i++)
        st = add_part(w, &turn->parts[i], true);
    if (!st)
        st = dlm_input_writer_add_token(&w->out, TEXT_END, true);
    if (!st)
        w->out.in->is_label[0] = 0; /* nothing stands before it that could tell */
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
                 ? dlm_fail(w->out.ctx, DLM_ERR_UNSUPPORTED, "prose is no part of a conversation")
                 : add_turn(w, &c->turns[i], i + 1 == c->num_turns);
    if (!st && c->turns[c->num_turns - 1].role != DLM_TURN_ASSISTANT)
        st = begin_turn(w, "assistant");
    return st ? st : dlm_input_writer_flush(&w->out, false);
}

enum dlm_status dlm_qwen2_vl_encode(struct dlm_ctx *ctx, const struct dlm_model *m,
                                    const struct dlm_tokenizer *tok,
                                    const struct dlm_conversation *conversation,
                                    const struct dlm_image_plan *plans, struct dlm_input *in)
{
    struct writer w = {.out = {.ctx = ctx, .tok = tok, .in = in}, .plans = plans};
    const struct dlm_turn *turns = conversation->turns;
    const bool is_prose = conversation->num_turns == 1 && turns->role == DLM_TURN_PROSE;

    (void)m;
    dlm_input_clear(in);
    enum dlm_status st = is_prose ? add_prose(&w, turns) : add_turns(&w, conversation);
    dlm_str_finish(&w.out.text);
    return st;
}
