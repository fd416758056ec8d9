/* The null device: the same plan as on the CPU, byte for byte; it holds nothing and runs nothing;
 * its capabilities and limits are what a test says. */
#include <sys/resource.h>

#include "graph/program.h"
#include "ops/build.h"
#include "tests/check.h"

enum { T = 37, K = 96, N = 130, NUM_LEAVES = 4 };

static struct dlm_ctx *ctx;

struct made {
    struct dlm_graph *g;
    struct dlm_tensor *leaves[NUM_LEAVES], *out;
};

/* gelu(rms_norm(x) W^T) U: a weight in panels (or plain), one in plain form. */
static void make(struct made *m, enum dlm_layout layout)
{
    struct dlm_desc descs[NUM_LEAVES] = {
        dlm_desc_make(DLM_DTYPE_F32, 2, (int64_t[]){T, K}),
        dlm_desc_make(DLM_DTYPE_F32, 1, (int64_t[]){K}),
        dlm_desc_make(DLM_DTYPE_BF16, 2, (int64_t[]){N, K}),
        dlm_desc_make(DLM_DTYPE_F32, 2, (int64_t[]){N, 5}),
    };
    const struct dlm_norm_attrs norm = {.eps = 1e-6f};
    const struct dlm_matmul_attrs plain = {0};

    if (dlm_graph_create(ctx, &m->g))
        exit(1);
    descs[2].layout = layout;
    for (int i = 0; i < NUM_LEAVES; i++)
        m->leaves[i] = dlm_graph_leaf(m->g, DLM_ROLE_INPUT, "leaf", &descs[i]);
    struct dlm_tensor *h = dlm_rms_norm(m->g, m->leaves[0], m->leaves[1], &norm);
    h = dlm_matmul(m->g, h, dlm_view_transpose(m->g, m->leaves[2]), NULL, NULL, &plain);
    h = dlm_activation(m->g, h, DLM_ACT_GELU_TANH);
    m->out = dlm_matmul(m->g, h, m->leaves[3], NULL, NULL, &plain);
    CHECK(m->out && !dlm_graph_status(m->g));
}

static struct dlm_device *open_device(bool is_null, const struct dlm_device_caps *caps)
{
    const struct dlm_device_params params = {
        .kind = DLM_BACKEND_CPU, .index = -1, .is_null = is_null, .null_caps = caps};
    struct dlm_device *device = NULL;

    if (!CHECK(!dlm_device_open(ctx, &device, &params)))
        exit(1);
    return device;
}

static void test_same_plan(void)
{
    struct dlm_device *cpu = open_device(false, NULL), *null = open_device(true, NULL);
    struct dlm_plan *a = NULL, *b = NULL;
    struct made m;

    check_case("the plan of the CPU device");
    CHECK(!memcmp(dlm_device_get_caps(cpu)->info.name, dlm_device_get_caps(null)->info.name,
                  sizeof(dlm_device_get_caps(cpu)->info.name)));
    CHECK_INT(dlm_device_get_caps(null)->bits, dlm_device_get_caps(cpu)->bits);
    make(&m, DLM_LAYOUT_PANEL);
    if (CHECK(!dlm_plan_create(ctx, &a, m.g, cpu)) && CHECK(!dlm_plan_create(ctx, &b, m.g, null))) {
        CHECK(a->num_calls >= 4);
        CHECK_INT(a->num_calls, b->num_calls);
        CHECK_INT(a->num_temps, b->num_temps);
        CHECK_INT(a->num_arenas, b->num_arenas);
        CHECK(!memcmp(a->arena_bytes, b->arena_bytes, sizeof(a->arena_bytes)));
        CHECK(!memcmp(a->calls, b->calls, a->num_calls * sizeof(*a->calls)));
        CHECK(!memcmp(a->tensors, b->tensors, m.g->num_tensors * sizeof(*a->tensors)));
        CHECK(!memcmp(a->temps, b->temps, a->num_temps * sizeof(*a->temps)));
    }
    dlm_plan_destroy(&b);
    dlm_plan_destroy(&a);
    dlm_graph_destroy(&m.g);
    dlm_device_destroy(&null);
    dlm_device_destroy(&cpu);
}

/* Most memory that the process had, in KiB. */
static long peak_kib(void)
{
    struct rusage usage;

    return getrusage(RUSAGE_SELF, &usage) ? 0 : usage.ru_maxrss;
}

