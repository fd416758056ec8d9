/* dlm doctor: devices, what runs on them, and what a base or document needs of them. */
#include <unistd.h>

#include "cli.h"
#include "colour.h"
#include "drivers.h"

struct args {
    struct dlm_compute compute;
    struct dlm_verify_params verify; /* but compute and json; its base is the budget's, too */
    struct dlm_doctor_budget_params budget; /* but base, image size, compute and json */
    bool is_ops, is_try, is_probe, is_verify, is_json;
    const char *after;
    int seconds;
};

static const struct dlm_option options[] = {
    {"ops", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, is_ops),
     .help = "which op runs on which device in which type"},
    {"try", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, is_try),
     .help = "compile and run each kernel of a device, saying its name before"},
    {"probe", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, is_probe),
     .help = "ask the drivers of --backend for their devices, in this process"},
    {"verify", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, is_verify),
     .help = "compare each tensor of an answer with a reference"},
    {"base", .type = DLM_OPTION_STRING, .value = "KEY",
     .offset = offsetof(struct args, verify.base),
     .help = "what this base needs: a registry key, hf:org/name, dir:PATH or gguf:PATH"},
    DLM_MMPROJ_OPTION(struct args, verify.mmproj),
    {"batch", .type = DLM_OPTION_INT64, .value = "B", .min = 1, .max = 65536,
     .offset = offsetof(struct args, budget.batch),
     .help = "with DOCUMENT or --base: rows of a micro-batch", .otherwise = "1 and 4"},
    {"seq", .type = DLM_OPTION_INT64, .value = "T", .min = 1, .max = 1 << 20,
     .offset = offsetof(struct args, budget.tokens),
     .help = "with DOCUMENT or --base: tokens of a row, its image's included",
     .otherwise = "the document's sequence_len, or an image with 64 of text"},
    {"time", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, budget.time),
     .help = "with DOCUMENT or --base: measure a GPU's speed, too, for estimates of time"},
    {"image", .type = DLM_OPTION_STRING, .value = "PATH",
     .offset = offsetof(struct args, verify.image),
     .help = "with --verify: what is looked at", .otherwise = "nothing"},
    {"prompt", .type = DLM_OPTION_STRING, .value = "TEXT",
     .offset = offsetof(struct args, verify.prompt),
     .help = "with --verify: what is asked", .otherwise = "what is in the picture"},
    DLM_IMAGE_SIZE_OPTION(struct args, verify.image_size, "the base's"),
    DLM_COMPUTE_OPTIONS(struct args, compute),
    {"after", .type = DLM_OPTION_STRING, .value = "KERNEL", .offset = offsetof(struct args, after),
     .help = "with --try: begin behind this kernel", .otherwise = "none"},
    {"limit", .type = DLM_OPTION_INT, .value = "SECONDS", .min = 1, .max = 86400,
     .offset = offsetof(struct args, seconds),
     .help = "how long a driver may take: to list its devices, to open one, for a kernel",
     .otherwise = "10, 120, 300"},
    {"json", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, is_json),
     .help = "print JSON"},
};

static const struct dlm_verdict verdicts[] = {
    {"may start", DLM_COLOUR_GOOD},
    {"cannot start", DLM_COLOUR_BAD},
    {"cannot run here", DLM_COLOUR_BAD},
    {"refusing to train", DLM_COLOUR_BAD},
    {"refusing this base", DLM_COLOUR_BAD},
    {"Drivers that fail", DLM_COLOUR_BAD},
    {"not usable", DLM_COLOUR_BAD},
    {NULL, DLM_COLOUR_NONE},
};

static void print_answer(const struct args *a, const char *text)
{
    if (a->is_json)
        dlm_print_text(stdout, text);
    else
        dlm_print_verdicts(stdout, text, verdicts);
}

/* A line for each kernel, at once: the next thing that happens may be a crash. */
static void on_kernel(void *user, const char *kernel)
{
    (void)user;
    puts(kernel ? kernel : "done");
    fflush(stdout);
}

static int try_kernels(struct dlm_cli *cli, const struct args *a)
{
    const struct dlm_try_params params = {
        .compute = a->compute, .after = a->after, .on_kernel = on_kernel};

    return dlm_exit_of(dlm_doctor_try(cli->ctx, &params));
}

/* Drivers write to standard output now and then: the answer goes where it was before. The space
 * says that drivers are asked from now on. */
