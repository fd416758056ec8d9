/* Plans made once more with another setting each. What cannot be planned is not offered. */
#include "api/knobs.h"

#include <stdio.h>

#include "api/image_size.h"
#include "base/log.h"
#include "train/batch.h"

#define MIB 0x1p20

/* Says what a setting takes; true when that fits. */
static bool say(struct dlm_ctx *ctx, const struct dlm_device *device, const char *setting,
                uint64_t bytes)
{
    const bool fits = bytes <= dlm_budget_room(device);

    dlm_log(ctx, DLM_LOG_HINT, "%s takes %.0f MiB%s", setting, (double)bytes / MIB,
            fits ? ", which fits" : ": not enough alone");
    return fits;
}

/* The session's base once more, to be planned alone. */
static enum dlm_status open_other(const struct dlm_session *s, enum dlm_dtype policy,
                                  const struct dlm_quant_policy *quant, int64_t image_size,
                                  struct dlm_model **out)
{
    enum dlm_status st = dlm_model_open(s->ctx, out, s->device, s->base.dir, policy, quant);

    if (!st)
        st = dlm_image_size_choose(*out, &s->base, image_size);
    if (st)
        dlm_model_destroy(out);
    return st;
}

/* Half of the side that images are made to, as the model can have it; 0: none, or none smaller. */
static int64_t half_side(const struct dlm_model *m)
{
    const struct dlm_processor *p = &m->processor;
    const int64_t step = (int64_t)p->patch * p->merge;

    if (p->size_rule == DLM_SIZE_FIXED || !p->pinned || !step)
        return 0;
    return p->pinned / 2 / step * step;
}

/* --- training --- */

struct training {
    const struct dlm_train_call *t;
    bool sees; /* the tower is there: its features are not cached */
    struct dlm_footprint_row row;
    struct dlm_footprint_params params;
};

/* What the run takes with another model, row or parameters; 0: it cannot be planned. */
static uint64_t measure(const struct training *x, const struct dlm_model *m,
                        const struct dlm_footprint_row *row,
                        const struct dlm_footprint_params *params)
{
    struct dlm_budget b = {0};

    dlm_budget_add_weights(&b, m, x->sees ? DLM_WEIGHT_GROUPS_ALL : DLM_WEIGHT_GROUPS_NO_TOWER);
    dlm_budget_add_lora(&b, x->t->lora, DLM_LORA_MOMENTS);
    return dlm_footprint_add(m, x->t->lora, row, params, &b) ? 0 : dlm_budget_total(&b);
}

/* Fewer rows at once, and checkpoints: what costs time alone. */
static bool say_batch(const struct training *x)
{
    const struct dlm_train_call *t = x->t;
    const struct dlm_model *m = t->s->model;
    struct dlm_footprint_params one = x->params, checkpoint = x->params, both;
    char setting[128];
    bool fits = false;

    one.batch = 1;
    one.grad_accum = x->params.batch * x->params.grad_accum;
    checkpoint.checkpoint = true;
    both = one;
    both.checkpoint = true;
    if (x->params.batch > 1) {
        snprintf(setting, sizeof(setting), "training.micro_batch_size: 1 with grad_accum: %lld",
                 (long long)one.grad_accum);
        fits |= say(t->ctx, t->s->device, setting, measure(x, m, &x->row, &one));
    }
    if (!x->params.checkpoint)
        fits |= say(t->ctx, t->s->device, "training.gradient_checkpointing: true",
                    measure(x, m, &x->row, &checkpoint));
    if (x->params.batch > 1 && !x->params.checkpoint)
        fits |= say(t->ctx, t->s->device, "one with the other", measure(x, m, &x->row, &both));
    return fits;
}

/* The base in another form, all else as it is. */
static void say_form(const struct training *x, const char *setting, enum dlm_dtype policy,
                     const struct dlm_quant_policy *quant)
{
    struct dlm_session *s = x->t->s;
    struct dlm_model *m = NULL;

    if (!open_other(s, policy, quant, dlm_image_size_of(s->model), &m)) {
        const uint64_t bytes = measure(x, m, &x->row, &x->params);
        if (bytes)
            (void)say(x->t->ctx, s->device, setting, bytes);
    }
    dlm_model_destroy(&m);
}

