/* Scoring: log-probabilities of a target, gradients of the adapter. */
#include "dlm/score.h"

#include <math.h>

#include "api/knobs.h"
#include "api/session_impl.h"
#include "base/log.h"
#include "models/pass.h"

struct score {
    struct dlm_session *s;
    const struct dlm_score_request *asked;
    const struct dlm_row *row; /* a document's, instead of what is asked; or NULL */
    uint64_t lacking;          /* what the row needs of a device that has less; else 0 */
    struct dlm_pass *pass;
    struct dlm_vision vision;
    bool has_vision; /* features come from it; else the pass has the tower, or there is no image */
    struct dlm_workspace workspace;
    struct dlm_request request;
    struct dlm_input input;
    float **pixels, **features; /* [num_images] */
    bool with_tower;            /* the tower has adapters, and their gradient is wanted */
};

static void finish(struct score *x)
{
    dlm_pass_destroy(&x->pass);
    dlm_vision_finish(&x->vision);
    dlm_workspace_finish(&x->workspace);
    for (size_t i = 0; i < x->request.num_images; i++) {
        if (x->pixels)
            dlm_free(x->pixels[i]);
        if (x->features)
            dlm_free(x->features[i]);
    }
    dlm_free(x->pixels);
    dlm_free(x->features);
    dlm_input_finish(&x->input);
    dlm_request_finish(&x->request);
    if (x->s->lora)
        dlm_lora_keep_values(x->s->lora);
}

static enum dlm_status make_input(struct score *x)
{
    const struct dlm_score_request *p = x->asked;
    const struct dlm_asked asked = {
        .system = dlm_session_system(x->s, p->system, p->messages, p->num_messages),
        .messages = p->messages,
        .num_messages = p->num_messages,
        .images = p->images,
        .num_images = p->num_images,
        .words = p->prompt,
        .target = p->target,
    };
    struct dlm_ctx *ctx = x->s->ctx;

    enum dlm_status st = x->row ? dlm_request_init_row(&x->request, x->s->model, x->row)
                                : dlm_request_init(&x->request, x->s->model, &asked);
    if (!st && !x->row && dlm_request_end(&x->request) != DLM_TURN_ASSISTANT)
        st = dlm_fail(ctx, DLM_ERR_USAGE, "what is scored is an answer: the last message is not "
                      "the assistant's, and there is no target");
    if (!st)
        st = dlm_request_encode(ctx, &x->request, x->s->tok, &x->input);
    return st;
}

static enum dlm_status read_images(struct score *x)
{
    const size_t num = x->request.num_images;

    x->pixels = dlm_alloc_array(x->s->ctx, num + 1, sizeof(*x->pixels));
    x->features = dlm_alloc_array(x->s->ctx, num + 1, sizeof(*x->features));
    enum dlm_status st = x->pixels && x->features ? DLM_OK : DLM_ERR_MEMORY;
    for (size_t i = 0; !st && i < num; i++)
        st = dlm_session_pixels(x->s, x->request.images[i], &x->request.plans[i], &x->pixels[i]);
    return st;
}

/* Gradients are asked for, never applied. */
static enum dlm_lora_use lora_use(const struct score *x)
{
    return x->asked->gradients ? DLM_LORA_GRADIENTS : DLM_LORA_VALUES;
}

static enum dlm_status make_plans(struct score *x, struct dlm_budget *budget)
{
    struct dlm_session *s = x->s;
    const bool images = x->request.num_images > 0;

    x->with_tower = images && x->asked->gradients && s->lora &&
                    dlm_model_trains_tower(s->model, s->lora);
    x->has_vision = images && !x->with_tower;
    const struct dlm_pass_params params = {
        .batch = 1,
        .tokens = (int64_t)x->input.ids.len,
        .labels = dlm_count_labels(x->input.is_label, (int64_t)x->input.ids.len),
        .room = x->request.room,
        .backward = x->asked->gradients != NULL,
        .with_tower = x->with_tower,
    };
    enum dlm_status st = dlm_pass_create(s->ctx, &x->pass, s->model, s->lora, &params);
    if (!st && x->has_vision)
        st = dlm_vision_init(&x->vision, s->model, s->lora, x->request.patches);
    if (st)
        return st;
    dlm_session_add_to_budget(s, s->lora, images, lora_use(x), budget);
    dlm_budget_add_slots(budget, &x->pass->slots);
    dlm_budget_add_workspace(budget, &x->pass->plan, 1);
    dlm_budget_add_vision(budget, &x->vision, &x->pass->plan, 1);
    return DLM_OK;
}

