/* dlm bench: speed and memory of a base or shape, where the time goes, what a device can do. */
#include <inttypes.h>
#include <math.h>

#include "cli.h"

struct args {
    struct dlm_bench_params params;
    bool is_json, only_limits, only_tune;
    int64_t tune_seconds;
};

#define AT(member) offsetof(struct args, params.member)

static const struct args defaults = {
    .params = {.prompt_tokens = DLM_BENCH_PROMPT_TOKENS, .decode_tokens = DLM_BENCH_DECODE_TOKENS,
               .batch = DLM_BENCH_BATCH, .repeat = DLM_BENCH_REPEAT},
    .tune_seconds = DLM_BENCH_TUNE_SECONDS,
};

static const struct dlm_option options[] = {
    {"base", .type = DLM_OPTION_STRING, .value = "KEY", .offset = AT(base),
     .help = "base model: a registry key, hf:org/name, dir:PATH or gguf:PATH"},
    DLM_MMPROJ_OPTION(struct dlm_bench_params, mmproj),
    {"shape", .type = DLM_OPTION_STRING, .value = "NAME", .offset = AT(shape),
     .help = "random weights in the shape of a base; a wrong name tells which there are"},
    {"layers", .type = DLM_OPTION_INT64, .value = "N", .min = 1, .max = 512, .offset = AT(layers),
     .help = "that many of the shape's decoder layers", .otherwise = "all"},
    {"prompt-tokens", .type = DLM_OPTION_INT64, .value = "N", .min = 1, .max = 1 << 20,
     .offset = AT(prompt_tokens), .help = "text tokens beside the image's"},
    {"decode-tokens", .type = DLM_OPTION_INT64, .value = "N", .min = 1, .max = 1 << 20,
     .offset = AT(decode_tokens), .help = "tokens to generate"},
    {"batch", .type = DLM_OPTION_INT64, .value = "N", .min = 1, .max = 1024, .offset = AT(batch),
     .help = "rows of a training step"},
    {"repeat", .type = DLM_OPTION_INT64, .value = "N", .min = 1, .max = 1000, .offset = AT(repeat),
     .help = "runs of each part; the best counts"},
    {"explain", .type = DLM_OPTION_FLAG, .offset = AT(explain),
     .help = "where the time goes: each op beside the device's limits"},
    {"limits", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, only_limits),
     .help = "measure what the device can do at most, and nothing else"},
    {"tune", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, only_tune),
     .help = "measure a GPU's fastest tiles for --precision and keep them for later runs, and "
             "nothing else"},
    {"tune-seconds", .type = DLM_OPTION_INT64, .value = "N", .min = 1, .max = 86400,
     .offset = offsetof(struct args, tune_seconds),
     .help = "about the time that --tune may take"},
    {"plan", .type = DLM_OPTION_FLAG, .offset = AT(plan_only),
     .help = "print the planned memory, run nothing"},
    {"json", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, is_json),
     .help = "print JSON"},
    DLM_COMPUTE_OPTIONS(struct args, params.compute),
};

/* The parts, sizes and limits of a result, by name. */
struct part {
    const char *name;
    size_t offset;
};

#define RESULT(member) offsetof(struct dlm_bench_result, member)
#define LIMIT(member) offsetof(struct dlm_limits, member)

/* Bytes first, then operations. */
static const struct part limits[] = {
    {"copy", LIMIT(copy)},
    {"read", LIMIT(read)},
    {"f32", LIMIT(f32)},
    {"f16", LIMIT(f16)},
    {"bf16", LIMIT(bf16)},
    {"int8", LIMIT(int8)},
    {"matrix_f16", LIMIT(matrix_f16)},
    {"matrix_bf16", LIMIT(matrix_bf16)},
};

enum { NUM_BYTE_LIMITS = 2 };

static const struct part parts[] = {
    {"vision", RESULT(vision)},
    {"prefill", RESULT(prefill)},
    {"decode", RESULT(decode)},
    {"train_step", RESULT(train_step)},
};

static const struct part counts[] = {
    {"image_tokens", RESULT(image_tokens)},
    {"prompt_tokens", RESULT(prompt_tokens)},
    {"decode_tokens", RESULT(decode_tokens)},
    {"batch", RESULT(batch)},
};

