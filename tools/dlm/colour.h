/* Colours on terminals, where they are wanted: NO_COLOR (no-color.org) and a TERM that is dumb, or
 * none, are respected. To files and pipes the text goes as it is. */
#ifndef DLM_TOOL_COLOUR_H
#define DLM_TOOL_COLOUR_H

#include <stdio.h>

enum dlm_colour {
    DLM_COLOUR_NONE,
    DLM_COLOUR_BAD,     /* errors, refusals */
    DLM_COLOUR_GOOD,
    DLM_COLOUR_WARNING,
    DLM_COLOUR_HINT,
};

/* Writes text in a colour; control bytes as dlm_print_text() does. */
void dlm_print_coloured(FILE *file, enum dlm_colour colour, const char *text);

/* Words of an answer for people that say how it is. */
struct dlm_verdict {
    const char *words; /* NULL ends a list */
    enum dlm_colour colour;
};

/* Writes text with these words in their colours; where several begin, the first counts. */
void dlm_print_verdicts(FILE *file, const char *text, const struct dlm_verdict *list);

#endif
