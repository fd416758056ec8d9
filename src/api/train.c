/* Training: document, store, base, rows, loop, version. */
#include "dlm/train.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "api/estimate.h"
#include "api/may_train.h"
#include "api/train_impl.h"
#include "base/cancel.h"
#include "base/log.h"

static void finish(struct dlm_train_call *t)
{
    if (t->log)
        fclose(t->log);
    dlm_free(t->log_path);
    dlm_free(t->start_adapter);
    dlm_origin_finish(&t->origin);
    json_decref(t->file_shas);
    if (t->run && !t->keeps_run && dlm_run_finish(NULL, &t->run)) /* keeps the error's text */
        dlm_log(t->ctx, DLM_LOG_DEBUG, "the run's folder stays until the next start");
    dlm_run_close(&t->run);
    dlm_trainer_destroy(&t->trainer);
    dlm_vision_finish(&t->vision);
    dlm_train_data_finish(&t->data);
    dlm_lora_destroy(&t->lora);
    dlm_train_return_tiles(t);
    dlm_session_close(&t->own_session);
    dlm_base_finish(&t->named_base);
    dlm_rows_finish(&t->rows);
    dlm_doc_sources_finish(&t->sources);
    dlm_store_close(&t->store);
    dlm_doc_destroy(&t->doc);
}

/* The store's manifest, made if it is the first; it names `source`, the document's path. */
static enum dlm_status open_manifest(struct dlm_train_call *t, const struct dlm_base *base,
                                     const char *source, struct dlm_manifest *manifest,
                                     bool *changed)
{
    *changed = true;
    if (!dlm_store_is_initialized(t->store))
        return dlm_manifest_init(t->ctx, manifest, t->doc->id, base->key, base->revision, source);
    enum dlm_status st = dlm_manifest_load(t->ctx, manifest, t->store);
    if (!st)
        st = t->params->take_over ? DLM_OK
                                  : dlm_manifest_check_source(t->ctx, manifest,
                                                              t->params->document);
    if (st)
        return st;
    const char *known = dlm_manifest_string(manifest, "source_path");
    *changed = !known || strcmp(known, source);
    return *changed ? dlm_manifest_set_string(t->ctx, manifest, "source_path", source) : DLM_OK;
}

static enum dlm_status accept_license(struct dlm_train_call *t, const struct dlm_base *base,
                                      struct dlm_manifest *manifest, bool *changed)
{
    if (!base->gated || dlm_manifest_has_license(manifest))
        return DLM_OK;
    if (!t->params->accept_license)
        return dlm_fail(t->ctx, DLM_ERR_INVALID,
                        "license: base '%s' is gated; re-run with --i-accept-license to accept "
                        "its terms (%s)", base->key,
                        base->row->license_url ? base->row->license_url : "see its model card");
    *changed = true;
    return dlm_manifest_set_license(t->ctx, manifest, base->row->license_url,
                                    base->row->license_spdx, "cli_flag");
}

/* The manifest exists, names this document and holds the acceptance of a gated base's licence. */
static enum dlm_status settle_manifest(struct dlm_train_call *t, const struct dlm_base *base)
{
    struct dlm_manifest manifest = {0};
    bool changed = false;
    char *source = realpath(t->params->document, NULL);

    if (!source)
        return dlm_fail(t->ctx, DLM_ERR_IO, "cannot find '%s': %s", t->params->document,
                        strerror(errno));
    enum dlm_status st = open_manifest(t, base, source, &manifest, &changed);
    if (!st)
        st = accept_license(t, base, &manifest, &changed);
    if (!st && changed)
        st = dlm_manifest_save(t->ctx, &manifest, t->store);
    dlm_manifest_finish(&manifest);
    free(source);
    return st;
}

static enum dlm_status open_store(struct dlm_train_call *t)
{
    struct dlm_base base = {0};

    enum dlm_status st = dlm_store_open(t->ctx, &t->store, t->params->home, t->doc->id);
    if (!st)
        st = dlm_store_prepare(t->ctx, t->store);
    if (!st)
        st = dlm_store_lock(t->ctx, t->store);
    if (!st && t->params->resume)
        st = dlm_store_killed_start(t->ctx, t->store, t->killed_start);
    if (!st)
        st = dlm_store_sweep(t->ctx, t->store);
    if (!st)
        st = dlm_base_identify(t->ctx, &base, t->doc->base_model);
    if (!st)
        st = settle_manifest(t, &base);
    dlm_base_finish(&base);
    return st ? st : dlm_train_take_run(t);
}

