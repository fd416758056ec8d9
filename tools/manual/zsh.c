/* Completion for zsh, in the words of its _arguments. */
#include "manual.h"

/* Inside '...' and the [...] of a specification. */
static void put_quoted(FILE *file, const char *text)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", file);
        else if (*text == '[' || *text == ']' || *text == ':' || *text == '\\')
            fprintf(file, "\\%c", *text);
        else
            fputc(*text, file);
    }
}

static void put_action(FILE *file, enum dlm_value_kind kind, const char *const *choices)
{
    switch (kind) {
    case DLM_VALUE_CHOICE:
        fputc('(', file);
        dlm_manual_choices(file, choices);
        fputc(')', file);
        break;
    case DLM_VALUE_FILE:
        fputs("_files", file);
        break;
    case DLM_VALUE_FOLDER:
        fputs("_files -/", file);
        break;
    case DLM_VALUE_TARGET:
        fputs("{if (( $words[(I)--tar] )); then _files; else _files -/; fi}", file);
        break;
    case DLM_VALUE_DOCUMENT:
        fputs("_files -g \"*.dlm\"", file);
        break;
    case DLM_VALUE_BASE:
        fputs("{_values base $(dlm bases --keys 2> /dev/null)}", file);
        break;
    case DLM_VALUE_VERSION:
        fputs("_dlm_versions", file);
        break;
    case DLM_VALUE_WORD:
        fputc(' ', file);
        break;
    }
}

static void put_option(FILE *file, const struct dlm_option *o)
{
    const char *many = o->type == DLM_OPTION_LIST ? "*" : "";

    fputs(" \\\n        ", file);
    if (o->letter)
        fprintf(file, "'(-%c --%s)'{-%c,--%s}'", o->letter, o->name, o->letter, o->name);
    else
        fprintf(file, "'%s--%s%s", many, o->name, o->type == DLM_OPTION_FLAG ? "" : "=");
    fputc('[', file);
    put_quoted(file, o->help);
    fputc(']', file);
    if (o->type != DLM_OPTION_FLAG) {
        fprintf(file, ":%s:", o->type == DLM_OPTION_CHOICE ? o->name : "value");
        put_action(file, dlm_option_value_kind(o), o->choices);
    }
    fputc('\'', file);
}

static void put_options(FILE *file, const struct dlm_option_table *table)
{
    for (size_t i = 0; i < table->num_options; i++)
        put_option(file, &table->options[i]);
}

static void put_command(FILE *file, const struct dlm_option_table *table)
{
    fprintf(file, "    %s)\n        _arguments -s", table->command);
    put_options(file, table);
    fputs(" $common", file);
    for (size_t i = 0; i < DLM_MAX_OPERANDS && table->operands[i].name; i++) {
        const struct dlm_operand *operand = &table->operands[i];
        fprintf(file, " \\\n        ':%s:", operand->name);
        put_action(file, dlm_operand_value_kind(operand), operand->choices);
        fputc('\'', file);
    }
    fputs("\n        ;;\n", file);
}

void dlm_manual_zsh(FILE *file)
{
    fputs("#compdef dlm\n"
          "# zsh completion of dlm; made from its option tables (tools/dev/make_manual).\n"
          "(( $+functions[_dlm_versions] )) || _dlm_versions() {\n"
          "    local -a documents=(${(M)words:#*.dlm})\n"
          "    compadd -- ${(f)\"$(dlm use ${(Q)documents[1]} --keys 2> /dev/null)\"}\n"
          "}\n"
          "local curcontext=$curcontext state line\n"
          "local -a common commands\n"
          "common=(",
          file);
    put_options(file, &dlm_global_table);
    fputs(" \\\n        '(-h --help)'{-h,--help}'[print this help]')\ncommands=(\n", file);
    for (size_t i = 0; i < dlm_num_commands; i++) {
        fprintf(file, "    '%s:", dlm_commands[i]->table.command);
        put_quoted(file, dlm_commands[i]->table.summary);
        fputs("'\n", file);
    }
    fputs(")\n"
          "_arguments -C -s $common '1: :->command' '*:: :->rest'\n"
          "case $state in\n"
          "command) _describe command commands ;;\n"
          "rest)\n"
          "    case $line[1] in\n",
          file);
    for (size_t i = 0; i < dlm_num_commands; i++)
        put_command(file, &dlm_commands[i]->table);
    fputs("    esac\n    ;;\nesac\n", file);
}
