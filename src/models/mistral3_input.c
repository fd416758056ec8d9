/* Mistral 3's input ids: those of PixtralProcessor's apply_chat_template() (transformers 5.23) for
 * a conversation with a system turn, those of mistral_common without one; but that a user's text
 * cannot hold special tokens. */
#include "models/mistral3_input.h"

#include "base/log.h"
#include "models/input_writer.h"

#define TEXT_BEGIN "<s>"
#define TEXT_END "</s>"
#define SYSTEM_BEGIN "[SYSTEM_PROMPT]"
#define SYSTEM_END "[/SYSTEM_PROMPT]"
#define REQUEST_BEGIN "[INST]"
#define REQUEST_END "[/INST]"
#define IMAGE_TOKEN "[IMG]"
#define IMAGE_ROW_END "[IMG_BREAK]"
#define IMAGE_END "[IMG_END]"

struct writer {
    struct dlm_input_writer out;
    const struct dlm_image_plan *plans; /* of the next image */
    int64_t merge;
    bool is_label; /* of what is written */
};

static enum dlm_status add_token(struct writer *w, const char *content)
{
    return dlm_input_writer_add_token(&w->out, content, w->is_label);
}

/* An image is never learned. */
static enum dlm_status add_image(struct writer *w)
{
    const struct dlm_image_plan *plan = w->plans++;
    const int64_t high = plan->grid_h / w->merge, wide = plan->grid_w / w->merge;

    struct dlm_input_writer *out = &w->out;
    enum dlm_status st = dlm_input_writer_flush(out, w->is_label);
    for (int64_t row = 0; !st && row < high; row++) {
        st = dlm_input_add_token(out->ctx, out->in, out->tok, IMAGE_TOKEN, wide, false);
        if (!st)
            st = dlm_input_add_token(out->ctx, out->in, out->tok,
                                     row + 1 < high ? IMAGE_ROW_END : IMAGE_END, 1, false);
    }
    return st;
}

static enum dlm_status add_parts(struct writer *w, const struct dlm_turn *turn)
{
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < turn->num_parts; i++) {
        const struct dlm_part *part = &turn->parts[i];
        st = part->kind == DLM_PART_IMAGE ? add_image(w)
                                          : dlm_input_writer_add_words(&w->out, part);
    }
    return st;
}

static enum dlm_status add_turn(struct writer *w, const struct dlm_turn *turn)
{
    static const struct {
        const char *begin, *end;
        bool is_label;
    } frames[] = {
        [DLM_TURN_SYSTEM] = {SYSTEM_BEGIN, SYSTEM_END, false},
        [DLM_TURN_USER] = {REQUEST_BEGIN, REQUEST_END, false},
        [DLM_TURN_ASSISTANT] = {NULL, TEXT_END, true},
        [DLM_TURN_PROSE] = {NULL, TEXT_END, true},
    };
    enum dlm_status st = DLM_OK;

    w->is_label = frames[turn->role].is_label;
    if (frames[turn->role].begin)
        st = add_token(w, frames[turn->role].begin);
    if (!st)
        st = add_parts(w, turn);
    return st ? st : add_token(w, frames[turn->role].end);
}

enum dlm_status dlm_mistral3_encode(struct dlm_ctx *ctx, const struct dlm_model *m,
                                    const struct dlm_tokenizer *tok,
                                    const struct dlm_conversation *conversation,
                                    const struct dlm_image_plan *plans, struct dlm_input *in)
{
    struct writer w = {.out = {.ctx = ctx, .tok = tok, .in = in}, .plans = plans,
                       .merge = m->processor.merge};

    dlm_input_clear(in);
    enum dlm_status st = add_token(&w, TEXT_BEGIN);
    for (size_t i = 0; !st && i < conversation->num_turns; i++) {
        if (conversation->turns[i].role == DLM_TURN_PROSE && conversation->num_turns > 1)
            st = dlm_fail(ctx, DLM_ERR_UNSUPPORTED, "prose is no part of a conversation");
        else
            st = add_turn(&w, &conversation->turns[i]);
    }
    dlm_str_finish(&w.out.text);
    return st;
}
