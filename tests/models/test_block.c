/* Blocks of several families, and small decoders with a head of their own, against the classes of
 * transformers: results and the gradients of input and adapters, on every backend. Weights, inputs
 * and what is expected: tests/golden/models/blocks, made by tools/dev/make_block_goldens.py. */
#include "block_cases.h"
#include "graph/program.h"
#include "graph/rewrite.h"
#include "models/slots.h"
#include "models_test.h"

#define BATCH 2
#define TOKENS 11
#define ROWS (BATCH * TOKENS)
#define RANK 3
#define SCALING 1.5f
/* Norm of the difference over norm of what is expected. f32 sums in another order than torch's f64,
 * through the three layers of a decoder. */
#define TOLERANCE 3e-5

/* --- what cases run on --- */

struct rig {
    struct dlm_ctx *ctx;
    struct dlm_device *device;
    struct dlm_weights *weights;
    struct dlm_linear_list linears;
    struct dlm_lora *lora;
    struct dlm_slots slots;
    struct dlm_graph *graph;
    struct dlm_plan *plan;
    struct dlm_workspace workspace;
    struct dlm_program *program;
};

static void finish_graph(struct rig *r)
{
    dlm_program_destroy(&r->program);
    dlm_plan_destroy(&r->plan);
    dlm_graph_destroy(&r->graph);
    dlm_workspace_finish(&r->workspace);
}

static void finish(struct rig *r)
{
    finish_graph(r);
    dlm_slots_finish(&r->slots);
    dlm_lora_destroy(&r->lora);
    dlm_linear_list_finish(&r->linears);
    dlm_weights_destroy(&r->weights);
    dlm_device_destroy(&r->device);
    dlm_ctx_destroy(&r->ctx);
}

/* The goldens opened on the device, nothing declared. */
static bool open_rig(struct rig *r, size_t max_alloc_bytes)
{
    const struct dlm_device_params device = {.kind = compute.backend,
                                             .index = -1,
                                             .cache_dir = getenv("DLM_TEST_KERNEL_CACHE"),
                                             .max_alloc_bytes = max_alloc_bytes};
    struct dlm_checkpoint *goldens = NULL;
    char dir[1024];

    *r = (struct rig){.ctx = make_ctx()};
    snprintf(dir, sizeof(dir), "%s/golden/models/blocks", check_data_dir());
    if (!CHECK(r->ctx) || !CHECK(!dlm_device_open(r->ctx, &r->device, &device)) ||
        !CHECK(!dlm_checkpoint_open(r->ctx, &goldens, dir)) ||
        !CHECK(!dlm_weights_create(r->ctx, &r->weights, r->device, DLM_DTYPE_F32, NULL, goldens,
                                   NULL)))
        return false;
    r->slots = (struct dlm_slots){.ctx = r->ctx, .device = r->device};
    return true;
}

/* The tensor <case>.<name>, or <name> where that begins with the case. */
static const struct dlm_tensor_info *golden(const struct rig *r, const char *name)
{
    const size_t len = strlen(case_name);
    char full[256];

    if (!strncmp(name, case_name, len) && name[len] == '.')
        snprintf(full, sizeof(full), "%s", name);
    else
        snprintf(full, sizeof(full), "%s.%s", case_name, name);
    const struct dlm_tensor_info *t = dlm_weights_find(r->weights, full);
    if (!CHECK(t))
        printf("     no golden %s\n", full);
    return t;
}

static const struct dlm_tensor_info *golden_of(const struct rig *r, const char *path,
                                               const char *end)
{
    char name[256];

    snprintf(name, sizeof(name), "%s.%s", path, end);
    return golden(r, name);
}

/* Loads the declared weights, makes the adapter and puts it on the device. */
static bool prepare(struct rig *r)
{
    const struct dlm_lora_params params = {.r = RANK, .alpha = SCALING * RANK};

    bool ok = CHECK(!dlm_weights_load(r->weights, DLM_WEIGHT_GROUPS_ALL)) &&
              CHECK(!dlm_lora_create(r->ctx, &r->lora, &params));
    for (size_t i = 0; ok && i < r->linears.num; i++) {
        const struct dlm_linear *l = r->linears.items[i];
        ok = CHECK(!dlm_lora_add(r->lora, l->path, l->weight, l->weight->cols, l->out, 0, 0));
    }
    ok = ok && CHECK(r->lora->num > 0) && CHECK(!dlm_lora_init(r->lora, 1));
    for (size_t i = 0; ok && i < r->lora->num; i++) {
        const struct dlm_lora_module *m = r->lora->modules[i];
        const struct dlm_tensor_info *a = golden_of(r, m->path, "lora_A");
        const struct dlm_tensor_info *b = golden_of(r, m->path, "lora_B");
        ok = a && b && CHECK(a->bytes == (size_t)(m->r * m->in) * sizeof(float)) &&
             CHECK(b->bytes == (size_t)(m->out * m->r) * sizeof(float));
        if (ok) {
            memcpy(r->lora->values + m->a_at, a->data, a->bytes);
            memcpy(r->lora->values + m->b_at, b->data, b->bytes);
        }
    }
    return ok && CHECK(!dlm_lora_upload(r->lora, r->device, true));
}

