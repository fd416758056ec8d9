/* Plans made once more with other settings. What cannot be planned is not offered. */
#include "api/knobs.h"

#include <stdio.h>
#include <string.h>

#include "api/base_model.h"
#include "api/image_size.h"
#include "base/log.h"

#define MIB 0x1p20
#define MIN_ANSWER 64 /* tokens: shorter answers are not worth asking for */

/* In the order in which they are tried; those before IMAGE_SIZE cost time alone. */
enum knob { BATCH, CHECKPOINT, IMAGE_SIZE, MAX_TOKENS, PRECISION, QUANT, NUM_KNOBS };

/* Knobs as bits. */
#define BIT(knob) (1u << (knob))
#define TIME_ALONE (BIT(IMAGE_SIZE) - 1)

/* --- what there is --- */

/* Half of the side that images are made to, as the model can have it; 0: none, or none smaller. */
static int64_t half_side(const struct dlm_model *m)
{
    const struct dlm_processor *p = &m->processor;
    const int64_t step = (int64_t)p->patch * p->merge;

    if (p->size_rule == DLM_SIZE_FIXED || !p->pinned || !step)
        return 0;
    return p->pinned / 2 / step * step;
}

static uint32_t find_knobs(const struct dlm_knobs *k, const struct dlm_setting *now)
{
    const struct dlm_model *m = k->s->model;
    uint32_t found = 0;

    if (now->batch > 1)
        found |= BIT(BATCH);
    if (!now->checkpoint)
        found |= BIT(CHECKPOINT);
    if (k->has_images && half_side(m))
        found |= BIT(IMAGE_SIZE);
    if (now->max_tokens / 4 >= MIN_ANSWER)
        found |= BIT(MAX_TOKENS);
    if (now->policy == DLM_DTYPE_F32)
        found |= BIT(PRECISION);
    if (!dlm_dtype_is_quant(now->quant.dtype) && dlm_quant_saved(m->weights) == DLM_DTYPE_F32)
        found |= BIT(QUANT);
    return found;
}

static void turn(enum knob knob, const struct dlm_knobs *k, struct dlm_setting *with)
{
    switch (knob) {
    case BATCH:
        with->grad_accum *= with->batch;
        with->batch = 1;
        break;
    case CHECKPOINT:
        with->checkpoint = true;
        break;
    case IMAGE_SIZE:
        with->image_size = half_side(k->s->model);
        break;
    case MAX_TOKENS:
        with->max_tokens /= 4;
        break;
    case PRECISION:
        with->policy = DLM_DTYPE_BF16;
        break;
    default:
        with->quant = (struct dlm_quant_policy){.dtype = DLM_DTYPE_NF4,
                                                .scope = DLM_QUANT_SCOPE_DECODER};
    }
}

static void name(enum knob knob, const struct dlm_knobs *k, const struct dlm_setting *with,
                 char *text, size_t bytes)
{
    const bool in_document = k->in_document;

    switch (knob) {
    case BATCH:
        if (in_document)
            snprintf(text, bytes, "training.micro_batch_size: 1 with grad_accum: %lld",
                     (long long)with->grad_accum);
        else
            snprintf(text, bytes, "--batch 1");
        break;
    case CHECKPOINT:
        snprintf(text, bytes, "training.gradient_checkpointing: true");
        break;
    case IMAGE_SIZE:
        snprintf(text, bytes, in_document ? "training.image_size: %lld" : "--image-size %lld",
                 (long long)with->image_size);
        break;
    case MAX_TOKENS:
        snprintf(text, bytes, "--max-tokens %lld", (long long)with->max_tokens);
        break;
    case PRECISION:
        snprintf(text, bytes, "--precision bf16");
        break;
    default:
        snprintf(text, bytes, in_document ? "training.adapter: qlora" : "--quant nf4");
    }
}

/* --- what it takes --- */

static struct dlm_setting turned(const struct dlm_knobs *k, const struct dlm_setting *now,
                                 uint32_t which)
{
    struct dlm_setting with = *now;

    for (int i = 0; i < NUM_KNOBS; i++)
        if (which & BIT(i))
            turn((enum knob)i, k, &with);
    return with;
}

/* The session's base once more, to be planned alone. */
static enum dlm_status open_other(const struct dlm_knobs *k, const struct dlm_setting *with,
                                  struct dlm_model **out)
{
    const struct dlm_session *s = k->s;

