/* Parsing of options and printing of help, by table. Knows no command. */
#include "options.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELP_COLUMN 28

/* An option as it stands in argv: "--seed" or "-s" for messages, and what follows it. */
struct given {
    const struct dlm_option *option;
    char label[64];
    const char *value;
};

struct parser {
    const struct dlm_option_table *table;
    int argc;
    char **argv;
    int at;
    void *args;
    size_t num_operands;
    bool is_past_options;
};

void dlm_options_usage_error(const char *command, const char *fmt, ...)
{
    va_list list;

    fputs("dlm: ", stderr);
    va_start(list, fmt);
    vfprintf(stderr, fmt, list);
    va_end(list);
    fprintf(stderr, "\ntry 'dlm %s%s--help'\n", command ? command : "", command ? " " : "");
}

/* --- values --- */

static void *place(void *args, size_t offset)
{
    return (char *)args + offset;
}

/* "from 1 to 10", "above 0 and at most 1", "of at least 1". */
static void range_text(const struct dlm_option *o, char *text, size_t bytes)
{
    if (o->is_above_min)
        snprintf(text, bytes, "above %.15g and at most %.15g", o->min, o->max);
    else if (o->max != 0)
        snprintf(text, bytes, "from %.15g to %.15g", o->min, o->max);
    else
        snprintf(text, bytes, "of at least %.15g", o->min);
}

static bool is_in_range(const struct dlm_option *o, double x)
{
    return (o->is_above_min ? x > o->min : x >= o->min) && (o->max == 0 || x <= o->max);
}

static enum dlm_options_result wrong_number(const struct parser *p, const struct given *g,
                                            const char *kind)
{
    char range[96];

    range_text(g->option, range, sizeof(range));
    dlm_options_usage_error(p->table->command, "option '%s': '%s' is not a %s %s", g->label,
                            g->value, kind, range);
    return DLM_OPTIONS_WRONG;
}

static enum dlm_options_result set_integer(struct parser *p, const struct given *g)
{
    char *end;

    errno = 0;
    int64_t n = strtoll(g->value, &end, 10);
    if (end == g->value || *end || errno || !is_in_range(g->option, (double)n))
        return wrong_number(p, g, "whole number");
    if (g->option->type == DLM_OPTION_INT)
        *(int *)place(p->args, g->option->offset) = (int)n; /* the range keeps it small */
    else
        *(int64_t *)place(p->args, g->option->offset) = n;
    return DLM_OPTIONS_RUN;
}

static enum dlm_options_result set_number(struct parser *p, const struct given *g)
{
    char *end;

    double x = strtod(g->value, &end);
    if (end == g->value || *end || !isfinite(x) || !is_in_range(g->option, x))
        return wrong_number(p, g, "number");
    *(double *)place(p->args, g->option->offset) = x;
    return DLM_OPTIONS_RUN;
}

static enum dlm_options_result set_choice(struct parser *p, const struct given *g)
{
    char list[128] = "";

    for (int i = 0; g->option->choices[i]; i++) {
        size_t len = strlen(list);
        if (!strcmp(g->option->choices[i], g->value)) {
            memcpy(place(p->args, g->option->offset), &i, sizeof(i)); /* an enum is an int here */
            return DLM_OPTIONS_RUN;
        }
        snprintf(list + len, sizeof(list) - len, "%s%s", i ? ", " : "", g->option->choices[i]);
    }
    dlm_options_usage_error(p->table->command, "option '%s': '%s' is none of %s", g->label,
                            g->value, list);
    return DLM_OPTIONS_WRONG;
}

static enum dlm_options_result add_to_list(struct parser *p, const struct given *g)
{
    struct dlm_option_list *list = place(p->args, g->option->offset);

    if (!list->items) /* no list can be longer than the command line */
        list->items = calloc((size_t)p->argc, sizeof(*list->items));
    if (!list->items) {
        fputs("dlm: out of memory\n", stderr);
        return DLM_OPTIONS_MEMORY;
    }
    list->items[list->len++] = g->value;
    return DLM_OPTIONS_RUN;
}

static enum dlm_options_result set_value(struct parser *p, const struct given *g)
{
    const struct dlm_option *o = g->option;

