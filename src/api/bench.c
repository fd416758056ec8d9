/* Speed and memory: every part is planned first, then the tower runs alone, its weights go, and
 * prefill, decode and training step run in the same workspace. Ids and pixels are random. */
#include "dlm/bench.h"

#include "api/bench_explain.h"
#include "api/knobs.h"
#include "api/session_impl.h"
#include "base/clock.h"
#include "base/host.h"
#include "base/log.h"
#include "base/rng.h"
#include "doctor/limits.h"
#include "generate/generator.h"
#include "models/pass.h"
#include "train/update.h"

#define SUFFIX_TOKENS 48 /* labelled tokens of a training row, after the prompt */
#define SEED 1

struct bench {
    struct dlm_ctx *ctx;
    int64_t prompt_tokens, decode_tokens, batch, repeat;
    const char *shape; /* NULL: a base */
    int64_t layers;
    bool explain, plan_only;
    struct dlm_session *s;
    struct dlm_lora *lora;
    struct dlm_vision vision;
    struct dlm_generator *generator;
    struct dlm_pass *pass;
    struct dlm_update update;
    struct dlm_workspace workspace;
    int64_t num_images; /* of a request: 1, or 0 of a decoder alone */
    struct dlm_image_plan plan; /* all zero without one */
    int32_t *ids;    /* image, prompt and suffix */
    uint8_t *is_label; /* [ids_len] */
    int64_t ids_len;   /* of a training row */
    int64_t num_updates;
    float *pixels, *features;
    struct dlm_bench_result *result;
};

/* One part: what is run before the clock starts (may be NULL), what is timed, and its programs. */
struct part {
    const char *name;
    enum dlm_status (*before)(struct bench *b);
    enum dlm_status (*run)(struct bench *b);
    enum dlm_status (*explain)(struct bench *b, struct dlm_explain *e);
};

static void finish_plans(struct bench *b)
{
    dlm_generator_destroy(&b->generator);
    dlm_pass_destroy(&b->pass);
    dlm_update_finish(&b->update);
    dlm_vision_finish(&b->vision);
}

static void finish(struct bench *b)
{
    finish_plans(b);
    dlm_workspace_finish(&b->workspace);
    dlm_free(b->ids);
    dlm_free(b->is_label);
    dlm_free(b->pixels);
    dlm_free(b->features);
    dlm_lora_destroy(&b->lora);
    dlm_session_close(&b->s);
}

static enum dlm_status open_all(struct bench *b, const struct dlm_bench_params *p)
{
    const struct dlm_session_base session = {
        .base = p->base, .mmproj = p->mmproj, .shape = p->shape, .layers = p->layers,
        .compute = p->compute};
    static const char *const targets[] = {"q_proj", "k_proj", "v_proj", "o_proj"};
    const struct dlm_target_spec spec = {
        .kind = DLM_TARGET_LIST, .names = targets, .num_names = DLM_ARRAY_LEN(targets)};
    const struct dlm_lora_params lora = {.r = 8, .alpha = 16};

    enum dlm_status st = dlm_session_open_base(b->ctx, &b->s, &session);
    if (!st)
        st = dlm_model_make_lora(b->s->model, &b->lora, &spec, &lora);
    return st ? st : dlm_lora_init(b->lora, SEED);
}

static enum dlm_status make_inputs(struct bench *b)
{
    const struct dlm_model *m = b->s->model;
    struct dlm_rng rng;

