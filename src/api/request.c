/* Requests. */
#include "api/request.h"

#include <string.h>

#include "base/log.h"

static struct dlm_part text_part(const char *text)
{
    return (struct dlm_part){.kind = DLM_PART_TEXT, .text = text, .len = strlen(text)};
}

bool dlm_request_can_say_system(const struct dlm_model *model)
{
    if (!model->family->has_system_turn)
        dlm_log(model->ctx, DLM_LOG_WARNING, "%s has no system prompt: 'system_prompt' is not used",
                model->family->model_type);
    return model->family->has_system_turn;
}

/* --- turns --- */

/* A request that is being made, with room for all that is asked. */
struct builder {
    struct dlm_request *r;
    struct dlm_turn *turns;
    struct dlm_part *parts;
    size_t num_turns, num_parts;
};

static enum dlm_status begin(struct builder *b, const struct dlm_asked *asked)
{
    struct dlm_ctx *ctx = b->r->model->ctx;
    size_t num_parts = asked->num_images + 3; /* words, system prompt, target */

    for (size_t i = 0; i < asked->num_messages; i++)
        num_parts += asked->messages[i].num_parts;
    b->turns = dlm_arena_alloc(ctx, &b->r->arena, (asked->num_messages + 3) * sizeof(*b->turns));
    b->parts = dlm_arena_alloc(ctx, &b->r->arena, num_parts * sizeof(*b->parts));
    b->r->images = dlm_arena_alloc(ctx, &b->r->arena, num_parts * sizeof(*b->r->images));
    return b->turns && b->parts && b->r->images ? DLM_OK : DLM_ERR_MEMORY;
}

/* Ends a turn of the last num parts. */
static void add_turn(struct builder *b, enum dlm_turn_role role, size_t num)
{
    b->turns[b->num_turns++] = (struct dlm_turn){role, b->parts + b->num_parts - num, num};
}

static void add_text_turn(struct builder *b, enum dlm_turn_role role, const char *text)
{
    b->parts[b->num_parts++] = text_part(text);
    add_turn(b, role, 1);
}

static void add_image(struct builder *b, const struct dlm_message_part *image)
{
    b->parts[b->num_parts++].kind = DLM_PART_IMAGE;
    b->r->images[b->r->num_images++] = image;
}

static enum dlm_status check_message(struct dlm_ctx *ctx, const struct dlm_message *m, size_t at)
{
    enum dlm_status st = DLM_OK;

    if (m->role == DLM_ROLE_SYSTEM && at)
        st = dlm_fail(ctx, DLM_ERR_USAGE, "messages[%zu]: the system's is not the first", at);
    else if (m->role > DLM_ROLE_ASSISTANT)
        st = dlm_fail(ctx, DLM_ERR_USAGE, "messages[%zu]: %d is no role", at, (int)m->role);
    else if (!m->num_parts)
        st = dlm_fail(ctx, DLM_ERR_USAGE, "messages[%zu]: no part", at);
    for (size_t i = 0; !st && i < m->num_parts; i++)
        if (!m->parts[i].text == !m->parts[i].image)
            st = dlm_fail(ctx, DLM_ERR_USAGE, "messages[%zu].parts[%zu]: neither a text nor an "
                          "image, or both", at, i);
    return st;
}

static enum dlm_status add_message(struct builder *b, const struct dlm_message *m, size_t at)
{
    static const enum dlm_turn_role roles[] = {[DLM_ROLE_SYSTEM] = DLM_TURN_SYSTEM,
                                               [DLM_ROLE_USER] = DLM_TURN_USER,
                                               [DLM_ROLE_ASSISTANT] = DLM_TURN_ASSISTANT};

    enum dlm_status st = check_message(b->r->model->ctx, m, at);
    if (st)
        return st;
    for (size_t i = 0; i < m->num_parts; i++) {
        if (m->parts[i].text)
            b->parts[b->num_parts++] = text_part(m->parts[i].text);
        else
            add_image(b, &m->parts[i]);
    }
    add_turn(b, roles[m->role], m->num_parts);
    return DLM_OK;
}

/* The user's images and words, of a caller without messages. */
static enum dlm_status add_words(struct builder *b, const struct dlm_asked *asked)
{
    struct dlm_message_part *images =
        dlm_arena_alloc(b->r->model->ctx, &b->r->arena, (asked->num_images + 1) * sizeof(*images));

    if (!images)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; i < asked->num_images; i++) {
        images[i].image = asked->images[i];
        add_image(b, &images[i]);
    }
    b->r->words = &b->parts[b->num_parts];
    b->parts[b->num_parts++] = text_part(asked->words ? asked->words : "");
    add_turn(b, DLM_TURN_USER, asked->num_images + 1);
    return DLM_OK;
}