    if (o->given)
        *(bool *)place(p->args, o->given) = true;
    switch (o->type) {
    case DLM_OPTION_FLAG:
        *(bool *)place(p->args, o->offset) = true;
        break;
    case DLM_OPTION_STRING:
        *(const char **)place(p->args, o->offset) = g->value;
        break;
    case DLM_OPTION_LIST:
        return add_to_list(p, g);
    case DLM_OPTION_INT:
    case DLM_OPTION_INT64:
        return set_integer(p, g);
    case DLM_OPTION_NUMBER:
        return set_number(p, g);
    case DLM_OPTION_CHOICE:
        return set_choice(p, g);
    }
    return DLM_OPTIONS_RUN;
}

/* --- the command line --- */

static const struct dlm_option *find_by_name(const struct dlm_option_table *t, const char *name,
                                             size_t len)
{
    for (size_t i = 0; i < t->num_options; i++) {
        if (strlen(t->options[i].name) == len && !memcmp(t->options[i].name, name, len))
            return &t->options[i];
    }
    return NULL;
}

static const struct dlm_option *find_by_letter(const struct dlm_option_table *t, char letter)
{
    for (size_t i = 0; i < t->num_options; i++) {
        if (t->options[i].letter && t->options[i].letter == letter)
            return &t->options[i];
    }
    return NULL;
}

/* Takes the next argument as the value when it does not stand in the same one. */
static enum dlm_options_result finish_option(struct parser *p, struct given *g)
{
    if (g->option->type != DLM_OPTION_FLAG && !g->value) {
        if (p->at + 1 >= p->argc) {
            dlm_options_usage_error(p->table->command, "option '%s' needs a value", g->label);
            return DLM_OPTIONS_WRONG;
        }
        g->value = p->argv[++p->at];
    }
    return set_value(p, g);
}

/* --name, --name value, --name=value */
static enum dlm_options_result parse_long(struct parser *p, const char *arg)
{
    const size_t len = strcspn(arg + 2, "=");
    struct given g = {.option = find_by_name(p->table, arg + 2, len)};

    if (len == 4 && !memcmp(arg + 2, "help", 4) && !arg[6])
        return DLM_OPTIONS_HELP;
    if (!g.option) {
        dlm_options_usage_error(p->table->command, "unknown option '%.*s'", (int)(len + 2), arg);
        return DLM_OPTIONS_WRONG;
    }
    snprintf(g.label, sizeof(g.label), "--%s", g.option->name);
    if (arg[2 + len] == '=')
        g.value = arg + 2 + len + 1;
    if (g.option->type == DLM_OPTION_FLAG && g.value) {
        dlm_options_usage_error(p->table->command, "option '%s' takes no value", g.label);
        return DLM_OPTIONS_WRONG;
    }
    return finish_option(p, &g);
}

/* -v, -vq, -s value, -svalue */
static enum dlm_options_result parse_letters(struct parser *p, const char *arg)
{
    enum dlm_options_result result = DLM_OPTIONS_RUN;

    for (const char *c = arg + 1; *c && result == DLM_OPTIONS_RUN; c++) {
        struct given g = {.option = find_by_letter(p->table, *c)};
        if (*c == 'h')
            return DLM_OPTIONS_HELP;
        if (!g.option) {
            dlm_options_usage_error(p->table->command, "unknown option '-%c'", *c);
            return DLM_OPTIONS_WRONG;
        }
        snprintf(g.label, sizeof(g.label), "-%c", *c);
        if (g.option->type == DLM_OPTION_FLAG) {
            result = set_value(p, &g);
            continue;
        }
        g.value = c[1] ? c + 1 : NULL;
        return finish_option(p, &g);
    }
    return result;
}

static enum dlm_options_result parse_operand(struct parser *p, const char *arg)
{
    const struct dlm_operand *operands = p->table->operands;

    if (p->num_operands == DLM_MAX_OPERANDS || !operands[p->num_operands].name) {
        dlm_options_usage_error(p->table->command, "unexpected argument '%s'", arg);
        return DLM_OPTIONS_WRONG;
    }
    *(const char **)place(p->args, operands[p->num_operands++].offset) = arg;
    return DLM_OPTIONS_RUN;
}

