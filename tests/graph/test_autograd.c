/* Gradients through views - slices, transposes, expansions, reshapes, buffers joined from parts -
 * against finite differences, on the host and on every device; with checkpoints too. */
#include "graph/program.h"
#include "graph/rewrite.h"
#include "ops/build.h"
#include "tests/ops/interpreter.h"
#include "tests/train/fixture.h"

enum { ROWS = 6, COLS = 5, NUM_PARAMS = 2, LEN = ROWS * COLS };

/* A graph of two parameters [ROWS, COLS] and an output whose gradient is a leaf of its own. */
struct toy {
    struct dlm_graph *g;
    struct dlm_tensor *params[NUM_PARAMS], *grads[NUM_PARAMS], *out, *dout;
};

typedef struct dlm_tensor *(*build_fn)(struct dlm_graph *g, struct dlm_tensor *a,
                                       struct dlm_tensor *b);

static struct dlm_tensor *product(struct dlm_graph *g, struct dlm_tensor *a, struct dlm_tensor *b)
{
    return dlm_matmul(g, a, b, NULL, NULL, &(struct dlm_matmul_attrs){0});
}

/* Overlapping rows: some elements are used twice, some not at all. */
static struct dlm_tensor *build_slices(struct dlm_graph *g, struct dlm_tensor *a,
                                       struct dlm_tensor *b)
{
    struct dlm_tensor *x = dlm_mul(g, dlm_view_slice(g, a, 0, 1, 3), dlm_view_slice(g, a, 0, 2, 3));
    return dlm_mul(g, x, dlm_view_slice(g, b, 0, 3, 3));
}

static struct dlm_tensor *build_columns(struct dlm_graph *g, struct dlm_tensor *a,
                                        struct dlm_tensor *b)
{
    struct dlm_tensor *part = dlm_view_slice(g, dlm_view_slice(g, a, 1, 1, 4), 1, 1, 2);
    return dlm_add(g, dlm_mul(g, part, dlm_view_slice(g, b, 1, 3, 2)), part);
}

static struct dlm_tensor *build_transposes(struct dlm_graph *g, struct dlm_tensor *a,
                                           struct dlm_tensor *b)
{
    struct dlm_tensor *x = product(g, a, dlm_view_transpose(g, b)); /* [6, 6] */
    return product(g, dlm_view_transpose(g, dlm_view_slice(g, a, 0, 0, 6)),
                   dlm_view_transpose(g, x));
}

static struct dlm_tensor *build_expansions(struct dlm_graph *g, struct dlm_tensor *a,
                                           struct dlm_tensor *b)
{
    struct dlm_tensor *row = dlm_view_expand(g, dlm_view_slice(g, a, 0, 2, 1), 2,
                                             (int64_t[]){ROWS, COLS});
    struct dlm_tensor *cube = dlm_view_expand(g, b, 3, (int64_t[]){2, ROWS, COLS});
    return dlm_mul(g, cube, dlm_mul(g, row, a));
}

static struct dlm_tensor *build_reshapes(struct dlm_graph *g, struct dlm_tensor *a,
                                         struct dlm_tensor *b)
{
    struct dlm_tensor *x = dlm_mul(g, a, b);
    x = dlm_view_reshape(g, x, 3, (int64_t[]){2, 3, 5});
    struct dlm_tensor *y = dlm_view_reshape(g, dlm_view_slice(g, x, 0, 1, 1), 2,
                                            (int64_t[]){5, 3});
    return product(g, y, dlm_view_transpose(g, dlm_view_reshape(g, a, 2, (int64_t[]){10, 3})));
}

/* Permuted products, elementwise and matrix. The activation's gradient comes with gaps, which its
 * kernel does not take. */
static struct dlm_tensor *build_permutes(struct dlm_graph *g, struct dlm_tensor *a,
                                         struct dlm_tensor *b)
{
    struct dlm_tensor *x = dlm_view_reshape(g, a, 5, (int64_t[]){3, 1, 2, 5, 1});

    x = dlm_view_permute(g, x, (int[]){3, 0, 4, 2, 1}); /* [5, 3, 1, 2, 1] */
    struct dlm_tensor *y = dlm_view_reshape(g, b, 3, (int64_t[]){5, 3, 2});
    y = dlm_mul(g, dlm_view_reshape(g, dlm_copy(g, x, DLM_DTYPE_F32), 3, (int64_t[]){5, 3, 2}), y);
    struct dlm_tensor *z = dlm_activation(g, y, DLM_ACT_SILU);
    z = dlm_view_permute(g, z, (int[]){1, 2, 0}); /* [3, 2, 5] */
    return product(g, z, dlm_view_permute(g, y, (int[]){1, 0, 2}));
}

