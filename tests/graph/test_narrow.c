/* Saved activations in 16 bits: which tensors, what that frees, and that gradients read the copies
 * where they read the tensors. Values that 16 bits hold exactly show the last to the bit. */
#include "base/rng.h"
#include "graph/program.h"
#include "graph/rewrite.h"
#include "ops/build.h"
#include "tests/train/fixture.h"

/* A tensor of SIDE x SIDE is the smallest that is narrowed. */
enum { SIDE = 64, LEN = SIDE * SIDE, NUM_PARAMS = 3, LAYERS = 6 };

/* Leaves: the parameters, their gradients, x, the output's gradient, attention's rows. */
enum { GRADS = NUM_PARAMS, X = 2 * NUM_PARAMS, DOUT, ROWS, NUM_LEAVES };

struct toy {
    struct dlm_graph *g;
    struct dlm_tensor *leaves[NUM_LEAVES];
    struct dlm_storage places[NUM_LEAVES];
};

static struct dlm_tensor *product(struct toy *t, struct dlm_tensor *x, int param)
{
    return dlm_matmul(t->g, x, t->leaves[param], NULL, NULL, &(struct dlm_matmul_attrs){0});
}

static struct dlm_tensor *root(struct toy *t)
{
    return product(t, t->leaves[X], 0);
}

static struct dlm_tensor *buffer(struct toy *t)
{
    const struct dlm_desc desc = dlm_desc_make(DLM_DTYPE_F32, 2, (int64_t[]){SIDE, SIDE});
    return dlm_graph_buffer(t->g, &desc);
}

static struct dlm_tensor *build_products(struct toy *t)
{
    struct dlm_tensor *y = root(t);
    return dlm_mul(t->g, product(t, y, 1), y);
}

/* Two readers of y, the second after the block between was computed anew. */
static struct dlm_tensor *build_blocks(struct toy *t)
{
    struct dlm_tensor *y = build_products(t);

    for (int i = 1; i < NUM_PARAMS; i++) {
        dlm_graph_mark(t->g);
        struct dlm_tensor *z = dlm_scale(t->g, product(t, y, i), 0.5f, NULL);
        y = dlm_scale(t->g, dlm_mul(t->g, z, product(t, z, 0)), 0.25f, NULL);
    }
    return y;
}

static struct dlm_tensor *build_slices(struct toy *t)
{
    struct dlm_tensor *y = dlm_view_reshape(t->g, root(t), 2, (int64_t[]){2 * SIDE, SIDE / 2});
    struct dlm_tensor *left = dlm_view_slice(t->g, y, 0, 0, SIDE);
    return dlm_mul(t->g, left, dlm_view_slice(t->g, y, 0, SIDE - 1, SIDE));
}

static struct dlm_tensor *build_transposes(struct toy *t)
{
    struct dlm_tensor *y = root(t);
    return product(t, dlm_view_transpose(t->g, product(t, dlm_view_transpose(t->g, y), 1)), 2);
}

static struct dlm_tensor *build_expansions(struct toy *t)
{
    const int64_t shape[] = {SIDE, SIDE};
    struct dlm_tensor *y = root(t);
    struct dlm_tensor *row =
        dlm_view_expand(t->g, dlm_view_slice(t->g, y, 0, 5, 1), 2, shape);
    return dlm_mul(t->g, row, product(t, t->leaves[X], 1));
}

static struct dlm_tensor *build_joins(struct toy *t)
{
    struct dlm_tensor *whole = buffer(t), *parts[2];

    for (int i = 0; i < 2; i++) {
        struct dlm_tensor *in[] = {t->leaves[X],
                                   dlm_view_slice(t->g, t->leaves[i], 1, i ? 40 : 0, i ? 24 : 40)};
        parts[i] = dlm_graph_emit_into(t->g, &dlm_op_matmul, NULL, in, 2,
                                       dlm_view_slice(t->g, whole, 1, i ? 40 : 0, i ? 24 : 40));
    }
    struct dlm_tensor *y = dlm_graph_join(t->g, whole, parts, 2, 1);
    return dlm_mul(t->g, product(t, y, 2), y);
}

static struct dlm_tensor *build_aliases(struct toy *t)
{
    struct dlm_tensor *in[] = {t->leaves[X], t->leaves[0]};
    struct dlm_tensor *y = dlm_graph_emit_into(t->g, &dlm_op_matmul, NULL, in, 2, buffer(t));
    return product(t, y, 1);
}

