/* The C references and the backward rules against PyTorch: tests/golden/ops/ops.safetensors, made
 * by tools/dev/make_ops_goldens.py, holds inputs, outputs and input gradients. A case is a graph of
 * one op with its backward pass, run by the interpreter. The backward rules of some ops are also
 * held against finite differences. */
#include "graph/rewrite.h"
#include "interpreter.h"
#include "models/vit.h"
#include "ops/build.h"
#include "tests/check.h"
#include "weights/checkpoint.h"

#define NAME_BYTES 96

struct golden {
    const char *name;
    const struct dlm_op *op;
    union dlm_attrs attrs;
    const char *inputs[DLM_MAX_INPUTS]; /* "-": absent */
    double tolerance; /* of |got - want| / (|want| + rms of want); 0: equal */
    int transposed;   /* this input enters as its transposed view; 0: none, the first never does */
    bool differences; /* check gradients against finite differences, too */
};

static const struct golden goldens[] = {
    {"add", &dlm_op_add, {{0}}, {"x", "y"}, 1e-6, 0, false},
    {"mul", &dlm_op_mul, {{0}}, {"x", "y"}, 1e-6, 0, false},
    {"scale", &dlm_op_scale, {.scale = {-0.75f}}, {"x", "t"}, 1e-6, 0, false},
    {"sum", &dlm_op_sum, {.sum = {1 | 4}}, {"x"}, 1e-6, 0, false},
    {"activation_gelu_tanh", &dlm_op_activation, {.activation = {DLM_ACT_GELU_TANH}}, {"x"}, 1e-6,
     0, false},
    {"activation_gelu_erf", &dlm_op_activation, {.activation = {DLM_ACT_GELU_ERF}}, {"x"}, 1e-6, 0,
     false},
    {"activation_silu", &dlm_op_activation, {.activation = {DLM_ACT_SILU}}, {"x"}, 1e-6, 0, false},
    {"gated_activation_gelu_tanh", &dlm_op_gated_activation, {.activation = {DLM_ACT_GELU_TANH}},
     {"gate", "up"}, 1e-6, 0, true},
    {"gated_activation_gelu_erf", &dlm_op_gated_activation, {.activation = {DLM_ACT_GELU_ERF}},
     {"gate", "up"}, 1e-6, 0, true},
    {"gated_activation_silu", &dlm_op_gated_activation, {.activation = {DLM_ACT_SILU}},
     {"gate", "up"}, 1e-6, 0, true},
    {"activation_quick_gelu", &dlm_op_activation, {.activation = {DLM_ACT_QUICK_GELU}}, {"x"},
     1e-6, 0, false},
    {"activation_tanh", &dlm_op_activation, {.activation = {DLM_ACT_TANH}}, {"x"}, 1e-6, 0, false},
    {"gated_activation_quick_gelu", &dlm_op_gated_activation,
     {.activation = {DLM_ACT_QUICK_GELU}}, {"gate", "up"}, 1e-6, 0, true},
    {"gated_activation_tanh", &dlm_op_gated_activation, {.activation = {DLM_ACT_TANH}},
     {"gate", "up"}, 1e-6, 0, true},
    {"copy_f16", &dlm_op_copy, {.copy_dtype = DLM_DTYPE_F16}, {"x"}, 0, 0, false},
    {"copy_bf16", &dlm_op_copy, {.copy_dtype = DLM_DTYPE_BF16}, {"x"}, 0, 0, false},
    {"layer_norm", &dlm_op_layer_norm, {.norm = {0.01f, false}}, {"x", "weight", "bias"}, 1e-6, 0,
     true},
    {"rms_norm", &dlm_op_rms_norm, {.norm = {0.01f, false}}, {"x", "weight"}, 1e-6, 0, true},
    {"rms_norm_gemma", &dlm_op_rms_norm, {.norm = {1e-6f, true}}, {"x", "weight"}, 3e-6, 0, true},
    {"rope", &dlm_op_rope, {.rope = {false}}, {"x", "cos", "sin"}, 1e-6, 0, false},
    {"rope_inverse", &dlm_op_rope, {.rope = {true}}, {"x", "cos", "sin"}, 1e-6, 0, false},
    {"cross_entropy", &dlm_op_cross_entropy, {{0}}, {"logits", "labels", "weights"}, 1e-6, 0,
     false},
    {"matmul", &dlm_op_matmul, {{0}}, {"a", "b"}, 1e-6, 0, true},
    {"matmul_batched", &dlm_op_matmul, {.matmul = {.alpha = 0.5f}}, {"a", "b"}, 1e-6, 0, true},
    {"linear", &dlm_op_matmul, {{0}}, {"x", "w", "c", "bias"}, 1e-6, 1, true},
    {"linear_f16", &dlm_op_matmul, {.matmul = {.round = DLM_DTYPE_F16}}, {"x", "w"}, 1e-6, 1,
     false},
    {"linear_bf16", &dlm_op_matmul, {.matmul = {.round = DLM_DTYPE_BF16}}, {"x", "w"}, 1e-6, 1,
     false},
    {"attention_full", &dlm_op_attention, {.attention = {0.6f, DLM_ATTENTION_FULL}},
     {"q", "k", "v", "rows"}, 2e-6, 0, true},
    {"attention_prefix", &dlm_op_attention, {.attention = {0.6f, DLM_ATTENTION_PREFIX}},
     {"q", "k", "v", "rows"}, 2e-6, 0, true},
    {"attention_softcap", &dlm_op_attention, {.attention = {0.6f, DLM_ATTENTION_PREFIX, 0.7f}},
     {"q", "k", "v", "rows"}, 2e-6, 0, true},
    {"attention_window", &dlm_op_attention, {.attention = {0.6f, DLM_ATTENTION_PREFIX, 0, 3}},
     {"q", "k", "v", "rows"}, 2e-6, 0, true},
    {"embedding_f32", &dlm_op_embedding, {.embedding = {3, 5}},
     {"ids", "table", "features", "base", "slot_rows"}, 1e-6, 0, false},
    {"embedding_f16", &dlm_op_embedding, {.embedding = {3, 5}},
     {"ids", "table", "features", "base", "slot_rows"}, 1e-6, 0, false},
    {"embedding_bf16", &dlm_op_embedding, {.embedding = {3, 5}},
     {"ids", "table", "features", "base", "slot_rows"}, 1e-6, 0, false},
    {"gather_rows", &dlm_op_gather_rows, {{0}}, {"x", "idx", "idx_back"}, 0, 0, false},
    {"store_rows_f32", &dlm_op_store_rows, {{0}}, {"dst", "x", "start"}, 0, 0, false},
    {"store_rows_f16", &dlm_op_store_rows, {{0}}, {"dst", "x", "start"}, 0, 0, false},
    {"store_rows_bf16", &dlm_op_store_rows, {{0}}, {"dst", "x", "start"}, 0, 0, false},
    {"dropout", &dlm_op_dropout, {.dropout = {0.25f, 77, 4}}, {"x", "rng", "row_ids"}, 1e-6, 0,
     false},
    {"select_greedy", &dlm_op_select, {{0}}, {"logits", "sampling", "rng"}, 0, 0, false},
    {"select_plain", &dlm_op_select, {{0}}, {"logits", "sampling", "rng"}, 0, 0, false},
    {"select_cool", &dlm_op_select, {{0}}, {"logits", "sampling", "rng"}, 0, 0, false},
    {"select_narrow", &dlm_op_select, {{0}}, {"logits", "sampling", "rng"}, 0, 0, false},
};

