/* Speed of the panel matmuls against what the machine can do in the same run: GFLOP/s beside the
 * peak of the instruction that the kernel uses, decode in GB/s beside a plain read. Weights rotate
 * through more memory than the caches hold. Prints the best and the median call.
 *
 *     bench_matmul [--threads N] [--reps N] [--copies-mb N] [--cpu-time] [part of a kernel's name]
 *
 * --cpu-time counts the process's CPU time instead of the wall clock: with --threads 1 it gives
 * useful figures on a busy machine. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend/backend.h"
#include "doctor/limits.h"
#include "kernels/matmul_general.h"

static const struct {
    uint32_t n, k;
} shapes[] = {{2048, 2048}, {16384, 2048}, {2048, 16384}, {256, 2048},
              {4304, 1152}, {1152, 4304},  {1152, 1152}};

static const uint32_t rows[] = {16, 64, 256, 320, 512};

static const enum dlm_dtype types[] = {DLM_DTYPE_BF16, DLM_DTYPE_F32, DLM_DTYPE_F16,
                                       DLM_DTYPE_Q8_0, DLM_DTYPE_NF4, DLM_DTYPE_NF4_DQ,
                                       DLM_DTYPE_Q4_0, DLM_DTYPE_Q4_K, DLM_DTYPE_Q5_K,
                                       DLM_DTYPE_Q6_K};

struct options {
    int threads, reps, copies_mb;
    bool use_cpu_time;
    const char *filter;
};

struct bench {
    struct dlm_ctx *ctx;
    struct dlm_device *device;
    struct options options;
    double vdp, fma, read; /* peaks: GFLOP/s, GFLOP/s, GB/s */
};

struct result {
    double best, median; /* seconds of a call */
};