    b->num_images = m->is_text ? 0 : 1;
    enum dlm_status st = b->num_images ? dlm_image_plan_usual(m, &b->plan) : DLM_OK;
    if (st)
        return st;
    const size_t num_pixels = dlm_pixels_len(&b->plan.pixels);
    const size_t num_features = dlm_image_plan_features_len(m, &b->plan);
    b->result->image_tokens = b->plan.tokens;
    b->ids_len = b->plan.tokens + b->prompt_tokens + SUFFIX_TOKENS;
    b->ids = dlm_alloc_array(b->ctx, (size_t)b->ids_len, sizeof(*b->ids));
    b->is_label = dlm_alloc_array(b->ctx, (size_t)b->ids_len, sizeof(*b->is_label));
    b->pixels = dlm_alloc_array(b->ctx, num_pixels + 1, sizeof(*b->pixels));
    b->features = dlm_alloc_array(b->ctx, num_features + 1, sizeof(*b->features));
    if (!b->ids || !b->is_label || !b->pixels || !b->features)
        return DLM_ERR_MEMORY;
    dlm_rng_init(&rng, SEED, 0);
    for (int64_t i = 0; i < b->ids_len; i++) {
        /* vocabularies are below 2^22; a text token must not stand for a feature */
        const int32_t id = (int32_t)dlm_rng_below(&rng, (uint32_t)m->decoder.config.vocab);
        const int32_t word = id != m->image_id ? id : id ? id - 1 : 1;
        b->ids[i] = i < b->plan.tokens ? m->image_id : word;
        b->is_label[i] = i >= b->ids_len - SUFFIX_TOKENS;
    }
    for (size_t i = 0; i < num_pixels; i++)
        b->pixels[i] = 2.0f * dlm_rng_uniform(&rng) - 1.0f;
    return DLM_OK;
}

static enum dlm_status make_plans(struct bench *b)
{
    struct dlm_session *s = b->s;
    struct dlm_image_room one = {0}, all = {0};

    dlm_image_room_add(s->model, &one, &b->plan, b->num_images);
    for (int64_t i = 0; i < b->batch; i++)
        dlm_image_room_add(s->model, &all, &b->plan, b->num_images);
    const struct dlm_generator_params generator = {
        .prompt_len = b->plan.tokens + b->prompt_tokens,
        .max_tokens = b->decode_tokens + 1, /* prefill gives the first */
        .room = one};
    const struct dlm_pass_params pass = {.batch = b->batch,
                                         .tokens = b->ids_len,
                                         .labels = b->batch * SUFFIX_TOKENS,
                                         .room = all,
                                         .backward = true};

    enum dlm_status st = DLM_OK;
    if (b->num_images)
        st = dlm_vision_init(&b->vision, s->model, NULL, dlm_image_plan_slice(&b->plan));
    if (!st)
        st = dlm_generator_create(b->ctx, &b->generator, s->model, NULL, &generator);
    if (!st)
        st = dlm_pass_create(b->ctx, &b->pass, s->model, b->lora, &pass);
    return st ? st : dlm_update_init(&b->update, b->ctx, s->device, b->lora, 1.0f);
}

/* Plans of all parts, which share a workspace. */
#define NUM_PLANS 5
static void list_plans(const struct bench *b, struct dlm_plan *plans[NUM_PLANS])
{
    plans[0] = b->vision.largest.plan;
    plans[1] = b->pass->plan;
    plans[2] = b->update.plan;
    dlm_generator_plans(b->generator, plans + 3);
}

static void add_up(const struct bench *b, struct dlm_budget *budget)
{
    struct dlm_plan *plans[NUM_PLANS];

    list_plans(b, plans);
    dlm_session_add_to_budget(b->s, b->lora, false, DLM_LORA_MOMENTS, budget);
    dlm_budget_add_workspace(budget, plans, NUM_PLANS);
    dlm_generator_add_to_budget(b->generator, budget);
    dlm_budget_add_slots(budget, &b->pass->slots);
    dlm_budget_add_slots(budget, &b->update.slots);
    dlm_budget_add_early_vision(budget, &b->vision);
}

/* What the same parts take with other settings, for struct dlm_knobs. */
static uint64_t measure_other(void *user, const struct dlm_setting *with)
{
    const struct bench *b = user;
    struct bench other = {.ctx = b->ctx, .prompt_tokens = b->prompt_tokens,
                          .decode_tokens = b->decode_tokens, .batch = with->batch, .s = b->s,
                          .lora = b->lora, .num_images = b->num_images, .plan = b->plan,
                          .ids_len = b->ids_len};
    struct dlm_budget budget = {0};

    enum dlm_status st = make_plans(&other);
    if (!st)
        add_up(&other, &budget);
    finish_plans(&other);
    return st ? 0 : dlm_budget_total(&budget);
}

