/* dlm tokenize: the ids of a text, or of every line of standard input. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

struct args {
    const char *text, *prompt;
    const char *base, *mmproj, *tokenizer;
    const char *system, *target, *chat;
    struct dlm_option_list images;
    int64_t image_size;
    bool is_raw, is_json;
};

static const struct dlm_option options[] = {
    {"base", .type = DLM_OPTION_STRING, .value = "KEY", .offset = offsetof(struct args, base),
     .help = "base model: a registry key, hf:org/name, dir:PATH, gguf:PATH, or a .dlm file's"},
    DLM_MMPROJ_OPTION(struct args, mmproj),
    {"tokenizer", .type = DLM_OPTION_STRING, .value = "FILE",
     .offset = offsetof(struct args, tokenizer),
     .help = "a tokenizer.json or tekken.json instead of a base"},
    {"image", .type = DLM_OPTION_LIST, .value = "PATH", .offset = offsetof(struct args, images),
     .help = "an image before the text; any number of times"},
    {"prompt", .type = DLM_OPTION_STRING, .value = "TEXT", .offset = offsetof(struct args, prompt),
     .help = "the text, instead of TEXT; - is a text here"},
    {"target", .type = DLM_OPTION_STRING, .value = "TEXT", .offset = offsetof(struct args, target),
     .help = "the answer, with its end token",
     .otherwise = "the input ends where the answer would begin"},
    {"system", .type = DLM_OPTION_STRING, .value = "TEXT", .offset = offsetof(struct args, system),
     .help = "system prompt", .otherwise = "the document's, else the base's"},
    {"chat", .type = DLM_OPTION_STRING, .value = "FILE", .offset = offsetof(struct args, chat),
     .help = "a conversation as JSON messages, instead of text and images"},
    DLM_IMAGE_SIZE_OPTION(struct args, image_size, "the base's"),
    {"raw", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, is_raw),
     .help = "the ids of the text alone, as the tokenizers library gives them"},
    {"json", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, is_json),
     .help = "print {\"ids\": [...]}"},
};

static void print_ids(const int32_t *ids, size_t num, bool is_json)
{
    if (is_json)
        fputs("{\"ids\": [", stdout);
    for (size_t i = 0; i < num; i++)
        printf("%s%" PRId32, !i ? "" : is_json ? ", " : " ", ids[i]);
    puts(is_json ? "]}" : "");
}

/* One JSON string a line in, one object a line out. */
static enum dlm_status encode_lines(struct dlm_cli *cli, struct dlm_encoder *encoder)
{
    enum dlm_status st = DLM_OK;
    const int32_t *ids;
    char *line = NULL;
    size_t cap = 0, num;
    int64_t number = 0;
    ssize_t len;

    while (!st && (len = getline(&line, &cap, stdin)) >= 0) {
        number++;
        st = dlm_encoder_encode_json(cli->ctx, encoder, line, (size_t)len, &ids, &num);
        if (st)
            fprintf(stderr, "dlm: stopped at line %" PRId64 " of standard input\n", number);
        else
            print_ids(ids, num, true);
        fflush(stdout); /* who writes lines one by one reads answers one by one */
    }
    if (!st && dlm_ctx_is_cancelled(cli->ctx)) {
        st = DLM_ERR_CANCELLED;
    } else if (!st && ferror(stdin)) {
        fprintf(stderr, "dlm: cannot read standard input: %s\n", strerror(errno));
        st = DLM_ERR_IO;
    }
    free(line);
    return st;
}

static enum dlm_status encode_chat(struct dlm_cli *cli, struct dlm_encoder *encoder,
                                   const char *path, const int32_t **ids, size_t *num)
{
    struct dlm_chat *chat = NULL;
    size_t num_messages;

    enum dlm_status st = dlm_chat_load(cli->ctx, &chat, path);
    if (!st) {
        const struct dlm_message *messages = dlm_chat_messages(chat, &num_messages);
        st = dlm_encoder_encode_messages(cli->ctx, encoder, messages, num_messages, ids, num);
    }
    dlm_chat_destroy(&chat);
    return st;
}

/* False after printing why. */
static bool check_args(const struct args *a)
{
    const char *why = NULL;

    if (!a->base == !a->tokenizer)
        why = "give either --base or --tokenizer";
    else if ((a->text != NULL) + (a->prompt != NULL) + (a->chat != NULL) != 1)
        why = "give one of TEXT, --prompt and --chat";
    else if (a->chat && a->images.len)
        why = "--chat goes without --image";
    else if (a->is_raw && (a->chat || a->system || a->target))
        why = "--raw is a text alone";
    else if (a->mmproj && (!a->base || dlm_cli_is_document(a->base)))
        why = "--mmproj needs --base with gguf:PATH";
    if (why)
        dlm_options_usage_error("tokenize", "%s", why);
    return !why;
}

static int run(struct dlm_cli *cli, const void *args)
{
    const struct args *a = args;
    const bool is_document = dlm_cli_is_document(a->base);
    const struct dlm_encoder_params params = {.base = is_document ? NULL : a->base,
                                              .mmproj = a->mmproj,
                                              .document = is_document ? a->base : NULL,
                                              .tokenizer = a->tokenizer,
                                              .raw = a->is_raw, .images = a->images.items,
                                              .num_images = a->images.len,
                                              .system = a->system, .target = a->target,
                                              .image_size = a->image_size};
    const char *text = a->prompt ? a->prompt : a->text;
    struct dlm_encoder *encoder = NULL;
    const int32_t *ids;
    size_t num;

    if (!check_args(a))
        return DLM_EXIT_USAGE;
    enum dlm_status st = dlm_encoder_create(cli->ctx, &encoder, &params);
    const bool is_lines = a->text && !strcmp(a->text, "-");
    if (!st && is_lines)
        st = encode_lines(cli, encoder);
    else if (!st && a->chat)
        st = encode_chat(cli, encoder, a->chat, &ids, &num);
    else if (!st)
        st = dlm_encoder_encode(cli->ctx, encoder, text, strlen(text), &ids, &num);
    if (!st && !is_lines)
        print_ids(ids, num, a->is_json);
    dlm_encoder_destroy(&encoder);
    return dlm_exit_of(st);
}

const struct dlm_command dlm_command_tokenize = {
    .table = {.command = "tokenize",
              .summary = "Print the token ids of a text, as a model gets them.",
              .options = options,
              .num_options = DLM_NUM_OPTIONS(options),
              .operands = {{"TEXT", offsetof(struct args, text), true,
                            "the text; - reads one JSON string a line"}}},
    .args_bytes = sizeof(struct args),
    .run = run,
};
