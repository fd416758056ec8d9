/* dlm bases: what a document can name as its base. */
#include "cli.h"

struct args {
    bool is_json, is_keys, is_all;
};

static const struct dlm_option options[] = {
    {"all", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, is_all),
     .help = "list text and audio bases, too, which dlm does not train"},
    {"json", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, is_json),
     .help = "print JSON"},
    {"keys", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, is_keys),
     .help = "print the keys alone, one a line"},
};

static int run(struct dlm_cli *cli, const void *args)
{
    const struct args *a = args;
    const struct dlm_bases_params params = {.form = a->is_json   ? DLM_BASES_JSON
                                                    : a->is_keys ? DLM_BASES_KEYS
                                                                 : DLM_BASES_TABLE,
                                            .all = a->is_all};
    char *text = NULL;

    if (a->is_json && a->is_keys)
        return dlm_cli_wrong(cli, "--json and --keys are mutually exclusive");
    enum dlm_status st = dlm_bases_list(cli->ctx, &params, &text);
    if (!st)
        dlm_print_text(stdout, text);
    dlm_text_free(text);
    return dlm_exit_of(st);
}

const struct dlm_command dlm_command_bases = {
    .table = {.command = "bases",
              .summary = "List the bases that a document can name.",
              .options = options,
              .num_options = DLM_NUM_OPTIONS(options)},
    .subject = "bases",
    .args_bytes = sizeof(struct args),
    .run = run,
};
