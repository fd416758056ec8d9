/* The graph of a tower's block over the 12,100 patches of an image of 1540 x 1540, forward and
 * backward, planned for every device: it fits grids and buffers, and no kernel has memory of
 * patches x patches. Nothing runs. */
#include "graph/program.h"
#include "graph/rewrite.h"
#include "ops/build.h"
#include "tests/check.h"

enum { T = 12100, C = 1024, H = 16, D = 64, RANK = 8 };

static struct dlm_ctx *ctx;

static struct dlm_tensor *leaf(struct dlm_graph *g, enum dlm_dtype dtype, int64_t rows,
                               int64_t cols)
{
    const struct dlm_desc desc =
        dlm_desc_make(dtype, rows ? 2 : 1, (int64_t[]){rows ? rows : cols, cols});

    return dlm_graph_leaf(g, DLM_ROLE_INPUT, "leaf", &desc);
}

static struct dlm_tensor *param(struct dlm_graph *g, int64_t rows, int64_t cols)
{
    const struct dlm_desc desc = dlm_desc_make(DLM_DTYPE_F32, 2, (int64_t[]){rows, cols});
    struct dlm_tensor *p = dlm_graph_leaf(g, DLM_ROLE_PARAM, "p", &desc);

    p->grad = dlm_graph_leaf(g, DLM_ROLE_STATE, "dp", &desc);
    return p;
}

/* x W^T for a weight as the device keeps it, and an adapter beside it. */
static struct dlm_tensor *linear(struct dlm_graph *g, const struct dlm_device_caps *caps,
                                 struct dlm_tensor *x, int64_t out, struct dlm_tensor *addend)
{
    const int64_t in = x->desc.shape[1];
    struct dlm_desc w = dlm_desc_make(DLM_DTYPE_BF16, 2, (int64_t[]){out, in});
    const struct dlm_matmul_attrs round = {.round = DLM_DTYPE_BF16}, plain = {0};

    w.layout = caps->bits & DLM_CAP_PANELS ? DLM_LAYOUT_PANEL : DLM_LAYOUT_STRIDED;
    struct dlm_tensor *weight = dlm_graph_leaf(g, DLM_ROLE_INPUT, "w", &w);
    struct dlm_tensor *a = dlm_view_transpose(g, param(g, RANK, in));
    struct dlm_tensor *b = dlm_view_transpose(g, param(g, out, RANK));
    struct dlm_tensor *y =
        dlm_matmul(g, x, dlm_view_transpose(g, weight), addend, NULL, &round);
    return dlm_matmul(g, dlm_matmul(g, x, a, NULL, NULL, &plain), b, y, NULL, &plain);
}

static struct dlm_tensor *heads(struct dlm_graph *g, struct dlm_tensor *x, struct dlm_tensor *cos,
                                struct dlm_tensor *sin)
{
    x = dlm_view_reshape(g, x, 3, (int64_t[]){T, H, D});
    if (cos)
        x = dlm_rope(g, x, cos, sin, false);
    return dlm_view_reshape(g, x, 4, (int64_t[]){1, T, H, D});
}

/* The block and its gradient; mlp: the width of its hidden layer. */
static struct dlm_graph *make(const struct dlm_device_caps *caps, int64_t mlp)
{
    const struct dlm_norm_attrs norm = {.eps = 1e-5f};
    const struct dlm_attention_attrs attention = {.scale = 0.125f};
    struct dlm_graph *g;

