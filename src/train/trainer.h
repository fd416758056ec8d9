/* The training loop: micro-batches over an epoch's order, gradient accumulation, updates,
 * validation. Files, logs and versions are the caller's part. */
#ifndef DLM_TRAIN_TRAINER_H
#define DLM_TRAIN_TRAINER_H

#include "models/budget.h"
#include "train/data.h"
#include "train/recipe.h"
#include "train/schedule.h"
#include "train/update.h"

struct dlm_trainer_params {
    int64_t epochs;      /* 0: dlm_recipe_epochs() */
    int64_t max_steps;   /* 0: all epochs */
    int64_t micro_batch; /* 0: dlm_recipe_batch(), as far as half of the memory goes */
    int64_t grad_accum;  /* 0: what makes up dlm_recipe_batch() */
    int64_t loss_rows;   /* 0: dlm_pass_loss_rows() */
    enum dlm_schedule_kind schedule;
    double lr; /* at its peak; 0: dlm_recipe_lr() */
    double warmup_ratio, max_grad_norm;
    int64_t seed;
    bool checkpoint; /* recompute each block's interior */
    bool with_tower; /* the tower has adapters */
};

struct dlm_trainer;

/* Plans; allocates nothing on the device. Borrows everything until destroy. vision is NULL when the
 * tower is trained or every feature is cached. */
enum dlm_status dlm_trainer_create(struct dlm_ctx *ctx, struct dlm_trainer **out,
                                   struct dlm_train_data *data, struct dlm_lora *lora,
                                   struct dlm_vision *vision,
                                   const struct dlm_trainer_params *params) DLM_CHECK_RESULT;
void dlm_trainer_destroy(struct dlm_trainer **trainer);

/* The parameters as they were resolved: nothing is 0 but max_steps. Valid until destroy. */
const struct dlm_trainer_params *dlm_trainer_get_params(const struct dlm_trainer *t);
int64_t dlm_trainer_num_steps(const struct dlm_trainer *t);
/* Programs made for shapes of micro-batches so far. */
int64_t dlm_trainer_num_programs(const struct dlm_trainer *t);

/* The largest pass, and the update behind as many as a step has; borrowed. */
void dlm_trainer_plans(const struct dlm_trainer *t, struct dlm_plan *plans[2]);

/* The workspace of every program, and their inputs. */
void dlm_trainer_add_to_budget(const struct dlm_trainer *t, struct dlm_budget *budget);

/* Programs and memory; weights are loaded, the adapter is uploaded for training. */
enum dlm_status dlm_trainer_prepare(struct dlm_trainer *t) DLM_CHECK_RESULT;

/* What one step did. rows: examples in the order in which they were taken. */
struct dlm_trainer_step {
    int64_t step;      /* counts from 1 */
    double loss, lr;
    float grad_norm;
    int64_t num_items; /* labels */
    int64_t tokens;    /* of all examples */
    const struct dlm_train_example **rows;
    size_t num_rows;
};

/* Runs optimiser step `step` (from 1): which rows it takes follows from seed and step. *out is
 * valid until the next call. */
enum dlm_status dlm_trainer_run(struct dlm_trainer *t, int64_t step,
                                struct dlm_trainer_step *out) DLM_CHECK_RESULT;

bool dlm_trainer_has_validation(const struct dlm_trainer *t);
/* Mean loss over the validation rows; NaN when there are none. */
enum dlm_status dlm_trainer_validate(struct dlm_trainer *t, double *loss) DLM_CHECK_RESULT;

#endif
