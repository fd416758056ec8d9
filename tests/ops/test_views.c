/* Ops that write into the middle of another tensor (copy, fill, add, mul), on every device: where
 * a slice begins at no place the device can bind, kernels are given a lead. And ops that cannot,
 * which must say so instead of writing elsewhere. */
#include "graph/program.h"
#include "graph/rewrite.h"
#include "ops/build.h"
#include "ops/reference.h"
#include "tests/check.h"

enum { ROWS = 7, COLS = 37, LEN = ROWS * COLS };

static void print_log(void *user, enum dlm_log_level level, const char *text)
{
    (void)user;
    if (level <= DLM_LOG_WARNING)
        printf("     log: %s\n", text);
}

/* What each op writes, as a slice of rows or columns of a [ROWS, COLS] tensor. */
struct part {
    const struct dlm_op *op;
    enum dlm_dtype dtype; /* of the whole; x is f32 */
    int dim;
    int64_t begin, len;
};

static const struct part parts[] = {
    {&dlm_op_copy, DLM_DTYPE_F32, 0, 3, 2},  {&dlm_op_copy, DLM_DTYPE_F32, 1, 5, 9},
    {&dlm_op_copy, DLM_DTYPE_F32, 0, 0, 7},  {&dlm_op_copy, DLM_DTYPE_F16, 0, 2, 3},
    {&dlm_op_copy, DLM_DTYPE_BF16, 0, 4, 1}, {&dlm_op_copy, DLM_DTYPE_BF16, 0, 6, 1},
    {&dlm_op_fill, DLM_DTYPE_F32, 0, 3, 2},  {&dlm_op_add, DLM_DTYPE_F32, 1, 11, 5},
    {&dlm_op_mul, DLM_DTYPE_F32, 0, 1, 3},
};

static double value_of(const struct dlm_op *op, double x)
{
    if (op == &dlm_op_fill)
        return 7;
    if (op == &dlm_op_add)
        return x + x;
    return op == &dlm_op_mul ? x * x : x;
}

/* Emits the part's op with its slice as the destination. */
static struct dlm_tensor *emit(struct dlm_graph *g, const struct part *p, struct dlm_tensor *x,
                               struct dlm_tensor *whole)
{
    struct dlm_tensor *to = dlm_view_slice(g, whole, p->dim, p->begin, p->len);

    if (p->op == &dlm_op_copy)
        return dlm_copy_into(g, x, to);
    if (p->op == &dlm_op_fill)
        return dlm_fill_into(g, to, 7);
    return dlm_graph_emit_into(g, p->op, NULL, (struct dlm_tensor *[]){x, x}, 2, to);
}

static void check_part(const struct part *p, const struct dlm_host_tensor *got, const float *x)
{
    for (int64_t i = 0; i < LEN; i++) {
        const int64_t r = i / COLS, c = i % COLS, at = p->dim ? c : r;
        double want = -1;
        if (at >= p->begin && at < p->begin + p->len)
            want = value_of(p->op, p->dim ? x[r * p->len + c - p->begin]
                                          : x[(r - p->begin) * COLS + c]);
        if (!CHECK(dlm_host_get_flat(got, i) == want)) {
            printf("     element %d, %d: got %g, want %g\n", (int)r, (int)c,
                   dlm_host_get_flat(got, i), want);
            return;
        }
    }
}

static void run_part(struct dlm_ctx *ctx, struct dlm_device *device, const struct part *p)
{
    const int64_t shape[] = {ROWS, COLS};
    const int64_t x_shape[] = {p->dim ? ROWS : p->len, p->dim ? p->len : COLS};
    const struct dlm_desc desc = dlm_desc_make(p->dtype, 2, shape);
    const struct dlm_desc x_desc = dlm_desc_make(DLM_DTYPE_F32, 2, x_shape);
    struct dlm_storage places[2] = {0};
    struct dlm_graph *g = NULL;
    struct dlm_plan *plan = NULL;
    struct dlm_program *program = NULL;
    float x[LEN], storage[LEN + 1];
    struct dlm_host_tensor whole_host = {desc, storage};
    size_t bytes = 0;

    for (int i = 0; i < LEN; i++) {
        x[i] = (float)(i % 200); /* exact in every type */
        dlm_host_set_flat(&whole_host, i, -1);
    }
    if (!CHECK(!dlm_graph_create(ctx, &g)) || !CHECK(dlm_dtype_bytes(p->dtype, LEN, &bytes)))
        goto done;
    struct dlm_tensor *leaves[] = {dlm_graph_leaf(g, DLM_ROLE_INPUT, "x", &x_desc),
                                   dlm_graph_leaf(g, DLM_ROLE_STATE, "whole", &desc)};
    for (int i = 0; i < 2; i++) {
        const size_t len = i ? bytes : (size_t)dlm_desc_len(&x_desc) * sizeof(float);
        if (!CHECK(!dlm_buffer_create(device, &places[i].buffer, (len + 3) / 4 * 4)) ||
            !CHECK(!dlm_buffer_write(places[i].buffer, 0, i ? (void *)storage : x, len)))
            goto done;
        dlm_tensor_bind(leaves[i], &places[i]);
    }
    if (CHECK(emit(g, p, leaves[0], leaves[1])) && CHECK(!dlm_plan_create(ctx, &plan, g, device)) &&
        CHECK(!dlm_program_create(ctx, &program, device, plan, NULL)) &&
        CHECK(!dlm_program_run(program)) &&
        CHECK(!dlm_buffer_read(places[1].buffer, 0, storage, bytes)))
        check_part(p, &whole_host, x);
done:
    dlm_program_destroy(&program);
    dlm_plan_destroy(&plan);
    dlm_graph_destroy(&g);
    for (int i = 0; i < 2; i++)
        dlm_buffer_destroy(&places[i].buffer);
}

