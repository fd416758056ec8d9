/* Every allocation of opening a model, scoring, training and generating on the CPU fails once: each
 * failure is reported, and nothing leaks or breaks (the sanitizers see to that). */
#include "countdown.h"
#include "tests/train/fixture.h"
#include "train/trainer.h"

#define MAX_ALLOCATIONS 200000

/* Everything one round makes; all zero is nothing. */
struct round {
    struct dlm_ctx *ctx;
    struct dlm_device *device;
    struct dlm_adapter *adapter;
    struct dlm_model *model;
    struct dlm_lora *lora;
    struct dlm_pass *pass;
    struct dlm_generator *generator;
    struct dlm_trainer *trainer;
    struct dlm_train_data data;
    struct dlm_workspace workspace;
};

static int32_t ids[] = {2, 30, 31, 32, 33, 34, 35, 36, 37, 38, 1};
#define NUM_IDS ((int64_t)(sizeof(ids) / sizeof(ids[0])))

static void finish(struct round *r)
{
    dlm_trainer_destroy(&r->trainer);
    dlm_generator_destroy(&r->generator);
    dlm_pass_destroy(&r->pass);
    dlm_workspace_finish(&r->workspace);
    dlm_train_data_finish(&r->data);
    dlm_lora_destroy(&r->lora);
    dlm_model_destroy(&r->model);
    dlm_adapter_destroy(&r->adapter);
    dlm_device_destroy(&r->device);
}

static enum dlm_status open_all(struct round *r, enum dlm_lora_use use)
{
    const struct fixture names = {.params = {.name = "f32_old"}};
    const struct dlm_device_params device = {.kind = DLM_BACKEND_CPU, .index = -1};

    enum dlm_status st = dlm_device_open(r->ctx, &r->device, &device);
    if (!st)
        st = dlm_model_open(r->ctx, &r->model, r->device, fixture_path(&names, "base"),
                            DLM_DTYPE_BF16, NULL);
    if (!st)
        st = dlm_adapter_open(r->ctx, &r->adapter, fixture_path(&names, "adapter"),
                              &r->model->family->names);
    if (!st)
        st = dlm_model_read_lora(r->model, &r->lora, r->adapter);
    if (!st)
        st = dlm_weights_load(r->model->weights, DLM_WEIGHT_GROUP_DECODER);
    return st ? st : dlm_lora_upload(r->lora, r->device, use);
}

static enum dlm_status score(struct round *r)
{
    const struct dlm_pass_params params = {.batch = 1, .tokens = NUM_IDS, .labels = 5,
                                           .backward = true, .checkpoint = true, .dropout = true};
    const struct dlm_example example = {.ids = ids, .is_label = fixture_labels(NUM_IDS - 5),
                                        .len = NUM_IDS, .bidirectional_len = NUM_IDS - 5};
    const struct dlm_pass_step step = {.examples = &example, .num = 1, .weight = 1};
    float logprobs[5];

    enum dlm_status st = open_all(r, DLM_LORA_MOMENTS);
    if (!st)
        st = dlm_pass_create(r->ctx, &r->pass, r->model, r->lora, &params);
    if (!st)
        st = dlm_workspace_init(&r->workspace, r->device, &r->pass->plan, 1);
    if (!st)
        st = dlm_pass_prepare(r->pass, &r->workspace);
    if (!st)
        st = dlm_pass_run(r->pass, &step);
    return st ? st : dlm_pass_logprobs(r->pass, logprobs, 5);
}

static enum dlm_status generate(struct round *r)
{
    const struct dlm_generator_params params = {.prompt_len = NUM_IDS, .max_tokens = 3};
    const struct dlm_example prompt = {.ids = ids, .len = NUM_IDS, .bidirectional_len = NUM_IDS};
    const struct dlm_sampling sampling = {.temperature = 1, .top_p = 0.9f};
    struct dlm_plan *plans[2];
    int32_t token;

    enum dlm_status st = open_all(r, DLM_LORA_VALUES);
    if (!st)
        st = dlm_generator_create(r->ctx, &r->generator, r->model, r->lora, &params);
    if (!st) {
        dlm_generator_plans(r->generator, plans);
        st = dlm_workspace_init(&r->workspace, r->device, plans, 2);
    }
    if (!st)
        st = dlm_generator_prepare(r->generator, &r->workspace);
    if (!st)
        st = dlm_generator_prefill(r->generator, &prompt, &sampling, &token);
    return st ? st : dlm_generator_next(r->generator, &token);
}

static enum dlm_status make_data(struct round *r)
{
    struct dlm_train_data *d = &r->data;

    *d = (struct dlm_train_data){.ctx = r->ctx, .model = r->model};
    d->train = dlm_alloc_array(r->ctx, 2, sizeof(*d->train));
    while (d->train && d->num_train < 2) {
        struct dlm_train_example *e = &d->train[d->num_train++];
        *e = (struct dlm_train_example){.input.bidirectional_len = 4, .num_labels = NUM_IDS - 4};
        e->input.ids.ids = dlm_alloc(r->ctx, sizeof(ids));
        e->input.is_label = dlm_alloc(r->ctx, (size_t)NUM_IDS);
        if (!e->input.ids.ids || !e->input.is_label)
            return DLM_ERR_MEMORY;
        memcpy(e->input.ids.ids, ids, sizeof(ids));
        memcpy(e->input.is_label, fixture_labels(4), (size_t)NUM_IDS);
        e->input.ids.len = (size_t)NUM_IDS;
    }
    return d->train ? DLM_OK : DLM_ERR_MEMORY;
}

static enum dlm_status train(struct round *r)
{
    const struct dlm_trainer_params params = {.epochs = 1, .grad_accum = 1, .lr = 1e-3};
    struct dlm_trainer_step done;

    enum dlm_status st = open_all(r, DLM_LORA_MOMENTS);
    if (!st)
        st = make_data(r);
    if (!st)
        st = dlm_trainer_create(r->ctx, &r->trainer, &r->data, r->lora, NULL, &params);
    if (!st)
        st = dlm_trainer_prepare(r->trainer);
    return st ? st : dlm_trainer_run(r->trainer, 1, &done);
}

/* Fails allocation 0, 1, 2, ... (in growing strides where there are many) until none is left. */
static void fail_each(const char *name, enum dlm_status (*call)(struct round *r))
{
    long rounds = 0;

    check_case(name);
    for (long n = 0; n < MAX_ALLOCATIONS; n += 1 + n / 256, rounds++) {
        struct countdown countdown = {.left = n};
        struct round r = {.ctx = dlm_ctx_create(&(struct dlm_ctx_params){
                              .alloc_hook = allow, .alloc_user = &countdown, .num_threads = 1})};
        enum dlm_status st = r.ctx ? call(&r) : DLM_ERR_MEMORY;
        const bool says_memory =
            !r.ctx || !strncmp(dlm_ctx_last_error(r.ctx), "out of memory", 13);
        if (r.ctx)
            finish(&r);
        dlm_ctx_destroy(&r.ctx);
        if (!countdown.is_over) {
            printf("# %s: fewer than %ld allocations, %ld of them failed\n", name, n, rounds);
            CHECK_INT(st, DLM_OK);
            CHECK(n > 100);
            return;
        }
        if (!CHECK(st && says_memory)) {
            printf("     allocation %ld: status %d\n", n, (int)st);
            return;
        }
    }
    CHECK(!"it ends");
}

int main(void)
{
    fail_each("score with gradients", score);
    fail_each("generate", generate);
    fail_each("train a step", train);
    return check_summary();
}
