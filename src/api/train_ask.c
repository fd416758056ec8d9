/* What a run has changed, to be seen: a few of the document's own questions, asked of the base
 * alone and with the new adapter. */
#include <string.h>

#include "api/train_impl.h"
#include "base/cancel.h"
#include "base/str.h"
#include "dlm/prompt.h"

#define DEFAULT_QUESTIONS 3
#define MAX_TOKENS 32

/* The last: what is asked, behind what it is about. */
static const struct dlm_part *text_of(const struct dlm_turn *turn)
{
    for (size_t i = turn->num_parts; i-- > 0;)
        if (turn->parts[i].kind == DLM_PART_TEXT)
            return &turn->parts[i];
    return NULL;
}

/* The question and the answer of a row that ends with one of each. */
static bool read_row(const struct dlm_row *row, const struct dlm_part **question,
                     const struct dlm_part **answer)
{
    const struct dlm_conversation *c = &row->conversation;
    const struct dlm_turn *last = &c->turns[c->num_turns - 1];

    *question = *answer = NULL;
    if (c->num_turns > 1 && last[-1].role == DLM_TURN_USER && last->role == DLM_TURN_ASSISTANT) {
        *question = text_of(&last[-1]);
        *answer = text_of(last);
    }
    return *question && *answer;
}

static bool is_text(const char *text, const struct dlm_part *part)
{
    return strlen(text) == part->len && !memcmp(text, part->text, part->len);
}

/* Two rows with one question and one answer show the same. */
static bool is_asked(const struct dlm_train_result *r, const struct dlm_part *question,
                     const struct dlm_part *answer)
{
    for (size_t i = 0; i < r->num_answers; i++)
        if (is_text(r->answers[i].question, question) && is_text(r->answers[i].expected, answer))
            return true;
    return false;
}

struct listener {
    struct dlm_ctx *ctx;
    struct dlm_str text;
    enum dlm_status st;
};

static void listen(void *user, const char *utf8, size_t len)
{
    struct listener *l = user;

    if (!l->st)
        l->st = dlm_str_append(l->ctx, &l->text, utf8, len);
}

/* The answer that the base gives with lora (NULL: alone); *answer is owned. */
static enum dlm_status ask(struct dlm_train_call *t, struct dlm_lora *lora,
                           const struct dlm_asked *asked, char **answer)
{
    struct listener l = {.ctx = t->ctx};
    const struct dlm_prompt_request how = {
        .has_temperature = true, .max_tokens = MAX_TOKENS, .text = listen, .user = &l};
    struct dlm_lora *used = t->s->lora;

    t->s->lora = lora;
    enum dlm_status st = dlm_session_answer(t->s, asked, &how);
    t->s->lora = used;
    if (!st)
        st = l.st;
    if (!st) {
        *answer = dlm_strdup(t->ctx, dlm_str_text(&l.text));
        st = *answer ? DLM_OK : DLM_ERR_MEMORY;
    }
    dlm_str_finish(&l.text);
    return st;
}

/* A turn as a message; *images is moved on. Texts are NUL-terminated in rows. */
static enum dlm_status make_message(struct dlm_ctx *ctx, struct dlm_arena *arena,
                                    const struct dlm_turn *turn,
                                    const struct dlm_row_image **images, struct dlm_message *out)
{
    struct dlm_message_part *parts = dlm_arena_alloc(ctx, arena, turn->num_parts * sizeof(*parts));

    if (!parts)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; i < turn->num_parts; i++) {
        if (turn->parts[i].kind == DLM_PART_IMAGE)
            parts[i].image = (*images)++->file;
        else
            parts[i].text = turn->parts[i].text;
    }
    *out = (struct dlm_message){.role = turn->role == DLM_TURN_SYSTEM ? DLM_ROLE_SYSTEM
                                                                      : DLM_ROLE_USER,
                                .parts = parts, .num_parts = turn->num_parts};
    return DLM_OK;
}

static enum dlm_status ask_about(struct dlm_train_call *t, const struct dlm_row *row,
                                 const struct dlm_part *question, const struct dlm_part *expected)
{
    struct dlm_train_answer *a = &t->result->answers[t->result->num_answers++];
    const size_t num = row->conversation.num_turns - 1;
    const struct dlm_row_image *images = row->images;
    struct dlm_arena arena = {0};
    struct dlm_message *messages = dlm_arena_alloc(t->ctx, &arena, num * sizeof(*messages));
    const struct dlm_asked asked = {.messages = messages, .num_messages = num};

    a->is_held_out = row->is_val;
    a->question = dlm_strndup(t->ctx, question->text, question->len);
    a->expected = dlm_strndup(t->ctx, expected->text, expected->len);
    enum dlm_status st = messages && a->question && a->expected ? DLM_OK : DLM_ERR_MEMORY;
    for (size_t i = 0; !st && i < num; i++)
        st = make_message(t->ctx, &arena, &row->conversation.turns[i], &images, &messages[i]);
    if (!st)
        st = ask(t, NULL, &asked, &a->before);
    if (!st)
        st = ask(t, t->lora, &asked, &a->after);
    dlm_arena_finish(&arena);
    return st;
}

/* Rows that were held out come first: the others may have been learned by heart. */
static const struct dlm_train_example *example_at(const struct dlm_train_data *d, size_t i)
{
    return i < d->num_val ? &d->val[i] : &d->train[i - d->num_val];
}

enum dlm_status dlm_train_ask(struct dlm_train_call *t)
{
    struct dlm_train_result *r = t->result;
    const int64_t asked = t->params->num_questions;
    const size_t most = (size_t)(asked < 0 ? 0 : asked ? asked : DEFAULT_QUESTIONS);
    const size_t num_rows = t->data.num_val + t->data.num_train;
    const struct dlm_part *question, *answer;
    enum dlm_status st = DLM_OK;

    if (!most)
        return DLM_OK;
    /* what the trainer took is enough for a prompt */
    dlm_trainer_destroy(&t->trainer);
    dlm_vision_finish(&t->vision);
    r->answers = dlm_alloc_array(t->ctx, most, sizeof(*r->answers));
    if (!r->answers)
        return DLM_ERR_MEMORY;
    t->s->is_asking_itself = true;
    for (size_t i = 0; !st && r->num_answers < most && i < num_rows; i++) {
        const struct dlm_train_example *e = example_at(&t->data, i);
        if (dlm_ctx_wants_cancel(t->ctx))
            break;
        if (read_row(e->row, &question, &answer) && !is_asked(r, question, answer))
            st = ask_about(t, e->row, question, answer);
    }
    t->s->is_asking_itself = false;
    return st;
}