/* What the same call takes with other settings, for struct dlm_knobs. */
static uint64_t measure(void *user, const struct dlm_setting *with)
{
    const struct score *x = user;
    struct score other = {.s = x->s, .asked = x->asked};
    struct dlm_budget budget = {0};

    (void)with; /* of which only the model's is this command's */
    enum dlm_status st = make_input(&other);
    if (!st)
        st = make_plans(&other, &budget);
    finish(&other);
    return st ? 0 : dlm_budget_total(&budget);
}

/* The caller says what is lacking, in its own words. */
static enum dlm_status check_row_budget(struct score *x, const struct dlm_budget *budget)
{
    const uint64_t room = dlm_budget_room(x->s->device), total = dlm_budget_total(budget);

    x->lacking = room && total > room ? total : 0;
    return x->lacking ? DLM_ERR_MEMORY : DLM_OK;
}

static enum dlm_status check_budget(struct score *x, const struct dlm_budget *budget)
{
    const struct dlm_knobs knobs = {.s = x->s, .has_images = x->request.num_images > 0,
                                    .now = {.batch = 1, .grad_accum = 1, .checkpoint = true},
                                    .measure = measure, .user = x};

    dlm_budget_say(x->s->ctx, budget);
    enum dlm_status st = dlm_budget_check(x->s->ctx, budget, x->s->device);
    if (st)
        dlm_knobs_say(&knobs);
    return st;
}

static enum dlm_status prepare(struct score *x)
{
    struct dlm_session *s = x->s;
    struct dlm_budget budget = {0};

    enum dlm_status st = make_plans(x, &budget);
    if (!st)
        st = x->row ? check_row_budget(x, &budget) : check_budget(x, &budget);
    if (!st)
        st = read_images(x);
    struct dlm_plan *plans[] = {x->pass ? x->pass->plan : NULL, x->vision.largest.plan};
    if (!st)
        st = dlm_workspace_init(&x->workspace, s->device, plans, DLM_ARRAY_LEN(plans));
    if (!st)
        st = dlm_session_load(s, s->lora, x->request.num_images > 0, lora_use(x));
    if (!st && x->has_vision)
        st = dlm_vision_prepare(&x->vision, &x->workspace);
    for (size_t i = 0; !st && x->has_vision && i < x->request.num_images; i++)
        st = dlm_session_see(s, &x->vision, &x->request.plans[i], x->pixels[i], &x->features[i]);
    return st ? st : dlm_pass_prepare(x->pass, &x->workspace);
}

static enum dlm_status write_gradients(struct score *x)
{
    struct dlm_lora *lora = x->s->lora;
    struct dlm_ctx *ctx = x->s->ctx;
    struct dlm_tensor_out *list = dlm_alloc_array(ctx, 2 * lora->num, sizeof(*list));
    float *grads = dlm_alloc_array(ctx, (size_t)lora->len, sizeof(*grads));
    enum dlm_status st = list && grads ? dlm_lora_download(lora, &lora->grads, grads)
                                       : DLM_ERR_MEMORY;

    if (!st && !dlm_f32_is_finite(grads, (size_t)lora->len))
        st = dlm_fail(ctx, DLM_ERR_INVALID, "the gradients are not finite");
    for (size_t i = 0; !st && i < lora->num; i++) {
        const struct dlm_lora_module *m = lora->modules[i];
        for (int k = 0; k < 2; k++) {
            const int64_t rows = k ? m->out : m->r, cols = k ? m->r : m->in;
            char *name =
                dlm_strf(ctx, "base_model.model.%s.lora_%c.weight", m->path, k ? 'B' : 'A');
            list[2 * i + (size_t)k] = (struct dlm_tensor_out){
                .name = name, .dtype = DLM_DTYPE_F32, .ndim = 2, .shape = {rows, cols},
                .data = grads + (k ? m->b_at : m->a_at), .bytes = (size_t)(rows * cols) * 4};
            if (!name)
                st = DLM_ERR_MEMORY;
        }
    }
    if (!st)
        st = dlm_safetensors_write(ctx, x->asked->gradients, list, 2 * lora->num, NULL, 0);
    for (size_t i = 0; list && i < 2 * lora->num; i++)
        dlm_free((char *)(uintptr_t)list[i].name);
    dlm_free(list);
    dlm_free(grads);
    return st;
}

