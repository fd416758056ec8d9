/* The progress line on its terminal, or in plain lines; its text is progress_line.c's. */
#include "progress.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define REDRAW_NANOSECONDS 100000000 /* on a terminal */
#define LINE_SECONDS 10.0            /* elsewhere */
#define USUAL_COLUMNS 80
#define MAX_LINE 512

static double now_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int terminal_columns(void)
{
    struct winsize size = {0};

    return !ioctl(STDERR_FILENO, TIOCGWINSZ, &size) && size.ws_col ? size.ws_col : USUAL_COLUMNS;
}

/* A job in the background does not draw over the shell. */
static bool is_in_front(void)
{
    const pid_t front = tcgetpgrp(STDERR_FILENO);

    return front < 0 || front == getpgrp();
}

/* Takes the line away. A terminal that has become narrower has broken it into rows (xterm, which
 * cuts lines instead, is the exception among those in use). */
static void clear_line(struct dlm_progress *p)
{
    const int columns = terminal_columns();
    const size_t rows_above = p->drawn ? (p->drawn - 1) / (size_t)columns : 0;

    if (!p->drawn)
        return;
    if (rows_above && columns < p->columns)
        fprintf(stderr, "\033[%zuA", rows_above);
    fputs("\r\033[J", stderr);
    p->drawn = 0;
}

static void draw(struct dlm_progress *p)
{
    char text[MAX_LINE];
    const int columns = terminal_columns();

    if (!p->is_begun || !is_in_front())
        return;
    dlm_progress_line(&p->now, now_seconds() - p->at, columns, text, sizeof(text));
    if (columns < p->columns)
        clear_line(p);
    fprintf(stderr, "\r%s\033[K", text);
    fflush(stderr);
    p->drawn = strlen(text);
    p->columns = columns;
    p->is_stale = false;
}

/* --- the painter --- */

static void painter_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGWINCH);
    sigaddset(set, SIGTSTP);
    sigaddset(set, SIGCONT);
}

/* Does what SIGTSTP asks for, with the line away; returns when the job goes on. */
static void stop_job(struct dlm_progress *p)
{
    sigset_t stop;

    sigemptyset(&stop);
    sigaddset(&stop, SIGTSTP);
    clear_line(p);
    fflush(stderr);
    pthread_sigmask(SIG_UNBLOCK, &stop, NULL);
    raise(SIGTSTP);
    pthread_sigmask(SIG_BLOCK, &stop, NULL);
}

static void *paint(void *user)
{
    const struct timespec tick = {.tv_nsec = REDRAW_NANOSECONDS};
    struct dlm_progress *p = user;
    sigset_t set;
    bool is_ending = false;

    painter_signals(&set);
    while (!is_ending) {
        const int number = sigtimedwait(&set, NULL, &tick);
        pthread_mutex_lock(&p->lock);
        if (number == SIGTSTP)
            stop_job(p);
        if (number > 0 || p->is_stale)
            draw(p);
        is_ending = p->is_ending;
        pthread_mutex_unlock(&p->lock);
    }
    return NULL;
}

void dlm_progress_init(struct dlm_progress *p)
{
    sigset_t set;

    *p = (struct dlm_progress){.is_terminal = isatty(STDERR_FILENO)};
    pthread_mutex_init(&p->lock, NULL);
    if (!p->is_terminal)
        return;
    painter_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    p->is_painting = !pthread_create(&p->painter, NULL, paint, p);
    if (!p->is_painting) /* then the steps draw */
        pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* Where there is no terminal: the first line, the last one, and one every few seconds. */
static void print_line(struct dlm_progress *p, bool is_end)
{
    char text[MAX_LINE];

    if (p->printed > 0 && !is_end && p->at - p->printed < LINE_SECONDS)
        return;
    p->printed = p->at;
    dlm_progress_plain_line(&p->now, text, sizeof(text));
    fprintf(stderr, "%s\n", text);
    fflush(stderr);
}

/* p->now is new; the lock is held. */
static void show(struct dlm_progress *p, bool is_end)
{
    p->at = now_seconds();
    p->is_begun = p->is_stale = true;
    if (!p->is_terminal)
        print_line(p, is_end);
    else if (!p->is_painting)
        draw(p);
}

void dlm_progress_step(struct dlm_progress *p, const struct dlm_train_progress *step)
{
    pthread_mutex_lock(&p->lock);
    if (!p->is_begun)
        p->now.first_loss = step->loss;
    p->now.train = *step;
    show(p, step->step == 1 || step->step == step->steps);
    pthread_mutex_unlock(&p->lock);
}

void dlm_progress_pull(struct dlm_progress *p, const struct dlm_pull_progress *pull)
{
    pthread_mutex_lock(&p->lock);
    p->now.is_pull = true;
    p->now.pull = *pull;
    show(p, pull->num_files ? pull->files_done == pull->num_files
                            : pull->bytes_done == pull->bytes);
    pthread_mutex_unlock(&p->lock);
}

void dlm_progress_hide(struct dlm_progress *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    if (p->is_terminal)
        clear_line(p);
}

void dlm_progress_show(struct dlm_progress *p)
{
    if (!p)
        return;
    p->is_stale = p->is_begun;
    pthread_mutex_unlock(&p->lock);
}

void dlm_progress_finish(struct dlm_progress *p)
{
    sigset_t set;

    if (p->is_painting) {
        pthread_mutex_lock(&p->lock);
        p->is_ending = true;
        pthread_mutex_unlock(&p->lock);
        pthread_kill(p->painter, SIGWINCH); /* draws once more, and ends */
        pthread_join(p->painter, NULL);
        painter_signals(&set);
        pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    }
    if (p->drawn)
        fputc('\n', stderr);
    pthread_mutex_destroy(&p->lock);
}
