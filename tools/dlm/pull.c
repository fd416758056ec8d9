/* dlm pull: a base fetched from the hub. */
#include "cli.h"
#include "progress.h"

struct args {
    struct dlm_pull_params params;
    bool has_retries;
};

#define AT(member) offsetof(struct args, params.member)

static const struct dlm_option options[] = {
    {"revision", .type = DLM_OPTION_STRING, .value = "REV", .offset = AT(revision),
     .help = "a branch, tag or commit", .otherwise = "the registry's commit, else main"},
    {"jobs", .type = DLM_OPTION_INT, .value = "N", .min = 1, .max = 64, .offset = AT(jobs),
     .help = "files at once"},
    {"retries", .type = DLM_OPTION_INT, .value = "N", .min = 0, .max = 1000,
     .offset = AT(retries), .given = offsetof(struct args, has_retries),
     .help = "attempts in a row that may bring nothing", .otherwise = "5"},
    {"timeout", .type = DLM_OPTION_INT, .value = "S", .min = 1, .max = 3600,
     .offset = AT(stall_seconds),
     .help = "seconds after which a connection that brings next to nothing is given up"},
};

static const struct args defaults = {.params = {.jobs = 4, .stall_seconds = 30}};

static void on_progress(void *user, const struct dlm_pull_progress *now)
{
    dlm_progress_pull(user, now);
}

static void report(struct dlm_cli *cli, const struct dlm_pull_result *result)
{
    const bool is_large = result->bytes >= 1000000000;
    const double unit = is_large ? 1e-9 : 1e-6;

    dlm_cli_say(cli, "pull: %zu files, %.2f %s, of which %.2f were missing (commit %.12s)",
                result->num_files, (double)result->bytes * unit, is_large ? "GB" : "MB",
                (double)result->missing * unit, result->commit);
    puts(result->dir);
}

static int run(struct dlm_cli *cli, const void *args)
{
    const struct args *a = args;
    struct dlm_pull_params params = a->params;
    struct dlm_pull_result result = {0};
    struct dlm_progress progress;

    if (a->has_retries && !params.retries)
        params.retries = -1;
    if (dlm_cli_begin_progress(cli, &progress)) {
        params.progress = on_progress;
        params.user = &progress;
    }
    enum dlm_status st = dlm_pull(cli->ctx, &params, &result);
    dlm_cli_end_progress(cli);
    if (!st)
        report(cli, &result);
    dlm_pull_result_finish(&result);
    return dlm_exit_of(st);
}

const struct dlm_command dlm_command_pull = {
    .table = {.command = "pull",
              .summary = "Fetch a base from the Hugging Face hub.",
              .options = options,
              .num_options = DLM_NUM_OPTIONS(options),
              .defaults = &defaults,
              .operands = {{"BASE", AT(base), false, "a key of `dlm bases`, or hf:org/name"}}},
    .subject = "pull",
    .args_bytes = sizeof(struct args),
    .run = run,
};
