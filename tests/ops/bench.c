/* The --bench mode of the op tests: the rows' own shapes, timed; nothing is compared.
 *
 * The device's limits are measured just before. Bytes count every input and output once, so that
 * what a kernel reads twice, or finds in a cache, moves its share above or below the truth. */
#include "bench.h"

#include <stdlib.h>

#include "base/clock.h"
#include "graph/cost.h"

enum { BATCHES = 7 };

#define BATCH_SECONDS 0.02

static int compare_seconds(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double time_batch(struct dlm_device *device, struct dlm_program *program, int runs)
{
    const double begin = dlm_now();
    bool ok = true;

    for (int i = 0; i < runs; i++)
        ok &= !dlm_program_run(program);
    ok &= !dlm_device_wait(device);
    return ok ? (dlm_now() - begin) / runs : NAN;
}

/* Median of several batches, each long enough for the clock. */
static double time_program(struct dlm_device *device, struct dlm_program *program)
{
    double seconds[BATCHES];

    (void)time_batch(device, program, 1); /* compiles, and touches memory */
    const double once = time_batch(device, program, 1);
    const int runs = once < BATCH_SECONDS ? (int)(BATCH_SECONDS / DLM_MAX(once, 1e-6)) + 1 : 1;
    for (int i = 0; i < BATCHES; i++)
        seconds[i] = time_batch(device, program, runs);
    qsort(seconds, BATCHES, sizeof(*seconds), compare_seconds);
    return seconds[BATCHES / 2];
}

double bench_node(struct dlm_ctx *ctx, struct dlm_device *device, struct dlm_graph *g)
{
    struct dlm_workspace workspace = {0};
    struct dlm_plan *plan = NULL;
    struct dlm_program *program = NULL;
    double seconds = NAN;

    for (int i = 0; i < g->nodes[0]->num_outputs; i++)
        g->nodes[0]->outputs[i]->base->is_output = true;
    if (!dlm_plan_create(ctx, &plan, g, device) &&
        !dlm_workspace_init(&workspace, device, &plan, 1) &&
        !dlm_program_create(ctx, &program, device, plan, &workspace))
        seconds = time_program(device, program);
    dlm_program_destroy(&program);
    dlm_plan_destroy(&plan);
    dlm_workspace_finish(&workspace);
    return seconds;
}

void bench_print_head(const struct dlm_device_info *info, const struct dlm_limits *limits)
{
    printf("device %s %d: %s (%s)\n", dlm_backend_name(info->kind), info->index, info->name,
           info->driver);
    printf("limits: copy %.1f GB/s, read %.1f GB/s, products of f32 %.0f, f16 %.0f, bf16 %.0f "
           "GFLOP/s\n", limits->copy / 1e9, limits->read / 1e9,
           dlm_limits_product(limits, DLM_DTYPE_F32) / 1e9,
           dlm_limits_product(limits, DLM_DTYPE_F16) / 1e9,
           dlm_limits_product(limits, DLM_DTYPE_BF16) / 1e9);
    printf("%12s %10s %8s %10s %9s %6s\n", "us", "MB", "GB/s", "MFLOP", "GFLOP/s", "limit");
}

void bench_print(const struct dlm_limits *limits, const struct dlm_node *node, const char *name,
                 double seconds)
{
    const struct dlm_cost cost = dlm_node_cost(node);
    const double bytes = cost.read + cost.written;

    printf("%12.2f %10.3f %8.2f", seconds * 1e6, bytes / 1e6, bytes / seconds / 1e9);
    if (cost.flops > 0)
        printf(" %10.2f %9.2f", cost.flops / 1e6, cost.flops / seconds / 1e9);
    else
        printf(" %10s %9s", "", "");
    printf(" %5.1f%%  %s\n", 100 * dlm_limits_seconds(limits, &cost) / seconds, name);
    fflush(stdout);
}