/* What the plans say, and unless that is all, the workspace that all of them share. */
static enum dlm_status reserve(struct bench *b)
{
    const struct dlm_knobs knobs = {
        .s = b->s, .shape = b->shape, .layers = b->layers,
        .now = {.batch = b->batch, .grad_accum = 1, .checkpoint = true},
        .measure = measure_other, .user = b};
    struct dlm_bench_result *r = b->result;
    struct dlm_budget budget = {0};
    struct dlm_plan *plans[NUM_PLANS];

    list_plans(b, plans);
    add_up(b, &budget);
    r->planned_weights = budget.weights + budget.vision;
    r->planned_adapter = budget.adapter;
    r->planned_optimizer = budget.optimizer;
    r->planned_activations = budget.activations + budget.inputs;
    r->planned_cache = budget.cache;
    r->planned_total = dlm_budget_total(&budget);
    r->planned_host_bytes = dlm_budget_host_peak(&budget);
    dlm_budget_say(b->ctx, &budget);
    if (b->plan_only)
        return DLM_OK;
    enum dlm_status st = dlm_budget_check(b->ctx, &budget, b->s->device);
    if (st)
        dlm_knobs_say(&knobs);
    return st ? st : dlm_workspace_init(&b->workspace, b->s->device, plans, NUM_PLANS);
}

static enum dlm_status explain(struct bench *b, const struct part *part,
                               struct dlm_bench_part *result)
{
    struct dlm_explain e = {.ctx = b->ctx, .limits = &b->result->limits, .times = 1};

    enum dlm_status st = part->explain(b, &e);
    if (!st)
        st = dlm_explain_give(&e, result);
    dlm_explain_finish(&e);
    return st;
}

/* Once to warm up, then `repeat` times; the best counts. */
static enum dlm_status measure(struct bench *b, const struct part *part, int64_t tokens,
                               struct dlm_bench_part *best)
{
    enum dlm_status st = DLM_OK;

    for (int64_t i = 0; !st && i <= b->repeat; i++) {
        st = part->before ? part->before(b) : DLM_OK;
        const double start = dlm_now();
        if (!st)
            st = part->run(b);
        const double seconds = dlm_now() - start;
        if (i && (i == 1 || seconds < best->seconds))
            best->seconds = seconds;
        if (!st && dlm_ctx_is_cancelled(b->ctx))
            st = dlm_fail(b->ctx, DLM_ERR_CANCELLED, "interrupted");
    }
    best->tokens_per_sec = best->seconds > 0 ? (double)tokens / best->seconds : 0;
    if (st)
        return st;
    dlm_log(b->ctx, DLM_LOG_INFO, "%s: %.4f s, %.1f tokens/s", part->name, best->seconds,
            best->tokens_per_sec);
    return b->explain ? explain(b, part, best) : DLM_OK;
}

static enum dlm_status run_vision(struct bench *b)
{
    return dlm_vision_run(&b->vision, &b->plan, b->pixels, b->features);
}

static enum dlm_status explain_vision(struct bench *b, struct dlm_explain *e)
{
    return dlm_explain_program(e, b->vision.largest.program);
}

/* Of a request of so many tokens, those that see each other both ways. */
static int64_t both_ways_len(const struct bench *b, int64_t len)
{
    return b->s->model->family->has_prefix ? len : 0;
}

static enum dlm_status run_prefill(struct bench *b)
{
    const float *features[] = {b->features};
    const int64_t len = b->plan.tokens + b->prompt_tokens;
    const struct dlm_example prompt = {
        .ids = b->ids, .len = len, .bidirectional_len = both_ways_len(b, len),
        .num_images = b->num_images, .plans = &b->plan, .features = features};
    const struct dlm_sampling greedy = {0};
    int32_t token;

