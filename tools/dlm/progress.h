/* The progress of a training run or a download: on a terminal one line that is drawn over and over,
 * elsewhere a plain line now and then. */
#ifndef DLM_TOOL_PROGRESS_H
#define DLM_TOOL_PROGRESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "progress_line.h"

struct dlm_progress {
    bool is_terminal;
    pthread_mutex_t lock; /* of all below */
    pthread_t painter;    /* the terminal's line: draws at most 10 times a second */
    bool is_painting, is_ending;
    struct dlm_progress_now now;
    double at; /* seconds: when `now` came */
    bool is_begun, is_stale; /* there is something to draw; it has not been drawn */
    size_t drawn;            /* columns of the line on the screen, 0: none */
    int columns;             /* of the terminal when it was drawn */
    double printed;          /* elsewhere: when the last line was printed */
};

/* Begins. On a terminal a thread of its own draws, so that the line follows the terminal's width,
 * Ctrl-Z and `fg` also while a step lasts; until dlm_progress_finish() this thread, and those that
 * it makes, leave SIGWINCH, SIGTSTP and SIGCONT to it. */
void dlm_progress_init(struct dlm_progress *p);
void dlm_progress_step(struct dlm_progress *p, const struct dlm_train_progress *step);
void dlm_progress_pull(struct dlm_progress *p, const struct dlm_pull_progress *pull);

/* Between these two the line is away and other text can be written. NULL: nothing to do. */
void dlm_progress_hide(struct dlm_progress *p);
void dlm_progress_show(struct dlm_progress *p);

/* Ends; the last state of the line stays. */
void dlm_progress_finish(struct dlm_progress *p);

#endif