static struct dlm_slot *input(struct rig *r, enum dlm_dtype dtype, int64_t rows, int64_t cols,
                              const void *data)
{
    struct dlm_slot *s = dlm_slots_add(&r->slots, DLM_ROLE_INPUT, "in", dtype, cols ? 2 : 1,
                                       (int64_t[]){rows, cols});
    const size_t bytes = (size_t)(rows * (cols ? cols : 1)) * 4;

    if (!CHECK(s) || !CHECK(!dlm_slots_alloc(&r->slots)) ||
        (data && !CHECK(!dlm_slot_write(s, data, bytes))))
        return NULL;
    return s;
}

static struct dlm_tensor *leaf(struct rig *r, enum dlm_dtype dtype, int64_t rows, int64_t cols,
                               const void *data)
{
    return dlm_slot_leaf(r->graph, input(r, dtype, rows, cols, data));
}

/* A golden as an input, [rows, cols] or [rows]. */
static struct dlm_tensor *golden_leaf(struct rig *r, enum dlm_dtype dtype, const char *name,
                                      int64_t rows, int64_t cols)
{
    const struct dlm_tensor_info *t = golden(r, name);

    if (!t || !CHECK(t->bytes == (size_t)(rows * (cols ? cols : 1)) * 4))
        return NULL;
    return leaf(r, dtype, rows, cols, t->data);
}

/* Plans and runs the graph. */
static bool run(struct rig *r)
{
    return CHECK(!dlm_graph_status(r->graph)) &&
           CHECK(!dlm_plan_create(r->ctx, &r->plan, r->graph, r->device)) &&
           CHECK(!dlm_workspace_init(&r->workspace, r->device, &r->plan, 1)) &&
           CHECK(!dlm_program_create(r->ctx, &r->program, r->device, r->plan, &r->workspace)) &&
           CHECK(!dlm_program_run(r->program)) && CHECK(!dlm_device_wait(r->device));
}

static void compare(const float *got, const float *want, size_t len, const char *what)
{
    double difference = 0, norm = 0;

    for (size_t i = 0; i < len; i++) {
        difference += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        norm += (double)want[i] * want[i];
    }
    CHECK(norm > 0);
    check_near(sqrt(difference / norm), 0, TOLERANCE, what);
}

static void compare_to(struct rig *r, const float *got, size_t len, const char *name)
{
    const struct dlm_tensor_info *want = golden(r, name);

    if (want && CHECK(want->bytes == len * sizeof(float)))
        compare(got, (const float *)(const void *)want->data, len, name);
}

static void compare_adapter(struct rig *r)
{
    float *grads = malloc((size_t)r->lora->len * sizeof(*grads));

    if (CHECK(grads) && CHECK(!dlm_lora_download(r->lora, &r->lora->grads, grads)))
        for (size_t i = 0; i < r->lora->num; i++) {
            const struct dlm_lora_module *m = r->lora->modules[i];
            char name[256];
            snprintf(name, sizeof(name), "%s.lora_A.grad", m->path);
            compare_to(r, grads + m->a_at, (size_t)(m->r * m->in), name);
            snprintf(name, sizeof(name), "%s.lora_B.grad", m->path);
            compare_to(r, grads + m->b_at, (size_t)(m->out * m->r), name);
        }
    free(grads);
}

static void mark_output(struct dlm_tensor *t)
{
    if (t)
        t->is_output = t->base->is_output = true;
}

/* --- blocks --- */

/* Rows past the end of their batch row are of no meaning; the goldens have zeros there. */
static void clear_padding(const struct rig *r, float *y, int64_t hidden)
{
    const int32_t *rows = (const int32_t *)(const void *)golden(r, "rows")->data;

    for (int64_t b = 0; b < BATCH; b++)
        for (int64_t t = rows[4 * b + 3]; t < TOKENS; t++)
            memset(y + (b * TOKENS + t) * hidden, 0, (size_t)hidden * sizeof(*y));
}

