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
static void put_action(FILE *file, enum dlm_value_kind kind, const char *const *choices)
{
    switch (kind) {
    case DLM_VALUE_CHOICE:
        fputs(" -x -a '", file);
        dlm_manual_choices(file, choices);
        fputc('\'', file);
        break;
    case DLM_VALUE_FILE:
        fputs(" -r -F", file);
        break;
    case DLM_VALUE_FOLDER:
        fputs(" -x -a '(__fish_complete_directories)'", file);
        break;
    case DLM_VALUE_TARGET:
        fputs(" -x -a '(__dlm_target)'", file);
        break;
    case DLM_VALUE_DOCUMENT:
        fputs(" -x -a '(__fish_complete_suffix .dlm)'", file);
        break;
    case DLM_VALUE_BASE:
        fputs(" -x -a '(dlm bases --keys 2> /dev/null)'", file);
        break;
    case DLM_VALUE_VERSION:
        fputs(" -x -a '(dlm use (__dlm_document) --keys 2> /dev/null)'", file);
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
            fprintf(file, " -n '__dlm_is %s'", command);
        if (o->letter)
            fprintf(file, " -s %c", o->letter);
        fprintf(file, " -l %s -d ", o->name);
        put_quoted(file, o->help);
        if (o->type != DLM_OPTION_FLAG)
            put_action(file, dlm_option_value_kind(o), o->choices);
        fputc('\n', file);
    }
}

/* The first operand that something is offered for; behind a verb or a document the next one. */
static void put_operands(FILE *file, const struct dlm_option_table *table)
{
    for (size_t i = 0; i < DLM_MAX_OPERANDS && table->operands[i].name; i++) {
        const struct dlm_operand *operand = &table->operands[i];
        const char *const *verbs = table->operands[0].choices;
        const enum dlm_value_kind kind = dlm_operand_value_kind(operand);
        const bool has_document = kind == DLM_VALUE_VERSION;
        const bool before_version =
            !i && table->operands[1].name &&
            dlm_operand_value_kind(&table->operands[1]) == DLM_VALUE_VERSION;
        if (kind == DLM_VALUE_WORD || (i && !verbs && !has_document))
            return;
        fprintf(file, "complete -c dlm -n '__dlm_is %s", table->command);
        if (has_document || before_version)
            fprintf(file, "; and %s__dlm_document > /dev/null", before_version ? "not " : "");
        if (verbs) {
            fprintf(file, "; and %s__fish_seen_subcommand_from ", i ? "" : "not ");
            dlm_manual_choices(file, verbs);
        }
        fputc('\'', file);
        put_action(file, kind, operand->choices);
        fputc('\n', file);
    }
}

/* Whether the line's command is this one; without an argument, whether it has none yet. A verb may
 * be called like another command. */
static void put_function(FILE *file)
{
    fputs("function __dlm_is\n"
          "    set -l skip 0\n"
          "    for word in (commandline -opc)[2..-1]\n"
          "        if test $skip = 1\n"
          "            set skip 0\n"
          "            continue\n"
          "        end\n"
          "        switch $word\n"
          "            case",
          file);
    for (size_t i = 0; i < dlm_global_table.num_options; i++)
        if (dlm_global_table.options[i].type != DLM_OPTION_FLAG)
            fprintf(file, " --%s", dlm_global_table.options[i].name);
    fputs("\n"
          "                set skip 1\n"
          "            case '-*'\n"
          "            case '*'\n"
          "                test \"$word\" = \"$argv[1]\"\n"
          "                return\n"
          "        end\n"
          "    end\n"
          "    test (count $argv) = 0\n"
          "end\n"
          "function __dlm_document\n"
          "    string match -- '*.dlm' (commandline -opc)[2..-1] | head -n 1 | grep .\n"
          "end\n"
          "function __dlm_target\n"
          "    set -l word (commandline -ct | string replace -r -- '^--[^=]*=' '')\n"
          "    if contains -- --tar (commandline -o)\n"
          "        __fish_complete_path $word\n"
          "    else\n"
          "        __fish_complete_directories $word\n"
          "    end\n"
          "end\n",
          file);
}

void dlm_manual_fish(FILE *file)
{
    fputs("# fish completion of dlm; made from its option tables (tools/dev/make_manual).\n", file);
    put_function(file);
    fputs("complete -c dlm -f\n", file);
    put_options(file, NULL, &dlm_global_table);
    fputs("complete -c dlm -s h -l help -d 'print this help'\n", file);
    for (size_t i = 0; i < dlm_num_commands; i++) {
        const struct dlm_option_table *table = &dlm_commands[i]->table;
        fprintf(file, "complete -c dlm -n __dlm_is -a %s -d ", table->command);
        put_quoted(file, table->summary);
        fputc('\n', file);
        put_options(file, table->command, table);
        put_operands(file, table);
    }
}
