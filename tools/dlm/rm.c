/* dlm rm: removes a version of an adapter, the caches of a document, or its store. */
#include "cli.h"

struct args {
    const char *document, *version;
    bool is_cache, is_store, is_yes;
};

static const struct dlm_option options[] = {
    {"cache", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, is_cache),
     .help = "remove the caches of images and features"},
    {"store", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, is_store),
     .help = "remove the whole store: every version, log and cache; the document stays"},
    {"yes", 'y', .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, is_yes),
     .help = "remove without asking"},
};

static enum dlm_status remove_caches(struct dlm_cli *cli, const struct args *a, char **text)
{
    const struct dlm_stores_cache_params params = {
        .document = a->document, .home = cli->home, .action = DLM_STORES_CACHE_CLEAR,
        .yes = a->is_yes, .accept = dlm_cli_can_ask() ? dlm_cli_ask : NULL};

    return dlm_stores_cache(cli->ctx, &params, text);
}

static int run(struct dlm_cli *cli, const void *args)
{
    const struct args *a = args;
    struct dlm_stores_remove_params params = {.document = a->document, .home = cli->home,
                                              .yes = a->is_yes,
                                              .accept = dlm_cli_can_ask() ? dlm_cli_ask : NULL};
    char *text = NULL;

    if ((a->version != NULL) + a->is_cache + a->is_store != 1) {
        dlm_options_usage_error("rm", "give one of VERSION, --cache and --store");
        return DLM_EXIT_USAGE;
    }
    if (a->version && !dlm_cli_version_number("rm", a->version, &params.version))
        return DLM_EXIT_USAGE;
    enum dlm_status st = a->is_cache ? remove_caches(cli, a, &text)
                                     : dlm_stores_remove(cli->ctx, &params, &text);
    if (!st)
        fputs(text, stdout);
    dlm_text_free(text);
    return dlm_exit_of(st);
}

const struct dlm_command dlm_command_rm = {
    .table = {.command = "rm",
              .summary = "Remove a version of an adapter, caches, or a store.",
              .options = options,
              .num_options = DLM_NUM_OPTIONS(options),
              .operands = {{"DOCUMENT", offsetof(struct args, document), false,
                            "the .dlm file, or a dlm_id"},
                           {"VERSION", offsetof(struct args, version), true,
                            "v1, v2, ...: the version to remove"}}},
    .subject = "rm",
    .args_bytes = sizeof(struct args),
    .run = run,
};