static void say_image_size(const struct training *x, int64_t side)
{
    const struct dlm_train_call *t = x->t;
    const struct dlm_weights *w = t->s->model->weights;
    struct dlm_train_data data = {0};
    struct dlm_footprint_row row;
    struct dlm_model *m = NULL;
    char setting[64];

    enum dlm_status st = open_other(t->s, w->policy, &w->quant, side, &m);
    if (!st)
        st = dlm_train_data_init(&data, t->ctx, &t->rows, t->store, m, t->s->tok,
                                 t->doc->training.sequence_len);
    if (!st) {
        dlm_batcher_largest_row(&data, &row);
        row.slice = x->row.slice ? row.slice : 0;
        snprintf(setting, sizeof(setting), "training.image_size: %lld", (long long)side);
        const uint64_t bytes = measure(x, m, &row, &x->params);
        if (bytes)
            (void)say(t->ctx, t->s->device, setting, bytes);
    }
    dlm_train_data_finish(&data);
    dlm_model_destroy(&m);
}

void dlm_knobs_say_train(const struct dlm_train_call *t)
{
    const struct dlm_trainer_params *p = dlm_trainer_get_params(t->trainer);
    const struct dlm_weights *w = t->s->model->weights;
    const struct dlm_quant_policy nf4 = {.dtype = DLM_DTYPE_NF4,
                                         .scope = DLM_QUANT_SCOPE_DECODER};
    const int64_t side = t->data.num_images ? half_side(t->s->model) : 0;
    struct training x = {.t = t,
                         .sees = t->has_vision || t->with_tower,
                         .params = {.batch = p->micro_batch, .grad_accum = p->grad_accum,
                                    .loss_rows = p->loss_rows, .checkpoint = p->checkpoint,
                                    .with_tower = p->with_tower}};

    dlm_batcher_largest_row(&t->data, &x.row);
    if (!t->has_vision)
        x.row.slice = 0;
    if (say_batch(&x))
        return;
    if (side)
        say_image_size(&x, side);
    if (w->policy == DLM_DTYPE_F32)
        say_form(&x, "--precision bf16", DLM_DTYPE_BF16, &w->quant);
    if (!dlm_dtype_is_quant(w->quant.dtype) && dlm_quant_saved(w) == DLM_DTYPE_F32)
        say_form(&x, "training.adapter: qlora", w->policy, &nf4);
}

/* --- answers --- */

static void say_answer_form(struct dlm_session *s, const struct dlm_generator_params *params,
                            int64_t patches, const char *setting, enum dlm_dtype policy,
                            const struct dlm_quant_policy *quant)
{
    struct dlm_generator *generator = NULL;
    struct dlm_vision vision = {0};
    struct dlm_budget budget = {0};
    struct dlm_model *own = s->model, *other = NULL;

    enum dlm_status st = open_other(s, policy, quant, dlm_image_size_of(own), &other);
    if (!st)
        st = dlm_generator_create(s->ctx, &generator, other, s->lora, params);
    if (!st && patches)
        st = dlm_vision_init(&vision, other, s->lora, patches);
    if (!st) {
        s->model = other;
        dlm_session_add_answer(s, generator, patches ? &vision : NULL, &budget);
        s->model = own;
        (void)say(s->ctx, s->device, setting, dlm_budget_total(&budget));
    }
    dlm_vision_finish(&vision);
    dlm_generator_destroy(&generator);
    dlm_model_destroy(&other);
}

void dlm_knobs_say_answer(struct dlm_session *s, const struct dlm_generator_params *params,
                          int64_t patches)
{
    const struct dlm_weights *w = s->model->weights;
    const struct dlm_quant_policy nf4 = {.dtype = DLM_DTYPE_NF4,
                                         .scope = DLM_QUANT_SCOPE_DECODER};

    if (w->policy == DLM_DTYPE_F32)
        say_answer_form(s, params, patches, "--precision bf16", DLM_DTYPE_BF16, &w->quant);
    if (!dlm_dtype_is_quant(w->quant.dtype) && dlm_quant_saved(w) == DLM_DTYPE_F32)
        say_answer_form(s, params, patches, "--quant nf4", w->policy, &nf4);
}