/* A case as a graph. */
struct net {
    struct dlm_graph *graph;
    struct dlm_tensor *leaves[DLM_MAX_INPUTS];
    struct dlm_tensor *dy; /* NULL: no backward pass */
    struct dlm_tensor *out;
    struct interpreter it;
};

static struct dlm_ctx *ctx;
static struct dlm_checkpoint *file;
static size_t num_compared; /* tensors of the file that were held against a result */

static const struct dlm_tensor_info *find(const char *name, const char *role)
{
    char full[4 * NAME_BYTES];

    snprintf(full, sizeof(full), "%s.%s", name, role);
    return dlm_checkpoint_find(file, full);
}

/* A leaf like a tensor of the file; PARAM, with a gradient, when the file has its gradient. */
static struct dlm_tensor *make_leaf(struct net *net, const char *name, const char *role)
{
    const struct dlm_tensor_info *info = find(name, role);
    char gradient[NAME_BYTES + 8];

    if (!CHECK(info))
        return NULL;
    struct dlm_desc desc = dlm_desc_make(info->dtype, info->ndim, info->shape);
    if (!strcmp(role, "rng") || !strcmp(role, "row_ids"))
        desc.dtype = DLM_DTYPE_U32; /* PyTorch has no such tensors */
    snprintf(gradient, sizeof(gradient), "grad_%s", role);
    bool wants_grad = find(name, gradient);
    struct dlm_tensor *leaf = dlm_graph_leaf(
        net->graph, wants_grad ? DLM_ROLE_PARAM : DLM_ROLE_INPUT, role, &desc);
    if (leaf && wants_grad)
        leaf->grad = dlm_graph_leaf(net->graph, DLM_ROLE_STATE, "gradient", &desc);
    return leaf;
}