    return dlm_generator_prefill(b->generator, &prompt, &greedy, &token);
}

static enum dlm_status explain_prefill(struct bench *b, struct dlm_explain *e)
{
    return dlm_explain_program(e, dlm_generator_program(b->generator, true));
}

static enum dlm_status run_decode(struct bench *b)
{
    enum dlm_status st = DLM_OK;
    int32_t token;

    for (int64_t i = 0; !st && i < b->decode_tokens; i++)
        st = dlm_generator_next(b->generator, &token);
    return st;
}

/* The last token's run stands for all. */
static enum dlm_status explain_decode(struct bench *b, struct dlm_explain *e)
{
    e->times = (double)b->decode_tokens;
    return dlm_explain_program(e, dlm_generator_program(b->generator, false));
}

static enum dlm_status run_step(struct bench *b)
{
    const float *features[] = {b->features};
    struct dlm_example *rows = dlm_alloc_array(b->ctx, (size_t)b->batch, sizeof(*rows));
    const struct dlm_pass_step step = {.examples = rows,
                                       .num = b->batch,
                                       .weight = 1.0f / (float)(b->batch * SUFFIX_TOKENS)};
    const struct dlm_update_step update = {
        .lr = 1e-4, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .t = ++b->num_updates};
    float grad_norm;

    if (!rows)
        return DLM_ERR_MEMORY;
    for (int64_t i = 0; i < b->batch; i++)
        rows[i] = (struct dlm_example){.ids = b->ids, .is_label = b->is_label, .len = b->ids_len,
                                       .bidirectional_len =
                                           both_ways_len(b, b->ids_len - SUFFIX_TOKENS),
                                       .num_images = b->num_images, .plans = &b->plan,
                                       .features = features};
    enum dlm_status st = dlm_pass_run(b->pass, &step);
    dlm_free(rows);
    return st ? st : dlm_update_run(&b->update, &update, &grad_norm);
}

static enum dlm_status explain_step(struct bench *b, struct dlm_explain *e)
{
    enum dlm_status st = dlm_explain_program(e, b->pass->program);

    return st ? st : dlm_explain_program(e, b->update.program);
}

static const struct part vision_part = {"vision", NULL, run_vision, explain_vision};
static const struct part prefill_part = {"prefill", NULL, run_prefill, explain_prefill};
static const struct part decode_part = {"decode", run_prefill, run_decode, explain_decode};
static const struct part step_part = {"training step", NULL, run_step, explain_step};

/* The tower, which is loaded for this alone. */
static enum dlm_status bench_vision(struct bench *b)
{
    struct dlm_session *s = b->s;

    enum dlm_status st = dlm_weights_load(s->model->weights, DLM_WEIGHT_GROUP_TOWER);
    if (!st)
        st = dlm_vision_prepare(&b->vision, &b->workspace);
    if (!st)
        st = measure(b, &vision_part, b->plan.tokens, &b->result->vision);
    dlm_vision_finish(&b->vision);
    dlm_weights_unload(s->model->weights, DLM_WEIGHT_GROUP_TOWER);
    return st;
}

static enum dlm_status bench_decoder(struct bench *b)
{
    const int64_t prompt = b->plan.tokens + b->prompt_tokens;
    struct dlm_bench_result *r = b->result;
    const double start = dlm_now();

    enum dlm_status st = dlm_session_load(b->s, b->lora, false, DLM_LORA_MOMENTS);
    if (!st)
        dlm_log(b->ctx, DLM_LOG_INFO, "weights of the language model: %.1f s", dlm_now() - start);
    if (!st)
        st = dlm_generator_prepare(b->generator, &b->workspace);
    if (!st)
        st = dlm_pass_prepare(b->pass, &b->workspace);
    if (!st)
        st = dlm_update_prepare(&b->update, &b->workspace);
    if (!st)
        st = measure(b, &prefill_part, prompt, &r->prefill);
    if (!st)
        st = measure(b, &decode_part, b->decode_tokens, &r->decode);
    return st ? st : measure(b, &step_part, b->batch * b->ids_len, &r->train_step);
}

