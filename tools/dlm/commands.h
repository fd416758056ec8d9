/* The commands in the order in which help lists them, and the options that stand before any. What
 * the program runs, and what the manual and the shells' completions are made of. */
#ifndef DLM_TOOL_COMMANDS_H
#define DLM_TOOL_COMMANDS_H

#include "cli.h"

struct dlm_globals {
    const char *home;
    bool is_verbose, is_quiet, is_version;
    int num_threads;
};

extern const struct dlm_command *const dlm_commands[];
extern const size_t dlm_num_commands;
extern const struct dlm_option_table dlm_global_table; /* of struct dlm_globals */

#endif
