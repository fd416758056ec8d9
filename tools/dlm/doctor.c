/* dlm doctor: devices, and what runs on them. */
#include "cli.h"

struct args {
    struct dlm_compute compute;
    bool is_ops, is_json;
};

static const struct dlm_option options[] = {
    {"ops", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, is_ops),
     .help = "which op runs on which device in which type"},
    DLM_DEVICE_OPTIONS(struct args, compute),
    {"json", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, is_json),
     .help = "print JSON"},
};

static int run(struct dlm_cli *cli, const void *args)
{
    const struct args *a = args;
    char *text = NULL;

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
              .num_options = DLM_NUM_OPTIONS(options)},
    .args_bytes = sizeof(struct args),
    .run = run,
};
