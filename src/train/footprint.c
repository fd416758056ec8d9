/* The largest pass, the update and the frozen tower, planned for their sums alone. */
#include "train/footprint.h"

#include "train/buckets.h"
#include "train/update.h"

#define TOKEN_BUCKET 16
#define LABEL_BUCKET 8

int64_t dlm_footprint_tokens(int64_t tokens)
{
    return dlm_bucket_round(tokens, TOKEN_BUCKET);
}

int64_t dlm_footprint_labels(int64_t labels)
{
    return dlm_bucket_round(DLM_MAX(labels, (int64_t)1), LABEL_BUCKET);
}

struct dlm_pass_params dlm_footprint_pass(const struct dlm_footprint_row *row,
                                          const struct dlm_lora *lora,
                                          const struct dlm_footprint_params *params)
{
    return (struct dlm_pass_params){
        .batch = params->batch,
        .tokens = dlm_footprint_tokens(row->tokens),
        .labels = dlm_footprint_labels(DLM_MAX(row->labels, (int64_t)1) * params->batch),
        .room = {row->room.slices * params->batch, row->room.patches},
        .loss_rows = params->loss_rows,
        .backward = true,
        .checkpoint = params->checkpoint,
        .with_tower = params->with_tower,
        .dropout = lora->params.dropout > 0,
    };
}

enum dlm_status dlm_footprint_add(const struct dlm_model *model, const struct dlm_lora *lora,
                                  const struct dlm_footprint_row *row,
                                  const struct dlm_footprint_params *params,
                                  struct dlm_budget *budget)
{
    struct dlm_pass_params shape = dlm_footprint_pass(row, lora, params);
    struct dlm_pass *pass = NULL;
    struct dlm_update update = {0};
    struct dlm_vision vision = {0};

    shape.logprobs = shape.labels * params->grad_accum;
    enum dlm_status st = dlm_pass_create(model->ctx, &pass, model, lora, &shape);
    if (!st)
        st = dlm_update_init(&update, model->ctx, model->device, lora, 1.0f);
    if (!st && row->slice && !params->with_tower)
        st = dlm_vision_init(&vision, model, lora, row->slice);
    if (!st) {
        struct dlm_plan *plans[] = {pass->plan, update.plan};
        dlm_budget_add_workspace(budget, plans, DLM_ARRAY_LEN(plans));
        dlm_budget_add_vision(budget, &vision, plans, DLM_ARRAY_LEN(plans));
        dlm_budget_add_slots(budget, &pass->slots);
        dlm_budget_add_slots(budget, &update.slots);
    }
    dlm_vision_finish(&vision);
    dlm_update_finish(&update);
    dlm_pass_destroy(&pass);
    return st;
}