static bool stated(const struct dlm_train_call *t, const char *key)
{
    return dlm_doc_is_written(t->doc, key);
}

/* Says how long and how fast the run learns, and which of it the document left open. */
static void say_recipe(const struct dlm_train_call *t)
{
    const struct dlm_trainer_params *p = dlm_trainer_get_params(t->trainer);
    const int64_t steps = dlm_trainer_num_steps(t->trainer);
    char epochs[48] = "";

    if (!p->max_steps)
        snprintf(epochs, sizeof(epochs), ", %lld epoch%s%s", (long long)p->epochs,
                 p->epochs == 1 ? "" : "s", stated(t, "training.num_epochs") ? "" : " (chosen)");
    dlm_log(t->ctx, DLM_LOG_INFO, "%zu rows, %lld steps of %lld%s, learning rate %.3g%s",
            t->data.num_train, (long long)steps, (long long)(p->micro_batch * p->grad_accum),
            epochs, p->lr, stated(t, "training.learning_rate") ? "" : " (chosen)");
}

/* A run so short that all of it is the foot of the warm-up changes nothing. */
static void warn_idle(const struct dlm_train_call *t)
{
    const struct dlm_trainer_params *p = dlm_trainer_get_params(t->trainer);
    const int64_t steps = dlm_trainer_num_steps(t->trainer);
    const struct dlm_schedule schedule =
        dlm_schedule_make(p->schedule, p->lr, steps, p->warmup_ratio);

    for (int64_t k = 0; k < steps; k++)
        if (dlm_schedule_lr(&schedule, k) > 0)
            return;
    dlm_log(t->ctx, DLM_LOG_WARNING,
            "the only step has learning rate 0, as warm-up begins: nothing is learnt");
    dlm_log(t->ctx, DLM_LOG_HINT, "training.warmup_ratio 0 or more steps make it learn");
}

enum dlm_status dlm_train_make_trainer(struct dlm_train_call *t)
{
    static const enum dlm_schedule_kind schedules[] = {
        [DLM_DOC_SCHEDULER_COSINE] = DLM_SCHEDULE_COSINE,
        [DLM_DOC_SCHEDULER_LINEAR] = DLM_SCHEDULE_LINEAR,
        [DLM_DOC_SCHEDULER_CONSTANT] = DLM_SCHEDULE_CONSTANT,
    };
    const struct dlm_doc_training *d = &t->doc->training;
    struct dlm_trainer_params params = {
        .epochs = stated(t, "training.num_epochs") ? d->num_epochs : t->epochs,
        .max_steps = t->params->max_steps,
        .micro_batch = t->micro_batch ? t->micro_batch : d->micro_batch_size,
        .grad_accum = t->grad_accum ? t->grad_accum : d->grad_accum,
        .loss_rows = t->loss_rows,
        .schedule = schedules[d->lr_scheduler],
        .lr = stated(t, "training.learning_rate") ? d->learning_rate : t->lr,
        .warmup_ratio = d->warmup_ratio,
        .max_grad_norm = 1.0,
        .seed = t->seed,
        .checkpoint = t->checkpoint,
    };
    enum dlm_status st = DLM_OK;

    params.with_tower = t->data.num_images && dlm_model_trains_tower(t->s->model, t->lora);
    t->with_tower = params.with_tower;
    if (t->data.num_images && !params.with_tower &&
        !(t->store && dlm_train_data_has_features(&t->data))) {
        t->has_vision = true;
        st = dlm_vision_init(&t->vision, t->s->model, t->lora,
                             dlm_train_data_patches(&t->data));
    }
    if (!st)
        st = dlm_trainer_create(t->ctx, &t->trainer, &t->data, t->lora,
                                t->has_vision ? &t->vision : NULL, &params);
    if (!st) {
        say_recipe(t);
        warn_idle(t);
    }
    return st;
}

/* By what `dlm doctor` found of the device: to measure it here would take memory and time. */
static enum dlm_status foretell(struct dlm_train_call *t)
{
    struct dlm_speed speed;
    bool is_known;

    enum dlm_status st = dlm_estimate_find(t->s, &speed, &is_known);
    if (!st && is_known)
        t->step_seconds = dlm_estimate_trainer(&speed, t->trainer, &t->data);
    return st;
}