static void train_block(struct rig *r, const struct block_case *c, const struct dlm_block *block)
{
    const int64_t hidden = c->config.hidden, half = c->config.head_dim / 2;
    const size_t len = (size_t)(ROWS * hidden);
    float *got = calloc(len, sizeof(*got));
    struct dlm_slot *grad = input(r, DLM_DTYPE_F32, ROWS, hidden, NULL);

    if (!CHECK(got && grad) || !CHECK(!dlm_graph_create(r->ctx, &r->graph)))
        goto done;
    grad->role = DLM_ROLE_STATE;
    struct dlm_build b = {.g = r->graph, .policy = DLM_DTYPE_F32, .lora = r->lora,
                          .for_training = true};
    struct dlm_tensor *x = golden_leaf(r, DLM_DTYPE_F32, "x", ROWS, hidden);
    if (!x)
        goto done;
    x->role = DLM_ROLE_PARAM; /* for the gradient's sake */
    x->needs_grad = true;
    x->grad = dlm_slot_leaf(r->graph, grad);
    const struct dlm_block_inputs in = {
        .batch = BATCH,
        .tokens = TOKENS,
        .cos = c->is_turned ? golden_leaf(r, DLM_DTYPE_F32, "cos", ROWS, half) : NULL,
        .sin = c->is_turned ? golden_leaf(r, DLM_DTYPE_F32, "sin", ROWS, half) : NULL,
        .rows = golden_leaf(r, DLM_DTYPE_I32, "rows", BATCH, 4),
    };
    struct dlm_tensor *y = dlm_block_build(&b, block, &in, x);
    struct dlm_tensor *dy = golden_leaf(r, DLM_DTYPE_F32, "dy", ROWS, hidden);
    mark_output(y);
    if (CHECK(y && dy) && CHECK(!dlm_graph_fuse(r->graph)) &&
        CHECK(!dlm_graph_backward(r->graph, &y, &dy, 1, false)) &&
        CHECK(!dlm_graph_prune(r->graph)) && CHECK(!dlm_graph_fuse(r->graph)) && run(r) &&
        CHECK(!dlm_program_read(r->program, y, got, len * sizeof(*got)))) {
        clear_padding(r, got, hidden);
        compare_to(r, got, len, "y");
        if (CHECK(!dlm_slot_read(grad, got, len * sizeof(*got))))
            compare_to(r, got, len, "grad_x");
        compare_adapter(r);
    }
done:
    finish_graph(r);
    free(got);
}

/* Rows [begin, end) of the last batch row, after what the caches hold: into out. */
static bool decode_part(struct rig *r, const struct block_case *c, const struct dlm_block *block,
                        struct dlm_slot *const caches[2], int64_t begin, int64_t end, float *out)
{
    const int64_t hidden = c->config.hidden, half = c->config.head_dim / 2, n = end - begin;
    const int64_t first = (BATCH - 1) * TOKENS + begin;
    const int32_t *all = (const int32_t *)(const void *)golden(r, "rows")->data;
    const int32_t rows[4] = {(int32_t)begin, (int32_t)end, all[4 * (BATCH - 1) + 2], (int32_t)n};
    const int32_t start[2] = {(int32_t)begin, (int32_t)n};
    const float *x = (const float *)(const void *)golden(r, "x")->data;
    const float *cos = (const float *)(const void *)golden(r, "cos")->data;
    const float *sin = (const float *)(const void *)golden(r, "sin")->data;

    if (!CHECK(!dlm_graph_create(r->ctx, &r->graph)))
        return false;
    struct dlm_build b = {.g = r->graph, .policy = DLM_DTYPE_F32, .lora = r->lora};
    const struct dlm_block_inputs in = {
        .batch = 1,
        .tokens = n,
        .cos = leaf(r, DLM_DTYPE_F32, n, half, cos + first * half),
        .sin = leaf(r, DLM_DTYPE_F32, n, half, sin + first * half),
        .rows = leaf(r, DLM_DTYPE_I32, 1, 4, rows),
        .cache_k = dlm_slot_leaf(r->graph, caches[0]),
        .cache_v = dlm_slot_leaf(r->graph, caches[1]),
        .cache_start = leaf(r, DLM_DTYPE_I32, 2, 0, start),
    };
    struct dlm_tensor *y = dlm_block_build(
        &b, block, &in, leaf(r, DLM_DTYPE_F32, n, hidden, x + first * hidden));
    mark_output(y);
    const bool ok = CHECK(y) && CHECK(!dlm_graph_fuse(r->graph)) && run(r) &&
                    CHECK(!dlm_program_read(r->program, y, out + begin * hidden,
                                            (size_t)(n * hidden) * sizeof(*out)));
    finish_graph(r);
    return ok;
}

