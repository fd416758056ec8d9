/* Completion for bash: one function that finds the command among the words, and then what the word
 * before the cursor's asks for. Needs no bash-completion. */
#include "manual.h"

static void put_names(FILE *file, const struct dlm_option_table *table)
{
    for (size_t i = 0; i < table->num_options; i++)
        fprintf(file, " --%s", table->options[i].name);
}

/* What completes a value of this kind, as a call of one of the functions of the head. */
static void put_call(FILE *file, enum dlm_value_kind kind, const char *const *choices)
{
    switch (kind) {
    case DLM_VALUE_CHOICE:
        fputs("_dlm_words \"", file);
        dlm_manual_choices(file, choices);
        fputc('"', file);
        break;
    case DLM_VALUE_FILE:
        fputs("_dlm_paths -f", file);
        break;
    case DLM_VALUE_FOLDER:
        fputs("_dlm_paths -d", file);
        break;
    case DLM_VALUE_TARGET:
        fputs("if [[ \" ${COMP_WORDS[*]} \" == *\" --tar \"* ]]; then _dlm_paths -f; else "
              "_dlm_paths -d; fi", file);
        break;
    case DLM_VALUE_DOCUMENT:
        fputs("_dlm_documents", file);
        break;
    case DLM_VALUE_BASE:
        fputs("_dlm_bases", file);
        break;
    case DLM_VALUE_VERSION:
        fputs("_dlm_versions", file);
        break;
    case DLM_VALUE_WORD:
        fputs(":", file);
        break;
    }
}

/* A branch for each option with a value. */
static void put_values(FILE *file, const char *command, const struct dlm_option_table *table)
{
    for (size_t i = 0; i < table->num_options; i++) {
        const struct dlm_option *o = &table->options[i];
        if (o->type == DLM_OPTION_FLAG)
            continue;
        fprintf(file, "    %s:--%s) ", command, o->name);
        put_call(file, dlm_option_value_kind(o), o->choices);
        fputs("; return ;;\n", file);
    }
}

/* Patterns of the options with a value, behind a first one. */
static void put_valued(FILE *file, const char *command, const struct dlm_option_table *table)
{
    bool is_first = true;

    for (size_t i = 0; i < table->num_options; i++) {
        if (table->options[i].type == DLM_OPTION_FLAG)
            continue;
        fprintf(file, "%s| %s:--%s", is_first ? " \\\n            " : " ", command,
                table->options[i].name);
        is_first = false;
    }
}

/* A branch for each operand. */
static void put_operands(FILE *file, const struct dlm_option_table *table)
{
    for (size_t i = 0; i < DLM_MAX_OPERANDS && table->operands[i].name; i++) {
        const struct dlm_operand *operand = &table->operands[i];
        fprintf(file, "    %s:%zu:*) ", table->command, i + 1);
        put_call(file, dlm_operand_value_kind(operand), operand->choices);
        fputs(" ;;\n", file);
    }
}

static const char head[] =
    "# bash completion of dlm; made from its option tables (tools/dev/make_manual).\n"
    "_dlm_words() { mapfile -t COMPREPLY < <(compgen -W \"$1\" -- \"$cur\"); }\n"
    "_dlm_paths() {\n"
    "    compopt -o filenames 2> /dev/null\n"
    "    mapfile -t COMPREPLY < <(compgen \"$1\" -- \"$cur\")\n"
    "}\n"
    "_dlm_documents() {\n"
    "    compopt -o filenames 2> /dev/null\n"
    "    mapfile -t COMPREPLY < <(compgen -f -X '!*.dlm' -- \"$cur\"; compgen -d -- \"$cur\")\n"
    "}\n"
    "_dlm_bases() { _dlm_words \"$(\"$program\" bases --keys 2> /dev/null)\"; }\n"
    "_dlm_versions() { _dlm_words \"$(\"$program\" use \"$document\" --keys 2> /dev/null)\"; }\n"
    "\n"
    "_dlm() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
    "    local program=${COMP_WORDS[0]} command= operand=1 document= i\n"
    "    COMPREPLY=()\n"
    "    # bash makes a word of the = in --name=value\n"
    "    if [[ $cur == = ]]; then\n"
    "        cur=\n"
    "    elif [[ $prev == = ]]; then\n"
    "        prev=${COMP_WORDS[COMP_CWORD - 2]}\n"
    "    fi\n"
    "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
    "        case ${COMP_WORDS[i]} in\n";

static const char middle[] =
    "        -*) ;;\n"
    "        *) command=${COMP_WORDS[i]}; break ;;\n"
    "        esac\n"
    "    done\n"
    "    # which of the command's operands this is\n"
    "    for ((i++; i < COMP_CWORD; i++)); do\n"
    "        case $command:${COMP_WORDS[i]} in\n";

static const char behind[] =
    "            [[ ${COMP_WORDS[i + 1]} == = ]] && ((i++))\n"
    "            ((i++)) ;;\n"
    "        *:-*) ;;\n"
    "        *)\n"
    "            # the words are as they were typed\n"
    "            [[ $operand == 1 ]] && document=${COMP_WORDS[i]//[\\\\\\'\\\"]/}\n"
    "            ((operand++)) ;;\n"
    "        esac\n"
    "    done\n"
    "    document=${document/#\\~\\//$HOME/}\n"
    "    case $command:$prev in\n";

void dlm_manual_bash(FILE *file)
{
    fputs(head, file);
    for (size_t i = 0; i < dlm_global_table.num_options; i++) {
        if (dlm_global_table.options[i].type != DLM_OPTION_FLAG)
            fprintf(file, "        --%s) ((i++)) ;;\n", dlm_global_table.options[i].name);
    }
    fputs(middle, file);
    fputs("        :", file); /* no command's */
    for (size_t i = 0; i < dlm_num_commands; i++)
        put_valued(file, dlm_commands[i]->table.command, &dlm_commands[i]->table);
    put_valued(file, "*", &dlm_global_table);
    fputs(")\n", file);
    fputs(behind, file);
    for (size_t i = 0; i < dlm_num_commands; i++)
        put_values(file, dlm_commands[i]->table.command, &dlm_commands[i]->table);
    put_values(file, "*", &dlm_global_table);
    fputs("    esac\n    case $command:$operand:$cur in\n    :*:-*) _dlm_words \"--help", file);
    put_names(file, &dlm_global_table);
    fputs("\" ;;\n    :*:*) _dlm_words \"", file);
    for (size_t i = 0; i < dlm_num_commands; i++)
        fprintf(file, "%s%s", i ? " " : "", dlm_commands[i]->table.command);
    fputs("\" ;;\n", file);
    for (size_t i = 0; i < dlm_num_commands; i++) {
        const struct dlm_option_table *table = &dlm_commands[i]->table;
        fprintf(file, "    %s:*:-*) _dlm_words \"--help", table->command);
        put_names(file, table);
        put_names(file, &dlm_global_table);
        fputs("\" ;;\n", file);
        put_operands(file, table);
    }
    fputs("    esac\n}\ncomplete -F _dlm dlm\n", file);
}