static const struct part sizes[] = {
    {"planned_weights", RESULT(planned_weights)},
    {"planned_adapter", RESULT(planned_adapter)},
    {"planned_optimizer", RESULT(planned_optimizer)},
    {"planned_activations", RESULT(planned_activations)},
    {"planned_cache", RESULT(planned_cache)},
    {"planned_total", RESULT(planned_total)},
    {"peak_device", RESULT(peak_device_bytes)},
    {"planned_host", RESULT(planned_host_bytes)},
    {"peak_host", RESULT(peak_host_bytes)},
};

static const void *field(const void *of, const struct part *part)
{
    return (const char *)of + part->offset;
}

/* A member, with its comma before it: no object here begins with one. */
static void print_json_number(const char *name, double x)
{
    printf(", \"%s\": ", name);
    dlm_print_number(stdout, x);
}

static void print_json_limits(const struct dlm_limits *l)
{
    for (size_t i = 0; i < DLM_NUM_OPTIONS(limits); i++) {
        const double x = *(const double *)field(l, &limits[i]);
        printf("%s\"%s_%s\": ", i ? ", " : "", limits[i].name,
               i < NUM_BYTE_LIMITS ? "bytes_per_sec" : "flops");
        dlm_print_number(stdout, x > 0 ? x : NAN);
    }
}

static void print_json_ops(const struct dlm_bench_part *p)
{
    print_json_number("kernel_seconds", p->kernel_seconds);
    fputs(", \"ops\": [", stdout);
    for (size_t i = 0; i < p->num_ops; i++) {
        const struct dlm_bench_op *op = &p->ops[i];
        fputs(i ? ", {\"op\": " : "{\"op\": ", stdout);
        dlm_print_json_string(stdout, op->op);
        fputs(", \"kernel\": ", stdout);
        dlm_print_json_string(stdout, op->kernel);
        fputs(", \"shapes\": ", stdout);
        dlm_print_json_string(stdout, op->shapes);
        print_json_number("nodes", op->nodes);
        print_json_number("seconds", op->seconds);
        print_json_number("bytes", op->bytes);
        print_json_number("flops", op->flops);
        print_json_number("limit_seconds", op->limit_seconds);
        fputs("}", stdout);
    }
    fputs("]", stdout);
}

static void print_json(const struct dlm_bench_result *r, bool is_explained)
{
    fputs("{\"model\": ", stdout);
    dlm_print_json_string(stdout, r->model);
    printf(", \"backend\": \"%s\", \"device\": ", dlm_backend_name(r->backend));
    dlm_print_json_string(stdout, r->device);
    printf(", \"precision\": \"%s\", \"base_form\": ", dlm_precision_name(r->precision));
    dlm_print_json_string(stdout, r->base_form);
    for (size_t i = 0; i < DLM_NUM_OPTIONS(counts); i++)
        printf(", \"%s\": %" PRId64, counts[i].name, *(const int64_t *)field(r, &counts[i]));
    for (size_t i = 0; i < DLM_NUM_OPTIONS(parts); i++) {
        const struct dlm_bench_part *p = field(r, &parts[i]);
        printf(", \"%s\": {\"seconds\": ", parts[i].name);
        dlm_print_number(stdout, p->seconds);
        print_json_number("tokens_per_sec", p->tokens_per_sec);
        if (p->ops)
            print_json_ops(p);
        fputs("}", stdout);
    }
    for (size_t i = 0; i < DLM_NUM_OPTIONS(sizes); i++)
        printf(", \"%s_bytes\": %" PRIu64, sizes[i].name, *(const uint64_t *)field(r, &sizes[i]));
    if (is_explained) {
        fputs(", \"limits\": {", stdout);
        print_json_limits(&r->limits);
        fputs("}", stdout);
    }
    puts("}");
}

static void print_limits(const struct dlm_limits *l)
{
    for (size_t i = 0; i < DLM_NUM_OPTIONS(limits); i++) {
        const double x = *(const double *)field(l, &limits[i]) / 1e9;
        const char *unit = i < NUM_BYTE_LIMITS ? "GB/s" : "GFLOP/s";
        if (x > 0)
            printf("  %-28s %10.1f %s\n", limits[i].name, x, unit);
        else
            printf("  %-28s %10s\n", limits[i].name, "none");
    }
}

