/* Sums of plans' seconds. */
#include "api/estimate.h"

#include "base/file.h"
#include "doctor/trial.h"
#include "train/update.h"

enum dlm_status dlm_estimate_measure(struct dlm_session *s, struct dlm_speed *speed)
{
    char *cache = dlm_path_kernel_cache(s->ctx);

    enum dlm_status st = cache ? dlm_trial_run(s->ctx, s->device, cache) : DLM_OK;
    if (!st)
        st = dlm_speed_measure(s->ctx, s->device, s->model->policy, speed);
    if (!st)
        st = dlm_speed_keep(s->ctx, s->device, s->model->policy, cache, speed);
    dlm_free(cache);
    return st;
}

enum dlm_status dlm_estimate_find(struct dlm_session *s, struct dlm_speed *speed, bool *is_known)
{
    char *cache = dlm_path_kernel_cache(s->ctx);

    enum dlm_status st =
        dlm_speed_find(s->ctx, s->device, s->model->policy, cache, speed, is_known);
    dlm_free(cache);
    return st;
}

enum dlm_status dlm_estimate_training(const struct dlm_speed *speed, const struct dlm_model *model,
                                      const struct dlm_lora *lora,
                                      const struct dlm_footprint_row *row,
                                      const struct dlm_footprint_params *params, double *seconds)
{
    const struct dlm_pass_params shape = dlm_footprint_pass(row, lora, params);
    struct dlm_pass *pass = NULL;
    struct dlm_update update = {0};

    enum dlm_status st = dlm_pass_create(model->ctx, &pass, model, lora, &shape);
    if (!st)
        st = dlm_update_init(&update, model->ctx, model->device, lora, 1.0f);
    if (!st)
        *seconds = (double)params->grad_accum * dlm_speed_plan_seconds(speed, pass->plan) +
                   dlm_speed_plan_seconds(speed, update.plan);
    dlm_update_finish(&update);
    dlm_pass_destroy(&pass);
    return st;
}

/* Tokens of a row, as programs round them, of those of the longest. */
static double usual_part(const struct dlm_train_data *data)
{
    int64_t sum = 0, most = 1;

    for (size_t i = 0; i < data->num_train; i++) {
        const int64_t tokens = dlm_footprint_tokens((int64_t)data->train[i].input.ids.len);
        sum += tokens;
        most = DLM_MAX(most, tokens);
    }
    return data->num_train ? (double)sum / (double)data->num_train / (double)most : 1;
}

double dlm_estimate_trainer(const struct dlm_speed *speed, const struct dlm_trainer *trainer,
                            const struct dlm_train_data *data)
{
    const struct dlm_trainer_params *p = dlm_trainer_get_params(trainer);
    const int64_t most = ((int64_t)data->num_train + p->micro_batch - 1) / p->micro_batch;
    struct dlm_plan *plans[2];

    dlm_trainer_plans(trainer, plans);
    return (double)DLM_MIN(p->grad_accum, most) * usual_part(data) *
               dlm_speed_plan_seconds(speed, plans[0]) +
           dlm_speed_plan_seconds(speed, plans[1]);
}

void dlm_estimate_answer(const struct dlm_speed *speed, const struct dlm_generator *generator,
                         const struct dlm_vision *vision, int64_t slices, double *first,
                         double *token)
{
    struct dlm_plan *plans[2];

    dlm_generator_plans(generator, plans);
    *first = dlm_speed_plan_seconds(speed, plans[0]);
    if (vision)
        *first += (double)slices * dlm_speed_plan_seconds(speed, vision->largest.plan);
    *token = dlm_speed_plan_seconds(speed, plans[1]);
}
