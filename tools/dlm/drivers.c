/* What drivers do to the process that they run in. */
#include "drivers.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static bool may_exit;

static void check_exit(void)
{
    if (may_exit)
        return;
    fputs("dlm: a driver ended the program; `dlm doctor` says which\n", stderr);
    _exit(DLM_EXIT_FAILED);
}

bool dlm_drivers_watch_exit(void)
{
    return !atexit(check_exit);
}

void dlm_drivers_may_exit(void)
{
    may_exit = true;
}

/* --- hanging --- */

/* The thread that waits for the end of a loading. A driver can hold a lock of the C library's, or
 * all signals: nothing but system calls end it. */
struct dlm_load_watch {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_over; /* under lock */
    int seconds;
    const struct dlm_load *load; /* borrowed */
    char text[1024];             /* what is said where it is too long */
};

static _Noreturn void give_up(const struct dlm_load_watch *w)
{
    for (size_t i = 0; w->load->marks[i]; i++)
        unlink(w->load->marks[i]);
    if (write(STDERR_FILENO, w->text, strlen(w->text)) < 0)
        _exit(DLM_EXIT_FAILED); /* nothing can be said, then */
    _exit(DLM_EXIT_FAILED);
}

/* Counts seconds in which this process runs: one that is stopped, or a machine that sleeps, takes
 * no time from the driver. */
static void *count(void *user)
{
    struct dlm_load_watch *w = user;
    int num = 0;

    pthread_mutex_lock(&w->lock);
    while (!w->is_over && num < w->seconds) {
        struct timespec next;
        clock_gettime(CLOCK_REALTIME, &next);
        next.tv_sec++;
        num += pthread_cond_timedwait(&w->changed, &w->lock, &next) == ETIMEDOUT;
    }
    if (!w->is_over)
        give_up(w);
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* Signals are for the other threads. Without memory, or a thread, nobody watches. */
static void begin(struct dlm_cli *cli, const struct dlm_load *load)
{
    struct dlm_load_watch *w = calloc(1, sizeof(*w));
    sigset_t all, before;

    if (!w)
        return;
    w->seconds = cli->load_seconds;
    w->load = load;
    snprintf(w->text, sizeof(w->text),
             "%s: %.600s gave no answer in %d s when it was loaded here, though it did when "
             "another process asked\n"
             "hint: `dlm doctor` asks it again; --backend cpu loads no driver\n",
             cli->subject, load->who, w->seconds);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int rc = pthread_create(&w->thread, NULL, count, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc)
        free(w);
    else
        cli->load_watch = w;
}

static void end(struct dlm_cli *cli)
{
    struct dlm_load_watch *w = cli->load_watch;

    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->is_over = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    free(w);
    cli->load_watch = NULL;
}

void dlm_drivers_load(void *user, const struct dlm_load *load)
{
    if (load)
        begin(user, load);
    else
        end(user);
}