static enum dlm_status describe(struct bench *b, const struct dlm_bench_params *p)
{
    const struct dlm_device_info *info = &dlm_device_get_caps(b->s->device)->info;
    struct dlm_bench_result *r = b->result;

    r->model = dlm_strdup(b->ctx, p->shape ? p->shape : p->base);
    r->device = dlm_strdup(b->ctx, info->name);
    r->backend = info->kind;
    r->precision = dlm_session_precision(b->s);
    r->base_form = dlm_strdup(b->ctx, b->s->base_form);
    r->prompt_tokens = b->prompt_tokens;
    r->decode_tokens = b->decode_tokens;
    r->batch = b->batch;
    return r->model && r->device && r->base_form ? DLM_OK : DLM_ERR_MEMORY;
}

static int64_t or_default(int64_t value, int64_t otherwise)
{
    return value ? value : otherwise;
}

enum dlm_status dlm_bench_limits(struct dlm_ctx *ctx, const struct dlm_compute *compute,
                                 struct dlm_device_info *device, struct dlm_limits *limits)
{
    struct dlm_device *opened = NULL;

    *limits = (struct dlm_limits){0};
    enum dlm_status st = dlm_session_open_device(ctx, &opened, compute, false);
    if (!st) {
        *device = dlm_device_get_caps(opened)->info;
        st = dlm_limits_measure(opened, limits);
    }
    dlm_device_destroy(&opened);
    return st;
}

enum dlm_status dlm_bench(struct dlm_ctx *ctx, const struct dlm_bench_params *params,
                          struct dlm_bench_result *result)
{
    struct bench b = {
        .ctx = ctx,
        .prompt_tokens = or_default(params->prompt_tokens, DLM_BENCH_PROMPT_TOKENS),
        .decode_tokens = or_default(params->decode_tokens, DLM_BENCH_DECODE_TOKENS),
        .batch = or_default(params->batch, DLM_BENCH_BATCH),
        .repeat = or_default(params->repeat, DLM_BENCH_REPEAT),
        .shape = params->shape,
        .layers = params->layers,
        .explain = params->explain,
        .plan_only = params->plan_only,
        .result = result,
    };
    enum dlm_status st;

    *result = (struct dlm_bench_result){0};
    DLM_REQUIRE(ctx, !params->base != !params->shape);
    DLM_REQUIRE(ctx, b.prompt_tokens > 0 && b.decode_tokens > 0 && b.batch > 0 && b.repeat > 0);
    if (b.explain && !b.plan_only) {
        struct dlm_device_info device;
        st = dlm_bench_limits(ctx, &params->compute, &device, &result->limits);
        if (st)
            goto done;
    }
    st = open_all(&b, params);
    if (!st)
        st = describe(&b, params);
    if (!st)
        st = make_inputs(&b);
    if (!st)
        st = make_plans(&b);
    if (!st)
        st = reserve(&b);
    if (!st && !b.plan_only && b.num_images)
        st = bench_vision(&b);
    if (!st && !b.plan_only)
        st = bench_decoder(&b);
    if (!st) {
        result->peak_device_bytes = dlm_device_peak_bytes(b.s->device);
        struct dlm_host_process process;
        dlm_host_read_process(&process);
        result->peak_host_bytes = process.peak_bytes;
    }
done:
    finish(&b);
    return st;
}

void dlm_bench_result_finish(struct dlm_bench_result *result)
{
    struct dlm_bench_part *parts[] = {&result->vision, &result->prefill, &result->decode,
                                      &result->train_step};

    for (size_t i = 0; i < DLM_ARRAY_LEN(parts); i++)
        dlm_free(parts[i]->ops);
    dlm_free(result->model);
    dlm_free(result->device);
    dlm_free(result->base_form);
    *result = (struct dlm_bench_result){0};
}
