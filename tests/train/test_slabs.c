/* A device whose largest buffer is too small for the weights: embedding, head and MLP are split
 * into slabs of rows, wide activations come in tiles of rows; and rows of logits that come a few
 * at a time. Nothing but the last bits may show it. */
#include "tests/train/fixture.h"

#define NUM_TOKENS 12
#define TOLERANCE 1e-5

struct result {
    float logprobs[64], *grads;
    size_t len; /* of grads */
    int32_t tokens[NUM_TOKENS];
};

static const struct split {
    const char *what, *name, *adapter;
    size_t max_alloc_bytes; /* without `tokens` at least the embedding does not fit; 0: no limit */
    bool no_tower;          /* text only */
    bool has_mlp;           /* weights of the MLP do not fit either */
    int64_t tokens;         /* of a pass; 0: what the rows need, and activations fit */
    int64_t loss_rows;      /* of 6 labels; 0: all */
} splits[] = {
    {"f32 in slabs", "f32_old", "adapter", 38 << 10, true, true, 0},
    {"f16 in slabs", "f16_patch7", "adapter", 64 << 10, true, false, 0},
    {"with images", "bf16_new", "adapter_wide", 104 << 10, false, false, 0},
    {"wide activations in tiles", "f32_old", "adapter_wide", 112 << 10, true, false, 160},
    {.what = "logits in tiles", .name = "bf16_new", .adapter = "adapter", .loss_rows = 4},
};

/* Weights that are split where some should be, so that a test that splits nothing is seen. */
static void check_slabs(const struct fixture *f, const struct split *split)
{
    const struct dlm_decoder *d = &f->model->decoder;
    const struct dlm_weight *fc1 =
        dlm_model_find_linear(f->model, "model.vision_tower.encoder.layers.0.mlp.fc1")->weight;

    printf("# %s %s: embedding in %d slabs, gate|up in %d, down_proj in %d, fc1 in %d\n",
           dlm_backend_name(f->params.backend), f->params.name, d->embed->num_slabs,
           d->blocks[0].gate.weight->num_slabs, d->blocks[0].down.weight->num_slabs,
           fc1->num_slabs);
    CHECK(d->embed->num_slabs > 1 || split->tokens);
    CHECK(d->blocks[0].gate.weight->num_slabs > 1 || !split->has_mlp);
    CHECK((d->blocks[0].down.weight->num_slabs > 1) == split->has_mlp);
    for (size_t i = 0; i < f->model->weights->num; i++) {
        const struct dlm_weight *w = f->model->weights->list[i];
        for (int s = 0; s < w->num_slabs; s++)
            if (w->slabs[s].storage.buffer)
                CHECK(dlm_buffer_bytes(w->slabs[s].storage.buffer) <= f->params.max_alloc_bytes);
    }
}

/* What the MLP of a block makes in between would not fit for so many tokens. */
static void check_tiles(const struct fixture *f, int64_t tokens)
{
    const size_t width = 2 * (size_t)f->model->decoder.config.block.intermediate; /* gate|up */

    CHECK((size_t)tokens * width * sizeof(float) > f->params.max_alloc_bytes);
}

/* The loss takes as many products and sums as the labels make tiles. */
static void check_loss(struct fixture *f, const struct dlm_pass_params *params, int64_t loss_rows)
{
    struct dlm_pass_params tiled = *params;
    struct dlm_pass *pass = NULL;
    int64_t num = 0;

    tiled.loss_rows = loss_rows;
    if (CHECK(!dlm_pass_create(f->ctx, &pass, f->model, f->lora, &tiled)))
        for (size_t i = 0; i < pass->graph->num_nodes; i++)
            num += pass->graph->nodes[i]->op == &dlm_op_cross_entropy;
    CHECK_INT(num, (params->labels + loss_rows - 1) / loss_rows);
    dlm_pass_destroy(&pass);
}

/* is_split: as s says; else whole. */
static bool compute(const struct fixture_params *params, const struct split *s, bool is_split,
                    struct result *r)
{
    struct fixture f;