static struct dlm_tensor *build_right_operand(struct toy *t)
{
    return dlm_matmul(t->g, product(t, t->leaves[X], 1), root(t), NULL, NULL,
                      &(struct dlm_matmul_attrs){0});
}

static struct dlm_tensor *build_norm(struct toy *t)
{
    const struct dlm_norm_attrs attrs = {.eps = 1e-6f};
    struct dlm_tensor *weight = dlm_view_reshape(
        t->g, dlm_view_slice(t->g, t->leaves[X], 0, 0, 1), 1, (int64_t[]){SIDE});
    return product(t, dlm_rms_norm(t->g, root(t), weight, &attrs), 1);
}

static struct dlm_tensor *build_attention(struct toy *t)
{
    const struct dlm_attention_attrs attrs = {.scale = 0.125f, .mode = DLM_ATTENTION_PREFIX};
    struct dlm_tensor *in[3];

    for (int i = 0; i < 3; i++)
        in[i] = dlm_view_reshape(t->g, product(t, t->leaves[X], i), 4,
                                 (int64_t[]){1, SIDE, 2, SIDE / 2});
    struct dlm_tensor *y = dlm_attention(t->g, in[0], in[1], in[2], t->leaves[ROWS], &attrs);
    return product(t, dlm_view_reshape(t->g, y, 2, (int64_t[]){SIDE, SIDE}), 0);
}

/* Every layer leaves its input, gate, up and their product. */
static struct dlm_tensor *build_layers(struct toy *t)
{
    struct dlm_tensor *y = t->leaves[X];

    for (int i = 0; i < LAYERS; i++)
        y = product(t, dlm_gated_activation(t->g, product(t, y, 0), product(t, t->leaves[X], 1),
                                            DLM_ACT_GELU_TANH), 2);
    return y;
}

static const struct {
    const char *what;
    struct dlm_tensor *(*build)(struct toy *t);
    int num_narrow, num_wide; /* copies */
    bool is_exact;            /* every saved value has few bits */
    bool checkpoint;
} cases[] = {
    {"products", build_products, 2, 2, true, false},
    {"blocks", build_blocks, 8, 8, true, false},
    {"blocks, with checkpoints", build_blocks, 8, 8, true, true},
    {"slices", build_slices, 1, 1, true, false},
    {"transposes", build_transposes, 2, 2, true, false},
    {"expansions", build_expansions, 2, 2, true, false},
    {"joins", build_joins, 2, 2, true, false},
    {"aliases", build_aliases, 1, 1, true, false},
    {"right operand", build_right_operand, 2, 2, true, false},
    {"norm: its input stays", build_norm, 1, 1, false, false},
    {"attention: what scores are made of stays", build_attention, 2, 2, false, false},
    {"layers", build_layers, 4 * LAYERS - 1, 2 * LAYERS - 1, false, false},
};

/* Parameters and x. A signed permutation keeps integers small. */
static void fill(int leaf, bool is_exact, float *out)
{
    struct dlm_rng rng;

    dlm_rng_init(&rng, (uint64_t)leaf, 0);
    for (int i = 0; i < LEN; i++) {
        const int row = i / SIDE, col = i % SIDE;
        if (leaf >= GRADS && leaf < X)
            out[i] = 0;
        else if (leaf >= X)
            out[i] = is_exact ? (float)((5 * row + 3 * col + leaf) % 9 - 4)
                              : (float)sin(1.7 * i + leaf);
        else if (is_exact)
            out[i] = col == (3 * row + 7 * leaf) % SIDE ? (row % 2 ? -1.0f : 1.0f) : 0;
        else
            out[i] = 0.6f * (dlm_rng_uniform(&rng) - 0.5f);
    }
}

