/* What a progress line says. */
#ifndef DLM_TOOL_PROGRESS_LINE_H
#define DLM_TOOL_PROGRESS_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "dlm/pull.h"
#include "dlm/train.h"

/* The last news of a run. */
struct dlm_progress_now {
    bool is_pull;
    struct dlm_train_progress train;
    double first_loss;
    struct dlm_pull_progress pull;
};

/* The line for a terminal of `columns`: narrower than that, also with a ^C behind it. age: seconds
 * since the news. */
void dlm_progress_line(const struct dlm_progress_now *now, double age, int columns, char *text,
                       size_t bytes);

/* The line where there is no terminal. */
void dlm_progress_plain_line(const struct dlm_progress_now *now, char *text, size_t bytes);

#endif
