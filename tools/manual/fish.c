/* Completion for fish. */
#include "manual.h"

static void put_quoted(FILE *file, const char *text)
{
    fputc('\'', file);
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\')
            fputc('\\', file);
        fputc(*text, file);
    }
    fputc('\'', file);
}

/* The flags that say what follows: -x -a LIST, or -r and -F for files. */
static void put_action(FILE *file, enum dlm_value_kind kind, const struct dlm_option *o)
{
    switch (kind) {
    case DLM_VALUE_CHOICE:
        fputs(" -x -a '", file);
        for (size_t i = 0; o->choices[i]; i++)
            fprintf(file, "%s%s", i ? " " : "", o->choices[i]);
        fputc('\'', file);
        break;
    case DLM_VALUE_FILE:
        fputs(" -r -F", file);
        break;
    case DLM_VALUE_FOLDER:
        fputs(" -x -a '(__fish_complete_directories)'", file);
        break;
    case DLM_VALUE_DOCUMENT:
        fputs(" -x -a '(__fish_complete_suffix .dlm)'", file);
        break;
    case DLM_VALUE_BASE:
        fputs(" -x -a '(dlm bases --keys 2> /dev/null)'", file);
        break;
    case DLM_VALUE_WORD:
        fputs(" -x", file);
        break;
    }
}

/* command NULL: the options of all. */
static void put_options(FILE *file, const char *command, const struct dlm_option_table *table)
{
    for (size_t i = 0; i < table->num_options; i++) {
        const struct dlm_option *o = &table->options[i];
        fputs("complete -c dlm", file);
        if (command)
            fprintf(file, " -n '__fish_seen_subcommand_from %s'", command);
        if (o->letter)
            fprintf(file, " -s %c", o->letter);
        fprintf(file, " -l %s -d ", o->name);
        put_quoted(file, o->help);
        if (o->type != DLM_OPTION_FLAG)
            put_action(file, dlm_option_value_kind(o), o);
        fputc('\n', file);
    }
}

void dlm_manual_fish(FILE *file)
{
    fputs("# fish completion of dlm; made from its option tables (tools/dev/make_manual).\n"
          "complete -c dlm -f\n",
          file);
    put_options(file, NULL, &dlm_global_table);
    fputs("complete -c dlm -s h -l help -d 'print this help'\n", file);
    for (size_t i = 0; i < dlm_num_commands; i++) {
        const struct dlm_option_table *table = &dlm_commands[i]->table;
        fprintf(file, "complete -c dlm -n __fish_use_subcommand -a %s -d ", table->command);
        put_quoted(file, table->summary);
        fputc('\n', file);
        put_options(file, table->command, table);
        if (table->operands[0].name && dlm_operand_value_kind(&table->operands[0])) {
            fprintf(file, "complete -c dlm -n '__fish_seen_subcommand_from %s'", table->command);
            put_action(file, dlm_operand_value_kind(&table->operands[0]), NULL);
            fputc('\n', file);
        }
    }
}
