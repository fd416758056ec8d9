/* Options as rows of a table: parsing and the help text both come from it. */
#ifndef DLM_TOOL_OPTIONS_H
#define DLM_TOOL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dlm_option_type {
    DLM_OPTION_FLAG,   /* bool: true when given */
    DLM_OPTION_STRING, /* const char * */
    DLM_OPTION_LIST,   /* struct dlm_option_list: given any number of times */
    DLM_OPTION_INT,    /* int in [min, max] */
    DLM_OPTION_INT64,  /* int64_t in [min, max], or -1 - i for one of choices, if there are any */
    DLM_OPTION_NUMBER, /* double in [min, max] */
    DLM_OPTION_CHOICE, /* an enum: index in choices */
};

struct dlm_option_list {
    const char **items; /* point into argv; the array belongs to the arguments */
    size_t len;
};

/* One option of a command. */
struct dlm_option {
    const char *name; /* without "--" */
    char letter;      /* 0: none */
    enum dlm_option_type type;
    const char *value; /* what help calls its value: "PATH"; not for flags and choices */
    double min, max;   /* INT, INT64, NUMBER; max 0: no upper bound */
    bool is_above_min; /* NUMBER with a max: min itself is out of range */
    const char *const *choices; /* NULL-terminated */
    size_t offset;              /* where it goes in the command's arguments */
    size_t given; /* offset of a bool that says it was there; 0: none (no bool stands first) */
    const char *help;
    /* What holds without it, in words, where the default in the arguments does not say it: "the
     * document's". NULL: that default, where there is one. */
    const char *otherwise;
};

/* One argument without a name. */
struct dlm_operand {
    const char *name; /* "DOCUMENT" */
    size_t offset;    /* const char * in the command's arguments */
    bool is_optional;
    const char *help;
    const char *const *choices; /* words that it may be, NULL-terminated; NULL: any. The command
                                 * checks them */
};

#define DLM_MAX_OPERANDS 2

struct dlm_option_table {
    const char *command; /* NULL: the program itself, whose first operand ends its options */
    const char *summary; /* one line: what it does */
    const struct dlm_option *options;
    size_t num_options;
    const void *defaults; /* arguments of which help reads the defaults; NULL: all zero */
    struct dlm_operand operands[DLM_MAX_OPERANDS]; /* a NULL name ends them */
};

enum dlm_options_result {
    DLM_OPTIONS_RUN,
    DLM_OPTIONS_HELP,   /* -h or --help was there */
    DLM_OPTIONS_WRONG,  /* the error has been printed */
    DLM_OPTIONS_MEMORY, /* likewise */
};

/* A table, and the struct that its options fill; it holds the defaults before. */
struct dlm_option_target {
    const struct dlm_option_table *table;
    void *args;
};

/* Reads argv[*at..argc) into own, and options that only common knows (NULL: there is none) into
 * that. `--` ends options, `-` is an operand. *at is where it stopped: argc, or the program's first
 * operand. */
enum dlm_options_result dlm_options_parse(const struct dlm_option_target *own,
                                          const struct dlm_option_target *common, int argc,
                                          char **argv, int *at);

/* Frees the lists in args. */
void dlm_options_finish(const struct dlm_option_table *table, void *args);

/* `dlm: <message>` and `try 'dlm train --help'` on standard error. */
void dlm_options_usage_error(const char *command, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* The same with a line between that asks whether `near` was meant (NULL: nothing is near). */
void dlm_options_unknown(const char *command, const char *near, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* What stands behind an option's name in help: "N", "auto|cpu"; "" for a flag. */
void dlm_option_value_text(const struct dlm_option *option, char *text, size_t bytes);

/* Its range and default in words: "1 to 10; default 3", or "". defaults is the table's. */
void dlm_option_limits_text(const struct dlm_option *option, const void *defaults, char *text,
                            size_t bytes);

/* Prints the options that all commands share, and --help, on standard output. */
void dlm_options_print_common(const struct dlm_option_table *common);

/* Prints a command's whole help on standard output, with the options that all commands share. */
void dlm_options_help(const struct dlm_option_table *table, const struct dlm_option_table *common);

#endif