static double now(const struct bench *b)
{
    struct timespec t;

    clock_gettime(b->options.use_cpu_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void die(const struct bench *b, const char *what)
{
    fprintf(stderr, "%s: %s\n", what, b->ctx ? dlm_ctx_last_error(b->ctx) : "");
    exit(1);
}

static struct dlm_binding make_buffer(const struct bench *b, size_t bytes)
{
    struct dlm_binding binding = {.bytes = bytes};

    /* small bf16, f16 and f32 values all: no denormals, no overflow */
    if (dlm_buffer_create(b->device, &binding.buffer, bytes) ||
        dlm_buffer_fill(binding.buffer, 0, bytes, 0x3c003c00u))
        die(b, "cannot make a buffer");
    return binding;
}

static int compare_seconds(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Runs list (num calls) `reps` times and gives the statistics of a call. */
static struct result time_calls(const struct bench *b, const struct dlm_dispatch *list, size_t num)
{
    struct dlm_recording *recording = NULL;
    const size_t reps = (size_t)b->options.reps;
    double *seconds = calloc(num * reps, sizeof(*seconds));

    if (!seconds || dlm_recording_create(b->device, &recording, list, num) ||
        dlm_recording_run(recording)) /* touches everything once */
        die(b, "cannot record");
    for (size_t i = 0; i < reps; i++) {
        const double start = now(b);
        if (dlm_recording_profile(recording, seconds + i * num))
            die(b, "cannot run");
        for (size_t call = 0; b->options.use_cpu_time && call < num; call++)
            seconds[i * num + call] = (now(b) - start) / (double)num;
    }
    qsort(seconds, num * reps, sizeof(*seconds), compare_seconds);
    const struct result r = {seconds[0], seconds[num * reps / 2]};
    dlm_recording_destroy(&recording);
    free(seconds);
    return r;
}

/* G operations, or GB, a second of a limit's loop; 0: the CPU has none. */
static double probe(const struct bench *b, enum dlm_limit limit)
{
    struct dlm_limit_loop loop;
    double best = INFINITY;

    if (!dlm_limit_exists(b->device, limit))
        return 0;
    if (dlm_limit_loop_init(&loop, b->device, limit))
        die(b, "cannot make a loop");
    for (int i = 0; i < 4; i++) {
        const double start = now(b);
        if (dlm_limit_loop_run(&loop, NULL))
            die(b, "cannot run a loop");
        best = fmin(best, now(b) - start);
    }
    const double rate = loop.amount / best / 1e9;
    dlm_limit_loop_finish(&loop);
    return rate;
}

/* The peaks now: the clock wanders, so they are probed around every measurement. */
static void probe_peaks(struct bench *b)
{
    b->vdp = probe(b, DLM_LIMIT_BF16);
    b->fma = probe(b, DLM_LIMIT_F32);
}

static void probe_memory(struct bench *b)
{
    b->read = probe(b, DLM_LIMIT_READ);
}

/* An x as matmul_panel_round leaves it, with no row of zeros: those would be passed over. */
static struct dlm_binding make_rounded(const struct bench *b, const char *kernel, uint32_t m,
                                       uint32_t depth)
{
    const size_t bytes = strstr(kernel, "_avx512bf16") || strstr(kernel, "_amx") ||
                                 strstr(kernel, "_neonbf16")
                             ? 2
                             : 4;
    const size_t stride = dlm_matmul_round_stride(depth, bytes);
    struct dlm_binding x = make_buffer(b, dlm_matmul_round_bytes(m, depth, bytes));
    char *mark = (char *)dlm_buffer_host_data(x.buffer) + dlm_matmul_round_mark(stride);

    for (uint32_t r = 0; r < m; r++)
        memset(mark + r * stride, 0, sizeof(uint32_t));
    return x;
}

/* Calls of one kernel over copies of W; fwd and bwd read an x that counts as rounded before. */
static struct result bench_kernel(struct bench *b, const char *kernel, enum dlm_dtype dtype,
                                  struct dlm_matmul_panel_params p, bool is_bwd, bool is_vec)
{
    const size_t w_bytes = dlm_panel_bytes(dtype, p.n, p.k);
    size_t copies = ((size_t)b->options.copies_mb << 20) / w_bytes + 1;
    const uint32_t depth = is_bwd ? p.n : p.k;
    const uint32_t cols = is_bwd ? p.k : p.n;

    p.x_stride = depth;
    p.y_stride = cols;
    p.alpha = 1.0f;
    if (is_vec)
        dlm_matmul_share_vec(&p, dtype, dlm_device_get_caps(b->device)->num_units);
    else
        dlm_matmul_share(&p, is_bwd, dlm_device_get_caps(b->device)->num_units);
    struct dlm_binding x = make_buffer(b, (size_t)p.m * depth * sizeof(float));
    struct dlm_binding y = make_buffer(b, (size_t)p.m * cols * sizeof(float));
    struct dlm_binding w = make_buffer(b, w_bytes * copies);
    struct dlm_binding xr = make_rounded(b, kernel, p.m, depth);
    struct dlm_dispatch *list = calloc(copies, sizeof(*list));
    if (!list)
        die(b, "out of memory");
    for (size_t i = 0; i < copies; i++) {
        list[i] = (struct dlm_dispatch){
            .kernel = kernel,
            .bindings = {is_vec ? x : xr,
                         {.buffer = w.buffer, .offset = i * w_bytes, .bytes = w_bytes}, y},
            .num_bindings = 3,
            .groups = {dlm_matmul_panel_items(&p), 1, 1},
            .params_bytes = sizeof(p),
            .scratch_bytes =
                is_vec ? dlm_matmul_vec_scratch(&p) : dlm_matmul_panel_scratch(&p, is_bwd),
        };
        memcpy(list[i].params, &p, sizeof(p));
    }
    const struct result r = time_calls(b, list, copies);
    free(list);
    dlm_buffer_destroy(&x.buffer);
    dlm_buffer_destroy(&y.buffer);
    dlm_buffer_destroy(&w.buffer);
    dlm_buffer_destroy(&xr.buffer);
    return r;
}

static bool is_wanted(const struct bench *b, const char *kernel)
{
    return (!b->options.filter || strstr(kernel, b->options.filter)) &&
           dlm_device_has_kernel(b->device, kernel);
}

static void bench_engine(struct bench *b, const char *engine, enum dlm_dtype dtype, bool is_bwd)
{
    const bool is_vdp = *engine;
    char kernel[64];

    snprintf(kernel, sizeof(kernel), "matmul_panel_%s_%s%s", is_bwd ? "bwd" : "fwd",
             dlm_dtype_name(dtype), engine);
    if (!is_wanted(b, kernel))
        return;
    printf("%s: GFLOP/s best (median), %% of the %s peak\n", kernel, is_vdp ? "vdpbf16ps" : "FMA");
    for (size_t s = 0; s < DLM_ARRAY_LEN(shapes); s++) {
        if (shapes[s].k % (uint32_t)dlm_dtype_block(dtype))
            continue;
        printf("  %5u,%5u", shapes[s].n, shapes[s].k);
        for (size_t i = 0; i < DLM_ARRAY_LEN(rows); i++) {
            const struct dlm_matmul_panel_params p = {
                .m = rows[i], .n = shapes[s].n, .k = shapes[s].k,
            };
            const double flops = 2.0 * p.m * p.n * p.k / 1e9;
            probe_peaks(b);
            const double before = is_vdp ? b->vdp : b->fma;
            const struct result r = bench_kernel(b, kernel, dtype, p, is_bwd, false);
            probe_peaks(b);
            const double after = is_vdp ? b->vdp : b->fma;
            const double peak = DLM_MAX(before, after);
            printf(" | m %3u: %4.0f %3.0f%% (%3.0f%%)", p.m, flops / r.best,
                   100.0 * flops / r.best / peak, 100.0 * flops / r.median / peak);
            fflush(stdout);
        }
        printf("\n");
    }
}

static void bench_products(struct bench *b, enum dlm_dtype dtype)
{
    static const char *const engines[] = {"_avx512bf16", "_amx", "_neonbf16", ""};

    for (size_t i = 0; i < 2 * DLM_ARRAY_LEN(engines); i++)
        bench_engine(b, engines[i / 2], dtype, i % 2);
}

static void bench_vec(struct bench *b, enum dlm_dtype dtype)
{
    char kernel[64];

    snprintf(kernel, sizeof(kernel), "matmul_panel_vec_%s", dlm_dtype_name(dtype));
    if (!is_wanted(b, kernel))
        return;
    printf("%s: us best, GB/s, ratio to a plain read (median)\n", kernel);
    for (size_t s = 0; s < DLM_ARRAY_LEN(shapes); s++) {
        if (shapes[s].k % (uint32_t)dlm_dtype_block(dtype))
            continue;
        printf("  %5u,%5u", shapes[s].n, shapes[s].k);
        for (uint32_t m = 1; m <= DLM_MATMUL_VEC_ROWS; m++) {
            const struct dlm_matmul_panel_params p = {
                .m = m, .n = shapes[s].n, .k = shapes[s].k,
            };
            const double bytes = (double)dlm_panel_bytes(dtype, p.n, p.k) / 1e9;
            const struct result r = bench_kernel(b, kernel, dtype, p, false, true);
            probe_memory(b);
            printf(" | m %u: %5.0f %5.1f %.2f (%.2f)", m, 1e6 * r.best, bytes / r.best,
                   bytes / r.best / b->read, bytes / r.median / b->read);
            fflush(stdout);
        }
        printf("\n");
    }
}

/* The copy of x that the others start from: its time beside that of a product it may feed. */
static void bench_round(struct bench *b)
{
    if (!is_wanted(b, "matmul_panel_round"))
        return;
    printf("matmul_panel_round to bf16: best\n");
    for (size_t i = 0; i < DLM_ARRAY_LEN(rows); i++) {
        const struct dlm_matmul_panel_params p = {.m = rows[i], .k = 2048, .x_stride = 2048};
        const size_t bytes = (size_t)p.m * p.k * sizeof(float);
        struct dlm_dispatch call = {
            .kernel = "matmul_panel_round",
            .bindings = {make_buffer(b, bytes),
                         make_buffer(b, dlm_matmul_round_bytes(p.m, p.k, 2))},
            .num_bindings = 2,
            .groups = {dlm_matmul_round_items(&p), 1, 1},
            .params_bytes = sizeof(p),
        };
        memcpy(call.params, &p, sizeof(p));
        const struct dlm_dispatch list[8] = {call, call, call, call, call, call, call, call};
        const struct result r = time_calls(b, list, 8);
        printf("  m %3u k %u: %6.1f us, reads %.1f GB/s\n", p.m, p.k, 1e6 * r.best,
               (double)bytes / r.best / 1e9);
        dlm_buffer_destroy(&call.bindings[0].buffer);
        dlm_buffer_destroy(&call.bindings[1].buffer);
    }
}

/* The products of an adapter of rank r on a layer [n, k] with t tokens, and a square one. */
static void bench_general_rank(struct bench *b, uint32_t t, uint32_t n, uint32_t k, uint32_t r)
{
    const struct {
        const char *what;
        uint32_t m, n, k, a_m, a_k, b_k, b_n;
    } products[] = {
        {"h = x A^T", t, r, k, k, 1, 1, k},    {"y += h B^T", t, n, r, r, 1, 1, r},
        {"dh = dy B", t, r, n, n, 1, r, 1},    {"dx += dh A", t, k, r, r, 1, k, 1},
        {"dA += dh^T x", r, k, t, 1, r, k, 1}, {"dB += dy^T h", n, r, t, 1, n, r, 1},
    };

    printf("  t %u n %u k %u r %u\n", t, n, k, r);
    for (size_t i = 0; i < DLM_ARRAY_LEN(products); i++) {
        struct dlm_matmul_general_params p = {
            .m = products[i].m, .n = products[i].n, .k = products[i].k,
            .a_m = products[i].a_m, .a_k = products[i].a_k,
            .b_k = products[i].b_k, .b_n = products[i].b_n,
            .y_m = products[i].n, .c_m = products[i].n,
            .batch = {1, 1}, .flags = DLM_MATMUL_HAS_C, .alpha = 1.0f,
        };
        dlm_matmul_general_share(&p, dlm_device_get_caps(b->device)->num_units);
        struct dlm_binding x = make_buffer(b, (size_t)p.m * p.k * sizeof(float));
        struct dlm_binding w = make_buffer(b, (size_t)p.n * p.k * sizeof(float));
        struct dlm_binding y = make_buffer(b, (size_t)p.m * p.n * sizeof(float));
        struct dlm_dispatch call = {
            .kernel = "matmul_general",
            .bindings = {x, w, y, y},
            .num_bindings = 4,
            .groups = {(uint32_t)dlm_matmul_general_items(&p), 1, 1},
            .params_bytes = sizeof(p),
            .scratch_bytes = dlm_matmul_general_scratch(&p),
        };
        memcpy(call.params, &p, sizeof(p));
        probe_peaks(b);
        const struct dlm_dispatch list[8] = {call, call, call, call, call, call, call, call};
        const struct result result = time_calls(b, list, 8);
        const double flops = 2.0 * p.m * p.n * p.k / 1e9;
        const double bytes = 4.0 * ((double)p.m * p.k + (double)p.n * p.k + 2.0 * p.m * p.n) / 1e9;
        printf("    %-13s %7.1f us %5.0f GFLOP/s %3.0f%% of the FMA peak, %5.1f GB/s\n",
               products[i].what, 1e6 * result.best, flops / result.best,
               100.0 * flops / result.best / b->fma, bytes / result.best);
        dlm_buffer_destroy(&x.buffer);
        dlm_buffer_destroy(&w.buffer);
        dlm_buffer_destroy(&y.buffer);
    }
}

static void bench_general(struct bench *b)
{
    if (!is_wanted(b, "matmul_general"))
        return;
    printf("matmul_general: best\n");
    bench_general_rank(b, 512, 2048, 2048, 8);
    bench_general_rank(b, 512, 2048, 2048, 64);
    bench_general_rank(b, 512, 16384, 2048, 16);
    bench_general_rank(b, 1024, 1024, 1024, 1024);
}

static bool parse(int argc, char **argv, struct options *o)
{
    *o = (struct options){.reps = 5, .copies_mb = 128};
    for (int i = 1; i < argc; i++) {
        int *value = NULL;
        if (!strcmp(argv[i], "--threads"))
            value = &o->threads;
        else if (!strcmp(argv[i], "--reps"))
            value = &o->reps;
        else if (!strcmp(argv[i], "--copies-mb"))
            value = &o->copies_mb;
        else if (!strcmp(argv[i], "--cpu-time"))
            o->use_cpu_time = true;
        else
            o->filter = argv[i];
        if (value && ++i >= argc)
            return false;
        if (value)
            *value = atoi(argv[i]);
    }
    return o->reps > 0;
}

int main(int argc, char **argv)
{
    struct bench b = {0};

    if (!parse(argc, argv, &b.options)) {
        fprintf(stderr, "usage: bench_matmul [--threads N] [--reps N] [--copies-mb N] "
                        "[--cpu-time] [kernel]\n");
        return 2;
    }
    b.ctx = dlm_ctx_create(&(struct dlm_ctx_params){.num_threads = b.options.threads});
    if (!b.ctx ||
        dlm_device_open(b.ctx, &b.device, &(struct dlm_device_params){.kind = DLM_BACKEND_CPU}))
        die(&b, "cannot open the CPU");
    const struct dlm_device_caps *caps = dlm_device_get_caps(b.device);
    probe_peaks(&b);
    probe_memory(&b);
    printf("%s, %s, %u threads: vdpbf16ps %.0f GFLOP/s, FMA %.0f GFLOP/s, read %.1f GB/s\n",
           caps->info.name, caps->info.driver, (unsigned)caps->num_units, b.vdp, b.fma, b.read);
    for (size_t t = 0; t < DLM_ARRAY_LEN(types); t++)
        bench_products(&b, types[t]);
    for (size_t t = 0; t < DLM_ARRAY_LEN(types); t++)
        bench_vec(&b, types[t]);
    bench_round(&b);
    bench_general(&b);
    dlm_device_destroy(&b.device);
    dlm_ctx_destroy(&b.ctx);
    return 0;
}
