/* Prompting: prefill, then token after token until the end token. */
#include "dlm/prompt.h"

#include "api/knobs.h"
#include "api/session_impl.h"
#include "base/log.h"
#include "generate/generator.h"

struct prompt {
    struct dlm_session *s;
    const struct dlm_prompt_request *how;
    const struct dlm_asked *asked;
    int64_t max_tokens;
    struct dlm_generator *generator;
    struct dlm_vision vision;
    struct dlm_workspace workspace;
    struct dlm_request request;
    struct dlm_input input;
    float **features; /* [num_images] */
};

static void finish(struct prompt *x)
{
    dlm_generator_destroy(&x->generator);
    dlm_vision_finish(&x->vision);
    dlm_workspace_finish(&x->workspace);
    for (size_t i = 0; x->features && i < x->request.num_images; i++)
        dlm_free(x->features[i]);
    dlm_free(x->features);
    dlm_input_finish(&x->input);
    dlm_request_finish(&x->request);
}

/* The conversation in tokens. */
static enum dlm_status make_input(struct prompt *x)
{
    struct dlm_session *s = x->s;

    enum dlm_status st = dlm_request_init(&x->request, s->model, x->asked);
    if (!st && dlm_request_end(&x->request) != DLM_TURN_USER)
        st = dlm_fail(s->ctx, DLM_ERR_USAGE, "a prompt ends with a user's message");
    if (!st && !x->request.num_images && s->base.modality == DLM_MODALITY_VISION_LANGUAGE)
        dlm_log(s->ctx, DLM_LOG_WARNING, "no image is given; '%s' answers about images",
                s->base.key);
    return st ? st : dlm_request_encode(s->ctx, &x->request, s->tok, &x->input);
}

static enum dlm_status make_plans(struct prompt *x, struct dlm_budget *budget)
{
    const bool sees = x->request.num_images > 0;
    struct dlm_held_images held = {0};
    struct dlm_session *s = x->s;
    const struct dlm_generator_params params = {
        .prompt_len = (int64_t)x->input.ids.len,
        .max_tokens = x->max_tokens,
        .room = x->request.room,
    };

    enum dlm_status st =
        dlm_generator_create(s->ctx, &x->generator, s->model, s->lora, &params);
    if (!st && sees)
        st = dlm_vision_init(&x->vision, s->model, s->lora, x->request.patches);
    if (!st)
        dlm_session_add_answer(s, x->generator, sees ? &x->vision : NULL, budget);
    for (size_t i = 0; !st && i < x->request.num_images; i++)
        dlm_held_images_add(&held, s->model, &x->request.plans[i], false);
    if (!st)
        dlm_budget_add_images(budget, &held, UINT64_MAX);
    return st;
}

/* What the same answer takes with other settings, for struct dlm_knobs. */
static uint64_t measure(void *user, const struct dlm_setting *with)
{
    const struct prompt *x = user;
    struct prompt other = {
        .s = x->s, .how = x->how, .asked = x->asked, .max_tokens = with->max_tokens};
    struct dlm_budget budget = {0};

    enum dlm_status st = make_input(&other);
    if (!st)
        st = make_plans(&other, &budget);
    finish(&other);
    return st ? 0 : dlm_budget_total(&budget);
}

static enum dlm_status check_budget(struct prompt *x, const struct dlm_budget *budget)
{
    struct dlm_session *s = x->s;
    const struct dlm_knobs knobs = {
        .s = s, .has_images = x->request.num_images > 0,
        .now = {.batch = 1, .grad_accum = 1, .checkpoint = true, .max_tokens = x->max_tokens},
        .measure = measure, .user = x};

    if (!s->is_asking_itself)
        dlm_budget_say(s->ctx, budget);
    enum dlm_status st = dlm_budget_check(s->ctx, budget, s->device);
    if (st)
        dlm_knobs_say(&knobs);
    return st;
}

static enum dlm_status reserve(struct prompt *x)
{
    struct dlm_budget budget = {0};
    struct dlm_plan *plans[3] = {NULL};

    enum dlm_status st = make_plans(x, &budget);
    if (!st)
        st = check_budget(x, &budget);
    if (st)
        return st;
    dlm_generator_plans(x->generator, plans);
    plans[2] = x->vision.largest.plan;
    st = dlm_workspace_init(&x->workspace, x->s->device, plans, DLM_ARRAY_LEN(plans));
    x->workspace.watch = x->s->watch;
    return st;
}

static enum dlm_status see_images(struct prompt *x)
{
    struct dlm_session *s = x->s;

    x->features = dlm_alloc_array(s->ctx, x->request.num_images + 1, sizeof(*x->features));
    enum dlm_status st = x->features ? DLM_OK : DLM_ERR_MEMORY;
    if (!st && x->request.num_images)
        st = dlm_vision_prepare(&x->vision, &x->workspace);
    for (size_t i = 0; !st && i < x->request.num_images; i++) {
        const struct dlm_image_plan *plan = &x->request.plans[i];
        float *pixels = NULL;
        st = dlm_session_pixels(s, x->request.images[i], plan, &pixels);
        if (!st)
            st = dlm_session_see(s, &x->vision, plan, pixels, &x->features[i]);
        dlm_free(pixels);
    }
    return st;
}

