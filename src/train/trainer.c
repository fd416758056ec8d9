/* The training loop's steps. Programs for shapes are made at first use (batch.c). */
#include "train/trainer.h"

#include <math.h>

#include "base/log.h"
#include "train/batch.h"

struct dlm_trainer {
    struct dlm_ctx *ctx;
    struct dlm_train_data *data;
    struct dlm_lora *lora;
    struct dlm_vision *vision;
    struct dlm_trainer_params params;
    struct dlm_schedule schedule;
    int64_t steps_per_epoch;
    struct dlm_batcher batcher;
    struct dlm_update update;
    uint32_t *order; /* [num_train], of epoch `epoch` */
    int64_t epoch;   /* -1: none yet */
    const struct dlm_train_example **rows; /* [micro_batch * grad_accum] */
};

static int64_t div_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* The largest power of two up to `most` whose plan takes at most half of the device's total
 * memory. */
static enum dlm_status choose_micro_batch(struct dlm_trainer *t, int64_t most)
{
    const struct dlm_device_caps *caps = dlm_device_get_caps(t->data->model->device);
    const uint64_t budget = caps->info.memory_bytes / 2;
    const uint64_t weights = dlm_weights_bytes(t->data->model->weights, DLM_WEIGHT_GROUPS_ALL);
    int64_t best = 1;

    for (int64_t b = 2; b <= most; b *= 2) {
        size_t bytes = 0;
        enum dlm_status st = dlm_batcher_measure(&t->batcher, b, &bytes);
        if (st == DLM_ERR_UNSUPPORTED) /* a tensor larger than any buffer: too large a batch */
            break;
        if (st)
            return st;
        if (weights + bytes > budget)
            break;
        best = b;
    }
    t->params.micro_batch = best;
    return DLM_OK;
}

/* Fills in what the parameters leave open; batches, epochs and the schedule follow. */
static enum dlm_status resolve(struct dlm_trainer *t)
{
    struct dlm_trainer_params *p = &t->params;
    const int64_t num_rows = (int64_t)t->data->num_train;
    const int64_t batch = dlm_recipe_batch(num_rows);
    enum dlm_status st = p->micro_batch ? DLM_OK : choose_micro_batch(t, batch);

    if (st)
        return st;
    if (!p->grad_accum)
        p->grad_accum = DLM_MAX((int64_t)1, batch / p->micro_batch);
    /* More than there is gives one step an epoch, whatever it is. */
    p->micro_batch = DLM_MIN(p->micro_batch, DLM_MAX(num_rows, (int64_t)1));
    p->grad_accum = DLM_MIN(p->grad_accum, DLM_MAX(num_rows, (int64_t)1));
    t->steps_per_epoch = div_up(div_up(num_rows, p->micro_batch), p->grad_accum);
    if (!p->epochs)
        p->epochs = dlm_recipe_epochs(t->steps_per_epoch);
    if (p->lr == 0)
        p->lr = dlm_recipe_lr(t->data->model->decoder.config.block.hidden);
    t->schedule = dlm_schedule_make(p->schedule, p->lr,
                                    p->max_steps ? p->max_steps : t->steps_per_epoch * p->epochs,
                                    p->warmup_ratio);
    return DLM_OK;
}

/* The rows of a step, in the order of its epoch. */
static size_t take_rows(struct dlm_trainer *t, int64_t step)
{
    const int64_t group = t->params.micro_batch * t->params.grad_accum;
    const int64_t epoch = (step - 1) / t->steps_per_epoch;
    const int64_t begin = (step - 1) % t->steps_per_epoch * group;
    const int64_t end = DLM_MIN(begin + group, (int64_t)t->data->num_train);

    if (epoch != t->epoch) {
        dlm_rows_order(t->params.seed, (uint32_t)epoch, (uint32_t)t->data->num_train, t->order);
        t->epoch = epoch;
    }
    for (int64_t i = begin; i < end; i++)
        t->rows[i - begin] = &t->data->train[t->order[i]];
    return (size_t)(end - begin);
}