/* A product in two slabs, as split weights make it, then one result used whole and in part. */
static struct dlm_tensor *join_products(struct dlm_graph *g, struct dlm_tensor *a,
                                        struct dlm_tensor *b, int dim)
{
    struct dlm_desc desc = dlm_desc_make(DLM_DTYPE_F32, 2, (int64_t[]){ROWS, ROWS});
    struct dlm_tensor *whole = dlm_graph_buffer(g, &desc), *parts[2];

    for (int i = 0; i < 2; i++) {
        const int64_t at = i ? 4 : 0, len = i ? 2 : 4;
        struct dlm_tensor *in[] = {dim ? a : dlm_view_slice(g, a, 0, at, len),
                                   dlm_view_transpose(g, dim ? dlm_view_slice(g, b, 0, at, len)
                                                             : b)};
        parts[i] = dlm_graph_emit_into(g, &dlm_op_matmul, NULL, in, 2,
                                       dlm_view_slice(g, whole, dim, at, len));
    }
    struct dlm_tensor *x = dlm_graph_join(g, whole, parts, 2, dim);
    return dlm_mul(g, dlm_view_slice(g, x, 1, 1, 5), product(g, x, a));
}

static struct dlm_tensor *build_joined_columns(struct dlm_graph *g, struct dlm_tensor *a,
                                               struct dlm_tensor *b)
{
    return join_products(g, a, b, 1);
}

static struct dlm_tensor *build_joined_rows(struct dlm_graph *g, struct dlm_tensor *a,
                                            struct dlm_tensor *b)
{
    return join_products(g, a, b, 0);
}

/* Slices that are all of a tensor, and one that is used twice. */
static struct dlm_tensor *build_parts(struct dlm_graph *g, struct dlm_tensor *a,
                                      struct dlm_tensor *b)
{
    struct dlm_tensor *x = dlm_mul(g, a, b), *first = dlm_view_slice(g, x, 0, 0, 3);
    return dlm_mul(g, dlm_mul(g, first, dlm_view_slice(g, x, 0, 3, 3)), first);
}

/* Attention whose q, k and v are all of one tensor [1, T, H + 2 Hkv, D]: 3, 1 and 1 heads. other: a
 * use of them beside it. */
static struct dlm_tensor *attend(struct dlm_graph *g, struct dlm_tensor *a, struct dlm_tensor *b,
                                 bool other)
{
    const struct dlm_attention_attrs attrs = {.scale = 2, .mode = DLM_ATTENTION_PREFIX};
    const struct dlm_desc rows = dlm_desc_make(DLM_DTYPE_I32, 2, (int64_t[]){1, 4});
    struct dlm_tensor *x = dlm_view_reshape(g, dlm_mul(g, a, b), 4, (int64_t[]){1, 6, 5, 1});
    struct dlm_tensor *q = dlm_view_slice(g, x, 2, 0, 3), *k = dlm_view_slice(g, x, 2, 3, 1);
    struct dlm_tensor *v = dlm_view_slice(g, x, 2, 4, 1);
    struct dlm_tensor *out =
        dlm_attention(g, q, k, v, dlm_graph_leaf(g, DLM_ROLE_INPUT, "rows", &rows), &attrs);

    return other ? dlm_mul(g, out, dlm_view_expand(g, v, 4, (int64_t[]){1, 6, 3, 1})) : out;
}

static struct dlm_tensor *build_joined_heads(struct dlm_graph *g, struct dlm_tensor *a,
                                             struct dlm_tensor *b)
{
    return attend(g, a, b, false);
}

static struct dlm_tensor *build_joined_heads_used_twice(struct dlm_graph *g, struct dlm_tensor *a,
                                                        struct dlm_tensor *b)
{
    return attend(g, a, b, true);
}

/* Blocks, for checkpoints: the interior of each is made of views of its own tensors. */
static struct dlm_tensor *build_blocks(struct dlm_graph *g, struct dlm_tensor *a,
                                       struct dlm_tensor *b)
{
    struct dlm_tensor *x = dlm_mul(g, a, b);

    for (int i = 0; i < 3; i++) {
        dlm_graph_mark(g);
        struct dlm_tensor *y = dlm_activation(g, join_products(g, x, b, i % 2), DLM_ACT_GELU_TANH);
        x = dlm_add(g, x, dlm_mul(g, y, dlm_activation(g, x, DLM_ACT_SILU)));
        x = dlm_scale(g, x, 0.5f, NULL);
    }
    return dlm_view_slice(g, x, 0, 1, 4);
}