/* Gives the text that became certain to the caller and empties it. */
static void emit(const struct dlm_prompt_request *how, struct dlm_str *text)
{
    if (text->len && how->text)
        how->text(how->user, text->data, text->len);
    text->len = 0;
}

/* What the call asks for, the rest as the base says. */
static struct dlm_sampling choose_sampling(const struct prompt *x)
{
    const struct dlm_prompt_request *p = x->how;
    const struct dlm_sampling_config *base = &x->s->model->sampling;
    const double temperature = p->has_temperature ? p->temperature
                               : base->samples    ? base->temperature
                                                  : p->has_top_p;
    const double top_p = p->has_top_p ? p->top_p : base->samples ? base->top_p : 1;
    const char *from = p->has_temperature || p->has_top_p ? "as asked"
                       : base->samples ? "as the base's generation_config.json says"
                                       : "the base does not ask for sampling";

    if (base->left_out[0] && !p->has_temperature)
        dlm_log(x->s->ctx, DLM_LOG_WARNING, "the base's generation_config.json asks for %s, which "
                "is left out", base->left_out);
    if (temperature > 0)
        dlm_log(x->s->ctx, DLM_LOG_DEBUG, "answer: sampled, temperature %g, top-p %g, seed %lld "
                "(%s)", temperature, top_p, (long long)p->seed, from);
    else
        dlm_log(x->s->ctx, DLM_LOG_DEBUG, "answer: the likeliest tokens (%s)", from);
    return (struct dlm_sampling){
        .temperature = (float)temperature, .top_p = (float)top_p, .seed = (uint64_t)p->seed};
}

static enum dlm_status generate(struct prompt *x)
{
    const struct dlm_prompt_request *p = x->how;
    struct dlm_ctx *ctx = x->s->ctx;
    struct dlm_token_stream stream = {0};
    struct dlm_str text = {0};
    const struct dlm_sampling sampling = choose_sampling(x);
    struct dlm_example prompt = dlm_input_example(&x->input);
    int32_t token = 0;

    prompt.num_images = (int64_t)x->request.num_images;
    prompt.plans = x->request.plans;
    prompt.features = (const float *const *)x->features;
    enum dlm_status st = dlm_token_stream_init(ctx, &stream, x->s->tok, true);
    if (!st)
        st = dlm_generator_prefill(x->generator, &prompt, &sampling, &token);
    for (int64_t n = 1; !st && !dlm_model_is_stop(x->s->model, token); n++) {
        st = dlm_token_stream_push(ctx, &stream, token, &text);
        if (!st)
            emit(p, &text);
        if (!st && dlm_ctx_is_cancelled(ctx))
            st = dlm_fail(ctx, DLM_ERR_CANCELLED, "interrupted");
        if (st || n >= x->max_tokens)
            break;
        st = dlm_generator_next(x->generator, &token);
    }
    if (!st)
        st = dlm_token_stream_flush(ctx, &stream, &text);
    if (!st)
        emit(p, &text);
    dlm_token_stream_finish(&stream);
    dlm_str_finish(&text);
    return st;
}

enum dlm_status dlm_session_answer(struct dlm_session *s, const struct dlm_asked *asked,
                                   const struct dlm_prompt_request *request)
{
    struct prompt x = {
        .s = s, .how = request, .asked = asked,
        .max_tokens = request->max_tokens > 0 ? request->max_tokens : DLM_PROMPT_MAX_TOKENS};

    enum dlm_status st = make_input(&x);
    if (!st)
        st = reserve(&x);
    if (!st)
        st = dlm_session_load(s, s->lora, x.request.num_images, DLM_LORA_VALUES);
    if (!st)
        st = see_images(&x);
    if (!st)
        st = dlm_generator_prepare(x.generator, &x.workspace);
    if (!st)
        st = generate(&x);
    finish(&x);
    return st;
}

enum dlm_status dlm_session_prompt(struct dlm_session *session,
                                   const struct dlm_prompt_request *request)
{
    const struct dlm_asked asked = {
        .system = dlm_session_system(session, request->system, request->messages,
                                     request->num_messages),
        .messages = request->messages,
        .num_messages = request->num_messages,
        .images = request->images,
        .num_images = request->num_images,
        .words = request->query,
    };
    enum dlm_status st;

    DLM_REQUIRE(session->ctx, !request->query == !!request->messages);
    DLM_REQUIRE(session->ctx, !(request->messages && request->num_images));
    st = dlm_session_answer(session, &asked, request);
done:
    return st;
}

enum dlm_status dlm_prompt(struct dlm_ctx *ctx, const struct dlm_session_params *from,
                           const struct dlm_prompt_request *request)
{
    struct dlm_session *s = NULL;

    enum dlm_status st = dlm_session_open(ctx, &s, from);
    if (!st)
        st = dlm_session_prompt(s, request);
    dlm_session_close(&s);
    return st;
}
