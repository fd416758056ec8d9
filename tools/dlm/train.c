/* dlm train: a new adapter from a document. */
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

#define REDRAW_SECONDS 0.1 /* on a terminal */
#define LINE_SECONDS 10.0  /* elsewhere */

enum phase { PHASE_ALL, PHASE_SFT, PHASE_PREFERENCE };

struct args {
    struct dlm_train_params params;
    enum phase phase;
    bool strict_lock, update_lock, ignore_lock;
};

#define AT(member) offsetof(struct args, params.member)

static const char *const phases[] = {"all", "sft", "preference", NULL};
static const char *const checkpointing[] = {"document", "on", "off", NULL};
static const char *const adapter_names[] = {"v5", "v4", NULL};

static const struct dlm_option options[] = {
    {"resume", .type = DLM_OPTION_FLAG, .offset = AT(resume),
     .help = "go on with the interrupted run, else from the current adapter"},
    {"fresh", .type = DLM_OPTION_FLAG, .offset = AT(fresh),
     .help = "start from a new adapter (the default)"},
    {"seed", .type = DLM_OPTION_INT64, .value = "N", .offset = AT(seed), .given = AT(has_seed),
     .help = "random seed instead of the document's"},
    {"max-steps", .type = DLM_OPTION_INT64, .value = "N", .min = 1, .offset = AT(max_steps),
     .help = "stop after N steps"},
    {"phase", .type = DLM_OPTION_CHOICE, .choices = phases, .offset = offsetof(struct args, phase),
     .help = "what to train (preference is not supported yet)"},
    {"strict-lock", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, strict_lock),
     .help = "any difference from dlm.lock is an error"},
    {"update-lock", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, update_lock),
     .help = "do not check dlm.lock; write it anew"},
    {"ignore-lock", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, ignore_lock),
     .help = "neither check nor write dlm.lock"},
    {"i-accept-license", .type = DLM_OPTION_FLAG, .offset = AT(accept_license),
     .help = "accept the licence of a gated base, and remember it"},
    {"take-over", .type = DLM_OPTION_FLAG, .offset = AT(take_over),
     .help = "take the store over from another file of the same dlm_id"},
    {"init-adapter", .type = DLM_OPTION_STRING, .value = "DIR", .offset = AT(init_adapter),
     .help = "start from a PEFT adapter; its r, alpha and targets hold"},
    {"save-every", .type = DLM_OPTION_INT64, .value = "N", .min = 1, .offset = AT(save_every),
     .help = "steps between saved states (default: about two minutes)"},
    {"adapter-names", .type = DLM_OPTION_CHOICE, .choices = adapter_names,
     .offset = offsetof(struct args, params.adapter_names),
     .help = "transformers' names of modules in the vision tower"},
    {"gradient-checkpointing", .type = DLM_OPTION_CHOICE, .choices = checkpointing,
     .offset = AT(checkpointing), .help = "recompute instead of keep"},
    DLM_COMPUTE_OPTIONS(struct args, params.compute),
};

/* --- progress --- */

struct progress {
    struct dlm_cli *cli;
    bool is_terminal;
    double last; /* when something was printed; 0: never */
};

static double now_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* "1:02:03", "2:03" */
static void duration_text(double seconds, char *text, size_t bytes)
{
    int64_t s = seconds > 0 && seconds < 1e9 ? (int64_t)(seconds + 0.5) : 0;

    if (s >= 3600)
        snprintf(text, bytes, "%" PRId64 ":%02d:%02d", s / 3600, (int)(s / 60 % 60),
                 (int)(s % 60));
    else
        snprintf(text, bytes, "%d:%02d", (int)(s / 60), (int)(s % 60));
}

static void on_progress(void *user, const struct dlm_train_progress *p)
{
    struct progress *progress = user;
    const double now = now_seconds();
    const bool is_end = p->step == 1 || p->step == p->steps;
    char left[32];

    if (progress->last > 0 && !is_end &&
        now - progress->last < (progress->is_terminal ? REDRAW_SECONDS : LINE_SECONDS))
        return;
    progress->last = now;
    duration_text(p->seconds_left, left, sizeof(left));
    fprintf(stderr,
            "%sstep %" PRId64 "/%" PRId64 "  loss %.4f  lr %.3g  %.0f tokens/s  %s left%s",
            progress->is_terminal ? "\r" : "", p->step, p->steps, p->loss, p->lr,
            p->tokens_per_sec, left, progress->is_terminal ? "\033[K" : "\n");
    fflush(stderr);
    progress->cli->is_progress_open = progress->is_terminal;
}

/* --- the command --- */

static int report(struct dlm_cli *cli, const struct dlm_train_result *result)
{
    if (result->nothing_to_do) {
        dlm_cli_say(cli, "no-op: nothing to train for the requested phase. The document has no "
                         "prose, no instruction and no image with a caption");
        return DLM_EXIT_DONE;
    }
    dlm_cli_say(cli, "sft: v%04" PRId64 " (%" PRId64 " steps, seed=%" PRId64 ", determinism=%s)",
                result->version, result->steps, result->seed, result->determinism);
    dlm_cli_say(cli, "adapter: %s", result->adapter);
    dlm_cli_say(cli, "log:     %s", result->log);
    dlm_print_number(stdout, result->final_loss);
    putchar('\n');
    return DLM_EXIT_DONE;
}

static int run(struct dlm_cli *cli, const void *args)
{
    const struct args *a = args;
    struct dlm_train_params params = a->params;
    struct dlm_train_result result = {0};
    struct progress progress = {.cli = cli, .is_terminal = isatty(STDERR_FILENO)};

    if (params.resume && params.fresh) {
        dlm_options_usage_error("train", "--resume and --fresh are mutually exclusive");
        return DLM_EXIT_USAGE;
    }
    if (a->strict_lock + a->update_lock + a->ignore_lock > 1) {
        dlm_options_usage_error(
            "train", "--strict-lock, --update-lock and --ignore-lock are mutually exclusive");
        return DLM_EXIT_USAGE;
    }
    params.lock = a->strict_lock   ? DLM_TRAIN_LOCK_STRICT
                  : a->update_lock ? DLM_TRAIN_LOCK_UPDATE
                  : a->ignore_lock ? DLM_TRAIN_LOCK_IGNORE
                                   : DLM_TRAIN_LOCK_CHECK;
    if (a->phase == PHASE_PREFERENCE) {
        fputs("training: --phase preference is not supported yet\n", stderr);
        return DLM_EXIT_FAILED;
    }
    params.home = cli->home;
    params.progress = cli->is_quiet ? NULL : on_progress;
    params.user = &progress;
    enum dlm_status st = dlm_train(cli->ctx, &params, &result);
    if (cli->is_progress_open)
        fputc('\n', stderr); /* the last progress line stays */
    cli->is_progress_open = false;
    int code = st ? dlm_exit_of(st) : report(cli, &result);
    dlm_train_result_finish(&result);
    return code;
}

const struct dlm_command dlm_command_train = {
    .table = {.command = "train",
              .summary = "Train an adapter for a document.",
              .options = options,
              .num_options = DLM_NUM_OPTIONS(options),
              .operands = {{"DOCUMENT", AT(document), false, "the .dlm file"}}},
    .subject = "train",
    .args_bytes = sizeof(struct args),
    .run = run,
};
