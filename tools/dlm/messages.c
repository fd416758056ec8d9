/* Lines on standard error: the library's, and the commands' own. */
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "colour.h"
#include "progress.h"

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

/* "warning: text"; the colour is the first word's. */
static void print_line(enum dlm_colour colour, const char *word, const char *text)
{
    dlm_print_coloured(stderr, colour, word);
    fprintf(stderr, ": %s\n", text);
}

static void print_message(enum dlm_colour colour, const char *subject, const char *text)
{
    char own[32];
    const size_t len = strcspn(text, ":");

    if (!has_subject(text)) {
        print_line(colour, subject, text);
        return;
    }
    snprintf(own, sizeof(own), "%.*s", (int)len, text); /* the longest has 8 letters */
    print_line(colour, own, text + len + strlen(": "));
}

bool dlm_cli_begin_progress(struct dlm_cli *cli, struct dlm_progress *p)
{
    if (cli->is_quiet)
        return false;
    dlm_progress_init(p);
    cli->progress = p;
    return true;
}

void dlm_cli_end_progress(struct dlm_cli *cli)
{
    if (cli->progress)
        dlm_progress_finish(cli->progress);
    cli->progress = NULL;
}

void dlm_cli_log(void *user, enum dlm_log_level level, const char *text)
{
    struct dlm_cli *cli = user;

    if ((level == DLM_LOG_DEBUG && !cli->is_verbose) || (level == DLM_LOG_INFO && cli->is_quiet))
        return;
    dlm_progress_hide(cli->progress);
    switch (level) {
    case DLM_LOG_HINT:
        print_line(DLM_COLOUR_HINT, "hint", text);
        break;
    case DLM_LOG_WARNING:
        print_line(DLM_COLOUR_WARNING, "warning", text);
        break;
    case DLM_LOG_DEBUG:
        print_line(DLM_COLOUR_NONE, "debug", text);
        break;
    default:
        print_message(level == DLM_LOG_ERROR ? DLM_COLOUR_BAD : DLM_COLOUR_NONE, cli->subject,
                      text);
    }
    dlm_progress_show(cli->progress);
}

int dlm_cli_wrong(const struct dlm_cli *cli, const char *fmt, ...)
{
    va_list list;

    dlm_print_coloured(stderr, DLM_COLOUR_BAD, cli->subject);
    fputs(": ", stderr);
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

bool dlm_cli_can_ask(void)
{
    return isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

bool dlm_cli_ask(void *user, const char *question)
{
    char answer[16] = "";

    (void)user;
    fputs(question, stderr);
    if (!fgets(answer, sizeof(answer), stdin))
        return false;
    answer[strcspn(answer, "\n")] = '\0';
    return !strcmp(answer, "y") || !strcmp(answer, "Y") || !strcmp(answer, "yes");
}