/* The validation rows from `at` on that run together. */
#define VAL_BATCH 8
static size_t take_val_rows(const struct dlm_trainer *t, size_t at,
                            const struct dlm_train_example *rows[VAL_BATCH])
{
    const size_t batch = DLM_MIN((size_t)t->params.micro_batch, (size_t)VAL_BATCH);
    const size_t num = DLM_MIN(t->data->num_val - at, batch);

    for (size_t i = 0; i < num; i++)
        rows[i] = &t->data->val[at + i];
    return num;
}

/* From the run's first steps, which make buckets, the others, which may need the largest one, and
 * all of its validation: the same for whoever resumes it. */
static enum dlm_status choose_buckets(struct dlm_trainer *t)
{
    const size_t batch = (size_t)t->params.micro_batch;
    const struct dlm_train_example *val[VAL_BATCH];

    for (int64_t step = 1; step <= t->schedule.steps; step++) {
        const size_t num = take_rows(t, step);
        for (size_t at = 0; at < num; at += batch)
            dlm_batcher_expect(&t->batcher, t->rows + at, DLM_MIN(num - at, batch), true,
                               step > DLM_BUCKET_STEPS);
    }
    for (size_t at = 0, num; at < t->data->num_val; at += num) {
        num = take_val_rows(t, at, val);
        dlm_batcher_expect(&t->batcher, val, num, false, false);
    }
    return dlm_batcher_expect_all(&t->batcher);
}

enum dlm_status dlm_trainer_create(struct dlm_ctx *ctx, struct dlm_trainer **out,
                                   struct dlm_train_data *data, struct dlm_lora *lora,
                                   struct dlm_vision *vision,
                                   const struct dlm_trainer_params *params)
{
    struct dlm_trainer *t = dlm_alloc(ctx, sizeof(*t));

    *out = NULL;
    if (!t)
        return DLM_ERR_MEMORY;
    t->ctx = ctx;
    t->data = data;
    t->lora = lora;
    t->vision = vision;
    t->params = *params;
    t->epoch = -1;
    if (!t->params.loss_rows)
        t->params.loss_rows = dlm_pass_loss_rows(data->model);
    dlm_batcher_init(&t->batcher, data, lora, vision,
                     &(struct dlm_pass_params){.checkpoint = params->checkpoint,
                                               .with_tower = params->with_tower,
                                               .loss_rows = t->params.loss_rows});
    enum dlm_status st = resolve(t);
    if (!st) {
        t->order = dlm_alloc_array(ctx, data->num_train + 1, sizeof(*t->order));
        t->rows = dlm_alloc_array(
            ctx, (size_t)(t->params.micro_batch * t->params.grad_accum), sizeof(*t->rows));
        if (!t->order || !t->rows)
            st = DLM_ERR_MEMORY;
    }
    if (!st)
        st = dlm_update_init(&t->update, ctx, data->model->device, lora,
                             (float)params->max_grad_norm);
    if (!st)
        st = dlm_batcher_plan(&t->batcher, t->params.micro_batch, t->params.grad_accum,
                              t->update.plan);
    if (!st)
        st = choose_buckets(t);
    if (st) {
        dlm_trainer_destroy(&t);
        return st;
    }
    *out = t;
    return DLM_OK;
}

void dlm_trainer_destroy(struct dlm_trainer **trainer)
{
    struct dlm_trainer *t = trainer ? *trainer : NULL;

    if (!t)
        return;
    dlm_update_finish(&t->update);
    dlm_batcher_finish(&t->batcher);
    dlm_free(t->order);
    dlm_free(t->rows);
    dlm_free(t);
    *trainer = NULL;
}

int64_t dlm_trainer_num_steps(const struct dlm_trainer *t)
{
    return t->schedule.steps;
}