/* The last batch row in three parts, with a cache: as if it were one pass. */
static void decode_block(struct rig *r, const struct block_case *c, const struct dlm_block *block)
{
    const int64_t hidden = c->config.hidden, width = c->config.kv_heads * c->config.head_dim;
    const struct dlm_tensor_info *want = golden(r, "y");
    float *got = calloc((size_t)(TOKENS * hidden), sizeof(*got));
    struct dlm_slot *caches[2];

    for (int i = 0; i < 2; i++) {
        caches[i] = input(r, DLM_DTYPE_F32, 16, width, NULL);
        if (caches[i])
            caches[i]->role = DLM_ROLE_STATE;
    }
    if (CHECK(got && want && caches[0] && caches[1]) &&
        decode_part(r, c, block, caches, 0, 6, got) &&
        decode_part(r, c, block, caches, 6, 7, got) &&
        decode_part(r, c, block, caches, 7, TOKENS, got))
        compare(got, (const float *)(const void *)want->data + (BATCH - 1) * TOKENS * hidden,
                (size_t)(TOKENS * hidden), "y with a cache");
    free(got);
}

static void test_block(const struct block_case *c)
{
    struct dlm_block block = {.config = NULL};
    struct rig r;

    case_name = c->name;
    check_model_case("block");
    if (open_rig(&r, 0)) {
        struct dlm_weight_scope scope = {.weights = r.weights,
                                         .group = DLM_WEIGHT_GROUP_DECODER};
        scope = dlm_weight_scope_below(&scope, "%s", c->name);
        if (CHECK(!dlm_block_declare(&scope, &block, &c->config)) &&
            CHECK(!dlm_block_list_linears(r.ctx, &block, &r.linears)) && prepare(&r)) {
            train_block(&r, c, &block);
            if (c->config.mode == DLM_ATTENTION_PREFIX)
                decode_block(&r, c, &block);
        }
        dlm_block_finish(&block);
    }
    finish(&r);
}

/* --- decoders --- */

/* The labelled rows of the goldens. */
struct labelled {
    int32_t num, keep[ROWS], keep_back[ROWS], labels[ROWS];
    float weights[ROWS], logprob[ROWS];
};

static bool read_labels(const struct rig *r, struct labelled *l)
{
    const struct dlm_tensor_info *labels = golden(r, "labels"), *weights = golden(r, "weights");
    const struct dlm_tensor_info *logprob = golden(r, "logprob");

    if (!labels || !weights || !logprob)
        return false;
    l->num = 0;
    for (int32_t i = 0; i < ROWS; i++) {
        const int32_t label = ((const int32_t *)(const void *)labels->data)[i];
        l->keep_back[i] = label < 0 ? -1 : l->num;
        if (label < 0)
            continue;
        l->keep[l->num] = i;
        l->labels[l->num] = label;
        l->weights[l->num] = ((const float *)(const void *)weights->data)[i];
        l->logprob[l->num++] = ((const float *)(const void *)logprob->data)[i];
    }
    return CHECK(l->num > 4);
}

static struct dlm_tensor *build_hidden(struct rig *r, struct dlm_build *b,
                                       const struct dlm_decoder *d, const struct labelled *l)
{
    const int64_t half = d->config.block.head_dim / 2;
    int32_t positions[ROWS][3];
    float cos[ROWS * 4], sin[ROWS * 4];

    for (int32_t i = 0; i < ROWS; i++)
        positions[i][0] = positions[i][1] = positions[i][2] = i % TOKENS;
    if (!CHECK(half == 4))
        return NULL;
    dlm_decoder_rope_table(&d->config, (const int32_t(*)[3])positions, ROWS, cos, sin);
    const struct dlm_decoder_inputs in = {
        .batch = BATCH,
        .tokens = TOKENS,
        .ids = golden_leaf(r, DLM_DTYPE_I32, "ids", ROWS, 0),
        .cos = leaf(r, DLM_DTYPE_F32, ROWS, half, cos),
        .sin = leaf(r, DLM_DTYPE_F32, ROWS, half, sin),
        .rows = golden_leaf(r, DLM_DTYPE_I32, "rows", BATCH, 4),
        .keep = l ? leaf(r, DLM_DTYPE_I32, l->num, 0, l->keep) : NULL,
        .keep_back = l ? leaf(r, DLM_DTYPE_I32, ROWS, 0, l->keep_back) : NULL,
    };
    return dlm_decoder_build(b, d, &in);
}