    if (dlm_graph_create(ctx, &g))
        exit(1);
    struct dlm_tensor *x = leaf(g, DLM_DTYPE_F32, T, C);
    struct dlm_tensor *cos = leaf(g, DLM_DTYPE_F32, T, D / 2);
    struct dlm_tensor *sin = leaf(g, DLM_DTYPE_F32, T, D / 2);
    struct dlm_tensor *rows = leaf(g, DLM_DTYPE_I32, 1, 4);
    struct dlm_tensor *n = dlm_rms_norm(g, x, leaf(g, DLM_DTYPE_F32, 0, C), &norm);
    struct dlm_tensor *q = heads(g, linear(g, caps, n, C, NULL), cos, sin);
    struct dlm_tensor *k = heads(g, linear(g, caps, n, C, NULL), cos, sin);
    struct dlm_tensor *v = heads(g, linear(g, caps, n, C, NULL), NULL, NULL);
    struct dlm_tensor *a = dlm_attention(g, q, k, v, rows, &attention);
    x = linear(g, caps, dlm_view_reshape(g, a, 2, (int64_t[]){T, C}), C, x);
    n = dlm_layer_norm(g, x, leaf(g, DLM_DTYPE_F32, 0, C), leaf(g, DLM_DTYPE_F32, 0, C), &norm);
    struct dlm_tensor *up = linear(g, caps, n, mlp, NULL);
    struct dlm_tensor *y = dlm_mul(
        g, dlm_activation(g, linear(g, caps, n, mlp, NULL), DLM_ACT_SILU), up);
    x = linear(g, caps, y, C, x);
    x->base->is_output = true;
    CHECK(!dlm_graph_fuse(g));
    struct dlm_tensor *grad = leaf(g, DLM_DTYPE_F32, T, C);
    CHECK(!dlm_graph_backward(g, &x, &grad, 1, false) && !dlm_graph_prune(g) &&
          !dlm_graph_narrow_saved(g, DLM_DTYPE_BF16));
    return g;
}

/* What a call has beside tensors of the graph. */
static void check_plan(const struct dlm_plan *plan, const struct dlm_device_caps *caps,
                       int64_t mlp)
{
    const size_t activation = sizeof(float) * (size_t)(T * mlp);
    bool has_backward = false;

    CHECK(activation < (size_t)T * T * sizeof(float) / 2); /* of one head's scores */
    for (size_t i = 0; i < plan->num_calls; i++) {
        const struct dlm_kernel_call *c = &plan->calls[i].call;
        CHECK(c->scratch_bytes < (size_t)16 << 20); /* of a CPU's worker */
        CHECK(c->work > 0);
        has_backward |= strstr(c->kernel, "attention_dkv") != NULL;
        for (int d = 0; d < 3; d++)
            CHECK(c->groups[d] <= caps->max_groups);
    }
    for (size_t i = 0; i < plan->num_temps; i++)
        CHECK(plan->temps[i].bytes <= activation);
    for (size_t i = 0; i < plan->graph->num_tensors; i++)
        if (plan->tensors[i].arena >= 0)
            CHECK(plan->tensors[i].bytes <= activation);
    CHECK(has_backward);
}

static void plan_for(const struct dlm_device_params *params)
{
    struct dlm_device *device = NULL;
    struct dlm_plan *plan = NULL;

    if (!CHECK(!dlm_device_open(ctx, &device, params)))
        return;
    const struct dlm_device_caps *caps = dlm_device_get_caps(device);
    /* one activation of [T, mlp] fits what a kernel can reach: 128 MiB on the smallest devices */
    const int64_t mlp = caps->max_range_bytes < (size_t)256 << 20 ? 2560 : 4096;
    struct dlm_graph *g = make(caps, mlp);
    if (CHECK(!dlm_plan_create(ctx, &plan, g, device)))
        check_plan(plan, caps, mlp);
    dlm_plan_destroy(&plan);
    dlm_graph_destroy(&g);
    dlm_device_destroy(&device);
}

static bool is_wanted(const struct dlm_device_info *info)
{
    const char *only = getenv("DLM_TEST_BACKENDS");
    return !only || strstr(only, dlm_backend_name(info->kind));
}

int main(void)
{
    struct dlm_device_info *list = NULL;
    char name[160];
    int num = 0;

    ctx = dlm_ctx_create(NULL);
    if (!ctx || dlm_device_list(ctx, &list, &num))
        return 1;
    for (int i = 0; i < num; i++) {
        struct dlm_device_params params = {.kind = list[i].kind, .index = list[i].index};
        if (!is_wanted(&list[i]))
            continue;
        snprintf(name, sizeof(name), "%s %d", dlm_backend_name(list[i].kind), list[i].index);
        check_case(name);
        plan_for(&params);
        snprintf(name, sizeof(name), "%s %d, with local memory", dlm_backend_name(list[i].kind),
                 list[i].index);
        check_case(name);
        params.hide_caps = DLM_CAP_NO_LOCAL;
        plan_for(&params);
    }
    check_case("the smallest buffers and grids");
    plan_for(&(struct dlm_device_params){
        .kind = DLM_BACKEND_CPU, .index = -1, .max_alloc_bytes = (size_t)128 << 20});
    dlm_device_list_free(list);
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