static const struct {
    const char *what;
    build_fn build;
} cases[] = {
    {"slices of rows", build_slices},         {"slices of columns", build_columns},
    {"transposes", build_transposes},         {"expansions", build_expansions},
    {"reshapes", build_reshapes},             {"joined columns", build_joined_columns},
    {"joined rows", build_joined_rows},       {"blocks", build_blocks},
    {"permutes", build_permutes},             {"parts", build_parts},
    {"joined heads", build_joined_heads},
    {"joined heads, used twice", build_joined_heads_used_twice},
};

static bool make_toy(struct dlm_ctx *ctx, struct toy *t, build_fn build, bool checkpoint)
{
    const struct dlm_desc desc = dlm_desc_make(DLM_DTYPE_F32, 2, (int64_t[]){ROWS, COLS});

    *t = (struct toy){0};
    if (!CHECK(!dlm_graph_create(ctx, &t->g)))
        return false;
    for (int i = 0; i < NUM_PARAMS; i++) {
        t->params[i] = dlm_graph_leaf(t->g, DLM_ROLE_PARAM, "p", &desc);
        t->grads[i] = t->params[i]->grad = dlm_graph_leaf(t->g, DLM_ROLE_STATE, "dp", &desc);
    }
    t->out = build(t->g, t->params[0], t->params[1]);
    if (!CHECK(t->out))
        return false;
    const struct dlm_desc dout =
        dlm_desc_make(DLM_DTYPE_F32, t->out->desc.ndim, t->out->desc.shape);
    t->dout = dlm_graph_leaf(t->g, DLM_ROLE_INPUT, "dout", &dout);
    t->out->base->is_output = true;
    return CHECK(!dlm_graph_backward(t->g, &t->out, &t->dout, 1, checkpoint)) &&
           CHECK(!dlm_graph_prune(t->g));
}

static float value_at(int which, int64_t i)
{
    return (float)(0.7 * sin(1.7 * (double)i + 2.3 * which) + 0.2 * which);
}

/* The leaf of attention's rows, if there is one, and what is in it. */
static const int32_t mask_rows[4] = {0, 6, 2, 6};

static struct dlm_tensor *find_rows(const struct toy *t)
{
    for (size_t i = 0; i < t->g->num_tensors; i++)
        if (t->g->tensors[i]->desc.dtype == DLM_DTYPE_I32)
            return t->g->tensors[i];
    return NULL;
}

static double loss_of(const struct interpreter *it, const struct toy *t)
{
    struct dlm_host_tensor out = interpreter_tensor(it, t->out);
    double sum = 0;

    interpreter_run(it);
    for (int64_t i = 0; i < dlm_desc_len(&t->out->desc); i++)
        sum += dlm_host_get_flat(&out, i) * (double)value_at(3, i);
    return sum;
}

static void fill(const struct interpreter *it, const struct dlm_tensor *t, int which)
{
    struct dlm_host_tensor host = interpreter_tensor(it, t);

    for (int64_t i = 0; i < dlm_desc_len(&t->desc); i++)
        dlm_host_set_flat(&host, i, which < 0 ? 0 : value_at(which, i));
}

/* Gradients by the backward pass on the host, into want; checked by central differences. */
static void check_host(struct dlm_ctx *ctx, build_fn build, float want[NUM_PARAMS][LEN])
{
    const double step = 1.0 / 128;
    struct toy t;
    struct interpreter it = {0};

    if (make_toy(ctx, &t, build, false) && CHECK(interpreter_init(&it, t.g))) {
        for (int i = 0; i < NUM_PARAMS; i++)
            fill(&it, t.params[i], i);
        fill(&it, t.dout, 3);
        if (find_rows(&t))
            memcpy(interpreter_tensor(&it, find_rows(&t)).data, mask_rows, sizeof(mask_rows));
        interpreter_run(&it);
        for (int i = 0; i < NUM_PARAMS; i++)
            for (int k = 0; k < LEN; k++) {
                struct dlm_host_tensor g = interpreter_tensor(&it, t.grads[i]);
                want[i][k] = (float)dlm_host_get_flat(&g, k);
            }
        for (int i = 0; i < NUM_PARAMS; i++)
            for (int k = 0; k < LEN; k++) {
                struct dlm_host_tensor p = interpreter_tensor(&it, t.params[i]);
                const double at = dlm_host_get_flat(&p, k);
                double loss[2];
                for (int side = 0; side < 2; side++) {
                    dlm_host_set_flat(&p, k, at + (side ? step : -step));
                    loss[side] = loss_of(&it, &t);
                }
                dlm_host_set_flat(&p, k, at);
                const double slope = (loss[1] - loss[0]) / (2 * step);
                if (!CHECK(fabs(slope - want[i][k]) <= 2e-3 * (1 + fabs(slope)))) {
                    printf("     parameter %d, element %d: gradient %g, slope %g\n", i, k,
                           want[i][k], slope);
                    goto done;
                }
            }
    }
done:
    interpreter_finish(&it);
    dlm_graph_destroy(&t.g);
}