static bool make_toy(struct dlm_ctx *ctx, struct toy *t, size_t which, enum dlm_dtype dtype)
{
    const struct dlm_desc desc = dlm_desc_make(DLM_DTYPE_F32, 2, (int64_t[]){SIDE, SIDE});
    const struct dlm_desc rows = dlm_desc_make(DLM_DTYPE_I32, 2, (int64_t[]){1, 4});

    *t = (struct toy){0};
    if (!CHECK(!dlm_graph_create(ctx, &t->g)))
        return false;
    for (int i = 0; i < NUM_PARAMS; i++) {
        t->leaves[i] = dlm_graph_leaf(t->g, DLM_ROLE_PARAM, "p", &desc);
        t->leaves[GRADS + i] = dlm_graph_leaf(t->g, DLM_ROLE_STATE, "dp", &desc);
        t->leaves[i]->grad = t->leaves[GRADS + i];
    }
    t->leaves[X] = dlm_graph_leaf(t->g, DLM_ROLE_INPUT, "x", &desc);
    t->leaves[ROWS] = dlm_graph_leaf(t->g, DLM_ROLE_INPUT, "rows", &rows);
    struct dlm_tensor *out = cases[which].build(t);
    if (!CHECK(out))
        return false;
    const struct dlm_desc dout = dlm_desc_make(DLM_DTYPE_F32, out->desc.ndim, out->desc.shape);
    t->leaves[DOUT] = dlm_graph_leaf(t->g, DLM_ROLE_INPUT, "dout", &dout);
    return CHECK(!dlm_graph_backward(t->g, &out, &t->leaves[DOUT], 1, cases[which].checkpoint)) &&
           CHECK(!dlm_graph_prune(t->g)) && CHECK(!dlm_graph_narrow_saved(t->g, dtype));
}

static bool place_leaves(struct toy *t, struct dlm_device *device, bool is_exact)
{
    const int32_t rows[4] = {0, SIDE, SIDE / 2, SIDE};
    float values[LEN];

    for (int i = 0; i < NUM_LEAVES; i++) {
        const size_t bytes = dlm_tensor_bytes(t->leaves[i]);
        fill(i, is_exact, values);
        if (!CHECK(bytes <= sizeof(values)) ||
            !CHECK(!dlm_buffer_create(device, &t->places[i].buffer, bytes)) ||
            !CHECK(!dlm_buffer_write(t->places[i].buffer, 0,
                                     i == ROWS ? (const void *)rows : values, bytes)))
            return false;
        dlm_tensor_bind(t->leaves[i], &t->places[i]);
    }
    return true;
}

/* Every hazard has its barrier; a barrier left out before a copy is missed. */
static void check_hazards(const struct dlm_program *program)
{
    size_t num = 0, found = 0, barriers = 0;
    const struct dlm_dispatch *list = dlm_program_dispatches(program, &num);
    const uint32_t *writes = dlm_program_writes(program);
    struct dlm_dispatch *copy = malloc((num + 1) * sizeof(*copy));

    if (!CHECK(copy))
        return;
    memcpy(copy, list, num * sizeof(*copy));
    CHECK_INT(dlm_program_check_hazards(copy, writes, num), -1);
    for (size_t i = 1; i < num; i++) {
        if (!list[i].barrier || strncmp(list[i].kernel, "copy_", 5))
            continue;
        copy[i].barrier = false;
        barriers++;
        found += dlm_program_check_hazards(copy, writes, num) == (int64_t)i;
        copy[i].barrier = true;
    }
    CHECK_INT(found, barriers);
    free(copy);
}

/* Gradients of the case on the device, into got; bytes: of the arenas. */
static bool run_toy(struct dlm_ctx *ctx, struct dlm_device *device, size_t which,
                    enum dlm_dtype dtype, bool guarded, float got[NUM_PARAMS][LEN], size_t *bytes)
{
    struct dlm_workspace workspace = {0};
    struct dlm_plan *plan = NULL;
    struct dlm_program *program = NULL;
    struct toy t;
    char what[64] = "";

    bool ok = make_toy(ctx, &t, which, dtype) &&
              place_leaves(&t, device, cases[which].is_exact) &&
              CHECK(!dlm_plan_create(ctx, &plan, t.g, device)) &&
              (guarded || CHECK(!dlm_workspace_init(&workspace, device, &plan, 1))) &&
              CHECK(!dlm_program_create(ctx, &program, device, plan,
                                        guarded ? NULL : &workspace)) &&
              CHECK(!dlm_program_run(program)) && CHECK(!dlm_device_wait(device));
    for (int i = 0; ok && i < NUM_PARAMS; i++)
        ok = CHECK(!dlm_buffer_read(t.places[GRADS + i].buffer, 0, got[i], LEN * sizeof(float)));
    if (ok && guarded)
        CHECK(dlm_program_check_guards(program, what, sizeof(what)));
    if (ok && !guarded)
        check_hazards(program);
    if (ok)
        *bytes = dlm_plan_bytes(plan);
    dlm_program_destroy(&program);
    dlm_plan_destroy(&plan);
    dlm_graph_destroy(&t.g);
    dlm_workspace_finish(&workspace);
    for (int i = 0; i < NUM_LEAVES; i++)
        dlm_buffer_destroy(&t.places[i].buffer);
    return ok;
}

