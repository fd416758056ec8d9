/* dlm doctor: devices, and what runs on them. */
#include "cli.h"

struct args {
    struct dlm_compute compute;
    struct dlm_verify_params verify; /* but compute and json */
    bool is_ops, is_try, is_verify, is_json;
    const char *after;
    int seconds;
};

static const struct dlm_option options[] = {
    {"ops", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, is_ops),
     .help = "which op runs on which device in which type"},
    {"try", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, is_try),
     .help = "compile and run each kernel of a device, saying its name before"},
    {"verify", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, is_verify),
     .help = "compare each tensor of an answer with a reference"},
    {"base", .type = DLM_OPTION_STRING, .value = "KEY",
     .offset = offsetof(struct args, verify.base),
     .help = "with --verify: a registry key, hf:org/name or dir:PATH"},
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
     .help = "with --ops: how long a driver may take for a kernel"},
    {"json", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, is_json),
     .help = "print JSON"},
};

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
        fputs(text, stdout);
    dlm_text_free(text);
    return st || agrees ? dlm_exit_of(st) : DLM_EXIT_FAILED;
}

static int run(struct dlm_cli *cli, const void *args)
{
    const struct args *a = args;
    char *text = NULL;

    if (a->is_ops + a->is_try + a->is_verify > 1)
        return dlm_cli_wrong(cli, "--ops, --try and --verify are mutually exclusive");
    if (a->is_verify && !a->verify.base)
        return dlm_cli_wrong(cli, "--verify needs --base");
    if (!a->is_verify &&
        (a->verify.base || a->verify.image || a->verify.prompt || a->verify.image_size))
        return dlm_cli_wrong(cli, "--base, --image, --image-size and --prompt need --verify");
    if (a->is_verify)
        return verify(cli, a);
    if (a->after && !a->is_try)
        return dlm_cli_wrong(cli, "--after needs --try");
    if (a->is_try)
        return try_kernels(cli, a);
    cli->try_seconds = a->seconds;
    enum dlm_status st = a->is_ops
                             ? dlm_doctor_ops(cli->ctx, &a->compute, a->is_json, &text)
                             : dlm_doctor_report(cli->ctx, a->is_json, &text);
    if (!st)
        fputs(text, stdout);
    dlm_text_free(text);
    return dlm_exit_of(st);
}

const struct dlm_command dlm_command_doctor = {
    .table = {.command = "doctor",
              .summary = "List the devices of this machine, and what runs on them.",
              .options = options,
              .num_options = DLM_NUM_OPTIONS(options),
              .defaults = &(const struct args){.seconds = DLM_TRY_SECONDS}},
    .args_bytes = sizeof(struct args),
    .run = run,
};
