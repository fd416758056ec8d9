/* dlm use: goes back to an older version of a document's adapter. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

struct args {
    const char *document, *version;
    bool is_list, is_keys;
};

static const struct dlm_option options[] = {
    {"list", 'l', .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, is_list),
     .help = "print the versions, the current one marked"},
    {"keys", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, is_keys),
     .help = "print the names of the versions alone, one a line"},
};

bool dlm_cli_version_number(const char *command, const char *text, int64_t *number)
{
    const char *digits = text + (*text == 'v');
    char *end = NULL;

    *number = strspn(digits, "0123456789") ? strtoll(digits, &end, 10) : 0;
    if (*number > 0 && *number <= 1000000000 && !*end)
        return true;
    dlm_options_usage_error(command, "no version of an adapter: '%s' (v2 is one)", text);
    return false;
}

static void print_version(const struct dlm_document_version *v)
{
    printf("%c v%04" PRId64, v->is_current ? '*' : ' ', v->number);
    if (v->run_id) {
        printf("  %s  %" PRId64 " step%s", v->trained_at, v->steps, v->steps == 1 ? "" : "s");
        if (isfinite(v->loss))
            printf("  loss %.4f", v->loss);
    }
    putchar('\n');
}

static int list(struct dlm_cli *cli, const struct args *a)
{
    struct dlm_document_versions versions = {0};

    enum dlm_status st = dlm_document_list_versions(cli->ctx, a->document, cli->home, &versions);
    for (size_t i = 0; !st && i < versions.len; i++)
        if (a->is_keys)
            printf("v%04" PRId64 "\n", versions.items[i].number);
        else
            print_version(&versions.items[i]);
    if (!st && !versions.len && !a->is_keys)
        dlm_cli_say(cli, "use: no version yet (no `dlm train`)");
    dlm_document_versions_finish(&versions);
    return dlm_exit_of(st);
}

static int run(struct dlm_cli *cli, const void *args)
{
    const struct args *a = args;
    int64_t number;

    if ((a->is_list || a->is_keys) && a->version) {
        dlm_options_usage_error("use", "--%s goes without VERSION", a->is_list ? "list" : "keys");
        return DLM_EXIT_USAGE;
    }
    if (a->is_list && a->is_keys) {
        dlm_options_usage_error("use", "--list and --keys are mutually exclusive");
        return DLM_EXIT_USAGE;
    }
    if (a->is_list || a->is_keys)
        return list(cli, a);
    if (!a->version) {
        dlm_options_usage_error("use", "missing argument VERSION");
        return DLM_EXIT_USAGE;
    }
    if (!dlm_cli_version_number("use", a->version, &number))
        return DLM_EXIT_USAGE;
    enum dlm_status st = dlm_document_use(cli->ctx, a->document, cli->home, number);
    if (!st)
        dlm_cli_say(cli, "use: v%04" PRId64, number);
    return dlm_exit_of(st);
}

const struct dlm_command dlm_command_use = {
    .table = {.command = "use",
              .summary = "Go back to an older version of a document's adapter.",
              .options = options,
              .num_options = DLM_NUM_OPTIONS(options),
              .operands = {{"DOCUMENT", offsetof(struct args, document), false, "the .dlm file"},
                           {"VERSION", offsetof(struct args, version), true,
                            "v1, v2, ...: what prompts and --resume take from now on"}}},
    .subject = "use",
    .args_bytes = sizeof(struct args),
    .run = run,
};
