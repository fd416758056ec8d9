/* The program: the choice of a command, and its run. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "commands.h"
#include "drivers.h"
#include "nearest.h"
#include "signals.h"

/* --- running --- */

static void print_help(void)
{
    puts("usage: dlm COMMAND [options] ...\n\n"
         "Trains LoRA adapters for vision-language models from documents, and prompts them.\n\n"
         "commands:");
    for (size_t i = 0; i < dlm_num_commands; i++)
        printf("  %-14s%s\n", dlm_commands[i]->table.command, dlm_commands[i]->table.summary);
    putchar('\n');
    dlm_options_print_common(&dlm_global_table);
    puts("\n'dlm COMMAND --help' says more about a command.");
}

/* What was printed has arrived; a full disk is a failure. */
static int close_output(const char *subject, int code)
{
    if (!fflush(stdout) && !ferror(stdout))
        return code;
    fprintf(stderr, "%s: cannot write standard output: %s\n", subject, strerror(errno));
    return code ? code : DLM_EXIT_FAILED;
}

static const struct dlm_command *find_command(const char *name)
{
    for (size_t i = 0; i < dlm_num_commands; i++) {
        if (!strcmp(dlm_commands[i]->table.command, name))
            return dlm_commands[i];
    }
    return NULL;
}

static void fail_unknown(const char *name)
{
    struct dlm_nearest nearest = {0};

    for (size_t i = 0; i < dlm_num_commands; i++)
        dlm_nearest_offer(&nearest, name, dlm_commands[i]->table.command);
    dlm_options_unknown(NULL, nearest.name, "unknown command '%s'", name);
}

static int run_command(const struct dlm_command *command, const struct dlm_globals *globals,
                       const void *args)
{
    struct dlm_cli cli = {.home = globals->home, .is_verbose = globals->is_verbose,
                          .is_quiet = globals->is_quiet,
                          .subject = command->subject ? command->subject : "dlm",
                          .try_seconds = DLM_TRY_SECONDS,
                          .probe_seconds = DLM_PROBE_SECONDS,
                          .load_seconds = DLM_LOAD_SECONDS};
    const struct dlm_ctx_params params = {
        .log = dlm_cli_log, .log_user = &cli, .home = globals->home,
        .num_threads = globals->num_threads, .try_device = dlm_cli_try_device, .try_user = &cli,
        .probe_devices = dlm_cli_probe_devices, .probe_user = &cli,
        .load_drivers = dlm_drivers_load, .load_user = &cli};

    cli.ctx = dlm_ctx_create(&params);
    if (!cli.ctx) {
        fputs("dlm: out of memory\n", stderr);
        return DLM_EXIT_FAILED;
    }
    dlm_signals_catch(cli.ctx);
    int code = command->run(&cli, args);
    dlm_signals_release();
    dlm_ctx_destroy(&cli.ctx);
    return close_output(cli.subject, code);
}

static int print_version(void)
{
    printf("dlm %s\n", dlm_version_text());
    return close_output("dlm", DLM_EXIT_DONE);
}

/* The program's own options have been read up to the command's name, argv[at]; those that stand
 * behind it go into globals too. */
static int run_named(const struct dlm_command *command, struct dlm_globals *globals, int argc,
                     char **argv, int at)
{
    void *args = calloc(1, command->args_bytes);
    const struct dlm_option_target own = {&command->table, args};
    const struct dlm_option_target common = {&dlm_global_table, globals};
    int code = DLM_EXIT_USAGE;

    if (!args) {
        fputs("dlm: out of memory\n", stderr);
        return DLM_EXIT_FAILED;
    }
    if (command->table.defaults)
        memcpy(args, command->table.defaults, command->args_bytes);
    switch (dlm_options_parse(&own, &common, argc, argv, &at)) {
    case DLM_OPTIONS_RUN:
        if (globals->is_verbose && globals->is_quiet)
            dlm_options_usage_error(NULL, "--verbose and --quiet are mutually exclusive");
        else
            code = globals->is_version ? print_version() : run_command(command, globals, args);
        break;
    case DLM_OPTIONS_HELP:
        dlm_options_help(&command->table, &dlm_global_table);
        code = close_output("dlm", DLM_EXIT_DONE);
        break;
    case DLM_OPTIONS_MEMORY:
        code = DLM_EXIT_FAILED;
        break;
    case DLM_OPTIONS_WRONG:
        break;
    }
    dlm_options_finish(&command->table, args);
    free(args);
    return code;
}

static int run(int argc, char **argv)
{
    struct dlm_globals globals = {0};
    const struct dlm_option_target target = {&dlm_global_table, &globals};
    int at = 1;

    enum dlm_options_result result = dlm_options_parse(&target, NULL, argc, argv, &at);
    if (result == DLM_OPTIONS_WRONG)
        return DLM_EXIT_USAGE;
    if (result == DLM_OPTIONS_HELP || argc == 1) {
        print_help();
        return close_output("dlm", DLM_EXIT_DONE);
    }
    if (globals.is_version)
        return print_version();
    if (at == argc) {
        dlm_options_usage_error(NULL, "missing command");
        return DLM_EXIT_USAGE;
    }
    const struct dlm_command *command = find_command(argv[at]);
    if (!command) {
        fail_unknown(argv[at]);
        return DLM_EXIT_USAGE;
    }
    return run_named(command, &globals, argc, argv, at + 1);
}

int main(int argc, char **argv)
{
    if (!dlm_drivers_watch_exit()) {
        fputs("dlm: out of memory\n", stderr);
        return DLM_EXIT_FAILED;
    }
    const int code = run(argc, argv);

    dlm_drivers_may_exit();
    return code;
}