static void test_holds_nothing(void)
{
    const size_t bytes = (size_t)64 << 30;
    struct dlm_device *null = open_device(true, NULL);
    struct dlm_buffer *buffer = NULL;
    uint32_t word = 7;

    check_case("a buffer of 64 GiB takes nothing, is counted and reads as zeros");
    const long before = peak_kib();
    if (CHECK(!dlm_buffer_create(null, &buffer, bytes))) {
        CHECK(!dlm_buffer_fill(buffer, 0, bytes, 3));
        CHECK(!dlm_buffer_write(buffer, bytes - 4, &word, 4));
        CHECK(!dlm_buffer_read(buffer, bytes - 4, &word, 4) && !word);
        CHECK(dlm_buffer_read(buffer, bytes - 3, &word, 4) == DLM_ERR_INVALID);
        CHECK(!dlm_buffer_host_data(buffer));
        CHECK_INT(dlm_device_used_bytes(null), bytes);
    }
    dlm_buffer_destroy(&buffer);
    CHECK_INT(dlm_device_used_bytes(null), 0);
    CHECK(peak_kib() - before < 1 << 20); /* GiB */
    dlm_device_destroy(&null);
}

static void test_runs_nothing(void)
{
    struct dlm_device *null = open_device(true, NULL);
    struct dlm_storage storages[NUM_LEAVES] = {{0}};
    struct dlm_workspace workspace = {{NULL}};
    struct dlm_program *program = NULL;
    struct dlm_plan *plan = NULL;
    struct made m;
    float out[T * 5];
    size_t num = 0;

    check_case("a program is recorded and runs nothing");
    make(&m, DLM_LAYOUT_PANEL);
    for (int i = 0; i < NUM_LEAVES; i++) {
        CHECK(!dlm_buffer_create(null, &storages[i].buffer, 1 << 20));
        dlm_tensor_bind(m.leaves[i], &storages[i]);
    }
    if (CHECK(!dlm_plan_create(ctx, &plan, m.g, null)) &&
        CHECK(!dlm_workspace_init(&workspace, null, &plan, 1)) &&
        CHECK(!dlm_program_create(ctx, &program, null, plan, &workspace))) {
        CHECK(dlm_program_dispatches(program, &num) && num == plan->num_calls);
        CHECK(!dlm_program_run(program));
        memset(out, 1, sizeof(out));
        CHECK(!dlm_program_read(program, m.out, out, sizeof(out)));
        for (size_t i = 0; i < DLM_ARRAY_LEN(out); i++)
            CHECK(out[i] == 0);
        CHECK(!dlm_device_wait(null));
    }
    dlm_program_destroy(&program);
    dlm_workspace_finish(&workspace);
    dlm_plan_destroy(&plan);
    for (int i = 0; i < NUM_LEAVES; i++)
        dlm_buffer_destroy(&storages[i].buffer);
    dlm_graph_destroy(&m.g);
    dlm_device_destroy(&null);
}

static void test_caps(void)
{
    struct dlm_device *null = open_device(true, NULL);
    struct dlm_device_caps caps = *dlm_device_get_caps(null);
    struct dlm_plan *plan = NULL;
    struct made m;

    check_case("capabilities and limits as a test says");
    dlm_device_destroy(&null);
    caps.bits = DLM_CAP_BLOCK_ITEMS; /* no variants of kernels, and no panels */
    caps.max_groups = 4;
    caps.free_bytes = 12345;
    null = open_device(true, &caps);
    CHECK_INT(dlm_device_get_caps(null)->free_bytes, 12345);
    make(&m, DLM_LAYOUT_STRIDED);
    if (CHECK(!dlm_plan_create(ctx, &plan, m.g, null))) {
        uint32_t folded = 0;
        for (size_t i = 0; i < plan->num_calls; i++) {
            const struct dlm_kernel_call *c = &plan->calls[i].call;
            const uint32_t groups = c->groups[0] * c->groups[1] * c->groups[2];
            CHECK(!strstr(c->kernel, "_amx") && !strstr(c->kernel, "_avx512bf16"));
            CHECK(c->groups[0] <= 4 || c->groups[1] > 1);
            CHECK(!c->units || (c->units <= groups && groups - c->units < c->groups[1]));
            folded += c->units > 0;
        }
        CHECK(folded > 0);
    }
    dlm_plan_destroy(&plan);
    dlm_graph_destroy(&m.g);
    dlm_device_destroy(&null);
}

static void test_is_not_offered(void)
{
    struct dlm_device_info *list = NULL;
    enum dlm_backend_kind kind;
    int num = 0, num_cpu = 0;

    check_case("nobody may choose it");
    CHECK(!dlm_device_list(ctx, &list, &num));
    for (int i = 0; i < num; i++)
        num_cpu += list[i].kind == DLM_BACKEND_CPU;
    CHECK_INT(num_cpu, 1);
    CHECK(dlm_backend_from_name(ctx, "null", &kind) == DLM_ERR_USAGE);
    dlm_device_list_free(list);
}

int main(void)
{
    ctx = dlm_ctx_create(NULL);
    if (!ctx)
        return 1;
    test_same_plan();
    test_holds_nothing();
    test_runs_nothing();
    test_caps();
    test_is_not_offered();
    dlm_ctx_destroy(&ctx);
    return check_summary();
}
