/* The list of commands, and the options of the program itself. */
#include "commands.h"

const struct dlm_command *const dlm_commands[] = {
    &dlm_command_init,     &dlm_command_train,      &dlm_command_prompt, &dlm_command_show,
    &dlm_command_migrate,  &dlm_command_tokenize,   &dlm_command_preprocess,
    &dlm_command_score,    &dlm_command_bench,      &dlm_command_doctor,
    &dlm_command_use,      &dlm_command_export,     &dlm_command_import, &dlm_command_bases,
    &dlm_command_pull,     &dlm_command_list,       &dlm_command_rm,     &dlm_command_cache,
    &dlm_command_verify_store,
};

const size_t dlm_num_commands = sizeof(dlm_commands) / sizeof(dlm_commands[0]);

static const struct dlm_option global_options[] = {
    {"home", .type = DLM_OPTION_STRING, .value = "DIR",
     .offset = offsetof(struct dlm_globals, home), .help = "folder of stores and caches",
     .otherwise = "$DLM_HOME, else ~/.dlm"},
    {"threads", .type = DLM_OPTION_INT, .value = "N", .min = 1, .max = 1024,
     .offset = offsetof(struct dlm_globals, num_threads), .help = "CPU threads",
     .otherwise = "as many as this process may use"},
    {"verbose", 'v', .type = DLM_OPTION_FLAG, .offset = offsetof(struct dlm_globals, is_verbose),
     .help = "say more"},
    {"quiet", 'q', .type = DLM_OPTION_FLAG, .offset = offsetof(struct dlm_globals, is_quiet),
     .help = "say nothing but errors and warnings"},
    {"version", .type = DLM_OPTION_FLAG, .offset = offsetof(struct dlm_globals, is_version),
     .help = "print the version"},
};

const struct dlm_option_table dlm_global_table = {
    .options = global_options,
    .num_options = DLM_NUM_OPTIONS(global_options),
};
