/* dlm train: a new adapter from a document. */
#include <inttypes.h>

#include "cli.h"
#include "progress.h"

enum phase { PHASE_ALL, PHASE_SFT, PHASE_PREFERENCE };

struct args {
    struct dlm_train_params params;
    enum phase phase;
    bool strict_lock, update_lock, ignore_lock;
    bool has_questions;
    int64_t questions;
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
     .help = "random seed", .otherwise = "the document's"},
    {"max-steps", .type = DLM_OPTION_INT64, .value = "N", .min = 1, .offset = AT(max_steps),
     .help = "stop after N steps", .otherwise = "all epochs"},
    {"phase", .type = DLM_OPTION_CHOICE, .choices = phases, .offset = offsetof(struct args, phase),
     .help = "what to train; preference is not supported yet"},
    {"strict-lock", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, strict_lock),
     .help = "any difference from dlm.lock is an error"},
    {"update-lock", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, update_lock),
     .help = "do not check dlm.lock; write it anew"},
    {"ignore-lock", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, ignore_lock),
     .help = "neither check nor write dlm.lock"},
    {"force", .type = DLM_OPTION_FLAG, .offset = AT(force),
     .help = "train where dlm refuses and lets itself be overridden: dlm doctor says"},
    {"i-accept-license", .type = DLM_OPTION_FLAG, .offset = AT(accept_license),
     .help = "accept the licence of a gated base, and remember it"},
    {"skip-bad-images", .type = DLM_OPTION_FLAG, .offset = AT(skip_bad_images),
     .help = "train without images that cannot be read, and say how many"},
    {"take-over", .type = DLM_OPTION_FLAG, .offset = AT(take_over),
     .help = "take the store over from another file of the same dlm_id"},
    {"init-adapter", .type = DLM_OPTION_STRING, .value = "DIR", .offset = AT(init_adapter),
     .help = "start from a PEFT adapter; its r, alpha and targets hold"},
    {"save-every", .type = DLM_OPTION_INT64, .value = "N", .min = 1, .offset = AT(save_every),
     .help = "steps between saved states", .otherwise = "about every two minutes"},
    {"ask", .type = DLM_OPTION_INT64, .value = "N", .max = 100,
     .offset = offsetof(struct args, questions), .given = offsetof(struct args, has_questions),
     .help = "of its questions to answer in the end, before and after", .otherwise = "3"},
    {"adapter-names", .type = DLM_OPTION_CHOICE, .choices = adapter_names,
     .offset = offsetof(struct args, params.adapter_names),
     .help = "transformers' names of modules in the vision tower"},
    DLM_IMAGE_SIZE_OPTION(struct args, params.image_size, "the document's, else the base's"),
    {"gradient-checkpointing", .type = DLM_OPTION_CHOICE, .choices = checkpointing,
     .offset = AT(checkpointing), .help = "recompute instead of keep"},
    DLM_COMPUTE_OPTIONS(struct args, params.compute),
};

static void on_progress(void *user, const struct dlm_train_progress *step)
{
    dlm_progress_step(user, step);
}

/* A text as one line: what would end it, or move the cursor, becomes a blank. */
static void show_line(struct dlm_cli *cli, const char *label, char *text, const char *end)
{
    for (char *c = text; c && *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
    dlm_cli_say(cli, "%s%s%s", label, text ? text : "", end);
}

static void show_answer(struct dlm_cli *cli, struct dlm_train_answer *a)
{
    show_line(cli, "", a->question, a->is_held_out ? " (held out)" : "");
    show_line(cli, "  before:    ", a->before, "");
    show_line(cli, "  after:     ", a->after, "");
    show_line(cli, "  document:  ", a->expected, "");
}

/* What the run has changed. */
static void show_change(struct dlm_cli *cli, const struct dlm_train_result *result)
{
    if (result->steps > 1)
        dlm_cli_say(cli, "loss: %.4g in the first step, %.4g in the last", result->first_loss,
                    result->final_loss);
    for (size_t i = 0; i < result->num_answers; i++)
        show_answer(cli, &result->answers[i]);
}

static int report(struct dlm_cli *cli, const struct dlm_train_result *result)
{
    if (result->nothing_to_do) {
        dlm_cli_say(cli, "no-op: nothing to train for the requested phase. The document has no "
                         "prose, no instruction and no image with a caption that can be read");
        return DLM_EXIT_DONE;
    }
    dlm_cli_say(cli, "sft: v%04" PRId64 " (%" PRId64 " steps, seed=%" PRId64 ", determinism=%s)",
                result->version, result->steps, result->seed, result->determinism);
    show_change(cli, result);
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
    struct dlm_progress progress;

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
    params.num_questions = a->has_questions ? (a->questions ? a->questions : -1)
                           : cli->is_quiet  ? -1
                                            : 0;
    params.home = cli->home;
    if (dlm_cli_begin_progress(cli, &progress)) {
        params.progress = on_progress;
        params.user = &progress;
    }
    enum dlm_status st = dlm_train(cli->ctx, &params, &result);
    dlm_cli_end_progress(cli);
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