static void load(const struct net *net, const struct dlm_tensor *leaf, const char *name,
                 const char *role)
{
    const struct dlm_tensor_info *info = find(name, role);

    if (CHECK(info && info->bytes == dlm_tensor_bytes(leaf)))
        memcpy(net->it.data[leaf->index], info->data, info->bytes);
}

/* Relative to the value and to the size of what is around it; infinite where NaN is involved. */
static double error_of(double got, double want, double rms)
{
    if (got == want)
        return 0;
    return isfinite(got) && isfinite(want) ? fabs(got - want) / (fabs(want) + rms) : INFINITY;
}

/* Holds a result against a tensor of the file. */
static void compare(const char *name, const char *role, const struct dlm_host_tensor *got,
                    double tolerance)
{
    const struct dlm_tensor_info *info = find(name, role);
    double squares = 0, worst = 0;

    if (!CHECK(info && info->ndim == got->desc.ndim))
        return;
    struct dlm_desc desc = dlm_desc_make(info->dtype, info->ndim, info->shape);
    struct dlm_host_tensor want = {desc, malloc(info->bytes)};
    if (!CHECK(want.data && dlm_desc_same_shape(&want.desc, &got->desc)))
        goto done;
    memcpy(want.data, info->data, info->bytes);
    for (int64_t i = 0; i < dlm_desc_len(&desc); i++)
        squares += pow(dlm_host_get_flat(&want, i), 2);
    double rms = sqrt(squares / (double)dlm_desc_len(&desc));
    for (int64_t i = 0; i < dlm_desc_len(&desc); i++) {
        double a = dlm_host_get_flat(got, i), b = dlm_host_get_flat(&want, i);
        worst = fmax(worst, error_of(a, b, rms));
    }
    printf("%-28s %-10s error %.2e of %.0e\n", name, role, worst, tolerance);
    CHECK(worst <= tolerance);
    num_compared++;
done:
    free(want.data);
}

static void compare_all(const struct net *net, const struct golden *c)
{
    struct dlm_node *node = net->out->producer;

    for (int i = 0; i < node->num_outputs; i++) {
        struct dlm_host_tensor got = interpreter_tensor(&net->it, node->outputs[i]);
        char role[NAME_BYTES] = "out";
        if (i)
            snprintf(role, sizeof(role), "out%d", i);
        compare(c->name, role, &got, c->tolerance);
    }
    for (int i = 0; i < DLM_MAX_INPUTS; i++) {
        char role[NAME_BYTES];
        if (!net->leaves[i] || !net->leaves[i]->grad)
            continue;
        struct dlm_host_tensor got = interpreter_tensor(&net->it, net->leaves[i]->grad);
        snprintf(role, sizeof(role), "grad_%s", c->inputs[i]);
        compare(c->name, role, &got, c->tolerance);
    }
}

/* Builds the graph of a case, with_backward or not, and loads its leaves. */
static bool make_net(struct net *net, const struct golden *c, bool with_backward)
{
    struct dlm_tensor *inputs[DLM_MAX_INPUTS] = {0};
    int num = 0;

    *net = (struct net){0};
    if (!CHECK(!dlm_graph_create(ctx, &net->graph)))
        return false;
    for (; num < DLM_MAX_INPUTS && c->inputs[num]; num++) {
        if (!strcmp(c->inputs[num], "-"))
            continue;
        inputs[num] = net->leaves[num] = make_leaf(net, c->name, c->inputs[num]);
        if (num && num == c->transposed)
            inputs[num] = dlm_view_transpose(net->graph, inputs[num]);
    }
    net->out = dlm_graph_emit(net->graph, c->op, &c->attrs, inputs, num, NULL);
    if (net->out && with_backward && find(c->name, "dy")) {
        net->dy = make_leaf(net, c->name, "dy");
        CHECK(!dlm_graph_backward(net->graph, &net->out, &net->dy, 1, false));
    }
    if (!CHECK(!dlm_graph_status(net->graph)) || !CHECK(interpreter_init(&net->it, net->graph)))
        return false;
    for (int i = 0; i < num; i++)
        if (net->leaves[i])
            load(net, net->leaves[i], c->name, c->inputs[i]);
    if (net->dy)
        load(net, net->dy, c->name, "dy");
    return true;
}

