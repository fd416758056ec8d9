/* The name that a mistyped one was meant to be. */
#ifndef DLM_TOOL_NEAREST_H
#define DLM_TOOL_NEAREST_H

/* The best of the names offered so far. All zero: none. */
struct dlm_nearest {
    const char *name; /* borrowed from the offer; NULL: no name is near enough */
    int distance;
};

/* Keeps `name` if it is nearer to `typed` than what is kept, and near at all: one slip (a letter
 * missing, added, wrong, or two exchanged) for every three letters, or all of it begun right. */
void dlm_nearest_offer(struct dlm_nearest *nearest, const char *typed, const char *name);

#endif
