/* Man pages in roff's man macros. */
#include <ctype.h>
#include <string.h>

#include "manual.h"

/* When the texts last changed. */
#define DATE "2026-11-29"

/* Text in roff: a backslash and a minus are escaped; a line must not begin with a request. */
static void put_text(FILE *file, const char *text)
{
    if (*text == '.' || *text == '\'')
        fputs("\\&", file);
    for (; *text; text++) {
        if (*text == '\\')
            fputs("\\e", file);
        else if (*text == '-')
            fputs("\\-", file);
        else
            fputc(*text, file);
    }
}

static void put_title(FILE *file, const char *command)
{
    fputs(".TH \"DLM", file);
    if (command)
        fputc('-', file);
    for (; command && *command; command++)
        fputc(toupper((unsigned char)*command), file);
    fprintf(file, "\" 1 " DATE " \"dlm %s\" \"dlm manual\"\n", dlm_version_text());
}

/* "Train an adapter." as what stands in lists of pages: "train an adapter". */
static void put_summary(FILE *file, const char *summary)
{
    const size_t len = strlen(summary);

    fputc(tolower((unsigned char)summary[0]), file);
    for (size_t i = 1; i < len - (summary[len - 1] == '.'); i++)
        fputc(summary[i], file);
    fputc('\n', file);
}

static void put_option(FILE *file, const struct dlm_option *o, const void *defaults)
{
    char value[80], limits[224];

    dlm_option_value_text(o, value, sizeof(value));
    dlm_option_limits_text(o, defaults, limits, sizeof(limits));
    fputs(".TP\n", file);
    if (o->letter)
        fprintf(file, "\\fB\\-%c\\fR, ", o->letter);
    fputs("\\fB\\-\\-", file);
    put_text(file, o->name);
    fputs("\\fR", file);
    if (*value) {
        fputs(o->type == DLM_OPTION_CHOICE ? " " : " \\fI", file);
        put_text(file, value);
        fputs(o->type == DLM_OPTION_CHOICE ? "" : "\\fR", file);
    }
    fputc('\n', file);
    put_text(file, o->help);
    if (*limits) {
        fputs(" (", file);
        put_text(file, limits);
        fputc(')', file);
    }
    fputc('\n', file);
}

static void put_options(FILE *file, const char *title, const struct dlm_option_table *table)
{
    if (!table->num_options)
        return;
    fprintf(file, ".SH %s\n", title);
    for (size_t i = 0; i < table->num_options; i++)
        put_option(file, &table->options[i], table->defaults);
}

static void put_common(FILE *file)
{
    put_options(file, "\"COMMON OPTIONS\"", &dlm_global_table);
    fputs(".TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\nprint this help\n", file);
}

static void put_exit_status(FILE *file)
{
    fputs(".SH \"EXIT STATUS\"\n"
          ".TP\n0\ndone\n"
          ".TP\n1\nfailed; the last line on standard error says why\n"
          ".TP\n2\nthe command line is wrong\n"
          ".TP\n130\nstopped by Ctrl\\-C (128 and the signal's number)\n",
          file);
}

void dlm_manual_command(FILE *file, const struct dlm_option_table *table, const char *about)
{
    const struct dlm_operand *operands = table->operands;

    put_title(file, table->command);
    fprintf(file, ".SH NAME\ndlm\\-%s \\- ", table->command);
    put_summary(file, table->summary);
    fprintf(file, ".SH SYNOPSIS\n.B dlm %s\n[\\fIoptions\\fR]", table->command);
    for (size_t i = 0; i < DLM_MAX_OPERANDS && operands[i].name; i++)
        fprintf(file, operands[i].is_optional ? " [\\fI%s\\fR]" : " \\fI%s\\fR", operands[i].name);
    fputc('\n', file);
    fputs(about, file);
    if (operands[0].name)
        fputs(".SH ARGUMENTS\n", file);
    for (size_t i = 0; i < DLM_MAX_OPERANDS && operands[i].name; i++) {
        fprintf(file, ".TP\n\\fI%s\\fR\n", operands[i].name);
        put_text(file, operands[i].help);
        fputc('\n', file);
    }
    put_options(file, "OPTIONS", table);
    put_common(file);
    put_exit_status(file);
    fputs(".SH \"SEE ALSO\"\n.BR dlm (1)\n", file);
}

void dlm_manual_program(FILE *file, const char *about)
{
    put_title(file, NULL);
    fputs(".SH NAME\ndlm \\- train LoRA adapters for vision\\-language models from documents\n"
          ".SH SYNOPSIS\n.B dlm\n\\fICOMMAND\\fR [\\fIoptions\\fR] ...\n",
          file);
    fputs(about, file);
    fputs(".SH COMMANDS\n", file);
    for (size_t i = 0; i < dlm_num_commands; i++) {
        fprintf(file, ".TP\n.BR dlm\\-%s (1)\n", dlm_commands[i]->table.command);
        put_text(file, dlm_commands[i]->table.summary);
        fputc('\n', file);
    }
    put_common(file);
    put_exit_status(file);
    fputs(".SH \"SEE ALSO\"\n", file);
    for (size_t i = 0; i < dlm_num_commands; i++)
        fprintf(file, ".BR dlm\\-%s (1)%s\n", dlm_commands[i]->table.command,
                i + 1 < dlm_num_commands ? "," : "");
}