static void finish_net(struct net *net)
{
    interpreter_finish(&net->it);
    dlm_graph_destroy(&net->graph);
}

/* sum dy out after a run of the forward graph */
static double loss_of(const struct net *forward, const struct dlm_host_tensor *dy)
{
    struct dlm_host_tensor out = interpreter_tensor(&forward->it, forward->out);
    double sum = 0;

    interpreter_run(&forward->it);
    for (int64_t i = 0; i < dlm_desc_len(&out.desc); i++)
        sum += dlm_host_get_flat(&out, i) * dlm_host_get_flat(dy, i);
    return sum;
}

/* Gradients of `net` against central differences of the forward graph. Results are stored in f32,
 * so the step is coarse: errors are of second order in it and stay below 2e-3. */
static void check_differences(const struct net *net, const struct golden *c)
{
    const double step = 1.0 / 64, tolerance = 2e-3;
    struct dlm_host_tensor dy = interpreter_tensor(&net->it, net->dy);
    struct net forward;

    if (!make_net(&forward, c, false))
        goto done;
    for (int input = 0; input < DLM_MAX_INPUTS; input++) {
        double worst = 0, squares = 0;
        if (!net->leaves[input] || !net->leaves[input]->grad)
            continue;
        struct dlm_host_tensor x = interpreter_tensor(&forward.it, forward.leaves[input]);
        struct dlm_host_tensor grad = interpreter_tensor(&net->it, net->leaves[input]->grad);
        const int64_t len = dlm_desc_len(&x.desc);
        for (int64_t i = 0; i < len; i++)
            squares += pow(dlm_host_get_flat(&grad, i), 2);
        for (int64_t i = 0; i < len; i += len > 60 ? 7 : 1) {
            const double at = dlm_host_get_flat(&x, i);
            dlm_host_set_flat(&x, i, at + step);
            const double above = dlm_host_get_flat(&x, i), loss_above = loss_of(&forward, &dy);
            dlm_host_set_flat(&x, i, at - step);
            const double below = dlm_host_get_flat(&x, i), loss_below = loss_of(&forward, &dy);
            dlm_host_set_flat(&x, i, at);
            const double want = (loss_above - loss_below) / (above - below);
            worst = fmax(worst, error_of(dlm_host_get_flat(&grad, i), want,
                                         sqrt(squares / (double)len)));
        }
        printf("%-28s %-10s error %.2e of %.0e (differences)\n", c->name, c->inputs[input], worst,
               tolerance);
        CHECK(worst <= tolerance);
    }
done:
    finish_net(&forward);
}

static void test_golden(const struct golden *c)
{
    struct net net;

    check_case(c->name);
    if (make_net(&net, c, true)) {
        interpreter_run(&net.it);
        compare_all(&net, c);
        if (c->differences && CHECK(net.dy))
            check_differences(&net, c);
    }
    finish_net(&net);
}

