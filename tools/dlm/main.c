/* The program: global options, signals, messages, and the choice of a command. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "nearest.h"
#include "progress.h"

static const struct dlm_command *const commands[] = {
    &dlm_command_init,     &dlm_command_train,      &dlm_command_prompt, &dlm_command_show,
    &dlm_command_migrate,  &dlm_command_tokenize,   &dlm_command_preprocess,
    &dlm_command_score,    &dlm_command_bench,      &dlm_command_doctor,
    &dlm_command_use,
};

#define NUM_COMMANDS (sizeof(commands) / sizeof(commands[0]))

struct globals {
    const char *home;
    bool is_verbose, is_quiet, is_version;
    int num_threads;
};

static const struct dlm_option global_options[] = {
    {"home", .type = DLM_OPTION_STRING, .value = "PATH", .offset = offsetof(struct globals, home),
     .help = "folder of stores and caches", .otherwise = "$DLM_HOME, else ~/.dlm"},
    {"threads", .type = DLM_OPTION_INT, .value = "N", .min = 1, .max = 1024,
     .offset = offsetof(struct globals, num_threads), .help = "CPU threads",
     .otherwise = "as many as this process may use"},
    {"verbose", 'v', .type = DLM_OPTION_FLAG, .offset = offsetof(struct globals, is_verbose),
     .help = "say more"},
    {"quiet", 'q', .type = DLM_OPTION_FLAG, .offset = offsetof(struct globals, is_quiet),
     .help = "say nothing but errors and warnings"},
    {"version", .type = DLM_OPTION_FLAG, .offset = offsetof(struct globals, is_version),
     .help = "print the version"},
};

static const struct dlm_option_table global_table = {
    .options = global_options,
    .num_options = DLM_NUM_OPTIONS(global_options),
};

/* The only mutable globals: what the signal handler stops, and the signal that it got first. */
static struct dlm_ctx *volatile running;
static volatile sig_atomic_t caught;

/* The first signal asks for an end at a safe point. The second does not ask: a step can take
 * minutes, and a store is sound whenever a process dies. */
static void on_signal(int number)
{
    static const char note[] = "\ndlm: stopping at a safe point; once more to stop at once\n";

    if (!running || caught)
        _exit(DLM_EXIT_SIGNAL + number);
    caught = number;
    dlm_ctx_cancel(running);
    if (write(STDERR_FILENO, note, sizeof(note) - 1) < 0)
        return; /* nothing can be said, then */
}

static void catch_signals(struct dlm_ctx *ctx)
{
    /* without SA_RESTART, so that reading standard input stops too */
    struct sigaction action = {.sa_handler = on_signal}, before;

    running = ctx;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (!sigaction(SIGHUP, NULL, &before) && before.sa_handler != SIG_IGN) /* not under nohup */
        sigaction(SIGHUP, &action, NULL);
    signal(SIGXFSZ, SIG_IGN); /* a file beyond the limit is a failed write, not a death */
}

int dlm_exit_of(enum dlm_status status)
{
    switch (status) {
    case DLM_OK:
        return DLM_EXIT_DONE;
    case DLM_ERR_USAGE:
        return DLM_EXIT_USAGE;
    case DLM_ERR_CANCELLED:
        return DLM_EXIT_SIGNAL + (caught ? caught : SIGINT);
    default:
        return DLM_EXIT_FAILED;
    }
}

/* --- messages --- */

/* Some of the library's messages name their own subject, as the Python dlm does. */
static bool has_subject(const char *text)
{
    static const char *const subjects[] = {"init: ", "train: ", "prompt: ", "show: ", "migrate: ",
                                           "doctor: ", "license: ", "resume: ", "lock: ",
                                           "disk: ", "training: "};

    for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++) {
        if (!strncmp(text, subjects[i], strlen(subjects[i])))
            return true;
    }
    return false;
}

static void on_log(void *user, enum dlm_log_level level, const char *text)
{
    struct dlm_cli *cli = user;

    if ((level == DLM_LOG_DEBUG && !cli->is_verbose) || (level == DLM_LOG_INFO && cli->is_quiet))
        return;
    dlm_progress_hide(cli->progress);
    switch (level) {
    case DLM_LOG_HINT:
        fprintf(stderr, "hint: %s\n", text);
        break;
    case DLM_LOG_WARNING:
        fprintf(stderr, "warning: %s\n", text);
        break;
    case DLM_LOG_DEBUG:
        fprintf(stderr, "debug: %s\n", text);
        break;
    default:
        if (has_subject(text))
            fprintf(stderr, "%s\n", text);
        else
            fprintf(stderr, "%s: %s\n", cli->subject, text);
    }
    dlm_progress_show(cli->progress);
}

int dlm_cli_wrong(const struct dlm_cli *cli, const char *fmt, ...)
{
    va_list list;

    fprintf(stderr, "%s: ", cli->subject);
    va_start(list, fmt);
    vfprintf(stderr, fmt, list);
    va_end(list);
    fputc('\n', stderr);
    return DLM_EXIT_USAGE;
}

void dlm_cli_say(struct dlm_cli *cli, const char *fmt, ...)
{
    va_list list;

    if (cli->is_quiet)
        return;
    dlm_progress_hide(cli->progress);
    va_start(list, fmt);
    vfprintf(stderr, fmt, list);
    va_end(list);
    fputc('\n', stderr);
    dlm_progress_show(cli->progress);
}

/* --- running --- */

static void print_help(void)
{
    puts("usage: dlm COMMAND [options] ...\n\n"
         "Trains LoRA adapters for vision-language models from documents, and prompts them.\n\n"
         "commands:");
    for (size_t i = 0; i < NUM_COMMANDS; i++)
        printf("  %-12s%s\n", commands[i]->table.command, commands[i]->table.summary);
    putchar('\n');
    dlm_options_print_common(&global_table);
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
    for (size_t i = 0; i < NUM_COMMANDS; i++) {
        if (!strcmp(commands[i]->table.command, name))
            return commands[i];
    }
    return NULL;
}

static void fail_unknown(const char *name)
{
    struct dlm_nearest nearest = {0};

    for (size_t i = 0; i < NUM_COMMANDS; i++)
        dlm_nearest_offer(&nearest, name, commands[i]->table.command);
    dlm_options_unknown(NULL, nearest.name, "unknown command '%s'", name);
}

static int run_command(const struct dlm_command *command, const struct globals *globals,
                       const void *args)
{
    struct dlm_cli cli = {.home = globals->home, .is_verbose = globals->is_verbose,
                          .is_quiet = globals->is_quiet,
                          .subject = command->subject ? command->subject : "dlm",
                          .try_seconds = DLM_TRY_SECONDS};
    const struct dlm_ctx_params params = {
        .log = on_log, .log_user = &cli, .num_threads = globals->num_threads,
        .try_device = dlm_cli_try_device, .try_user = &cli};

    cli.ctx = dlm_ctx_create(&params);
    if (!cli.ctx) {
        fputs("dlm: out of memory\n", stderr);
        return DLM_EXIT_FAILED;
    }
    catch_signals(cli.ctx);
    int code = command->run(&cli, args);
    running = NULL;
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
static int run_named(const struct dlm_command *command, struct globals *globals, int argc,
                     char **argv, int at)
{
    void *args = calloc(1, command->args_bytes);
    const struct dlm_option_target own = {&command->table, args};
    const struct dlm_option_target common = {&global_table, globals};
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
        dlm_options_help(&command->table, &global_table);
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

int main(int argc, char **argv)
{
    struct globals globals = {0};
    const struct dlm_option_target target = {&global_table, &globals};
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
