/* dlm bench: speed and memory of a base, or of a shape with random weights. */
#include <inttypes.h>

#include "cli.h"

struct args {
    struct dlm_bench_params params;
    bool is_json;
};

#define AT(member) offsetof(struct args, params.member)

static const struct args defaults = {
    .params = {.prompt_tokens = DLM_BENCH_PROMPT_TOKENS, .decode_tokens = DLM_BENCH_DECODE_TOKENS,
               .batch = DLM_BENCH_BATCH, .repeat = DLM_BENCH_REPEAT},
};

static const struct dlm_option options[] = {
    {"base", .type = DLM_OPTION_STRING, .value = "KEY", .offset = AT(base),
     .help = "base model: a registry key, hf:org/name or dir:PATH"},
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
    {"profile", .type = DLM_OPTION_FLAG, .offset = AT(profile),
     .help = "with --verbose: the seconds of each kernel"},
    {"plan", .type = DLM_OPTION_FLAG, .offset = AT(plan_only),
     .help = "print the planned memory, run nothing"},
    {"json", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, is_json),
     .help = "print JSON"},
    DLM_COMPUTE_OPTIONS(struct args, params.compute),
};

/* The parts and the sizes of a result, by name. */
struct part {
    const char *name;
    size_t offset;
};

#define RESULT(member) offsetof(struct dlm_bench_result, member)

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
    {"peak_host", RESULT(peak_host_bytes)},
};

static const void *field(const struct dlm_bench_result *r, const struct part *part)
{
    return (const char *)r + part->offset;
}

static void print_json(const struct dlm_bench_result *r)
{
    fputs("{\"model\": ", stdout);
    dlm_print_json_string(stdout, r->model);
    printf(", \"backend\": \"%s\", \"device\": ", dlm_backend_name(r->backend));
    dlm_print_json_string(stdout, r->device);
    printf(", \"precision\": \"%s\"", dlm_precision_name(r->precision));
    for (size_t i = 0; i < DLM_NUM_OPTIONS(counts); i++)
        printf(", \"%s\": %" PRId64, counts[i].name, *(const int64_t *)field(r, &counts[i]));
    for (size_t i = 0; i < DLM_NUM_OPTIONS(parts); i++) {
        const struct dlm_bench_part *p = field(r, &parts[i]);
        printf(", \"%s\": {\"seconds\": ", parts[i].name);
        dlm_print_number(stdout, p->seconds);
        fputs(", \"tokens_per_sec\": ", stdout);
        dlm_print_number(stdout, p->tokens_per_sec);
        fputs("}", stdout);
    }
    for (size_t i = 0; i < DLM_NUM_OPTIONS(sizes); i++)
        printf(", \"%s_bytes\": %" PRIu64, sizes[i].name, *(const uint64_t *)field(r, &sizes[i]));
    puts("}");
}

static void print_lines(const struct dlm_bench_result *r)
{
    printf("%s on %s (%s), %s\n", r->model, dlm_backend_name(r->backend), r->device,
           dlm_precision_name(r->precision));
    for (size_t i = 0; i < DLM_NUM_OPTIONS(parts); i++) {
        const struct dlm_bench_part *p = field(r, &parts[i]);
        if (p->seconds > 0)
            printf("  %-28s %10.4f s  %10.1f tokens/s\n", parts[i].name, p->seconds,
                   p->tokens_per_sec);
    }
    for (size_t i = 0; i < DLM_NUM_OPTIONS(sizes); i++)
        printf("  %-28s %10.1f MB\n", sizes[i].name,
               (double)*(const uint64_t *)field(r, &sizes[i]) / 1e6);
}

static int run(struct dlm_cli *cli, const void *args)
{
    const struct args *a = args;
    struct dlm_bench_result result = {0};

    if (!a->params.base == !a->params.shape) {
        dlm_options_usage_error("bench", "give either --base or --shape");
        return DLM_EXIT_USAGE;
    }
    if (a->params.layers && !a->params.shape) {
        dlm_options_usage_error("bench", "--layers needs --shape");
        return DLM_EXIT_USAGE;
    }
    enum dlm_status st = dlm_bench(cli->ctx, &a->params, &result);
    if (!st && a->is_json)
        print_json(&result);
    else if (!st)
        print_lines(&result);
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