/* scale has no lead, and a 16-bit copy cannot begin inside a word or have gaps: planning fails. */
static void run_refused(struct dlm_ctx *ctx, struct dlm_device *device, const struct dlm_op *op,
                        enum dlm_dtype dtype, int dim)
{
    const int64_t shape[] = {ROWS, COLS}, x_shape[] = {dim ? ROWS : 1, dim ? 4 : COLS};
    const struct dlm_desc desc = dlm_desc_make(dtype, 2, shape);
    const struct dlm_desc x_desc = dlm_desc_make(DLM_DTYPE_F32, 2, x_shape);
    struct dlm_graph *g = NULL;
    struct dlm_plan *plan = NULL;

    if (!CHECK(!dlm_graph_create(ctx, &g)))
        return;
    struct dlm_tensor *x = dlm_graph_leaf(g, DLM_ROLE_INPUT, "x", &x_desc);
    struct dlm_tensor *whole = dlm_graph_leaf(g, DLM_ROLE_STATE, "whole", &desc);
    struct dlm_tensor *to = dlm_view_slice(g, whole, dim, 1, dim ? 4 : 1);
    const union dlm_attrs attrs = op == &dlm_op_copy ? (union dlm_attrs){.copy_dtype = dtype}
                                                    : (union dlm_attrs){.scale = {2}};
    if (CHECK(dlm_graph_emit_into(g, op, &attrs, &x, 1, to)))
        CHECK(dlm_plan_create(ctx, &plan, g, device) == DLM_ERR_UNSUPPORTED);
    dlm_plan_destroy(&plan);
    dlm_graph_destroy(&g);
}

static void test_device(struct dlm_ctx *ctx, struct dlm_ctx *quiet,
                        const struct dlm_device_info *info)
{
    const struct dlm_device_params params = {.kind = info->kind, .index = info->index,
                                             .cache_dir = getenv("DLM_TEST_KERNEL_CACHE")};
    struct dlm_device *device = NULL;

    check_case("device opens");
    if (!CHECK(!dlm_device_open(ctx, &device, &params)))
        return;
    printf("device %s %d: %s, bindings at multiples of %zu bytes\n", dlm_backend_name(info->kind),
           info->index, info->name, dlm_device_get_caps(device)->align_bytes);
    for (size_t i = 0; i < DLM_ARRAY_LEN(parts); i++) {
        check_case(parts[i].op->name);
        run_part(ctx, device, &parts[i]);
    }
    check_case("refused");
    run_refused(quiet, device, &dlm_op_scale, DLM_DTYPE_F32, 1);
    run_refused(quiet, device, &dlm_op_copy, DLM_DTYPE_BF16, 1);
    if (dlm_device_get_caps(device)->align_bytes > 2)
        run_refused(quiet, device, &dlm_op_copy, DLM_DTYPE_F16, 0);
    dlm_device_destroy(&device);
}

int main(void)
{
    struct dlm_ctx *ctx = dlm_ctx_create(&(struct dlm_ctx_params){.log = print_log});
    struct dlm_ctx *quiet = dlm_ctx_create(&(struct dlm_ctx_params){0});
    const char *only = getenv("DLM_TEST_BACKENDS");
    struct dlm_device_info *list = NULL;
    int num = 0;

    check_case("devices are listed");
    if (!CHECK(ctx && quiet && !dlm_device_list(ctx, &list, &num)))
        return check_summary();
    for (int i = 0; i < num; i++)
        if (!only || strstr(only, dlm_backend_name(list[i].kind)))
            test_device(ctx, quiet, &list[i]);
    dlm_device_list_free(list);
    dlm_ctx_destroy(&quiet);
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
