/* dlm list: the documents and adapters that this home knows. */
#include "cli.h"

static const struct dlm_option options[] = {
    {"json", .type = DLM_OPTION_FLAG, .offset = offsetof(struct dlm_stores_list_params, json),
     .help = "print JSON, with every version"},
};

static int run(struct dlm_cli *cli, const void *args)
{
    struct dlm_stores_list_params params = *(const struct dlm_stores_list_params *)args;
    char *text = NULL;

    params.home = cli->home;
    enum dlm_status st = dlm_stores_list(cli->ctx, &params, &text);
    if (!st)
        dlm_print_text(stdout, text);
    dlm_text_free(text);
    return dlm_exit_of(st);
}

const struct dlm_command dlm_command_list = {
    .table = {.command = "list",
              .summary = "List the documents and adapters that this home knows.",
              .options = options,
              .num_options = DLM_NUM_OPTIONS(options)},
    .subject = "list",
    .args_bytes = sizeof(struct dlm_stores_list_params),
    .run = run,
};