const struct dlm_trainer_params *dlm_trainer_get_params(const struct dlm_trainer *t)
{
    return &t->params;
}

int64_t dlm_trainer_num_programs(const struct dlm_trainer *t)
{
    return t->batcher.num_programs;
}

void dlm_trainer_plans(const struct dlm_trainer *t, struct dlm_plan *plans[2])
{
    plans[0] = t->batcher.largest->plan;
    plans[1] = t->update.plan;
}

void dlm_trainer_add_to_budget(const struct dlm_trainer *t, struct dlm_budget *budget)
{
    dlm_batcher_add_to_budget(&t->batcher, budget);
    dlm_budget_add_slots(budget, &t->update.slots);
}

enum dlm_status dlm_trainer_prepare(struct dlm_trainer *t)
{
    enum dlm_status st = dlm_batcher_prepare(&t->batcher);

    return st ? st : dlm_update_prepare(&t->update, &t->batcher.workspace);
}

static int64_t count_labels(const struct dlm_train_example *const *rows, size_t num)
{
    int64_t labels = 0;

    for (size_t i = 0; i < num; i++)
        labels += rows[i]->num_labels;
    return labels;
}

enum dlm_status dlm_trainer_run(struct dlm_trainer *t, int64_t step, struct dlm_trainer_step *out)
{
    const size_t num = take_rows(t, step);
    const int64_t num_items = count_labels(t->rows, num);
    struct dlm_pass_step how = {
        .weight = 1.0f / (float)DLM_MAX(num_items, (int64_t)1),
        .seed = (uint64_t)t->params.seed,
        .step = (uint32_t)step,
    };
    enum dlm_status st = DLM_OK;

    *out = (struct dlm_trainer_step){.step = step, .num_items = num_items, .rows = t->rows,
                                     .num_rows = num,
                                     .lr = dlm_schedule_lr(&t->schedule, step - 1)};
    for (size_t i = 0; i < num; i++)
        out->tokens += (int64_t)t->rows[i]->input.ids.len;
    st = dlm_batcher_begin(&t->batcher);
    for (size_t at = 0; !st && at < num; at += (size_t)t->params.micro_batch) {
        size_t n = DLM_MIN(num - at, (size_t)t->params.micro_batch);
        st = dlm_batcher_run(&t->batcher, t->rows + at, n, &how, true);
    }
    const struct dlm_update_step update = {.lr = out->lr, .beta1 = 0.9, .beta2 = 0.999,
                                           .eps = 1e-8, .t = step};
    double sum = 0;
    if (!st)
        st = dlm_update_run(&t->update, &update, &out->grad_norm);
    if (!st)
        st = dlm_batcher_end(&t->batcher, &sum);
    out->loss = -sum / (double)DLM_MAX(num_items, (int64_t)1);
    dlm_train_data_trim(t->data, DLM_TRAIN_HELD_BYTES);
    return st;
}

bool dlm_trainer_has_validation(const struct dlm_trainer *t)
{
    return t->data->num_val;
}

enum dlm_status dlm_trainer_validate(struct dlm_trainer *t, double *loss)
{
    const struct dlm_train_example *rows[VAL_BATCH];
    struct dlm_pass_step how = {.weight = 0};
    double sum = 0;
    int64_t labels = 0;
    enum dlm_status st = DLM_OK;

    for (size_t at = 0; !st && at < t->data->num_val;) { /* as many at once as in a step */
        double part = 0;
        st = dlm_batcher_begin(&t->batcher);
        for (int64_t i = 0; !st && i < t->params.grad_accum && at < t->data->num_val; i++) {
            const size_t num = take_val_rows(t, at, rows);
            st = dlm_batcher_run(&t->batcher, rows, num, &how, false);
            labels += count_labels(rows, num);
            at += num;
        }
        if (!st)
            st = dlm_batcher_end(&t->batcher, &part);
        sum += part;
    }
    *loss = labels ? -sum / (double)labels : NAN;
    return st;
}
