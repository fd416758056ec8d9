/* The --bench mode of the op tests: the rows' own shapes, timed; nothing is compared.
 *
 * Copy and FMA limits are measured on the device just before: what a large copy moves, and what
 * bench_fma says (or, on the CPU, its probe). Bytes count every input and output once, so that what
 * a kernel reads twice, or finds in a cache, moves its share above or below the truth. */
#include "bench.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/pool.h"
#include "tests/bench/peak_probe.h"

enum { BATCHES = 7 };

#define BATCH_SECONDS 0.02
#define COPY_LEN (16 << 20) /* floats of the copy that is the limit */

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

/* Bytes that a copy moves in a second, to and from. */
static double measure_copy(struct dlm_ctx *ctx, struct dlm_device *device)
{
    const struct dlm_desc desc = dlm_desc_make(DLM_DTYPE_F32, 1, (const int64_t[]){COPY_LEN});
    struct dlm_storage place = {0};
    struct dlm_graph *g = NULL;
    double seconds = NAN;

    if (!dlm_graph_create(ctx, &g) &&
        !dlm_buffer_create(device, &place.buffer, COPY_LEN * sizeof(float)) &&
        !dlm_buffer_fill(place.buffer, 0, COPY_LEN * sizeof(float), 0)) {
        struct dlm_tensor *x = dlm_graph_leaf(g, DLM_ROLE_INPUT, "x", &desc);
        dlm_tensor_bind(x, &place);
        if (dlm_copy(g, x, DLM_DTYPE_F32))
            seconds = bench_node(ctx, device, g);
    }
    dlm_graph_destroy(&g);
    dlm_buffer_destroy(&place.buffer);
    return 2.0 * COPY_LEN * sizeof(float) / seconds;
}

static void probe_fma(void *user, int64_t item, int worker)
{
    (void)user;
    (void)item;
    (void)worker;
    peak_fma_loop();
}

/* Floating point operations a second of all the CPU's threads. */
static double measure_cpu_fma(struct dlm_ctx *ctx)
{
    const int64_t items = 16 * (int64_t)dlm_pool_num_workers(dlm_ctx_pool(ctx));
    double best = INFINITY;

    for (int i = 0; i < 3; i++) {
        const double begin = dlm_now();
        dlm_pool_run(dlm_ctx_pool(ctx), probe_fma, NULL, items);
        best = fmin(best, dlm_now() - begin);
    }
    return (double)items * PEAK_FMA_FLOPS / best;
}

void bench_limits_init(struct bench_limits *limits, struct dlm_ctx *ctx, struct dlm_device *device,
                       double fma)
{
    limits->copy = measure_copy(ctx, device);
    limits->fma = fma;
    if (!(fma > 0) && dlm_device_get_caps(device)->info.kind == DLM_BACKEND_CPU)
        limits->fma = measure_cpu_fma(ctx);
    printf("limits: copy %.1f GB/s, FMA ", limits->copy / 1e9);
    if (limits->fma > 0)
        printf("%.0f GFLOP/s\n", limits->fma / 1e9);
    else
        printf("not known: --fma GFLOPS, see bench_fma\n");
    printf("%12s %10s %6s %10s %6s\n", "us", "GB/s", "copy", "GFLOP/s", "FMA");
}

static double node_bytes(const struct dlm_node *node)
{
    double bytes = 0;

    for (int i = 0; i < node->num_inputs; i++)
        if (node->inputs[i])
            bytes += (double)dlm_dtype_size(node->inputs[i]->desc.dtype,
                                            dlm_desc_len(&node->inputs[i]->desc));
    for (int i = 0; i < node->num_outputs; i++)
        bytes += (double)dlm_dtype_size(node->outputs[i]->desc.dtype,
                                        dlm_desc_len(&node->outputs[i]->desc));
    return bytes;
}

/* Of the products, by which an op is bound if it has any: two for a multiplication and an addition.
 * Attention counts every key for every query, allowed or not. 0: none. */
static double node_flops(const struct dlm_node *node)
{
    if (node->op == &dlm_op_matmul)
        return 2.0 * (double)dlm_desc_len(&node->outputs[0]->desc) *
               (double)dlm_desc_cols(&node->inputs[0]->desc);
    if (node->op != &dlm_op_attention && node->op != &dlm_op_attention_backward)
        return 0;
    const int num_products = node->op == &dlm_op_attention ? 2 : 5;
    return 2.0 * num_products * (double)dlm_desc_len(&node->inputs[0]->desc) *
           (double)node->inputs[1]->desc.shape[1];
}

void bench_print(const struct bench_limits *limits, const struct dlm_node *node, const char *name,
                 double seconds)
{
    const double bytes = node_bytes(node) / seconds, flops = node_flops(node) / seconds;

    printf("%12.2f %10.2f %5.1f%%", seconds * 1e6, bytes / 1e9, 100 * bytes / limits->copy);
    if (flops > 0)
        printf(" %10.2f", flops / 1e9);
    else
        printf(" %10s", "");
    if (flops > 0 && limits->fma > 0)
        printf(" %5.1f%%", 100 * flops / limits->fma);
    else
        printf(" %6s", "");
    printf("  %s\n", name);
    fflush(stdout);
}