/* torch.nn.Conv2d with stride = kernel size as patches, which the host makes, and a matmul. */
static void test_conv(void)
{
    static const char *const roles[] = {"w", "bias", "dy"};
    const struct dlm_pixel_shape shape = {2, 10, 7};
    const int64_t patches = 2 * 3 * 2, cols = 3 * 3 * 3;
    const struct dlm_desc desc = dlm_desc_make(DLM_DTYPE_F32, 2, (int64_t[]){patches, cols});
    struct net net = {0};

    check_case("conv");
    if (!CHECK(!dlm_graph_create(ctx, &net.graph)))
        return;
    struct dlm_graph *g = net.graph;
    net.leaves[0] = dlm_graph_leaf(g, DLM_ROLE_INPUT, "patches", &desc);
    for (int i = 0; i < 3; i++)
        net.leaves[1 + i] = make_leaf(&net, "conv", roles[i]);
    struct dlm_tensor *weight = dlm_view_reshape(g, net.leaves[1], 2, (int64_t[]){4, cols});
    struct dlm_tensor *out =
        dlm_matmul(g, net.leaves[0], dlm_view_transpose(g, weight), NULL, net.leaves[2],
                   &(struct dlm_matmul_attrs){0});
    /* [B * H/p * W/p, out] to PyTorch's [B, out, H/p, W/p]: by way of [B, H/p * W/p, out] */
    struct dlm_tensor *image = dlm_copy(
        g, dlm_view_transpose(g, dlm_view_reshape(g, out, 3, (int64_t[]){2, 6, 4})), DLM_DTYPE_F32);
    net.out = dlm_view_reshape(g, image, 4, (int64_t[]){2, 4, 3, 2});
    if (CHECK(!dlm_graph_backward(g, &net.out, &net.leaves[3], 1, false)) &&
        CHECK(interpreter_init(&net.it, g))) {
        const struct dlm_tensor_info *pixels = find("conv", "pixels");
        if (CHECK(pixels && pixels->bytes == dlm_pixels_len(&shape) * sizeof(float)))
            dlm_vit_fill_patches(3, &shape, (const float *)pixels->data,
                                 net.it.data[net.leaves[0]->index]);
        for (int i = 0; i < 3; i++)
            load(&net, net.leaves[1 + i], "conv", roles[i]);
        interpreter_run(&net.it);
        struct dlm_host_tensor got = interpreter_tensor(&net.it, net.out);
        compare("conv", "out", &got, 1e-6);
        got = interpreter_tensor(&net.it, net.leaves[1]->grad);
        compare("conv", "grad_w", &got, 1e-6);
    }
    finish_net(&net);
}

static struct dlm_tensor *permute(struct dlm_graph *g, struct dlm_tensor *x)
{
    return dlm_copy(g, dlm_view_permute(g, x, (int[]){3, 0, 5, 1, 4, 2}), DLM_DTYPE_F32);
}

/* Each half as the reshape of a permuted copy. */
static struct dlm_tensor *pixel_shuffle(struct dlm_graph *g, struct dlm_tensor *x)
{
    static const int order[] = {0, 2, 1, 3};

    x = dlm_view_reshape(g, x, 4, (int64_t[]){2, 4, 3, 6});
    x = dlm_copy(g, dlm_view_permute(g, x, order), DLM_DTYPE_F32);
    x = dlm_view_reshape(g, x, 4, (int64_t[]){2, 3, 2, 12});
    return dlm_copy(g, dlm_view_permute(g, x, order), DLM_DTYPE_F32);
}

static void test_view(const char *name,
                      struct dlm_tensor *(*build)(struct dlm_graph *g, struct dlm_tensor *x))
{
    struct net net = {0};

    check_case(name);
    if (!CHECK(!dlm_graph_create(ctx, &net.graph)))
        return;
    struct dlm_tensor *x = net.leaves[0] = make_leaf(&net, name, "x");
    struct dlm_tensor *dy = net.leaves[1] = make_leaf(&net, name, "dy");
    net.out = build(net.graph, x);
    if (CHECK(!dlm_graph_backward(net.graph, &net.out, &dy, 1, false)) &&
        CHECK(interpreter_init(&net.it, net.graph))) {
        load(&net, x, name, "x");
        load(&net, dy, name, "dy");
        interpreter_run(&net.it);
        struct dlm_host_tensor got = interpreter_tensor(&net.it, net.out);
        compare(name, "out", &got, 0);
        got = interpreter_tensor(&net.it, x->grad);
        compare(name, "grad_x", &got, 0);
    }
    finish_net(&net);
}

/* The hyperparameters of make_ops_goldens.py at a step, counted from 0. */
static void set_hyper(const struct dlm_host_tensor *hyper, int step)
{
    const double b1 = 0.9, b2 = 0.99;
    const double values[8] = {0.01, 0.1, b1, b2, 1e-6, 1 - pow(b1, step + 1),
                              sqrt(1 - pow(b2, step + 1)), 0};

    for (int i = 0; i < 8; i++)
        dlm_host_set_flat(hyper, i, values[i]);
}

