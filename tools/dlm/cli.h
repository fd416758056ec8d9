/* What the commands share: the run's settings, exit codes, helpers for output. */
#ifndef DLM_TOOL_CLI_H
#define DLM_TOOL_CLI_H

#include <stdio.h>

#include "dlm/dlm.h"
#include "options.h"

enum dlm_exit {
    DLM_EXIT_DONE = 0,
    DLM_EXIT_FAILED = 1,
    DLM_EXIT_USAGE = 2,
    DLM_EXIT_SIGNAL = 128, /* and the signal's number: 130 after Ctrl-C */
};

struct dlm_progress;

struct dlm_cli {
    struct dlm_ctx *ctx;
    const char *home; /* --home, or NULL */
    bool is_verbose, is_quiet;
    const char *subject; /* what an error's line begins with: "dlm", or a command of its own */
    struct dlm_progress *progress; /* what is on the screen besides messages; NULL: nothing */
    int try_seconds;   /* how long a kernel may take that a driver compiles on trial */
    int probe_seconds; /* and a driver that is asked for its devices */
    int load_seconds;  /* and those that are loaded here */
    struct dlm_load_watch *load_watch; /* of drivers.c: who looks at the time; NULL: nobody */
};

/* A command. args is a struct of args_bytes that starts as a copy of the table's defaults and is
 * filled by the options; run gets it and returns an exit code. */
struct dlm_command {
    struct dlm_option_table table;
    const char *subject; /* NULL: "dlm" */
    size_t args_bytes;
    int (*run)(struct dlm_cli *cli, const void *args);
};

/* The commands, one file each. */
extern const struct dlm_command dlm_command_init;
extern const struct dlm_command dlm_command_train;
extern const struct dlm_command dlm_command_prompt;
extern const struct dlm_command dlm_command_show;
extern const struct dlm_command dlm_command_migrate;
extern const struct dlm_command dlm_command_tokenize;
extern const struct dlm_command dlm_command_preprocess;
extern const struct dlm_command dlm_command_score;
extern const struct dlm_command dlm_command_bench;
extern const struct dlm_command dlm_command_bases;
extern const struct dlm_command dlm_command_doctor;
extern const struct dlm_command dlm_command_use;
extern const struct dlm_command dlm_command_export;
extern const struct dlm_command dlm_command_import;
extern const struct dlm_command dlm_command_pull;
extern const struct dlm_command dlm_command_cache;
extern const struct dlm_command dlm_command_verify_store;
extern const struct dlm_command dlm_command_list;
extern const struct dlm_command dlm_command_rm;

int dlm_exit_of(enum dlm_status status);

/* The context's dlm_try_fn: `dlm doctor --try` in another process. user is the struct dlm_cli. */
enum dlm_status dlm_cli_try_device(void *user, struct dlm_trial *trial, const char *backend,
                                   int index);
#define DLM_TRY_SECONDS 300

/* The context's dlm_probe_fn: `dlm doctor --probe` in other processes; the same user. */
enum dlm_status dlm_cli_probe_devices(void *user, struct dlm_probe_job *jobs, size_t num);
#define DLM_PROBE_SECONDS 10

/* Far more than an answer takes: drivers read their caches and compile, on machines under load. */
#define DLM_LOAD_SECONDS 120

/* The context's log callback: user is the struct dlm_cli. */
void dlm_cli_log(void *user, enum dlm_log_level level, const char *text);