/* Where the time of a part went; limit: what the device could do in it, of the time taken. */
static void print_ops(const struct dlm_bench_part *p)
{
    double limit_seconds = 0;

    for (size_t i = 0; i < p->num_ops; i++)
        limit_seconds += p->ops[i].limit_seconds;
    printf("    kernels take %.1f %% of it, %.1f %% at the device's limits\n",
           100 * p->kernel_seconds / p->seconds, 100 * limit_seconds / p->seconds);
    printf("    %9s %6s %6s %8s %9s %6s\n", "seconds", "share", "limit", "GB/s", "GFLOP/s",
           "nodes");
    for (size_t i = 0; i < p->num_ops; i++) {
        const struct dlm_bench_op *op = &p->ops[i];
        printf("    %9.6f %5.1f%% %5.1f%% %8.2f %9.1f %6.0f  %s %s (%s)\n", op->seconds,
               100 * op->seconds / p->seconds, 100 * op->limit_seconds / op->seconds,
               op->bytes / op->seconds / 1e9, op->flops / op->seconds / 1e9, op->nodes, op->op,
               op->shapes, op->kernel);
    }
}

static void print_lines(const struct dlm_bench_result *r, bool is_explained)
{
    printf("%s on %s (%s), %s%s%s\n", r->model, dlm_backend_name(r->backend), r->device,
           dlm_precision_name(r->precision), *r->base_form ? ", base in " : "", r->base_form);
    if (is_explained)
        print_limits(&r->limits);
    for (size_t i = 0; i < DLM_NUM_OPTIONS(parts); i++) {
        const struct dlm_bench_part *p = field(r, &parts[i]);
        if (p->seconds > 0)
            printf("  %-28s %10.4f s  %10.1f tokens/s\n", parts[i].name, p->seconds,
                   p->tokens_per_sec);
        if (p->ops)
            print_ops(p);
    }
    for (size_t i = 0; i < DLM_NUM_OPTIONS(sizes); i++)
        printf("  %-28s %10.1f MB\n", sizes[i].name,
               (double)*(const uint64_t *)field(r, &sizes[i]) / 1e6);
}

static int run_limits(struct dlm_cli *cli, const struct args *a)
{
    struct dlm_device_info device;
    struct dlm_limits found;

    enum dlm_status st = dlm_bench_limits(cli->ctx, &a->params.compute, &device, &found);
    if (!st && a->is_json) {
        printf("{\"backend\": \"%s\", \"device\": ", dlm_backend_name(device.kind));
        dlm_print_json_string(stdout, device.name);
        fputs(", \"driver\": ", stdout);
        dlm_print_json_string(stdout, device.driver);
        fputs(", \"limits\": {", stdout);
        print_json_limits(&found);
        puts("}}");
    } else if (!st) {
        printf("%s: %s (%s)\n", dlm_backend_name(device.kind), device.name, device.driver);
        print_limits(&found);
    }
    return dlm_exit_of(st);
}

static void print_json_choice(const char *name, const struct dlm_tune_choice *c)
{
    printf(", \"%s\": {\"tile\": ", name);
    dlm_print_json_string(stdout, c->tile);
    printf(", \"groups_per_unit\": %d", c->groups_per_unit);
    print_json_number("seconds", c->seconds);
    fputs("}", stdout);
}

static void print_json_tune(const struct dlm_tune_result *r)
{
    printf("{\"backend\": \"%s\", \"device\": ", dlm_backend_name(r->device.kind));
    dlm_print_json_string(stdout, r->device.name);
    fputs(", \"driver\": ", stdout);
    dlm_print_json_string(stdout, r->device.driver);
    fputs(", \"file\": ", stdout);
    dlm_print_json_string(stdout, r->path);
    fputs(", \"rows\": [", stdout);
    for (size_t i = 0; i < r->num_rows; i++) {
        const struct dlm_tune_row *row = &r->rows[i];
        fputs(i ? ", {\"use\": " : "{\"use\": ", stdout);
        dlm_print_json_string(stdout, row->use);
        fputs(", \"shapes\": ", stdout);
        dlm_print_json_string(stdout, row->shape);
        printf(", \"m\": %" PRId64 ", \"n\": %" PRId64 ", \"k\": %" PRId64 ", \"is_measured\": %s",
               row->m, row->n, row->k, row->is_measured ? "true" : "false");
        if (row->is_measured) {
            print_json_choice("before", &row->before);
            print_json_choice("after", &row->after);
        }
        fputs("}", stdout);
    }
    puts("]}");
}

