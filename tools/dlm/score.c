/* dlm score: log-probabilities of a given answer. */
#include <inttypes.h>
#include <string.h>

#include "cli.h"

struct args {
    struct dlm_session_params from;
    struct dlm_score_request request;
    struct dlm_option_list images;
    const char *chat;
    const char *version;
    bool is_json;
};

#define FROM(member) offsetof(struct args, from.member)
#define AT(member) offsetof(struct args, request.member)

static const struct dlm_option options[] = {
    {"base", .type = DLM_OPTION_STRING, .value = "KEY", .offset = FROM(base),
     .help = "a base model, or a .dlm file"},
    DLM_MMPROJ_OPTION(struct args, from.mmproj),
    {"adapter", .type = DLM_OPTION_STRING, .value = "DIR", .offset = FROM(adapter),
     .help = "a PEFT adapter instead of the document's"},
    {"adapter-version", .type = DLM_OPTION_STRING, .value = "vN",
     .offset = offsetof(struct args, version),
     .help = "an older version of the document's adapter", .otherwise = "the current one"},
    {"image", .type = DLM_OPTION_LIST, .value = "PATH", .offset = offsetof(struct args, images),
     .help = "an image before the prompt; any number of times"},
    {"prompt", .type = DLM_OPTION_STRING, .value = "TEXT", .offset = AT(prompt),
     .help = "the question"},
    {"target", .type = DLM_OPTION_STRING, .value = "TEXT", .offset = AT(target),
     .help = "the answer to score, with its end token"},
    {"system", .type = DLM_OPTION_STRING, .value = "TEXT", .offset = AT(system),
     .help = "system prompt", .otherwise = "the document's, else the base's"},
    {"chat", .type = DLM_OPTION_STRING, .value = "FILE", .offset = offsetof(struct args, chat),
     .help = "a conversation as JSON messages; all answers in it are scored"},
    {"gradients", .type = DLM_OPTION_STRING, .value = "FILE", .offset = AT(gradients),
     .help = "safetensors file to write: the adapter's gradients"},
    {"json", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, is_json),
     .help = "print {\"loss\", \"ids\", \"logprobs\"}"},
    DLM_IMAGE_SIZE_OPTION(struct args, from.image_size, "as trained, else the base's"),
    DLM_COMPUTE_OPTIONS(struct args, from.compute),
};

static void print_json(const struct dlm_score_result *r)
{
    fputs("{\"loss\": ", stdout);
    dlm_print_number(stdout, r->loss);
    fputs(", \"ids\": [", stdout);
    for (size_t i = 0; i < r->len; i++)
        printf("%s%" PRId32, i ? ", " : "", r->ids[i]);
    fputs("], \"logprobs\": [", stdout);
    for (size_t i = 0; i < r->len; i++) {
        fputs(i ? ", " : "", stdout);
        dlm_print_number(stdout, r->logprobs[i]);
    }
    puts("]}");
}

static void print_lines(const struct dlm_score_result *r)
{
    printf("loss %.6f\n", r->loss);
    for (size_t i = 0; i < r->len; i++)
        printf("%8" PRId32 "  %.6f\n", r->ids[i], r->logprobs[i]);
}

static int run(struct dlm_cli *cli, const void *args)
{
    const struct args *a = args;
    struct dlm_session_params from = a->from;
    struct dlm_score_request request = a->request;
    struct dlm_score_result result = {0};
    struct dlm_chat *chat = NULL;

    if (!from.document && dlm_cli_is_document(from.base)) {
        from.document = from.base;
        from.base = NULL;
    }
    if (!from.base == !from.document) {
        dlm_options_usage_error("score", "give either DOCUMENT or --base");
        return DLM_EXIT_USAGE;
    }
    if (from.mmproj && !from.base) {
        dlm_options_usage_error("score", "--mmproj needs --base");
        return DLM_EXIT_USAGE;
    }
    if (a->chat && (request.prompt || a->images.len)) {
        dlm_options_usage_error("score", "--chat goes without --prompt and --image");
        return DLM_EXIT_USAGE;
    }
    if (!a->chat && (!request.prompt || !request.target)) {
        dlm_options_usage_error("score", "give --prompt and --target");
        return DLM_EXIT_USAGE;
    }
    if (a->version && (from.adapter || from.base)) {
        dlm_options_usage_error("score", "--adapter-version goes with a document's own adapter");
        return DLM_EXIT_USAGE;
    }
    if (a->version && !dlm_cli_version_number("score", a->version, &from.version))
        return DLM_EXIT_USAGE;
    from.home = cli->home;
    from.is_adapter_optional = true;
    request.images = a->images.items;
    request.num_images = a->images.len;
    enum dlm_status st = a->chat ? dlm_chat_load(cli->ctx, &chat, a->chat) : DLM_OK;
    if (chat)
        request.messages = dlm_chat_messages(chat, &request.num_messages);
    if (!st)
        st = dlm_score(cli->ctx, &from, &request, &result);
    if (!st && a->is_json)
        print_json(&result);
    else if (!st)
        print_lines(&result);
    dlm_score_result_finish(&result);
    dlm_chat_destroy(&chat);
    return dlm_exit_of(st);
}

const struct dlm_command dlm_command_score = {
    .table = {.command = "score",
              .summary = "Print the log-probabilities of a given answer.",
              .options = options,
              .num_options = DLM_NUM_OPTIONS(options),
              .operands = {{"DOCUMENT", FROM(document), true, "the .dlm file, or --base"}}},
    .args_bytes = sizeof(struct args),
    .run = run,
};
