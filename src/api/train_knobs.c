/* What would help a run that does not fit. */
#include "api/knobs.h"
#include "api/train_impl.h"
#include "train/batch.h"
#include "train/footprint.h"

/* The largest row, with images as the session's model has them. */
static enum dlm_status find_row(const struct dlm_train_call *t, struct dlm_footprint_row *row)
{
    struct dlm_train_data data = {0};

    enum dlm_status st = dlm_train_data_init(&data, t->ctx, &t->rows, t->store, t->s->model,
                                             t->s->tok, t->doc->training.sequence_len);
    if (!st)
        dlm_batcher_largest_row(&data, row);
    dlm_train_data_finish(&data);
    return st;
}

static uint64_t measure(void *user, const struct dlm_setting *with)
{
    const struct dlm_train_call *t = user;
    const struct dlm_trainer_params *p = dlm_trainer_get_params(t->trainer);
    const struct dlm_footprint_params params = {
        .batch = with->batch, .grad_accum = with->grad_accum, .loss_rows = p->loss_rows,
        .checkpoint = with->checkpoint, .with_tower = p->with_tower};
    const bool same_images = t->data.model->processor.pinned == t->s->model->processor.pinned;
    /* features of other images are in no cache */
    const bool sees = t->has_vision || t->with_tower || !same_images;
    struct dlm_footprint_row row;
    struct dlm_budget b = {0};
    enum dlm_status st = DLM_OK;

    if (same_images)
        dlm_batcher_largest_row(&t->data, &row);
    else
        st = find_row(t, &row);
    if (!sees)
        row.slice = 0;
    dlm_session_add_to_budget(t->s, t->lora, sees, DLM_LORA_MOMENTS, &b);
    if (!st)
        st = dlm_footprint_add(t->s->model, t->lora, &row, &params, &b);
    return st ? 0 : dlm_budget_total(&b);
}

void dlm_train_say_knobs(struct dlm_train_call *t)
{
    const struct dlm_trainer_params *p = dlm_trainer_get_params(t->trainer);
    const struct dlm_knobs knobs = {
        .s = t->s, .in_document = true, .has_images = t->data.num_images > 0,
        .now = {.batch = p->micro_batch, .grad_accum = p->grad_accum, .checkpoint = p->checkpoint},
        .measure = measure, .user = t};

    dlm_knobs_say(&knobs);
}