    *r = (struct result){.grads = NULL};
    bool ok = fixture_open(&f, params);
    if (ok) {
        struct dlm_example list[] = {fixture_example(&f, 1, 6), fixture_example(&f, 2, 6)};
        const struct dlm_example *one = list + params->no_tower; /* with an image, or text */
        struct dlm_pass_params pass = fixture_pass_params(&f, one, 1);
        const struct dlm_pass_step step = {.examples = one, .num = 1, .weight = 0.1f};
        pass.backward = pass.checkpoint = true;
        if (params->max_alloc_bytes)
            check_slabs(&f, s);
        if (params->max_alloc_bytes && s->tokens)
            check_tiles(&f, s->tokens);
        if (is_split && s->loss_rows)
            check_loss(&f, &pass, s->loss_rows);
        pass.loss_rows = is_split ? s->loss_rows : 0;
        if (s->tokens) {
            pass.tokens = s->tokens;
            pass.dropout = true;
            f.lora->params.dropout = 0.3f;
        }
        ok = fixture_clear_grads(&f) &&
             fixture_run(&f, &pass, &step, false, r->logprobs, NULL) &&
             fixture_generate(&f, one, 1, 0, &(struct dlm_sampling){0}, NUM_TOKENS,
                              (int32_t *[]){r->tokens});
        r->grads = ok ? fixture_grads(&f) : NULL;
        r->len = (size_t)f.lora->len;
    }
    fixture_close(&f);
    return r->grads != NULL;
}

static void run_split(enum dlm_backend_kind backend, const struct split *s)
{
    struct fixture_params params = {.backend = backend, .name = s->name, .adapter = s->adapter,
                                    .for_training = true, .no_tower = s->no_tower};
    struct result whole, parts;

    fixture_case(backend, s->name, s->what);
    bool ok = compute(&params, s, false, &whole);
    params.max_alloc_bytes = s->max_alloc_bytes;
    if (compute(&params, s, true, &parts) && ok) {
        const double logprob = largest_difference(parts.logprobs, whole.logprobs, 6);
        const double grad = relative_difference(parts.grads, whole.grads, whole.len);
        if (!CHECK(logprob <= TOLERANCE) || !CHECK(grad <= TOLERANCE))
            printf("     log-probabilities differ by %.3g, gradients by %.3g\n", logprob, grad);
        CHECK(!memcmp(parts.tokens, whole.tokens, sizeof(whole.tokens)));
    }
    free(whole.grads);
    free(parts.grads);
}

/* What cannot be split is refused by name: one row of a weight, a vector, an activation. */
static void run_refused(enum dlm_backend_kind backend)
{
    static const struct {
        size_t max_alloc_bytes;
        const char *says;
    } rows[] = {
        {8 << 10, "does not fit the largest buffer of device"}, /* 16 rows of patches: 18 KB */
        {20 << 10, NULL},                                       /* an activation */
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fixture f = {.params = {.name = "bf16_new"}};
        struct dlm_ctx *ctx = dlm_ctx_create(&(struct dlm_ctx_params){.num_threads = 1});
        const struct dlm_device_params params = {.kind = backend, .index = -1,
                                                 .cache_dir = getenv("DLM_TEST_KERNEL_CACHE"),
                                                 .max_alloc_bytes = rows[i].max_alloc_bytes};
        struct dlm_device *device = NULL;
        struct dlm_model *model = NULL;
        struct dlm_pass *pass = NULL;
        fixture_case(backend, f.params.name, "refused");
        if (CHECK(!dlm_device_open(ctx, &device, &params))) {
            const struct dlm_pass_params pass_params = {.batch = 4, .tokens = 64, .labels = 8};
            enum dlm_status st =
                dlm_model_open(ctx, &model, device, fixture_path(&f, "base"), DLM_DTYPE_F32, NULL);
            CHECK((st == DLM_OK) == !rows[i].says);
            if (!st)
                st = dlm_pass_create(ctx, &pass, model, NULL, &pass_params);
            CHECK_INT(st, DLM_ERR_UNSUPPORTED);
            printf("# %s\n", dlm_ctx_last_error(ctx));
            CHECK(strstr(dlm_ctx_last_error(ctx), rows[i].says ? rows[i].says : "a tensor of"));
        }
        dlm_pass_destroy(&pass);
        dlm_model_destroy(&model);
        dlm_device_destroy(&device);
        dlm_ctx_destroy(&ctx);
    }
}

static void run_backend(enum dlm_backend_kind backend)
{
    for (size_t i = 0; i < sizeof(splits) / sizeof(splits[0]); i++)
        run_split(backend, &splits[i]);
    run_refused(backend);
}

int main(void)
{
    for_each_backend(run_backend);
    return check_summary();
}
