/* dlm cache: shows and empties the caches of images and features. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

struct args {
    const char *action, *document, *older_than;
    bool is_json, is_yes;
};

static const struct dlm_option options[] = {
    {"json", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, is_json),
     .help = "print JSON"},
    {"older-than", .type = DLM_OPTION_STRING, .value = "AGE",
     .offset = offsetof(struct args, older_than),
     .help = "prune what was not used for so long: 30d, 12h, 90m",
     .otherwise = "the limits of the document's training.cache"},
    {"yes", 'y', .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, is_yes),
     .help = "clear without asking"},
    {"force", .type = DLM_OPTION_FLAG, .offset = offsetof(struct args, is_yes),
     .help = "the same as --yes"},
};

/* Seconds of "30d"; 0: it is no age. */
static int64_t seconds_of(const char *text)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = {{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};
    char *end = NULL;

    if (!strspn(text, "0123456789"))
        return 0;
    const long long n = strtoll(text, &end, 10);
    if (n < 1 || n > 1000000000 || !*end || end[1])
        return 0;
    for (size_t i = 0; i < DLM_NUM_OPTIONS(units); i++)
        if (*end == units[i].unit)
            return n * units[i].seconds;
    return 0;
}

static const char *const actions[] = {"show", "prune", "clear", NULL}; /* in the enum's order */

/* False: the action is none. */
static bool take_action(const char *text, enum dlm_stores_cache_action *action)
{
    for (size_t i = 0; actions[i]; i++) {
        if (strcmp(text, actions[i]))
            continue;
        *action = (enum dlm_stores_cache_action)i;
        return true;
    }
    dlm_options_usage_error("cache", "no action: '%s' (show, prune or clear)", text);
    return false;
}

static int run(struct dlm_cli *cli, const void *args)
{
    const struct args *a = args;
    struct dlm_stores_cache_params params = {.document = a->document, .home = cli->home,
                                             .json = a->is_json, .yes = a->is_yes,
                                             .accept = dlm_cli_can_ask() ? dlm_cli_ask : NULL};
    char *text = NULL;

    if (!take_action(a->action, &params.action))
        return DLM_EXIT_USAGE;
    if (a->older_than && params.action != DLM_STORES_CACHE_PRUNE)
        return dlm_cli_wrong(cli, "--older-than is for prune");
    if (a->is_yes && params.action != DLM_STORES_CACHE_CLEAR)
        return dlm_cli_wrong(cli, "--yes and --force are for clear");
    params.older_than = a->older_than ? seconds_of(a->older_than) : 0;
    if (a->older_than && !params.older_than)
        return dlm_cli_wrong(cli, "no age: '%s' (30d, 12h, 90m)", a->older_than);
    enum dlm_status st = dlm_stores_cache(cli->ctx, &params, &text);
    if (!st)
        dlm_print_text(stdout, text);
    dlm_text_free(text);
    return dlm_exit_of(st);
}

const struct dlm_command dlm_command_cache = {
    .table = {.command = "cache",
              .summary = "Show or empty the caches of images and features.",
              .options = options,
              .num_options = DLM_NUM_OPTIONS(options),
              .operands = {{"ACTION", offsetof(struct args, action), false,
                            "show; prune, what was not used for long; clear, all of it", actions},
                           {"DOCUMENT", offsetof(struct args, document), true,
                            "the .dlm file, or a dlm_id; without: all of the home"}}},
    .subject = "cache",
    .args_bytes = sizeof(struct args),
    .run = run,
};
