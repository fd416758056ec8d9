/* dlm import: an adapter that was made elsewhere. */
#include "cli.h"

#define AT(member) offsetof(struct dlm_import_params, member)

static const struct dlm_option options[] = {
    {"document", .type = DLM_OPTION_STRING, .value = "DOCUMENT", .offset = AT(document),
     .help = "the .dlm file whose adapter it becomes a version of"},
    {"any-base", .type = DLM_OPTION_FLAG, .offset = AT(any_base),
     .help = "also an adapter that names another base, if it fits"},
};

static int run(struct dlm_cli *cli, const void *args)
{
    struct dlm_import_params params = *(const struct dlm_import_params *)args;
    struct dlm_import_result result = {0};

    if (!params.document) {
        dlm_options_usage_error("import", "give --document");
        return DLM_EXIT_USAGE;
    }
    params.home = cli->home;
    enum dlm_status st = dlm_import(cli->ctx, &params, &result);
    if (!st) {
        dlm_cli_say(cli, "import: v%04lld is the current version (%zu modules, rank %lld, alpha "
                    "%g)", (long long)result.version, result.num_modules, (long long)result.r,
                    result.alpha);
        puts(result.path);
    }
    dlm_import_result_finish(&result);
    return dlm_exit_of(st);
}

const struct dlm_command dlm_command_import = {
    .table = {.command = "import",
              .summary = "Make an adapter from elsewhere a version of a document's.",
              .options = options,
              .num_options = DLM_NUM_OPTIONS(options),
              .operands = {{"ADAPTER", AT(adapter), false,
                            "folder of a PEFT adapter: adapter_config.json and safetensors"}}},
    .subject = "import",
    .args_bytes = sizeof(struct dlm_import_params),
    .run = run,
};
