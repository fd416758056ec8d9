/* Fusion and pruning: each group is fused where it may be, is left alone where it may not, and
 * never changes a value or a gradient; pruning drops the nodes that nobody reads and no other. */
#include "graph/rewrite.h"
#include "ops/build.h"
#include "ops/op_list.h"
#include "tests/ops/interpreter.h"
#include "tests/train/fixture.h"

enum { M = 5, K = 7, N = 6, MAX_LEN = 64 };

/* Leaves of a case, all parameters: their shapes stand below. */
enum { X, W, U, C, BIAS, TALL, NUM_LEAVES };

static const int64_t shapes[NUM_LEAVES][2] = {{M, K}, {K, N}, {K, N}, {M, N}, {N, 0}, {N, M}};

struct toy {
    struct dlm_graph *g;
    struct dlm_tensor *leaves[NUM_LEAVES];
    struct dlm_tensor *kept; /* a second tensor that is read from outside, or NULL */
};

static struct dlm_tensor *product(struct toy *t, int a, int b)
{
    return dlm_matmul(t->g, t->leaves[a], t->leaves[b], NULL, NULL, &(struct dlm_matmul_attrs){0});
}

static struct dlm_tensor *build_bias(struct toy *t)
{
    return dlm_add(t->g, product(t, X, W), t->leaves[BIAS]);
}

static struct dlm_tensor *build_addend(struct toy *t)
{
    return dlm_add(t->g, t->leaves[C], product(t, X, W));
}

static struct dlm_tensor *build_both(struct toy *t)
{
    return dlm_add(t->g, build_bias(t), t->leaves[C]);
}

static struct dlm_tensor *build_scaled(struct toy *t)
{
    const struct dlm_matmul_attrs attrs = {.alpha = 0.25f};
    return dlm_add(t->g, dlm_matmul(t->g, t->leaves[X], t->leaves[W], NULL, NULL, &attrs),
                   t->leaves[C]);
}

static struct dlm_tensor *build_two_products(struct toy *t)
{
    return dlm_add(t->g, product(t, X, W), product(t, X, U));
}

static struct dlm_tensor *build_two_addends(struct toy *t)
{
    return dlm_add(t->g, build_addend(t), t->leaves[C]);
}

static struct dlm_tensor *build_gate(struct toy *t)
{
    return dlm_mul(t->g, dlm_activation(t->g, product(t, X, W), DLM_ACT_SILU), product(t, X, U));
}

static struct dlm_tensor *build_gate_last(struct toy *t)
{
    struct dlm_tensor *up = product(t, X, U);
    return dlm_mul(t->g, up, dlm_activation(t->g, product(t, X, W), DLM_ACT_GELU_TANH));
}

static struct dlm_tensor *build_used_twice(struct toy *t)
{
    struct dlm_tensor *p = product(t, X, W);
    return dlm_mul(t->g, dlm_add(t->g, p, t->leaves[C]), p);
}

static struct dlm_tensor *build_with_itself(struct toy *t)
{
    struct dlm_tensor *p = product(t, X, W);
    return dlm_add(t->g, p, p);
}

static struct dlm_tensor *build_read_outside(struct toy *t)
{
    t->kept = product(t, X, W);
    return dlm_add(t->g, t->kept, t->leaves[C]);
}

static struct dlm_tensor *build_transposed_addend(struct toy *t)
{
    return dlm_add(t->g, product(t, X, W), dlm_view_transpose(t->g, t->leaves[TALL]));
}

static struct dlm_tensor *build_row_addend(struct toy *t)
{
    return dlm_add(t->g, product(t, X, W), dlm_view_slice(t->g, t->leaves[C], 0, 2, 1));
}

static struct dlm_tensor *build_row_product(struct toy *t)
{
    struct dlm_tensor *row = dlm_view_slice(t->g, t->leaves[X], 0, 1, 1);
    return dlm_add(t->g, dlm_matmul(t->g, row, t->leaves[W], NULL, NULL,
                                    &(struct dlm_matmul_attrs){0}), t->leaves[C]);
}

/* [M + M, N]: a copy of the product above C. */
static struct dlm_tensor *above_c(struct toy *t, struct dlm_tensor *p)
{
    const struct dlm_desc desc = dlm_desc_make(DLM_DTYPE_F32, 2, (int64_t[]){2 * M, N});
    struct dlm_tensor *whole = dlm_graph_buffer(t->g, &desc);
    struct dlm_tensor *const parts[] = {
        dlm_copy_into(t->g, p, dlm_view_slice(t->g, whole, 0, 0, M)),
        dlm_copy_into(t->g, t->leaves[C], dlm_view_slice(t->g, whole, 0, M, M))};
    return dlm_graph_join(t->g, whole, parts, 2, 0);
}

static struct dlm_tensor *build_part(struct toy *t)
{
    return above_c(t, product(t, X, W));
}

static struct dlm_tensor *build_read_part(struct toy *t)
{
    t->kept = product(t, X, W);
    return above_c(t, t->kept);
}