static enum dlm_status load_all(struct dlm_train_call *t)
{
    const bool with_tower = t->has_vision || t->with_tower;
    struct dlm_budget budget = {0};

    dlm_session_add_to_budget(t->s, t->lora, with_tower, DLM_LORA_MOMENTS, &budget);
    dlm_trainer_add_to_budget(t->trainer, &budget);
    dlm_budget_say(t->ctx, &budget);
    const struct dlm_refusal_facts facts =
        dlm_may_train_facts(t->s, dlm_budget_total(&budget), t->params->force);
    enum dlm_status st = dlm_refusal_check(t->ctx, &facts);
    if (!st)
        st = dlm_budget_check(t->ctx, &budget, t->s->device);
    if (st == DLM_ERR_MEMORY)
        dlm_train_say_knobs(t);
    if (!st)
        st = foretell(t);
    if (!st)
        st = dlm_train_log_open(t);
    if (!st && !t->is_resumed) /* a kill from here on loses nothing, however long loading takes */
        st = dlm_train_save_state(t, 0);
    if (!st)
        st = dlm_session_load(t->s, t->lora, with_tower, DLM_LORA_MOMENTS);
    return st ? st : dlm_trainer_prepare(t->trainer);
}

static void report(const struct dlm_train_call *t, const struct dlm_loop_step *step)
{
    const struct dlm_train_progress progress = {
        .step = step->done.step,
        .steps = dlm_trainer_num_steps(t->trainer),
        .loss = step->done.loss,
        .lr = step->done.lr,
        .grad_norm = step->done.grad_norm,
        .tokens_per_sec = step->tokens_per_sec,
        .seconds_left = step->seconds_left,
    };

    if (t->params->progress)
        t->params->progress(t->params->user, &progress);
}

static enum dlm_status on_step(void *user, const struct dlm_loop_step *step)
{
    struct dlm_train_call *t = user;

    t->keeps_run = true;
    t->last_loss = step->done.loss;
    if (step->done.step == 1)
        t->first_loss = step->done.loss;
    if (!isnan(step->val_loss))
        t->last_val_loss = step->val_loss;
    enum dlm_status st =
        dlm_train_log_step(t, &step->done, step->tokens_per_sec, step->val_loss);
    report(t, step);
    return st;
}

static enum dlm_status on_save(void *user, int64_t step)
{
    return dlm_train_save_state(user, step);
}

static enum dlm_status on_diverged(void *user, const char *what, int64_t step)
{
    return dlm_train_diverged(user, what, step);
}

static enum dlm_status loop(struct dlm_train_call *t)
{
    const struct dlm_loop_params params = {
        .first_step = t->first_step,
        .save_every = t->params->save_every,
        .observer = {.user = t, .on_step = on_step, .on_save = on_save,
                     .on_diverged = on_diverged},
    };

    enum dlm_status st = dlm_loop_run(t->ctx, t->trainer, &params);
    if (st == DLM_ERR_CANCELLED)
        dlm_log(t->ctx, DLM_LOG_HINT, "`dlm train --resume` continues the run");
    return st;
}

static enum dlm_status prune_caches(struct dlm_train_call *t)
{
    const struct dlm_doc_cache *cache = &t->doc->training.cache;
    const struct dlm_cache_limits limits = {
        .max_bytes = (uint64_t)cache->max_bytes, /* >= 1 */
        .max_age = dlm_seconds_of_days(cache->prune_older_than_days),
        .now = time(NULL)};

    return dlm_store_prune_caches(t->ctx, t->store, &limits);
}

static enum dlm_status prepare(struct dlm_train_call *t)
{
    const struct dlm_train_params *p = t->params;
    struct dlm_checkpoint *tensors = NULL;