static int probe(struct dlm_cli *cli, const struct args *a)
{
    const int fd = dup(STDOUT_FILENO);
    FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
    char *text = NULL;
    enum dlm_status st = DLM_ERR_IO;

    dlm_drivers_may_exit();
    if (out && dup2(STDERR_FILENO, STDOUT_FILENO) >= 0 && fputc(' ', out) != EOF && !fflush(out))
        st = dlm_doctor_probe(cli->ctx, a->compute.backend, &text);
    if (!st && (fputs(text, out) < 0 || fflush(out)))
        st = DLM_ERR_IO;
    if (out)
        fclose(out);
    dlm_text_free(text);
    return dlm_exit_of(st);
}

/* Exit 1 says that a tensor differs, as of any check. */
static int verify(struct dlm_cli *cli, const struct args *a)
{
    struct dlm_verify_params params = a->verify;
    char *text = NULL;
    bool agrees = false;

    params.compute = a->compute;
    params.json = a->is_json;
    enum dlm_status st = dlm_doctor_verify(cli->ctx, &params, &text, &agrees);
    if (!st)
        dlm_print_text(stdout, text);
    dlm_text_free(text);
    return st || agrees ? dlm_exit_of(st) : DLM_EXIT_FAILED;
}

static int plan_budget(struct dlm_cli *cli, const struct args *a)
{
    struct dlm_doctor_budget_params params = a->budget;
    char *text = NULL;

    params.base = a->verify.base;
    params.mmproj = a->verify.mmproj;
    params.image_size = a->verify.image_size;
    params.compute = a->compute;
    params.json = a->is_json;
    enum dlm_status st = dlm_doctor_budget(cli->ctx, &params, &text);
    if (!st)
        print_answer(a, text);
    dlm_text_free(text);
    return dlm_exit_of(st);
}

/* What does not go together; NULL: all is well. */
static const char *find_wrong(const struct args *a)
{
    const int num_other = a->is_ops + a->is_try + a->is_probe + a->is_verify;
    const bool is_other = num_other > 0;
    const bool has_subject = a->verify.base || a->budget.document;

    if (num_other > 1)
        return "--ops, --try, --probe and --verify are mutually exclusive";
    if (a->is_probe && a->compute.backend == DLM_BACKEND_AUTO)
        return "--probe needs --backend";
    if (a->is_verify && !a->verify.base)
        return "--verify needs --base";
    if (a->budget.document && (a->verify.base || is_other))
        return "DOCUMENT stands without --base, --ops, --try, --probe and --verify";
    if (a->verify.base && is_other && !a->is_verify)
        return "--base stands without --ops, --try and --probe";
    if (a->verify.mmproj && !a->verify.base)
        return "--mmproj needs --base";
    if (!a->is_verify && (a->verify.image || a->verify.prompt))
        return "--image and --prompt need --verify";
    if (a->verify.image_size && !has_subject)
        return "--image-size needs DOCUMENT or --base";
    if ((a->compute.quant || a->compute.quant_scope || a->compute.precision) && !has_subject)
        return "--precision, --quant and --quant-scope need DOCUMENT or --base";
    if ((a->budget.batch || a->budget.tokens) && (is_other || !has_subject))
        return "--batch and --seq need DOCUMENT or --base, and nothing else";
    if (a->budget.time && (is_other || !has_subject))
        return "--time needs DOCUMENT or --base, and nothing else";
    return a->after && !a->is_try ? "--after needs --try" : NULL;
}

static int run(struct dlm_cli *cli, const void *args)
{
    const struct args *a = args;
    const char *wrong = find_wrong(a);
    char *text = NULL;

    if (wrong)
        return dlm_cli_wrong(cli, "%s", wrong);
    if (a->seconds)
        cli->try_seconds = cli->probe_seconds = cli->load_seconds = a->seconds;
    if (a->is_verify)
        return verify(cli, a);
    if (a->is_try)
        return try_kernels(cli, a);
    if (a->is_probe)
        return probe(cli, a);
    if (a->budget.document || a->verify.base)
        return plan_budget(cli, a);
    enum dlm_status st = a->is_ops
                             ? dlm_doctor_ops(cli->ctx, &a->compute, a->is_json, &text)
                             : dlm_doctor_report(cli->ctx, a->is_json, &text);
    if (!st)
        print_answer(a, text);
    dlm_text_free(text);
    return dlm_exit_of(st);
}

const struct dlm_command dlm_command_doctor = {
    .table = {.command = "doctor",
              .summary = "List devices, what runs on them, and what a base needs of them.",
              .options = options,
              .num_options = DLM_NUM_OPTIONS(options),
              .operands = {{"DOCUMENT", .offset = offsetof(struct args, budget.document),
                            .is_optional = true, .help = "what training this .dlm needs"}}},
    .args_bytes = sizeof(struct args),
    .run = run,
};