/* One line on standard error, under the command's subject. Returns DLM_EXIT_USAGE. */
int dlm_cli_wrong(const struct dlm_cli *cli, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* One line on standard error as it is, unless --quiet. */
void dlm_cli_say(struct dlm_cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Whether somebody is there to answer, and a question that wants "y" or "yes". user is unused. */
bool dlm_cli_can_ask(void);
bool dlm_cli_ask(void *user, const char *question);

/* Reads "v2", "v0002" or "2". False: it is no version, and that is said as the command's usage. */
bool dlm_cli_version_number(const char *command, const char *text, int64_t *number);

/* Begins the progress line of a command that takes long; false with --quiet: there is none. *p is
 * borrowed until dlm_cli_end_progress(), which leaves the line's last state and is needed after
 * either answer. */
bool dlm_cli_begin_progress(struct dlm_cli *cli, struct dlm_progress *p);
void dlm_cli_end_progress(struct dlm_cli *cli);

/* True for the name of a .dlm file, where a base may stand, too. NULL is none. */
bool dlm_cli_is_document(const char *base);

/* What the library wrote, with ? for the control bytes that names from elsewhere may hold: they are
 * orders to a terminal. Lines and tabs stay. */
void dlm_print_text(FILE *file, const char *text);

/* A path as a shell reads it between single quotes, each of its own as '\\''; cut where there is no
 * room. */
void dlm_quote(const char *path, char *out, size_t bytes);

/* A number as the shortest decimal that reads back as it, "1.0" rather than "1"; NaN and infinity
 * as JSON's null. */
void dlm_print_number(FILE *file, double x);

/* "text" with JSON's escapes. */
void dlm_print_json_string(FILE *file, const char *text);

/* Rows for where a command computes: args is its struct, with a struct dlm_compute at member. */
extern const char *const dlm_backend_choices[];
extern const char *const dlm_precision_choices[];
extern const char *const dlm_quant_choices[];
extern const char *const dlm_quant_scope_choices[];
extern const char *const dlm_image_size_choices[]; /* -1 - i: DLM_IMAGE_SIZE_* */
#define DLM_COMPUTE_OPTIONS(args, member)                                                          \
    DLM_DEVICE_OPTIONS(args, member),                                                              \
    {"precision", .type = DLM_OPTION_CHOICE, .choices = dlm_precision_choices,                     \
     .offset = offsetof(args, member.precision), .help = "storage type of weights and operands"},  \
    {"quant", .type = DLM_OPTION_CHOICE, .choices = dlm_quant_choices,                             \
     .offset = offsetof(args, member.quant), .help = "hold linear layers in 4 or 8 bits"},         \
    {"quant-scope", .type = DLM_OPTION_CHOICE, .choices = dlm_quant_scope_choices,                 \
     .offset = offsetof(args, member.quant_scope), .help = "which of them"},                       \
    {"max-memory", .type = DLM_OPTION_NUMBER, .value = "MIB", .max = 1 << 30,                     \
     .is_above_min = true, .offset = offsetof(args, member.max_memory_mib),                        \
     .help = "plan as if no more device memory were free", .otherwise = "what is free"}
#define DLM_DEVICE_OPTIONS(args, member)                                                           \
    {"backend", .type = DLM_OPTION_CHOICE, .choices = dlm_backend_choices,                         \
     .offset = offsetof(args, member.backend), .help = "what computes"},                           \
    {"device", .type = DLM_OPTION_INT, .value = "N", .min = 0, .max = 1023,                        \
     .offset = offsetof(args, member.device), .given = offsetof(args, member.has_device),          \
     .help = "which device of the backend", .otherwise = "the best"},                              \
    {"no-matrix-units", .type = DLM_OPTION_FLAG,                                                   \
     .offset = offsetof(args, member.no_matrix_units),                                             \
     .help = "leave a GPU's matrix units alone, for drivers that fail on them"}

/* A size as in dlm/image_size.h; without: what holds without it. */
#define DLM_IMAGE_SIZE_OPTION(args, member, without)                                               \
    {"image-size", .type = DLM_OPTION_INT64, .value = "pinned|native|N", .min = 1,                 \
     .max = 1 << 14, .choices = dlm_image_size_choices, .offset = offsetof(args, member),          \
     .help = "make images N x N, or native: in their proportions",                                 \
     .otherwise = without}

/* Beside --base. */
#define DLM_MMPROJ_OPTION(args, member)                                                            \
    {"mmproj", .type = DLM_OPTION_STRING, .value = "PATH", .offset = offsetof(args, member),       \
     .help = "the vision tower's file of gguf:PATH",                                               \
     .otherwise = "the file *mmproj*.gguf beside it"}

#define DLM_NUM_OPTIONS(options) (sizeof(options) / sizeof((options)[0]))

#endif