    t->seed = p->has_seed ? p->seed : t->doc->training.seed;
    t->checkpoint = p->checkpointing == DLM_TRAIN_CHECKPOINTING_DOCUMENT
                        ? t->doc->training.gradient_checkpointing
                        : p->checkpointing == DLM_TRAIN_CHECKPOINTING_ON;
    t->first_step = 1;
    t->last_val_loss = NAN;
    t->started_at = time(NULL);
    enum dlm_status st = open_store(t);
    if (!st)
        st = dlm_train_make_rows(t);
    if (!st)
        st = dlm_train_take_session(t);
    if (!st)
        st = dlm_train_check_rows(t);
    if (!st)
        st = dlm_train_hash_base(t);
    if (!st)
        st = dlm_train_check_lock(t);
    if (!st)
        st = dlm_train_check_row_images(t);
    if (!st)
        st = dlm_train_data_init(&t->data, t->ctx, &t->rows, t->store, t->s->model, t->s->tok,
                                 t->doc->training.sequence_len);
    t->data.no_cache = !t->doc->training.cache.enabled;
    if (st || !t->data.num_train) {
        t->result->nothing_to_do = !st;
        return st;
    }
    st = dlm_train_hash(t);
    if (!st)
        st = dlm_train_make_adapter(t, &tensors);
    if (!st)
        st = dlm_train_make_trainer(t);
    if (!st)
        st = load_all(t);
    if (!st && tensors)
        st = dlm_train_restore(t, tensors);
    dlm_checkpoint_destroy(&tensors);
    return st;
}

/* A run that was as long as the document wants and learned next to nothing. */
static void warn_unmoved(const struct dlm_train_call *t)
{
    const struct dlm_trainer_params *p = dlm_trainer_get_params(t->trainer);

    if (p->max_steps || t->first_loss < 0.5 || t->last_loss < 0.85 * t->first_loss)
        return;
    dlm_log(t->ctx, DLM_LOG_WARNING, "the loss hardly moved: %.3g in the first step, %.3g in the "
            "last", t->first_loss, t->last_loss);
    dlm_log(t->ctx, DLM_LOG_HINT, "a larger training.num_epochs (now %lld) or "
            "training.learning_rate (now %.3g) learns more", (long long)p->epochs, p->lr);
}

static bool is_all_zero(const struct dlm_compute *c)
{
    return !c->backend && !c->has_device && !c->precision && !c->quant && !c->quant_scope &&
           c->max_memory_mib == 0;
}

/* On the caller's session, or (NULL) on one that is opened for this once the document and its store
 * are in order. */
static enum dlm_status train(struct dlm_ctx *ctx, struct dlm_session *session,
                             const struct dlm_train_params *params,
                             struct dlm_train_result *result)
{
    struct dlm_train_call t = {.ctx = ctx, .s = session, .params = params, .result = result};
    enum dlm_status st;

    *result = (struct dlm_train_result){.determinism = "strong"};
    DLM_REQUIRE(ctx, params->document);
    DLM_REQUIRE(ctx, !(params->resume && params->fresh));
    DLM_REQUIRE(ctx, !session || is_all_zero(&params->compute));
    st = dlm_doc_load(ctx, &t.doc, params->document);
    if (!st)
        st = dlm_doc_check_trainable(ctx, t.doc);
    if (!st)
        dlm_doc_warn_unused(ctx, t.doc);
    if (!st)
        st = prepare(&t);
    if (st || result->nothing_to_do)
        goto done;
    dlm_ctx_hold_cancel(ctx, true); /* a step ends whole, and so does a commit */
    st = loop(&t);
    if (!st)
        st = dlm_train_commit(&t);
    if (!st)
        st = prune_caches(&t);
    if (st)
        goto done;
    result->steps = dlm_trainer_num_steps(t.trainer);
    result->seed = t.seed;
    result->first_loss = t.first_loss;
    result->final_loss = t.last_loss;
    result->log = t.log_path;
    t.log_path = NULL;
    warn_unmoved(&t);
    if (dlm_train_ask(&t)) /* a device too small for the tower, say: it has said why */
        dlm_log(ctx, DLM_LOG_WARNING, "the adapter is saved, its questions are not answered");
done:
    dlm_ctx_hold_cancel(ctx, false);
    finish(&t);
    return st;
}

enum dlm_status dlm_session_train(struct dlm_session *session,
                                  const struct dlm_train_params *params,
                                  struct dlm_train_result *result)
{
    return train(session->ctx, session, params, result);
}

enum dlm_status dlm_train(struct dlm_ctx *ctx, const struct dlm_train_params *params,
                          struct dlm_train_result *result)
{
    return train(ctx, NULL, params, result);
}

void dlm_train_result_finish(struct dlm_train_result *result)
{
    for (size_t i = 0; i < result->num_answers; i++) {
        struct dlm_train_answer *a = &result->answers[i];
        dlm_free(a->question);
        dlm_free(a->expected);
        dlm_free(a->before);
        dlm_free(a->after);
    }
    dlm_free(result->answers);
    dlm_free(result->adapter);
    dlm_free(result->log);
    *result = (struct dlm_train_result){0};
}