static bool copies_from(const struct dlm_node *n, enum dlm_dtype from, enum dlm_dtype to)
{
    return n->op == &dlm_op_copy && n->inputs[0]->desc.dtype == from &&
           n->outputs[0]->desc.dtype == to;
}

/* True for what narrowing put in a tensor's place. */
static bool is_copy(const struct dlm_tensor *t)
{
    return t && t->base->producer && t->base->producer->op == &dlm_op_copy;
}

/* Number of copies; what is computed anew reads none. */
static void check_nodes(struct dlm_ctx *ctx, size_t which)
{
    struct toy t, plain;
    int num_narrow = 0, num_wide = 0;

    if (make_toy(ctx, &t, which, DLM_DTYPE_BF16) && make_toy(ctx, &plain, which, DLM_DTYPE_F32)) {
        for (size_t i = 0; i < t.g->num_nodes; i++) {
            const struct dlm_node *n = t.g->nodes[i];
            num_narrow += copies_from(n, DLM_DTYPE_F32, DLM_DTYPE_BF16);
            num_wide += copies_from(n, DLM_DTYPE_BF16, DLM_DTYPE_F32);
            for (int k = 0; n->is_recompute && k < n->num_inputs; k++)
                CHECK(!is_copy(n->inputs[k]));
        }
        CHECK_INT(num_narrow, cases[which].num_narrow);
        CHECK_INT(num_wide, cases[which].num_wide);
        CHECK_INT(t.g->num_nodes, plain.g->num_nodes + (size_t)(num_narrow + num_wide));
    }
    dlm_graph_destroy(&t.g);
    dlm_graph_destroy(&plain.g);
}

static void check_gradients(struct dlm_ctx *ctx, struct dlm_device *device, size_t which)
{
    static float want[NUM_PARAMS][LEN], got[NUM_PARAMS][LEN];
    size_t bytes = 0, less = 0;

    if (!run_toy(ctx, device, which, DLM_DTYPE_F32, false, want, &bytes))
        return;
    for (int half = DLM_DTYPE_F16; half <= DLM_DTYPE_BF16; half++)
        for (int guarded = 0; guarded < 2; guarded++) {
            if (!run_toy(ctx, device, which, (enum dlm_dtype)half, guarded, got, &less))
                return;
            const double diff = relative_difference(got[0], want[0], NUM_PARAMS * LEN);
            CHECK(norm_of(want[0], LEN) > 1e-3);
            if (cases[which].is_exact || !cases[which].num_narrow)
                CHECK(!memcmp(got, want, sizeof(want)));
            else if (!CHECK(diff > 0 && diff <= (half == DLM_DTYPE_BF16 ? 1.0 / 256 : 1.0 / 2048)))
                printf("     relative difference %g\n", diff);
        }
    if (cases[which].build == build_layers) {
        /* f32 before, half of that after, but for what is f32 in one moment of the backward pass:
         * gradients of gate, up and product, and a wide copy */
        const size_t one = LEN * sizeof(float), saved = (4 * LAYERS - 1) * one;
        printf("# arenas %zu bytes, narrow %zu, saved %zu\n", bytes, less, saved);
        CHECK(bytes >= saved);
        CHECK(bytes - less <= saved / 2);
        CHECK(bytes - less >= saved / 2 - 4 * one);
    }
}