static enum dlm_status run(struct score *x, struct dlm_score_result *result)
{
    const int64_t num = x->pass->params.labels;
    struct dlm_example example = dlm_input_example(&x->input);
    struct dlm_pass_step step = {.examples = &example, .num = 1, .weight = 1.0f / (float)num};
    float *logprobs = dlm_alloc_array(x->s->ctx, (size_t)num, sizeof(*logprobs));

    example.num_images = (int64_t)x->request.num_images;
    example.plans = x->request.plans;
    example.features = (const float *const *)x->features;
    example.pixels = (const float *const *)x->pixels;
    enum dlm_status st = logprobs ? dlm_pass_run(x->pass, &step) : DLM_ERR_MEMORY;

    if (!st)
        st = dlm_pass_logprobs(x->pass, logprobs, num);
    for (int64_t i = 0; !st && i < num; i++)
        if (!isfinite(logprobs[i]))
            st = dlm_fail(x->s->ctx, DLM_ERR_INVALID,
                          "the loss is not finite: token %lld of the target has the log "
                          "probability %g", (long long)i + 1, (double)logprobs[i]);
    if (!st && x->asked->gradients)
        st = write_gradients(x);
    result->ids = dlm_alloc_array(x->s->ctx, (size_t)num, sizeof(*result->ids));
    result->logprobs = dlm_alloc_array(x->s->ctx, (size_t)num, sizeof(*result->logprobs));
    if (!st && (!result->ids || !result->logprobs))
        st = DLM_ERR_MEMORY;
    for (int64_t i = 0, t = 0; !st && i < num; i++, t++) {
        while (!example.is_label[t])
            t++;
        result->ids[i] = example.ids[t];
        result->logprobs[i] = logprobs[i];
        result->loss -= logprobs[i] / (double)num;
    }
    result->len = st ? 0 : (size_t)num;
    dlm_free(logprobs);
    return st;
}

enum dlm_status dlm_session_score(struct dlm_session *session,
                                  const struct dlm_score_request *request,
                                  struct dlm_score_result *result)
{
    struct score x = {.s = session, .asked = request};
    enum dlm_status st;

    *result = (struct dlm_score_result){0};
    DLM_REQUIRE(session->ctx, !request->prompt == !!request->messages);
    DLM_REQUIRE(session->ctx, request->messages ? !request->num_images : request->target != NULL);
    st = DLM_OK;
    if (request->gradients && !session->lora)
        st = dlm_fail(session->ctx, DLM_ERR_USAGE, "gradients need an adapter: give --adapter");
    if (!st)
        st = make_input(&x);
    if (!st)
        st = prepare(&x);
    if (!st)
        st = run(&x, result);
done:
    finish(&x);
    return st;
}

enum dlm_status dlm_session_score_row(struct dlm_session *s, const struct dlm_row *row,
                                      struct dlm_score_result *result, uint64_t *lacking)
{
    static const struct dlm_score_request nothing;
    struct score x = {.s = s, .asked = &nothing, .row = row};

    *result = (struct dlm_score_result){0};
    enum dlm_status st = make_input(&x);
    if (!st)
        st = prepare(&x);
    if (!st)
        st = run(&x, result);
    *lacking = x.lacking;
    finish(&x);
    return x.lacking ? DLM_OK : st;
}

enum dlm_status dlm_score(struct dlm_ctx *ctx, const struct dlm_session_params *from,
                          const struct dlm_score_request *request,
                          struct dlm_score_result *result)
{
    struct dlm_session *s = NULL;

    *result = (struct dlm_score_result){0};
    enum dlm_status st = dlm_session_open(ctx, &s, from);
    if (!st)
        st = dlm_session_score(s, request, result);
    dlm_session_close(&s);
    return st;
}

void dlm_score_result_finish(struct dlm_score_result *result)
{
    dlm_free(result->ids);
    dlm_free(result->logprobs);
    *result = (struct dlm_score_result){0};
}