static struct dlm_tensor *build_transposed_weight(struct toy *t)
{
    return dlm_matmul(t->g, dlm_view_transpose(t->g, t->leaves[X]),
                      dlm_view_transpose(t->g, t->leaves[TALL]), NULL, NULL,
                      &(struct dlm_matmul_attrs){0});
}

static struct dlm_tensor *build_across_blocks(struct toy *t)
{
    struct dlm_tensor *p = product(t, X, W);
    dlm_graph_mark(t->g);
    return dlm_add(t->g, p, t->leaves[C]);
}

/* x changes after the product was taken: the product may not move behind that. */
static struct dlm_tensor *build_overwritten(struct toy *t)
{
    const struct dlm_desc desc = dlm_desc_make(DLM_DTYPE_F32, 2, shapes[X]);
    struct dlm_tensor *x = dlm_copy_into(t->g, t->leaves[X], dlm_graph_buffer(t->g, &desc));
    struct dlm_tensor *p = dlm_matmul(t->g, x, t->leaves[W], NULL, NULL,
                                      &(struct dlm_matmul_attrs){0});
    t->kept = dlm_fill_into(t->g, x, 3);
    return dlm_add(t->g, p, t->leaves[C]);
}

static struct dlm_tensor *build_overwritten_gate(struct toy *t)
{
    const struct dlm_desc desc = dlm_desc_make(DLM_DTYPE_F32, 2, shapes[C]);
    struct dlm_tensor *x = dlm_copy_into(t->g, t->leaves[C], dlm_graph_buffer(t->g, &desc));
    struct dlm_tensor *a = dlm_activation(t->g, x, DLM_ACT_SILU);
    t->kept = dlm_fill_into(t->g, x, 3);
    return dlm_mul(t->g, a, t->leaves[C]);
}

static const struct {
    const char *what;
    struct dlm_tensor *(*build)(struct toy *t);
    int nodes, fused; /* nodes before and after */
    bool no_grad;     /* writes in place */
} cases[] = {
    {"bias", build_bias, 2, 1, false},
    {"addend", build_addend, 2, 1, false},
    {"bias and addend", build_both, 3, 1, false},
    {"addend of a scaled product", build_scaled, 2, 1, false},
    {"two products", build_two_products, 3, 2, false},
    {"two addends", build_two_addends, 3, 2, false},
    {"gate", build_gate, 4, 3, false},
    {"gate on the right", build_gate_last, 4, 3, false},
    {"used twice", build_used_twice, 3, 3, false},
    {"with itself", build_with_itself, 2, 2, false},
    {"read from outside", build_read_outside, 2, 2, false},
    {"transposed addend", build_transposed_addend, 2, 2, false},
    {"one row as addend", build_row_addend, 2, 2, false},
    {"product of one row", build_row_product, 2, 2, false},
    {"part of a buffer", build_part, 3, 2, false},
    {"part of a buffer, read from outside", build_read_part, 3, 3, false},
    {"transposed weight", build_transposed_weight, 1, 1, false},
    {"across blocks", build_across_blocks, 2, 2, false},
    {"product of what is overwritten", build_overwritten, 4, 4, true},
    {"gate of what is overwritten", build_overwritten_gate, 4, 4, true},
};
#define NUM_CASES (sizeof(cases) / sizeof(cases[0]))

static float value_at(int which, int64_t i)
{
    return (float)(0.8 * sin(1.3 * (double)i + 1.9 * which + 0.4));
}

/* Values of the output and of the parameters' gradients, by the C references. */
struct values {
    float out[MAX_LEN], grads[NUM_LEAVES][MAX_LEN];
    size_t nodes;
    int sums; /* additions in the gradient */
};

static bool make_leaves(struct dlm_ctx *ctx, struct toy *t)
{
    *t = (struct toy){0};
    if (!CHECK(!dlm_graph_create(ctx, &t->g)))
        return false;
    for (int i = 0; i < NUM_LEAVES; i++) {
        const struct dlm_desc d = dlm_desc_make(DLM_DTYPE_F32, shapes[i][1] ? 2 : 1, shapes[i]);
        t->leaves[i] = dlm_graph_leaf(t->g, DLM_ROLE_PARAM, "p", &d);
        t->leaves[i]->grad = dlm_graph_leaf(t->g, DLM_ROLE_STATE, "dp", &d);
    }
    return true;
}

static void interpret(const struct toy *t, struct dlm_tensor *out, struct dlm_tensor *dout,
                      struct values *v)
{
    struct interpreter it = {0};

    if (CHECK(interpreter_init(&it, t->g))) {
        for (int i = 0; i <= NUM_LEAVES; i++) {
            struct dlm_tensor *leaf = i < NUM_LEAVES ? t->leaves[i] : dout;
            if (!leaf)
                continue;
            struct dlm_host_tensor h = interpreter_tensor(&it, leaf);
            for (int64_t k = 0; k < dlm_desc_len(&leaf->desc); k++)
                dlm_host_set_flat(&h, k, value_at(i, k));
        }
        interpreter_run(&it);
        struct dlm_host_tensor h = interpreter_tensor(&it, out);
        for (int64_t k = 0; k < dlm_desc_len(&out->desc); k++)
            v->out[k] = (float)dlm_host_get_flat(&h, k);
        for (int i = 0; i < NUM_LEAVES; i++) {
            h = interpreter_tensor(&it, t->leaves[i]->grad);
            for (int64_t k = 0; k < dlm_desc_len(&h.desc); k++)
                v->grads[i][k] = (float)dlm_host_get_flat(&h, k);
        }
    }
    interpreter_finish(&it);
}

