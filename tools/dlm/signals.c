/* Signals that end a command at a safe point, and the exit code that says so. */
#include "signals.h"

#include <signal.h>
#include <unistd.h>

#include "cli.h"

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

void dlm_signals_catch(struct dlm_ctx *ctx)
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

void dlm_signals_release(void)
{
    running = NULL;
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
