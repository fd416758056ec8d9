/* dlm verify-store: whether a store is whole, and repairing what can be. */
#include "cli.h"

struct args {
    const char *document;
    bool is_all, is_repair, is_json;
};

static const struct dlm_option options[] = {
    {"all", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, is_all),
     .help = "every store of the home"},
    {"repair", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, is_repair),
     .help = "repair what can be; no adapter is removed"},
    {"json", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, is_json),
     .help = "print JSON"},
};

static int run(struct dlm_cli *cli, const void *args)
{
    const struct args *a = args;
    const struct dlm_stores_verify_params params = {.document = a->document, .home = cli->home,
                                                    .repair = a->is_repair, .json = a->is_json};
    char *text = NULL;
    bool is_whole = false;

    if (a->is_all == (a->document != NULL)) {
        dlm_options_usage_error("verify-store", "give one of DOCUMENT and --all");
        return DLM_EXIT_USAGE;
    }
    enum dlm_status st = dlm_stores_verify(cli->ctx, &params, &text, &is_whole);
    if (!st)
        dlm_print_text(stdout, text);
    dlm_text_free(text);
    return st ? dlm_exit_of(st) : is_whole ? DLM_EXIT_DONE : DLM_EXIT_FAILED;
}

const struct dlm_command dlm_command_verify_store = {
    .table = {.command = "verify-store",
              .summary = "Check a store, and repair what can be.",
              .options = options,
              .num_options = DLM_NUM_OPTIONS(options),
              .operands = {{"DOCUMENT", offsetof(struct args, document), true,
                            "the .dlm file, or a dlm_id"}}},
    .subject = "verify-store",
    .args_bytes = sizeof(struct args),
    .run = run,
};
