/* Files made of the option tables: man pages and the shells' completions. `dlm-manual FOLDER`
 * writes them all; what the tree holds is compared with them by the lint. */
#ifndef DLM_MANUAL_H
#define DLM_MANUAL_H

#include <stdio.h>

#include "commands.h"

/* dlm.1: the program, its commands and the options of all. about holds the sections that are
 * written by hand, in roff. */
void dlm_manual_program(FILE *file, const char *about);

/* dlm-COMMAND.1 */
void dlm_manual_command(FILE *file, const struct dlm_option_table *table, const char *about);

/* Completions for bash, zsh and fish. */
void dlm_manual_bash(FILE *file);
void dlm_manual_zsh(FILE *file);
void dlm_manual_fish(FILE *file);

/* What the value of an option or an operand names, by what help calls it. */
enum dlm_value_kind {
    DLM_VALUE_WORD,     /* anything: nothing is offered */
    DLM_VALUE_CHOICE,   /* one of its choices */
    DLM_VALUE_FILE,     /* PATH, FILE, PICTURE, FILE.json */
    DLM_VALUE_FOLDER,   /* DIR, ADAPTER */
    DLM_VALUE_TARGET,   /* DIR|FILE: a folder, where the line has --tar a file */
    DLM_VALUE_DOCUMENT, /* DOCUMENT: a .dlm file */
    DLM_VALUE_BASE,     /* KEY: of the registry; `dlm bases --keys` lists them */
    DLM_VALUE_VERSION,  /* VERSION, vN: of the line's document; `dlm use --keys` lists them */
};

/* Choices as words with spaces between them. */
void dlm_manual_choices(FILE *file, const char *const *choices);

enum dlm_value_kind dlm_option_value_kind(const struct dlm_option *option);
enum dlm_value_kind dlm_operand_value_kind(const struct dlm_operand *operand);

#endif
