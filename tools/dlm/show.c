/* dlm show: what a document and its store hold. */
#include "cli.h"

static const struct dlm_option options[] = {
    {"json", .type = DLM_OPTION_FLAG, .offset = offsetof(struct dlm_document_show_params, json),
     .help = "print JSON"},
};

static int run(struct dlm_cli *cli, const void *args)
{
    struct dlm_document_show_params params = *(const struct dlm_document_show_params *)args;
    char *text = NULL;

    params.home = cli->home;
    enum dlm_status st = dlm_document_show(cli->ctx, &params, &text);
    if (!st)
        dlm_print_text(stdout, text);
    dlm_text_free(text);
    return dlm_exit_of(st);
}

const struct dlm_command dlm_command_show = {
    .table = {.command = "show",
              .summary = "Describe a document and its store.",
              .options = options,
              .num_options = DLM_NUM_OPTIONS(options),
              .operands = {{"DOCUMENT", offsetof(struct dlm_document_show_params, path), false,
                            "the .dlm file"}}},
    .subject = "show",
    .args_bytes = sizeof(struct dlm_document_show_params),
    .run = run,
};
