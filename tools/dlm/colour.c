/* Colours by the escape sequences that every terminal of today has (ECMA-48, SGR). */
#include "colour.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

static const char *const begins[] = {
    [DLM_COLOUR_NONE] = "",          [DLM_COLOUR_BAD] = "\033[31m", [DLM_COLOUR_GOOD] = "\033[32m",
    [DLM_COLOUR_WARNING] = "\033[33m", [DLM_COLOUR_HINT] = "\033[36m",
};
#define END "\033[0m"

static bool has_colours(FILE *file)
{
    const char *no = getenv("NO_COLOR"), *terminal = getenv("TERM");

    return !(no && *no) && terminal && *terminal && strcmp(terminal, "dumb") &&
           isatty(fileno(file));
}

void dlm_print_coloured(FILE *file, enum dlm_colour colour, const char *text)
{
    const bool is_on = colour && has_colours(file);

    fputs(is_on ? begins[colour] : "", file);
    dlm_print_text(file, text);
    fputs(is_on ? END : "", file);
}

void dlm_print_verdicts(FILE *file, const char *text, const struct dlm_verdict *list)
{
    const bool is_on = has_colours(file);
    char letter[2] = "";

    while (*text) {
        const struct dlm_verdict *v = list;
        while (v->words && strncmp(text, v->words, strlen(v->words)) != 0)
            v++;
        if (is_on && v->words) {
            dlm_print_coloured(file, v->colour, v->words);
            text += strlen(v->words);
        } else {
            letter[0] = *text++;
            dlm_print_text(file, letter);
        }
    }
}
