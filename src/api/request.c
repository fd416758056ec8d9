/* Requests. */
#include "api/request.h"

#include <string.h>

#include "base/mem.h"

enum dlm_status dlm_request_init(struct dlm_request *r, const struct dlm_model *model,
                                 const char *const *paths, size_t num_images)
{
    struct dlm_ctx *ctx = model->ctx;
    enum dlm_status st = DLM_OK;

    *r = (struct dlm_request){.model = model, .num_images = num_images};
    r->plans = dlm_alloc_array(ctx, num_images + 1, sizeof(*r->plans));
    r->parts = dlm_alloc_array(ctx, num_images + 1, sizeof(*r->parts));
    if (!r->plans || !r->parts)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; !st && i < num_images; i++) {
        r->parts[i].kind = DLM_PART_IMAGE;
        st = dlm_image_plan_file(model, paths[i], paths[i], &r->plans[i]);
        if (!st)
            r->patches = DLM_MAX(r->patches, dlm_image_plan_slice(&r->plans[i]));
    }
    if (!st)
        dlm_image_room_add(model, &r->room, r->plans, (int64_t)num_images);
    return st;
}

void dlm_request_finish(struct dlm_request *r)
{
    dlm_free(r->plans);
    dlm_free(r->parts);
    *r = (struct dlm_request){0};
}

enum dlm_status dlm_request_encode(struct dlm_ctx *ctx, const struct dlm_request *r,
                                   const struct dlm_tokenizer *tok, const struct dlm_part *words,
                                   const struct dlm_part *answer, struct dlm_input *in)
{
    const struct dlm_turn turns[] = {
        {.role = DLM_TURN_USER, .parts = r->parts, .num_parts = r->num_images + 1},
        {.role = DLM_TURN_ASSISTANT, .parts = answer, .num_parts = 1}};
    const struct dlm_conversation conversation = {.turns = turns, .num_turns = answer ? 2 : 1};

    r->parts[r->num_images] = *words;
    return r->model->family->encode(ctx, r->model, tok, &conversation, r->plans, in);
}

struct dlm_part dlm_request_text(const char *text)
{
    return (struct dlm_part){.kind = DLM_PART_TEXT, .text = text, .len = strlen(text)};
}