/* Nothing happens under f32, nor before there is a backward pass. */
static void test_untouched(struct dlm_ctx *ctx)
{
    struct toy t;

    check_case("f32 leaves the nodes alone");
    if (make_toy(ctx, &t, 0, DLM_DTYPE_F32)) {
        const size_t num = t.g->num_nodes, num_tensors = t.g->num_tensors;
        struct dlm_node *before[64];
        CHECK(num <= 64);
        memcpy(before, t.g->nodes, num * sizeof(*before));
        CHECK(!dlm_graph_narrow_saved(t.g, DLM_DTYPE_F32));
        CHECK_INT(t.g->num_nodes, num);
        CHECK_INT(t.g->num_tensors, num_tensors);
        CHECK(!memcmp(before, t.g->nodes, num * sizeof(*before)));
    }
    dlm_graph_destroy(&t.g);

    check_case("no backward pass");
    if (CHECK(!dlm_graph_create(ctx, &t.g))) {
        const struct dlm_desc desc = dlm_desc_make(DLM_DTYPE_F32, 2, (int64_t[]){SIDE, SIDE});
        struct dlm_tensor *x = dlm_graph_leaf(t.g, DLM_ROLE_INPUT, "x", &desc);
        dlm_mul(t.g, dlm_mul(t.g, x, x), x);
        CHECK(!dlm_graph_narrow_saved(t.g, DLM_DTYPE_BF16));
        CHECK_INT(t.g->num_nodes, 2);
    }
    dlm_graph_destroy(&t.g);
}

/* y y of [rows, cols], y = x p: number of narrow copies. is_made: the gradient of the result is no
 * leaf but comes from a node of the forward pass, as that of a loss. */
static int count_of_square(struct dlm_ctx *ctx, int64_t rows, int64_t cols, bool is_output,
                           bool is_exact, bool is_made)
{
    const struct dlm_desc x_desc = dlm_desc_make(DLM_DTYPE_F32, 2, (int64_t[]){rows, 8});
    const struct dlm_desc p_desc = dlm_desc_make(DLM_DTYPE_F32, 2, (int64_t[]){8, cols});
    const struct dlm_desc y_desc = dlm_desc_make(DLM_DTYPE_F32, 2, (int64_t[]){rows, cols});
    struct dlm_graph *g = NULL;
    int num = 0;

    if (!CHECK(!dlm_graph_create(ctx, &g)))
        return -1;
    struct dlm_tensor *x = dlm_graph_leaf(g, DLM_ROLE_INPUT, "x", &x_desc);
    struct dlm_tensor *p = dlm_graph_leaf(g, DLM_ROLE_PARAM, "p", &p_desc);
    p->grad = dlm_graph_leaf(g, DLM_ROLE_STATE, "dp", &p_desc);
    struct dlm_tensor *y = dlm_matmul(g, x, p, NULL, NULL, &(struct dlm_matmul_attrs){0});
    y->is_output = is_output;
    y->is_exact = is_exact;
    struct dlm_tensor *out = dlm_mul(g, y, y);
    struct dlm_tensor *dout = dlm_graph_leaf(g, DLM_ROLE_INPUT, "dout", &y_desc);
    if (is_made)
        dout = dlm_scale(g, dout, 0.5f, NULL);
    if (CHECK(!dlm_graph_backward(g, &out, &dout, 1, false)) && CHECK(!dlm_graph_prune(g)) &&
        CHECK(!dlm_graph_narrow_saved(g, DLM_DTYPE_BF16)))
        for (size_t i = 0; i < g->num_nodes; i++)
            num += copies_from(g->nodes[i], DLM_DTYPE_F32, DLM_DTYPE_BF16);
    dlm_graph_destroy(&g);
    return num;
}

static void test_exempt(struct dlm_ctx *ctx)
{
    check_case("small, odd, exact and read tensors stay");
    CHECK_INT(count_of_square(ctx, 64, 64, false, false, false), 1);
    CHECK_INT(count_of_square(ctx, 63, 65, false, false, false), 0); /* 4095 */
    CHECK_INT(count_of_square(ctx, 17, 241, false, false, false), 0); /* 4097: odd */
    CHECK_INT(count_of_square(ctx, 64, 64, true, false, false), 0);
    CHECK_INT(count_of_square(ctx, 64, 64, false, true, false), 0);

    check_case("a gradient made in the forward pass stays");
    CHECK_INT(count_of_square(ctx, 64, 64, false, false, true), 1);
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
        fixture_case(backend, "gradients:", cases[i].what);
        check_gradients(ctx, device, i);
    }
    dlm_device_destroy(&device);
    dlm_ctx_destroy(&ctx);
}

int main(void)
{
    struct dlm_ctx *ctx = dlm_ctx_create(&(struct dlm_ctx_params){.log = fixture_log});

    test_untouched(ctx);
    test_exempt(ctx);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check_case(cases[i].what);
        check_nodes(ctx, i);
    }
    dlm_ctx_destroy(&ctx);
    for_each_backend(run_backend);
    return check_summary();
}
