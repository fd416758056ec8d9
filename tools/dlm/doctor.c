/* dlm doctor: devices, and what runs on them. */
#include "cli.h"

struct args {
    struct dlm_compute compute;
    bool is_ops, is_try, is_json;
    const char *after;
    int seconds;
};

static const struct dlm_option options[] = {
    {"ops", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, is_ops),
     .help = "which op runs on which device in which type"},
    {"try", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, is_try),
     .help = "compile and run each kernel of a device, saying its name before"},
    DLM_DEVICE_OPTIONS(struct args, compute),
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

static int run(struct dlm_cli *cli, const void *args)
{
    const struct args *a = args;
    char *text = NULL;

    if (a->is_ops && a->is_try)
        return dlm_cli_wrong(cli, "--ops and --try are mutually exclusive");
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