    enum dlm_status st =
        k->shape ? dlm_model_open_shape(s->ctx, out, s->device, k->shape, k->layers, with->policy,
                                        &with->quant)
                 : dlm_base_open_model(s->ctx, out, s->device, &s->base, with->policy,
                                       &with->quant);
    if (!st && !k->shape)
        st = dlm_image_size_choose(*out, &s->base, with->image_size);
    if (st)
        dlm_model_destroy(out);
    return st;
}

/* Bytes with these knobs turned; 0: it cannot be planned. */
static uint64_t measure(const struct dlm_knobs *k, const struct dlm_setting *now, uint32_t which)
{
    const struct dlm_setting with = turned(k, now, which);
    struct dlm_model *own = k->s->model, *other = NULL;
    uint64_t bytes = 0;

    dlm_log_mute(k->s->ctx);
    if (!(which & ~TIME_ALONE) || !open_other(k, &with, &other)) {
        k->s->model = other ? other : own;
        bytes = k->measure(k->user, &with);
        k->s->model = own;
    }
    dlm_model_destroy(&other);
    (void)dlm_log_unmute(k->s->ctx, DLM_OK);
    return bytes;
}

static bool fits(const struct dlm_knobs *k, uint64_t bytes)
{
    return bytes && bytes <= dlm_budget_room(k->s->device);
}

/* Says what they take; true when that fits. */
static bool say(const struct dlm_knobs *k, const struct dlm_setting *now, uint32_t which,
                const char *too_much)
{
    const struct dlm_setting with = turned(k, now, which);
    const uint64_t bytes = measure(k, now, which);
    char text[512] = "";
    int num = 0;

    if (!bytes)
        return false;
    for (uint32_t i = 0, left = which; i < NUM_KNOBS; i++) {
        const size_t at = strlen(text);
        char one[96];
        if (!(left & BIT(i)))
            continue;
        left &= ~BIT(i);
        name((enum knob)i, k, &with, one, sizeof(one));
        snprintf(text + at, sizeof(text) - at, "%s%s", !num ? "" : left ? ", " : " and ", one);
        num++;
    }
    const double mib = (double)bytes / MIB;
    dlm_log(k->s->ctx, DLM_LOG_HINT, "%s%s %.*f MiB%s", text, num > 1 ? " together take" : " takes",
            mib < 100 ? 1 : 0, mib, fits(k, bytes) ? ", which fits" : too_much);
    return fits(k, bytes);
}

/* Each of them; true when one fits. */
static bool say_each(const struct dlm_knobs *k, const struct dlm_setting *now, uint32_t which)
{
    bool any = false;

    for (int i = 0; i < NUM_KNOBS; i++)
        if (which & BIT(i))
            any |= say(k, now, BIT(i), ": not enough alone");
    return any;
}

/* The first of them that fit together, without those that the others do not need; all of them where
 * not even they fit. */
static uint32_t find_enough(const struct dlm_knobs *k, const struct dlm_setting *now,
                            uint32_t which)
{
    uint32_t taken = 0;
    bool is_enough = false;

    for (int i = 0; !is_enough && i < NUM_KNOBS; i++) {
        taken |= which & BIT(i);
        is_enough = (which & BIT(i)) && fits(k, measure(k, now, taken));
    }
    for (int i = NUM_KNOBS - 1; is_enough && i >= 0; i--)
        if ((taken & BIT(i)) && fits(k, measure(k, now, taken & ~BIT(i))))
            taken &= ~BIT(i);
    return taken;
}

static bool is_one(uint32_t which)
{
    return !(which & (which - 1));
}

void dlm_knobs_say(const struct dlm_knobs *k)
{
    struct dlm_setting now = k->now;

    now.policy = k->s->model->weights->policy;
    now.quant = k->s->model->weights->quant;
    now.image_size = dlm_image_size_of(k->s->model);
    const uint32_t all = find_knobs(k, &now), time_alone = all & TIME_ALONE;
    if (say_each(k, &now, time_alone))
        return;
    if (!is_one(time_alone) && say(k, &now, time_alone, ": not enough"))
        return;
    if (say_each(k, &now, all & ~TIME_ALONE))
        return;
    const uint32_t enough = find_enough(k, &now, all);
    if (!is_one(enough) && enough != time_alone)
        (void)say(k, &now, enough, ": not enough either");
}
