/* Lines on standard error: the library's, and the commands' own. */
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
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