static void run_case(struct dlm_ctx *ctx, size_t i, bool fuse, struct values *v)
{
    struct toy t;

    memset(v, 0, sizeof(*v));
    if (make_leaves(ctx, &t)) {
        struct dlm_tensor *out = cases[i].build(&t), *dout = NULL;
        if (CHECK(out)) {
            out->is_output = out->base->is_output = true;
            if (t.kept)
                t.kept->is_output = t.kept->base->is_output = true;
            CHECK_INT(t.g->num_nodes, cases[i].nodes);
            if (fuse)
                CHECK(!dlm_graph_fuse(t.g));
            v->nodes = t.g->num_nodes;
            if (!cases[i].no_grad) {
                dout = dlm_graph_leaf(t.g, DLM_ROLE_INPUT, "dout", &out->desc);
                CHECK(!dlm_graph_backward(t.g, &out, &dout, 1, false));
                CHECK(!dlm_graph_prune(t.g));
                if (fuse)
                    CHECK(!dlm_graph_fuse(t.g)); /* gradients into their sums */
                for (size_t k = 0; k < t.g->num_nodes; k++)
                    v->sums += t.g->nodes[k]->op == &dlm_op_add;
            }
            interpret(&t, out, dout, v);
        }
    }
    dlm_graph_destroy(&t.g);
}

static void test_fusion(struct dlm_ctx *ctx)
{
    for (size_t i = 0; i < NUM_CASES; i++) {
        struct values plain, fused;
        check_case(cases[i].what);
        run_case(ctx, i, false, &plain);
        run_case(ctx, i, true, &fused);
        CHECK_INT(fused.nodes, cases[i].fused);
        CHECK(norm_of(plain.out, MAX_LEN) > 0.1);
        if (cases[i].build == build_transposed_weight)
            CHECK_INT(plain.sums, 2), CHECK_INT(fused.sums, 1);
        CHECK(relative_difference(fused.out, plain.out, MAX_LEN) <= 1e-6);
        for (int k = 0; k < NUM_LEAVES; k++)
            CHECK(relative_difference(fused.grads[k], plain.grads[k], MAX_LEN) <= 1e-6);
    }
}

static bool has_node(const struct dlm_graph *g, const struct dlm_node *node)
{
    for (size_t i = 0; i < g->num_nodes; i++)
        if (g->nodes[i] == node)
            return true;
    return false;
}

static void test_prune(struct dlm_ctx *ctx)
{
    struct toy t;

    check_case("pruning");
    if (make_leaves(ctx, &t)) {
        struct dlm_tensor *used = product(&t, X, W), *dead = product(&t, X, U);
        struct dlm_tensor *deader = dlm_scale(t.g, dead, 2, NULL);
        struct dlm_tensor *out = dlm_add(t.g, used, t.leaves[C]);
        struct dlm_tensor *state = dlm_fill_into(t.g, t.leaves[C]->grad, 0); /* lives across runs */
        struct dlm_tensor *late = dlm_scale(t.g, out, 2, NULL);
        /* part of a buffer: alive because the whole is read */
        const struct dlm_desc desc = dlm_desc_make(DLM_DTYPE_F32, 2, shapes[C]);
        struct dlm_tensor *whole = dlm_graph_buffer(t.g, &desc);
        struct dlm_tensor *first = dlm_fill_into(t.g, dlm_view_slice(t.g, whole, 0, 0, 2), 1);
        struct dlm_tensor *second = dlm_fill_into(t.g, dlm_view_slice(t.g, whole, 0, 2, 3), 2);
        struct dlm_tensor *joined =
            dlm_graph_join(t.g, whole, (struct dlm_tensor *[]){first, second}, 2, 0);
        struct dlm_tensor *end = dlm_mul(t.g, joined, out);
        if (CHECK(deader && state && late && end)) {
            const struct dlm_node *live[] = {used->producer, out->producer, state->producer,
                                             first->producer, second->producer, end->producer};
            end->is_output = true;
            CHECK(!dlm_graph_prune(t.g));
            CHECK_INT(t.g->num_nodes, 6);
            for (size_t i = 0; i < 6; i++)
                CHECK(has_node(t.g, live[i]));
            CHECK(!has_node(t.g, dead->producer));
            CHECK(!has_node(t.g, late->producer));
            CHECK(!dlm_graph_prune(t.g));
            CHECK_INT(t.g->num_nodes, 6);
        }
    }
    dlm_graph_destroy(&t.g);
}

int main(void)
{
    struct dlm_ctx *ctx = dlm_ctx_create(&(struct dlm_ctx_params){.log = fixture_log});

    test_fusion(ctx);
    test_prune(ctx);
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
