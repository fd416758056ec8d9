/* dlm prompt: an answer about images, streamed to standard output. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "colour.h"

#define MAX_QUERY_BYTES ((size_t)16 << 20)

struct args {
    const char *operands[2]; /* DOCUMENT and QUERY; with --base only the latter */
    struct dlm_option_list images;
    const char *chat;
    const char *version;
    struct dlm_session_params from;
    struct dlm_prompt_request request;
};

#define FROM(member) offsetof(struct args, from.member)
#define AT(member) offsetof(struct args, request.member)

static const struct args defaults = {
    .request = {.max_tokens = DLM_PROMPT_MAX_TOKENS},
};

static const struct dlm_option options[] = {
    {"image", .type = DLM_OPTION_LIST, .value = "PATH", .offset = offsetof(struct args, images),
     .help = "an image to ask about; any number of times"},
    {"system", .type = DLM_OPTION_STRING, .value = "TEXT", .offset = AT(system),
     .help = "system prompt", .otherwise = "the document's, else the base's"},
    {"chat", .type = DLM_OPTION_STRING, .value = "FILE", .offset = offsetof(struct args, chat),
     .help = "a conversation as JSON messages, instead of QUERY and images"},
    {"max-tokens", .type = DLM_OPTION_INT64, .value = "N", .min = 1, .max = 1 << 20,
     .offset = AT(max_tokens), .help = "longest answer"},
    {"temp", .type = DLM_OPTION_NUMBER, .value = "T", .min = 0, .max = 100,
     .offset = AT(temperature), .given = AT(has_temperature),
     .help = "temperature; 0 always takes the likeliest token",
     .otherwise = "the base's generation_config.json, else 0"},
    {"top-p", .type = DLM_OPTION_NUMBER, .value = "P", .max = 1, .is_above_min = true,
     .offset = AT(top_p), .given = AT(has_top_p),
     .help = "sample among the likeliest tokens that sum to P",
     .otherwise = "the base's, else all tokens"},
    {"seed", .type = DLM_OPTION_INT64, .value = "N", .offset = AT(seed),
     .help = "random seed of sampling", .otherwise = "0"},
    {"no-adapter", .type = DLM_OPTION_FLAG, .offset = FROM(no_adapter),
     .help = "the base alone; works before any training"},
    {"adapter-version", .type = DLM_OPTION_STRING, .value = "vN",
     .offset = offsetof(struct args, version),
     .help = "an older version of the document's adapter", .otherwise = "the current one"},
    {"adapter", .type = DLM_OPTION_STRING, .value = "DIR", .offset = FROM(adapter),
     .help = "a PEFT adapter instead of the document's"},
    {"base", .type = DLM_OPTION_STRING, .value = "KEY", .offset = FROM(base),
     .help = "a base model instead of a document"},
    DLM_MMPROJ_OPTION(struct args, from.mmproj),
    DLM_IMAGE_SIZE_OPTION(struct args, from.image_size, "as trained, else the base's"),
    DLM_COMPUTE_OPTIONS(struct args, from.compute),
};

static void print_text(void *user, const char *utf8, size_t len)
{
    (void)user;
    fwrite(utf8, 1, len, stdout);
    fflush(stdout);
}

/* All of standard input, stripped; NULL after printing why. The caller frees. */
static char *read_query(const struct dlm_cli *cli)
{
    char *text = malloc(MAX_QUERY_BYTES + 1);
    size_t len, begin = 0;

    if (!text) {
        fputs("prompt: out of memory\n", stderr);
        return NULL;
    }
    len = fread(text, 1, MAX_QUERY_BYTES, stdin);
    if (ferror(stdin) && !dlm_ctx_is_cancelled(cli->ctx))
        fprintf(stderr, "prompt: cannot read standard input: %s\n", strerror(errno));
    if (ferror(stdin)) {
        free(text);
        return NULL;
    }
    while (len && isspace((unsigned char)text[len - 1]))
        len--;
    while (begin < len && isspace((unsigned char)text[begin]))
        begin++;
    memmove(text, text + begin, len - begin);
    text[len - begin] = '\0';
    return text;
}

static bool is_blank(const char *text)
{
    return !text[strspn(text, " \t\r\n\f\v")];
}

static int check_images(const struct dlm_cli *cli, const struct dlm_option_list *images)
{
    for (size_t i = 0; i < images->len; i++) {
        if (access(images->items[i], F_OK))
            return dlm_cli_wrong(cli, "image not found: %s", images->items[i]);
    }
    return DLM_EXIT_DONE;
}

