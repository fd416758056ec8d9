/* The progress line. */
#include "progress.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define REDRAW_NANOSECONDS 100000000 /* on a terminal */
#define LINE_SECONDS 10.0            /* elsewhere */
#define USUAL_COLUMNS 80
#define MIN_BAR 8 /* columns, brackets included */
#define MAX_BAR 42
#define ECHOED 2 /* columns in which the terminal shows ^C and ^Z as they are typed */
#define MAX_LINE 512

static double now_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* "1:02:03", "2:03" */
static void duration_text(double seconds, char *text, size_t bytes)
{
    int64_t s = seconds > 0 && seconds < 1e9 ? (int64_t)(seconds + 0.5) : 0;

    if (s >= 3600)
        snprintf(text, bytes, "%" PRId64 ":%02d:%02d", s / 3600, (int)(s / 60 % 60),
                 (int)(s % 60));
    else
        snprintf(text, bytes, "%d:%02d", (int)(s / 60), (int)(s % 60));
}

/* --- the line --- */

/* "[####......]" of `width` columns. */
static void bar_text(const struct dlm_train_progress *s, int width, char *text)
{
    const int inside = width - 2;
    const int full = s->steps > 0 ? (int)(s->step * inside / s->steps) : 0;

    *text++ = '[';
    for (int i = 0; i < inside; i++)
        *text++ = i < full ? '#' : '.';
    *text++ = ']';
    *text = '\0';
}

enum field { FIELD_STEP, FIELD_BAR, FIELD_LOSS, FIELD_LEFT, FIELD_RATE, FIELD_LR, FIELD_COUNT };

/* Takes text for a field if the line still fits with it. */
static void take(char fields[FIELD_COUNT][64], int *room, enum field field, const char *text)
{
    const int more = (int)strlen(text) - (int)strlen(fields[field]); /* both below 64 */
    const int gap = fields[field][0] || field == FIELD_STEP ? 0 : 2;

    if (more + gap > *room)
        return;
    *room -= more + gap;
    memcpy(fields[field], text, strlen(text) + 1);
}

/* The line for a terminal of `columns`: narrower than that, also with a ^C behind it. */
static void compose(const struct dlm_train_progress *s, double first_loss, int columns, char *text,
                    size_t bytes)
{
    char fields[FIELD_COUNT][64] = {""}, field[64], left[32];
    int room = columns - 1 - ECHOED;

    /* What matters most takes its room first. */
    snprintf(field, sizeof(field), "%" PRId64 "/%" PRId64, s->step, s->steps);
    take(fields, &room, FIELD_STEP, field);
    snprintf(field, sizeof(field), "loss %.3f", s->loss);
    take(fields, &room, FIELD_LOSS, field);
    duration_text(s->seconds_left, left, sizeof(left));
    snprintf(field, sizeof(field), "%s left", left);
    take(fields, &room, FIELD_LEFT, field);
    snprintf(field, sizeof(field), "loss %.3f -> %.3f", first_loss, s->loss);
    take(fields, &room, FIELD_LOSS, field);
    bar_text(s, MIN_BAR, field);
    take(fields, &room, FIELD_BAR, field);
    snprintf(field, sizeof(field), "%.0f tokens/s", s->tokens_per_sec);
    take(fields, &room, FIELD_RATE, field);
    snprintf(field, sizeof(field), "lr %.3g", s->lr);
    take(fields, &room, FIELD_LR, field);
    if (fields[FIELD_BAR][0] && room > 0) {
        bar_text(s, MIN_BAR + room < MAX_BAR ? MIN_BAR + room : MAX_BAR, field);
        take(fields, &room, FIELD_BAR, field);
    }
    *text = '\0';
    for (int i = 0; i < FIELD_COUNT; i++) {
        const size_t len = strlen(text);
        if (fields[i][0])
            snprintf(text + len, bytes - len, "%s%s", len ? "  " : "", fields[i]);
    }
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
    struct dlm_train_progress step = p->now;
    const int columns = terminal_columns();

    if (!p->is_begun || !is_in_front())
        return;
    step.seconds_left -= now_seconds() - p->at;
    compose(&step, p->first_loss, columns, text, sizeof(text));
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

/* Where there is no terminal: the first step, the last one, and one every few seconds. */
static void print_line(struct dlm_progress *p)
{
    const struct dlm_train_progress *s = &p->now;
    char left[32];

    if (p->printed > 0 && s->step != 1 && s->step != s->steps && p->at - p->printed < LINE_SECONDS)
        return;
    p->printed = p->at;
    duration_text(s->seconds_left, left, sizeof(left));
    fprintf(stderr,
            "step %" PRId64 "/%" PRId64 "  loss %.4f  lr %.3g  %.0f tokens/s  %s left\n", s->step,
            s->steps, s->loss, s->lr, s->tokens_per_sec, left);
    fflush(stderr);
}

void dlm_progress_step(struct dlm_progress *p, const struct dlm_train_progress *step)
{
    pthread_mutex_lock(&p->lock);
    if (!p->is_begun)
        p->first_loss = step->loss;
    p->now = *step;
    p->at = now_seconds();
    p->is_begun = p->is_stale = true;
    if (!p->is_terminal)
        print_line(p);
    else if (!p->is_painting)
        draw(p);
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