static void train_decoder(struct rig *r, const struct dlm_decoder *d)
{
    /* five rows a tile */
    const size_t budget = (size_t)d->config.vocab * sizeof(float) * 4 * 5;
    struct dlm_tensor *dhidden = NULL;
    struct labelled l;
    float got[ROWS];

    if (!read_labels(r, &l) || !CHECK(!dlm_graph_create(r->ctx, &r->graph)))
        return;
    struct dlm_build b = {.g = r->graph, .policy = DLM_DTYPE_F32, .lora = r->lora,
                          .for_training = true};
    struct dlm_tensor *hidden = build_hidden(r, &b, d, &l);
    struct dlm_tensor *logprob = dlm_decoder_loss(
        &b, d, hidden, leaf(r, DLM_DTYPE_I32, l.num, 0, l.labels),
        leaf(r, DLM_DTYPE_F32, l.num, 0, l.weights), budget, &dhidden);
    mark_output(logprob);
    if (CHECK(logprob && dhidden) && CHECK(!dlm_graph_fuse(r->graph)) &&
        CHECK(!dlm_graph_backward(r->graph, &hidden, &dhidden, 1, true)) &&
        CHECK(!dlm_graph_prune(r->graph)) && CHECK(!dlm_graph_fuse(r->graph)) && run(r) &&
        CHECK(!dlm_program_read(r->program, logprob, got, (size_t)l.num * sizeof(*got)))) {
        compare(got, l.logprob, (size_t)l.num, "logprob");
        compare_adapter(r);
    }
    finish_graph(r);
}

static void compare_logits(struct rig *r, const struct dlm_decoder *d)
{
    const size_t len = (size_t)(ROWS * d->config.vocab);
    float *got = calloc(len, sizeof(*got));

    if (CHECK(got) && CHECK(!dlm_graph_create(r->ctx, &r->graph))) {
        struct dlm_build b = {.g = r->graph, .policy = DLM_DTYPE_F32, .lora = r->lora};
        struct dlm_tensor *logits = dlm_decoder_logits(&b, d, build_hidden(r, &b, d, NULL));
        mark_output(logits);
        if (CHECK(logits) && CHECK(!dlm_graph_fuse(r->graph)) && run(r) &&
            CHECK(!dlm_program_read(r->program, logits, got, len * sizeof(*got))))
            compare_to(r, got, len, "logits");
    }
    finish_graph(r);
    free(got);
}

static void test_decoder(const struct decoder_case *c)
{
    struct dlm_decoder d = {.config = c->config};
    struct rig r;

    case_name = c->name;
    check_model_case(c->what);
    if (open_rig(&r, c->max_alloc_bytes)) {
        struct dlm_weight_scope scope = {.weights = r.weights,
                                         .group = DLM_WEIGHT_GROUP_DECODER};
        struct dlm_weight_scope head = {.weights = r.weights, .group = DLM_WEIGHT_GROUP_HEAD};
        scope = dlm_weight_scope_below(&scope, "%s.model", c->name);
        head = dlm_weight_scope_below(&head, "%s.lm_head", c->name);
        if (CHECK(!dlm_decoder_declare(&scope, &head, &d)) &&
            CHECK(!dlm_decoder_list_linears(r.ctx, &d, &r.linears)) && prepare(&r)) {
            CHECK(d.head != d.embed && d.head->group == DLM_WEIGHT_GROUP_HEAD);
            CHECK((d.head->num_slabs > 1) == (c->max_alloc_bytes > 0));
            CHECK(dlm_weights_bytes(r.weights, DLM_WEIGHT_GROUP_HEAD) >= 176 * 42 * sizeof(float));
            train_decoder(&r, &d);
            compare_logits(&r, &d);
        }
        dlm_decoder_finish(&d);
    }
    finish(&r);
}

static void test_all(void)
{
    for (size_t i = 0; i < DLM_ARRAY_LEN(block_cases); i++)
        test_block(&block_cases[i]);
    for (size_t i = 0; i < DLM_ARRAY_LEN(decoder_cases); i++)
        test_decoder(&decoder_cases[i]);
}

int main(void)
{
    for_each_backend(test_all);
    return check_summary();
}