static void print_choice(const struct dlm_tune_choice *c)
{
    printf("  %10.3f ms %-16s %2d", c->seconds * 1e3, c->tile, c->groups_per_unit);
}

static void print_tune(const struct dlm_tune_result *r)
{
    printf("%s: %s (%s)\n", dlm_backend_name(r->device.kind), r->device.name, r->device.driver);
    puts("  before and after: milliseconds, tile, work-groups wanted for each compute unit");
    for (size_t i = 0; i < r->num_rows; i++) {
        const struct dlm_tune_row *row = &r->rows[i];
        printf("  %-22s %5" PRId64 " x %5" PRId64 " x %5" PRId64, row->use, row->m, row->n, row->k);
        if (row->is_measured) {
            print_choice(&row->before);
            print_choice(&row->after);
            puts("");
        } else {
            puts("  no time left for it");
        }
    }
    printf("kept in '%s'\n", r->path);
}

static int run_tune(struct dlm_cli *cli, const struct args *a)
{
    struct dlm_tune_result result;

    enum dlm_status st = dlm_bench_tune(cli->ctx, &a->params.compute, (double)a->tune_seconds,
                                        &result);
    if (!st && a->is_json)
        print_json_tune(&result);
    else if (!st)
        print_tune(&result);
    dlm_tune_result_finish(&result);
    return dlm_exit_of(st);
}

/* What does not go together; NULL when all does. */
static const char *find_wrong(const struct args *a)
{
    const struct dlm_bench_params *p = &a->params;
    const bool is_device = a->only_limits || a->only_tune;

    if (!!p->base + !!p->shape + a->only_limits + a->only_tune != 1)
        return "give one of --base, --shape, --limits and --tune";
    if (p->layers && !p->shape)
        return "--layers needs --shape";
    if (is_device && (p->plan_only || p->explain))
        return "--plan and --explain need --base or --shape";
    if (is_device && (p->compute.quant || p->compute.quant_scope))
        return "--quant and --quant-scope need --base or --shape";
    if (is_device && (p->batch != defaults.params.batch || p->repeat != defaults.params.repeat ||
                      p->prompt_tokens != defaults.params.prompt_tokens ||
                      p->decode_tokens != defaults.params.decode_tokens))
        return "--batch, --repeat, --prompt-tokens and --decode-tokens need --base or --shape";
    if (is_device && p->compute.max_memory_mib > 0)
        return "--max-memory needs --base or --shape";
    if (a->only_limits && p->compute.precision)
        return "--precision needs --base, --shape or --tune";
    if (p->plan_only && p->explain)
        return "--explain measures, and --plan runs nothing";
    if (a->tune_seconds != defaults.tune_seconds && !a->only_tune)
        return "--tune-seconds needs --tune";
    return NULL;
}

static int run(struct dlm_cli *cli, const void *args)
{
    const struct args *a = args;
    const char *wrong = find_wrong(a);
    struct dlm_bench_result result = {0};

    if (wrong) {
        dlm_options_usage_error("bench", "%s", wrong);
        return DLM_EXIT_USAGE;
    }
    if (a->only_limits)
        return run_limits(cli, a);
    if (a->only_tune)
        return run_tune(cli, a);
    enum dlm_status st = dlm_bench(cli->ctx, &a->params, &result);
    if (!st && a->is_json)
        print_json(&result, a->params.explain);
    else if (!st)
        print_lines(&result, a->params.explain);
    dlm_bench_result_finish(&result);
    return dlm_exit_of(st);
}

const struct dlm_command dlm_command_bench = {
    .table = {.command = "bench",
              .summary = "Measure speed and memory of a base.",
              .options = options,
              .num_options = DLM_NUM_OPTIONS(options),
              .defaults = &defaults},
    .args_bytes = sizeof(struct args),
    .run = run,
};
