/* Parsing of options, by table. Knows no command. */
#include "options.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "colour.h"
#include "nearest.h"

/* An option as it stands in argv: "--seed" or "-s" for messages, and what follows it. */
struct given {
    const struct dlm_option *option;
    void *args; /* where its value goes */
    char label[64];
    const char *value;
};

struct parser {
    const struct dlm_option_target *own, *common; /* common may be NULL */
    int argc;
    char **argv;
    int at;
    size_t num_operands;
    bool is_past_options;
};

static void usage_error(const char *command, const char *near, const char *fmt, va_list list)
{
    dlm_print_coloured(stderr, DLM_COLOUR_BAD, "dlm");
    fputs(": ", stderr);
    vfprintf(stderr, fmt, list);
    if (near) {
        fputc('\n', stderr);
        dlm_print_coloured(stderr, DLM_COLOUR_HINT, "hint");
        fprintf(stderr, ": did you mean '%s'?", near);
    }
    fprintf(stderr, "\ntry 'dlm %s%s--help'\n", command ? command : "", command ? " " : "");
}

void dlm_options_usage_error(const char *command, const char *fmt, ...)
{
    va_list list;

    va_start(list, fmt);
    usage_error(command, NULL, fmt, list);
    va_end(list);
}

void dlm_options_unknown(const char *command, const char *near, const char *fmt, ...)
{
    va_list list;

    va_start(list, fmt);
    usage_error(command, near, fmt, list);
    va_end(list);
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

static const char *command_of(const struct parser *p)
{
    return p->own->table->command;
}

static bool is_in_range(const struct dlm_option *o, double x)
{
    return (o->is_above_min ? x > o->min : x >= o->min) && (o->max == 0 || x <= o->max);
}

static enum dlm_options_result wrong_number(const struct parser *p, const struct given *g,
                                            const char *kind)
{
    char range[96], names[64] = "";

    range_text(g->option, range, sizeof(range));
    for (int i = 0; g->option->choices && g->option->choices[i]; i++) {
        const size_t len = strlen(names);
        snprintf(names + len, sizeof(names) - len, "%s, ", g->option->choices[i]);
    }
    dlm_options_usage_error(command_of(p), "option '%s': '%s' is not %s%sa %s %s", g->label,
                            g->value, names, *names ? "or " : "", kind, range);
    return DLM_OPTIONS_WRONG;
}

static enum dlm_options_result set_integer(struct parser *p, const struct given *g)
{
    char *end;

    for (int i = 0; g->option->choices && g->option->choices[i]; i++)
        if (!strcmp(g->option->choices[i], g->value)) {
            *(int64_t *)place(g->args, g->option->offset) = -1 - i;
            return DLM_OPTIONS_RUN;
        }
    errno = 0;
    int64_t n = strtoll(g->value, &end, 10);
    if (end == g->value || *end || errno || !is_in_range(g->option, (double)n))
        return wrong_number(p, g, "whole number");
    if (g->option->type == DLM_OPTION_INT)
        *(int *)place(g->args, g->option->offset) = (int)n; /* the range keeps it small */
    else
        *(int64_t *)place(g->args, g->option->offset) = n;
    return DLM_OPTIONS_RUN;
}

static enum dlm_options_result set_number(struct parser *p, const struct given *g)
{
    char *end;

    double x = strtod(g->value, &end);
    if (end == g->value || *end || !isfinite(x) || !is_in_range(g->option, x))
        return wrong_number(p, g, "number");
    *(double *)place(g->args, g->option->offset) = x;
    return DLM_OPTIONS_RUN;
}

static enum dlm_options_result set_choice(struct parser *p, const struct given *g)
{
    char list[128] = "";

    for (int i = 0; g->option->choices[i]; i++) {
        size_t len = strlen(list);
        if (!strcasecmp(g->option->choices[i], g->value)) {
            memcpy(place(g->args, g->option->offset), &i, sizeof(i)); /* an enum is an int here */
            return DLM_OPTIONS_RUN;
        }
        snprintf(list + len, sizeof(list) - len, "%s%s", i ? ", " : "", g->option->choices[i]);
    }
    dlm_options_usage_error(command_of(p), "option '%s': '%s' is none of %s", g->label, g->value,
                            list);
    return DLM_OPTIONS_WRONG;
}

static enum dlm_options_result add_to_list(struct parser *p, const struct given *g)
{
    struct dlm_option_list *list = place(g->args, g->option->offset);

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
        *(bool *)place(g->args, o->given) = true;
    switch (o->type) {
    case DLM_OPTION_FLAG:
        *(bool *)place(g->args, o->offset) = true;
        break;
    case DLM_OPTION_STRING:
        *(const char **)place(g->args, o->offset) = g->value;
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

/* The option of a target with this name (len bytes), or with this letter if name is NULL. */
static bool find_in(const struct dlm_option_target *target, const char *name, size_t len,
                    char letter, struct given *g)
{
    for (size_t i = 0; target && i < target->table->num_options; i++) {
        const struct dlm_option *o = &target->table->options[i];
        if (name ? strlen(o->name) == len && !memcmp(o->name, name, len)
                 : o->letter && o->letter == letter) {
            g->option = o;
            g->args = target->args;
            return true;
        }
    }
    return false;
}

/* A command's own options come first. */
static bool find_option(const struct parser *p, const char *name, size_t len, char letter,
                        struct given *g)
{
    return find_in(p->own, name, len, letter, g) || find_in(p->common, name, len, letter, g);
}

/* Says that arg, of which len bytes are the name, is no option, and which is near. */
static enum dlm_options_result fail_unknown(const struct parser *p, const char *arg, size_t len)
{
    const struct dlm_option_target *targets[] = {p->own, p->common};
    struct dlm_nearest nearest = {0};
    char name[64] = "", near[64];

    snprintf(name, sizeof(name), "%.*s", (int)(len < sizeof(name) ? len : sizeof(name)) - 2,
             arg + 2);
    for (size_t t = 0; t < 2; t++)
        for (size_t i = 0; targets[t] && i < targets[t]->table->num_options; i++)
            dlm_nearest_offer(&nearest, name, targets[t]->table->options[i].name);
    dlm_nearest_offer(&nearest, name, "help");
    snprintf(near, sizeof(near), "--%s", nearest.name ? nearest.name : "");
    dlm_options_unknown(command_of(p), nearest.name ? near : NULL, "unknown option '%.*s'",
                        (int)len, arg);
    return DLM_OPTIONS_WRONG;
}

/* Takes the next argument as the value when it does not stand in the same one. */
static enum dlm_options_result finish_option(struct parser *p, struct given *g)
{
    if (g->option->type != DLM_OPTION_FLAG && !g->value) {
        if (p->at + 1 >= p->argc) {
            dlm_options_usage_error(command_of(p), "option '%s' needs a value", g->label);
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
    struct given g = {0};

    if (len == 4 && !memcmp(arg + 2, "help", 4) && !arg[6])
        return DLM_OPTIONS_HELP;
    if (!find_option(p, arg + 2, len, '\0', &g))
        return fail_unknown(p, arg, len + 2);
    snprintf(g.label, sizeof(g.label), "--%s", g.option->name);
    if (arg[2 + len] == '=')
        g.value = arg + 2 + len + 1;
    if (g.option->type == DLM_OPTION_FLAG && g.value) {
        dlm_options_usage_error(command_of(p), "option '%s' takes no value", g.label);
        return DLM_OPTIONS_WRONG;
    }
    return finish_option(p, &g);
}

/* -v, -vq, -s value, -svalue */
static enum dlm_options_result parse_letters(struct parser *p, const char *arg)
{
    enum dlm_options_result result = DLM_OPTIONS_RUN;

    for (const char *c = arg + 1; *c && result == DLM_OPTIONS_RUN; c++) {
        struct given g = {0};
        if (*c == 'h')
            return DLM_OPTIONS_HELP;
        if (!find_option(p, NULL, 0, *c, &g)) {
            dlm_options_usage_error(command_of(p), "unknown option '-%c'", *c);
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
    const struct dlm_operand *operands = p->own->table->operands;

    if (p->num_operands == DLM_MAX_OPERANDS || !operands[p->num_operands].name) {
        dlm_options_usage_error(command_of(p), "unexpected argument '%s'", arg);
        return DLM_OPTIONS_WRONG;
    }
    *(const char **)place(p->own->args, operands[p->num_operands++].offset) = arg;
    return DLM_OPTIONS_RUN;
}

static enum dlm_options_result check_operands(const struct parser *p)
{
    for (size_t i = p->num_operands; i < DLM_MAX_OPERANDS; i++) {
        const struct dlm_operand *operand = &p->own->table->operands[i];
        if (!operand->name)
            break;
        if (!operand->is_optional) {
            dlm_options_usage_error(command_of(p), "missing argument %s", operand->name);
            return DLM_OPTIONS_WRONG;
        }
    }
    return DLM_OPTIONS_RUN;
}

enum dlm_options_result dlm_options_parse(const struct dlm_option_target *own,
                                          const struct dlm_option_target *common, int argc,
                                          char **argv, int *at)
{
    struct parser p = {.own = own, .common = common, .argc = argc, .argv = argv, .at = *at};
    enum dlm_options_result result = DLM_OPTIONS_RUN;

    for (; p.at < argc && result == DLM_OPTIONS_RUN; p.at++) {
        const char *arg = argv[p.at];
        if (p.is_past_options || arg[0] != '-' || !arg[1]) {
            if (!own->table->command) /* the program's first operand is the command */
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
