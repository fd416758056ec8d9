/* Help by table: what `--help` prints, and the texts that the manual shares with it. */
#include <stdio.h>
#include <string.h>

#include "options.h"

#define HELP_COLUMN 28

void dlm_option_value_text(const struct dlm_option *o, char *text, size_t bytes)
{
    *text = '\0';
    if (o->type == DLM_OPTION_CHOICE) {
        for (size_t i = 0; o->choices[i]; i++) {
            const size_t len = strlen(text);
            snprintf(text + len, bytes - len, "%s%s", i ? "|" : "", o->choices[i]);
        }
    } else if (o->type != DLM_OPTION_FLAG) {
        snprintf(text, bytes, "%s", o->value);
    }
}

/* The default that the arguments hold, as text; "" where that says nothing. */
static void default_text(const struct dlm_option *o, const void *defaults, char *text,
                         size_t bytes)
{
    const char *at = defaults ? (const char *)defaults + o->offset : NULL;
    int choice = 0;

    *text = '\0';
    if (o->otherwise) {
        snprintf(text, bytes, "%s", o->otherwise);
    } else if (o->type == DLM_OPTION_CHOICE) {
        if (at)
            memcpy(&choice, at, sizeof(choice)); /* an enum is an int here */
        snprintf(text, bytes, "%s", o->choices[choice]);
    } else if (at && o->type == DLM_OPTION_INT && *(const int *)at) {
        snprintf(text, bytes, "%d", *(const int *)at);
    } else if (at && o->type == DLM_OPTION_INT64 && *(const int64_t *)at) {
        snprintf(text, bytes, "%lld", (long long)*(const int64_t *)at);
    } else if (at && o->type == DLM_OPTION_NUMBER && *(const double *)at != 0) {
        snprintf(text, bytes, "%g", *(const double *)at);
    }
}

void dlm_option_limits_text(const struct dlm_option *o, const void *defaults, char *text,
                            size_t bytes)
{
    char range[96] = "", otherwise[96];
    const bool is_number = o->type == DLM_OPTION_INT || o->type == DLM_OPTION_INT64 ||
                           o->type == DLM_OPTION_NUMBER;

    default_text(o, defaults, otherwise, sizeof(otherwise));
    if (o->is_above_min)
        snprintf(range, sizeof(range), "above %.15g, at most %.15g", o->min, o->max);
    else if (is_number && o->max != 0)
        snprintf(range, sizeof(range), "%.15g to %.15g", o->min, o->max);
    snprintf(text, bytes, "%s%s%s%s", range, *range && *otherwise ? "; " : "",
             *otherwise ? "default " : "", otherwise);
}

static void print_option(const struct dlm_option *o, const void *defaults)
{
    char head[96], value[80], limits[224];

    dlm_option_value_text(o, value, sizeof(value));
    dlm_option_limits_text(o, defaults, limits, sizeof(limits));
    if (o->letter)
        snprintf(head, sizeof(head), "  -%c, --%s", o->letter, o->name);
    else
        snprintf(head, sizeof(head), "      --%s", o->name);
    const size_t len = strlen(head);
    if (*value)
        snprintf(head + len, sizeof(head) - len, " %s", value);
    if (strlen(head) + 2 > HELP_COLUMN)
        printf("%s\n%*s%s", head, HELP_COLUMN, "", o->help);
    else
        printf("%-*s%s", HELP_COLUMN, head, o->help);
    if (*limits)
        printf(" (%s)", limits);
    putchar('\n');
}

static void print_options(const struct dlm_option_table *table)
{
    for (size_t i = 0; i < table->num_options; i++)
        print_option(&table->options[i], table->defaults);
}

void dlm_options_print_common(const struct dlm_option_table *common)
{
    puts("options of every command:");
    print_options(common);
    printf("%-*s%s\n", HELP_COLUMN, "  -h, --help", "print this help");
}

void dlm_options_help(const struct dlm_option_table *table, const struct dlm_option_table *common)
{
    const struct dlm_operand *operands = table->operands;

    printf("usage: dlm %s [options]", table->command);
    for (size_t i = 0; i < DLM_MAX_OPERANDS && operands[i].name; i++)
        printf(operands[i].is_optional ? " [%s]" : " %s", operands[i].name);
    printf("\n\n%s\n\n", table->summary);
    for (size_t i = 0; i < DLM_MAX_OPERANDS && operands[i].name; i++)
        printf("  %-*s%s\n", HELP_COLUMN - 2, operands[i].name, operands[i].help);
    if (operands[0].name)
        putchar('\n');
    if (table->num_options) {
        puts("options:");
        print_options(table);
        putchar('\n');
    }
    dlm_options_print_common(common);
}