/* The same graph as a program; every tensor in its own guarded buffer. */
static void check_device(struct dlm_ctx *ctx, struct dlm_device *device, build_fn build,
                         bool checkpoint, bool guarded, float want[NUM_PARAMS][LEN])
{
    struct dlm_storage places[2 * NUM_PARAMS + 2] = {0};
    struct dlm_workspace workspace = {0};
    struct dlm_plan *plan = NULL;
    struct dlm_program *program = NULL;
    struct toy t;
    float values[2 * LEN], got[LEN];
    char what[64] = "";

    bool ok = make_toy(ctx, &t, build, checkpoint);
    for (int i = 0; ok && i < 2 * NUM_PARAMS + 1; i++) {
        struct dlm_tensor *leaf = i < NUM_PARAMS       ? t.params[i]
                                  : i < 2 * NUM_PARAMS ? t.grads[i - NUM_PARAMS]
                                                       : t.dout;
        const size_t bytes = dlm_tensor_bytes(leaf);
        for (size_t k = 0; k < bytes / 4; k++)
            values[k] = i < NUM_PARAMS         ? value_at(i, (int64_t)k)
                        : i < 2 * NUM_PARAMS ? 0
                                               : value_at(3, (int64_t)k);
        ok = CHECK(bytes <= sizeof(values)) &&
             CHECK(!dlm_buffer_create(device, &places[i].buffer, bytes)) &&
             CHECK(!dlm_buffer_write(places[i].buffer, 0, values, bytes));
        dlm_tensor_bind(leaf, &places[i]);
    }
    if (ok && find_rows(&t)) {
        struct dlm_storage *place = &places[2 * NUM_PARAMS + 1];
        ok = CHECK(!dlm_buffer_create(device, &place->buffer, sizeof(mask_rows))) &&
             CHECK(!dlm_buffer_write(place->buffer, 0, mask_rows, sizeof(mask_rows)));
        dlm_tensor_bind(find_rows(&t), place);
    }
    ok = ok && CHECK(!dlm_plan_create(ctx, &plan, t.g, device)) &&
         (guarded || CHECK(!dlm_workspace_init(&workspace, device, &plan, 1))) &&
         CHECK(!dlm_program_create(ctx, &program, device, plan, guarded ? NULL : &workspace)) &&
         CHECK(!dlm_program_run(program)) && CHECK(!dlm_device_wait(device));
    for (int i = 0; ok && i < NUM_PARAMS; i++)
        if (CHECK(!dlm_buffer_read(places[NUM_PARAMS + i].buffer, 0, got, sizeof(got))))
            CHECK(relative_difference(got, want[i], LEN) <= 2e-6);
    if (ok && guarded)
        CHECK(dlm_program_check_guards(program, what, sizeof(what)));
    dlm_program_destroy(&program);
    dlm_plan_destroy(&plan);
    dlm_graph_destroy(&t.g);
    dlm_workspace_finish(&workspace);
    for (int i = 0; i < 2 * NUM_PARAMS + 2; i++)
        dlm_buffer_destroy(&places[i].buffer);
}

static void run_backend(enum dlm_backend_kind backend)
{
    const struct dlm_device_params params = {.kind = backend, .index = -1,
                                             .cache_dir = getenv("DLM_TEST_KERNEL_CACHE")};
    struct dlm_ctx *ctx = dlm_ctx_create(&(struct dlm_ctx_params){.log = fixture_log});
    struct dlm_device *device = NULL;

    fixture_case(backend, "", "opens");
    bool ok = CHECK(!dlm_device_open(ctx, &device, &params));
    for (size_t i = 0; ok && i < sizeof(cases) / sizeof(cases[0]); i++) {
        float want[NUM_PARAMS][LEN] = {{0}};
        fixture_case(backend, "views:", cases[i].what);
        check_host(ctx, cases[i].build, want);
        for (int checkpoint = 0; checkpoint < 2; checkpoint++)
            for (int guarded = 0; guarded < 2; guarded++)
                check_device(ctx, device, cases[i].build, checkpoint, guarded, want);
    }
    dlm_device_destroy(&device);
    dlm_ctx_destroy(&ctx);
}

int main(void)
{
    for_each_backend(run_backend);
    return check_summary();
}