static enum dlm_options_result check_operands(const struct parser *p)
{
    for (size_t i = p->num_operands; i < DLM_MAX_OPERANDS; i++) {
        const struct dlm_operand *operand = &p->table->operands[i];
        if (!operand->name)
            break;
        if (!operand->is_optional) {
            dlm_options_usage_error(p->table->command, "missing argument %s", operand->name);
            return DLM_OPTIONS_WRONG;
        }
    }
    return DLM_OPTIONS_RUN;
}

enum dlm_options_result dlm_options_parse(const struct dlm_option_table *table, int argc,
                                          char **argv, int *at, void *args)
{
    struct parser p = {.table = table, .argc = argc, .argv = argv, .at = *at, .args = args};
    enum dlm_options_result result = DLM_OPTIONS_RUN;

    for (; p.at < argc && result == DLM_OPTIONS_RUN; p.at++) {
        const char *arg = argv[p.at];
        if (p.is_past_options || arg[0] != '-' || !arg[1]) {
            if (!table->command) /* the program's first operand is the command */
                break;
            result = parse_operand(&p, arg);
        } else if (!strcmp(arg, "--")) {
            p.is_past_options = true;
        } else if (arg[1] == '-') {
            result = parse_long(&p, arg);
        } else {
            result = parse_letters(&p, arg);
        }
    }
    *at = p.at;
    return result == DLM_OPTIONS_RUN ? check_operands(&p) : result;
}

void dlm_options_finish(const struct dlm_option_table *table, void *args)
{
    for (size_t i = 0; i < table->num_options; i++) {
        if (table->options[i].type != DLM_OPTION_LIST)
            continue;
        struct dlm_option_list *list = place(args, table->options[i].offset);
        free(list->items);
        *list = (struct dlm_option_list){0};
    }
}

/* --- help --- */

static void print_choices(const struct dlm_option *o, char *text, size_t bytes)
{
    for (size_t i = 0; o->choices[i]; i++) {
        size_t len = strlen(text);
        snprintf(text + len, bytes - len, "%s%s", i ? "|" : " ", o->choices[i]);
    }
}

static void print_option(const struct dlm_option *o)
{
    char head[96], range[96] = "";

    if (o->letter)
        snprintf(head, sizeof(head), "  -%c, --%s", o->letter, o->name);
    else
        snprintf(head, sizeof(head), "      --%s", o->name);
    size_t len = strlen(head);
    if (o->type == DLM_OPTION_CHOICE)
        print_choices(o, head + len, sizeof(head) - len);
    else if (o->type != DLM_OPTION_FLAG)
        snprintf(head + len, sizeof(head) - len, " %s", o->value);
    bool is_number = o->type == DLM_OPTION_INT || o->type == DLM_OPTION_INT64 ||
                     o->type == DLM_OPTION_NUMBER;
    if (o->is_above_min)
        snprintf(range, sizeof(range), " (above %.15g, at most %.15g)", o->min, o->max);
    else if (is_number && o->max != 0)
        snprintf(range, sizeof(range), " (%.15g to %.15g)", o->min, o->max);
    if (strlen(head) + 2 > HELP_COLUMN)
        printf("%s\n%*s%s%s\n", head, HELP_COLUMN, "", o->help, range);
    else
        printf("%-*s%s%s\n", HELP_COLUMN, head, o->help, range);
}

void dlm_options_print(const struct dlm_option_table *table)
{
    for (size_t i = 0; i < table->num_options; i++)
        print_option(&table->options[i]);
    printf("%-*s%s\n", HELP_COLUMN, "  -h, --help", "print this help");
}

void dlm_options_help(const struct dlm_option_table *table)
{
    const struct dlm_operand *operands = table->operands;

    printf("usage: dlm [global options] %s [options]", table->command);
    for (size_t i = 0; i < DLM_MAX_OPERANDS && operands[i].name; i++)
        printf(operands[i].is_optional ? " [%s]" : " %s", operands[i].name);
    printf("\n\n%s\n\n", table->summary);
    for (size_t i = 0; i < DLM_MAX_OPERANDS && operands[i].name; i++)
        printf("  %-*s%s\n", HELP_COLUMN - 2, operands[i].name, operands[i].help);
    if (operands[0].name)
        putchar('\n');
    puts("options:");
    dlm_options_print(table);
}