/* Two graphs differ in the norm they clip to: 4 for three steps, then 100, which clips nothing. */
static void test_adamw(float max_norm, int first, int end, struct dlm_host_tensor *state)
{
    struct net net = {0};
    const struct dlm_desc vector = dlm_desc_make(DLM_DTYPE_F32, 1, (int64_t[]){40});
    const struct dlm_desc hyper_desc = dlm_desc_make(DLM_DTYPE_F32, 1, (int64_t[]){8});
    struct dlm_tensor *leaves[4], *hyper; /* p, m, v, grad */

    if (!CHECK(!dlm_graph_create(ctx, &net.graph)))
        return;
    for (int i = 0; i < 4; i++)
        leaves[i] = dlm_graph_leaf(net.graph, DLM_ROLE_STATE, "state", &vector);
    hyper = dlm_graph_leaf(net.graph, DLM_ROLE_INPUT, "hyper", &hyper_desc);
    struct dlm_tensor *coef = dlm_grad_norm(net.graph, leaves[3], max_norm);
    dlm_adamw(net.graph, leaves[0], leaves[3], leaves[1], leaves[2], coef, hyper);
    if (!CHECK(!dlm_graph_status(net.graph)) || !CHECK(interpreter_init(&net.it, net.graph)))
        goto done;
    struct dlm_host_tensor hyper_host = interpreter_tensor(&net.it, hyper);
    for (int i = 0; i < 3; i++)
        memcpy(net.it.data[leaves[i]->index], state[i].data, 40 * sizeof(float));
    for (int step = first; step < end; step++) {
        char role[NAME_BYTES];
        snprintf(role, sizeof(role), "grad%d", step);
        load(&net, leaves[3], "adamw", role);
        set_hyper(&hyper_host, step);
        interpreter_run(&net.it);
        struct dlm_host_tensor got = interpreter_tensor(&net.it, leaves[0]);
        snprintf(role, sizeof(role), "out%d", step);
        compare("adamw", role, &got, 1e-6);
        got = interpreter_tensor(&net.it, coef);
        got.desc = dlm_desc_make(DLM_DTYPE_F32, 1, (int64_t[]){1});
        snprintf(role, sizeof(role), "norm%d", step);
        compare("adamw", role, &got, 1e-6);
    }
    for (int i = 0; i < 3; i++)
        memcpy(state[i].data, net.it.data[leaves[i]->index], 40 * sizeof(float));
done:
    finish_net(&net);
}

static void test_training(void)
{
    float p[40], m[40] = {0}, v[40] = {0};
    struct dlm_host_tensor state[3] = {{.data = p}, {.data = m}, {.data = v}};
    const struct dlm_tensor_info *start = find("adamw", "p");

    check_case("adamw and grad_norm, 5 steps");
    if (!CHECK(start && start->bytes == sizeof(p)))
        return;
    memcpy(p, start->data, sizeof(p));
    test_adamw(4, 0, 3, state);
    test_adamw(100, 3, 5, state);
}

/* Known answers of the Random123 library. */
static void test_philox(void)
{
    check_case("philox");
    CHECK_INT(dlm_philox(0, 0, 0, 0, 0, 0), 0x6627e8d5u);
    CHECK_INT(dlm_philox(~0u, ~0u, ~0u, ~0u, ~0u, ~0u), 0x408f276du);
    CHECK_INT(dlm_philox(0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u, 0xa4093822u,
                         0x299f31d0u),
              0xd16cfe09u);
}

/* Every output and gradient in the file must have been compared with something. */
static void test_all_compared(void)
{
    size_t num = 0;

    check_case("every golden has its case");
    for (size_t i = 0; i < dlm_checkpoint_num_tensors(file); i++) {
        const char *role = strchr(dlm_checkpoint_tensor(file, i)->name, '.') + 1;
        num += !strncmp(role, "out", 3) || !strncmp(role, "grad_", 5) || !strncmp(role, "norm", 4);
    }
    CHECK_INT(num_compared, num);
}

int main(void)
{
    char path[4096];

    ctx = dlm_ctx_create(&(struct dlm_ctx_params){0});
    snprintf(path, sizeof(path), "%s/golden/ops/ops.safetensors", check_data_dir());
    check_case("the file opens");
    if (!CHECK(ctx && !dlm_checkpoint_open(ctx, &file, path)))
        return check_summary();
    for (size_t i = 0; i < DLM_ARRAY_LEN(goldens); i++)
        test_golden(&goldens[i]);
    test_conv();
    test_view("permute", permute);
    test_view("pixel_shuffle", pixel_shuffle);
    test_training();
    test_philox();
    test_all_compared();
    dlm_checkpoint_destroy(&file);
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