static bool says_system(const struct dlm_asked *asked)
{
    return asked->num_messages && asked->messages[0].role == DLM_ROLE_SYSTEM;
}

static enum dlm_status converse(struct builder *b, const struct dlm_asked *asked)
{
    const struct dlm_family *family = b->r->model->family;
    struct dlm_ctx *ctx = b->r->model->ctx;
    enum dlm_status st = begin(b, asked);

    if (!st && asked->messages && !asked->num_messages)
        st = dlm_fail(ctx, DLM_ERR_USAGE, "a conversation without a message");
    if (!st && (asked->system || says_system(asked)) && !family->has_system_turn)
        st = dlm_fail(ctx, DLM_ERR_USAGE, "%s has no system prompt", family->model_type);
    if (!st && asked->system)
        add_text_turn(b, DLM_TURN_SYSTEM, asked->system);
    if (!st && !asked->messages)
        st = add_words(b, asked);
    for (size_t i = asked->system && says_system(asked); !st && i < asked->num_messages; i++)
        st = add_message(b, &asked->messages[i], i);
    b->r->conversation = (struct dlm_conversation){b->turns, b->num_turns};
    if (st || !asked->target)
        return st;
    if (dlm_request_end(b->r) != DLM_TURN_USER)
        return dlm_fail(ctx, DLM_ERR_USAGE, "a target goes with messages that a user ends");
    add_text_turn(b, DLM_TURN_ASSISTANT, asked->target);
    b->r->conversation.num_turns = b->num_turns;
    return DLM_OK;
}

/* --- images --- */

static enum dlm_status plan_images(struct dlm_request *r)
{
    enum dlm_status st = DLM_OK;

    r->plans =
        dlm_arena_alloc(r->model->ctx, &r->arena, (r->num_images + 1) * sizeof(*r->plans));
    if (!r->plans)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; !st && i < r->num_images; i++) {
        const struct dlm_message_part *image = r->images[i];
        const struct dlm_image_source source = {
            .data = image->data, .bytes = image->bytes, .name = image->image};
        st = image->data ? dlm_image_plan_source(r->model, &source, &r->plans[i])
                         : dlm_image_plan_file(r->model, image->image,
                                               (struct dlm_image_name){image->image, 0},
                                               &r->plans[i]);
        if (!st)
            r->patches = DLM_MAX(r->patches, dlm_image_plan_slice(&r->plans[i]));
    }
    if (!st)
        dlm_image_room_add(r->model, &r->room, r->plans, (int64_t)r->num_images);
    return st;
}

/* --- requests --- */

enum dlm_status dlm_request_init(struct dlm_request *r, const struct dlm_model *model,
                                 const struct dlm_asked *asked)
{
    struct builder b = {.r = r};

    *r = (struct dlm_request){.model = model};
    enum dlm_status st = converse(&b, asked);
    return st ? st : plan_images(r);
}

enum dlm_status dlm_request_init_row(struct dlm_request *r, const struct dlm_model *model,
                                     const struct dlm_row *row)
{
    struct dlm_ctx *ctx = model->ctx;
    const size_t num = row->num_images;

    *r = (struct dlm_request){.model = model, .conversation = row->conversation};
    struct dlm_message_part *parts = dlm_arena_alloc(ctx, &r->arena, (num + 1) * sizeof(*parts));
    r->images = dlm_arena_alloc(ctx, &r->arena, (num + 1) * sizeof(*r->images));
    if (!parts || !r->images)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; i < num; i++) {
        parts[i].image = row->images[i].file;
        r->images[i] = &parts[i];
    }
    r->num_images = num;
    return plan_images(r);
}

void dlm_request_finish(struct dlm_request *r)
{
    dlm_arena_finish(&r->arena);
    *r = (struct dlm_request){0};
}

enum dlm_turn_role dlm_request_end(const struct dlm_request *r)
{
    return r->conversation.turns[r->conversation.num_turns - 1].role;
}

enum dlm_status dlm_request_encode(struct dlm_ctx *ctx, const struct dlm_request *r,
                                   const struct dlm_tokenizer *tok, struct dlm_input *in)
{
    return r->model->family->encode(ctx, r->model, tok, &r->conversation, r->plans, in);
}

enum dlm_status dlm_request_encode_words(struct dlm_ctx *ctx, struct dlm_request *r,
                                         const struct dlm_tokenizer *tok, const char *words,
                                         size_t len, struct dlm_input *in)
{
    *r->words = (struct dlm_part){.kind = DLM_PART_TEXT, .text = words, .len = len};
    return dlm_request_encode(ctx, r, tok, in);
}