/* `dlm prompt x.dlm photo.jpg` asks about the word "photo.jpg". */
static void hint_at_image(const struct dlm_prompt_request *request)
{
    struct stat info;

    if (request->num_images || stat(request->query, &info) || !S_ISREG(info.st_mode))
        return;
    dlm_print_coloured(stderr, DLM_COLOUR_WARNING, "warning");
    fprintf(stderr, ": the question '%s' is the name of a file\n", request->query);
    dlm_print_coloured(stderr, DLM_COLOUR_HINT, "hint");
    fprintf(stderr, ": --image %s shows the file to the model\n", request->query);
}

static int answer(struct dlm_cli *cli, const struct dlm_session_params *from,
                  const struct dlm_prompt_request *request)
{
    if (request->query && is_blank(request->query))
        return dlm_cli_wrong(cli, "empty query (pass a string or pipe on stdin)");
    if (request->query)
        hint_at_image(request);
    enum dlm_status st = dlm_prompt(cli->ctx, from, request);
    if (!st)
        putchar('\n');
    return dlm_exit_of(st);
}

/* Answers the last message of a chat file. */
static int answer_chat(struct dlm_cli *cli, const struct args *a,
                       const struct dlm_session_params *from, struct dlm_prompt_request *request)
{
    struct dlm_chat *chat = NULL;
    int code;

    if (a->operands[from->base ? 0 : 1] || a->images.len) {
        dlm_options_usage_error("prompt", "--chat goes without QUERY and --image");
        return DLM_EXIT_USAGE;
    }
    enum dlm_status st = dlm_chat_load(cli->ctx, &chat, a->chat);
    if (st)
        return dlm_exit_of(st);
    request->messages = dlm_chat_messages(chat, &request->num_messages);
    const size_t last = request->num_messages - 1;
    if (request->messages[last].role == DLM_ROLE_USER)
        code = answer(cli, from, request);
    else
        code = dlm_cli_wrong(cli, "cannot use '%s': messages[%zu], the last, is not a user's",
                             a->chat, last);
    dlm_chat_destroy(&chat);
    return code;
}

static int answer_query(struct dlm_cli *cli, const struct args *a,
                        const struct dlm_session_params *from, struct dlm_prompt_request *request)
{
    char *piped = NULL;

    int code = check_images(cli, &a->images);
    if (code)
        return code;
    request->query = a->operands[from->base ? 0 : 1];
    if (!request->query || !strcmp(request->query, "-")) {
        piped = read_query(cli);
        if (!piped)
            return dlm_exit_of(dlm_ctx_is_cancelled(cli->ctx) ? DLM_ERR_CANCELLED : DLM_ERR_IO);
        request->query = piped;
    }
    request->images = a->images.items;
    request->num_images = a->images.len;
    code = answer(cli, from, request);
    free(piped);
    return code;
}

static int run(struct dlm_cli *cli, const void *args)
{
    const struct args *a = args;
    struct dlm_session_params from = a->from;
    struct dlm_prompt_request request = a->request;

    from.document = from.base ? NULL : a->operands[0];
    if (!from.base && !from.document) {
        dlm_options_usage_error("prompt", "missing argument DOCUMENT");
        return DLM_EXIT_USAGE;
    }
    if (from.base && a->operands[1]) {
        dlm_options_usage_error("prompt", "unexpected argument '%s'", a->operands[1]);
        return DLM_EXIT_USAGE;
    }
    if (from.mmproj && !from.base) {
        dlm_options_usage_error("prompt", "--mmproj needs --base");
        return DLM_EXIT_USAGE;
    }
    if (from.no_adapter && from.adapter) {
        dlm_options_usage_error("prompt", "--no-adapter and --adapter are mutually exclusive");
        return DLM_EXIT_USAGE;
    }
    if (a->version && (from.no_adapter || from.adapter || from.base)) {
        dlm_options_usage_error("prompt", "--adapter-version goes with a document's own adapter");
        return DLM_EXIT_USAGE;
    }
    if (a->version && !dlm_cli_version_number("prompt", a->version, &from.version))
        return DLM_EXIT_USAGE;
    from.home = cli->home;
    request.text = print_text;
    return a->chat ? answer_chat(cli, a, &from, &request) : answer_query(cli, a, &from, &request);
}

const struct dlm_command dlm_command_prompt = {
    .table = {.command = "prompt",
              .summary = "Ask a document's adapter about images.",
              .options = options,
              .num_options = DLM_NUM_OPTIONS(options),
              .defaults = &defaults,
              .operands = {{"DOCUMENT", offsetof(struct args, operands[0]), true,
                            "the .dlm file; left out with --base"},
                           {"QUERY", offsetof(struct args, operands[1]), true,
                            "the question; without it, or with -, standard input"}}},
    .subject = "prompt",
    .args_bytes = sizeof(struct args),
    .run = run,
};
