/* dlm migrate: a document's front matter brought to today's version. */
#include <inttypes.h>
#include <string.h>

#include "cli.h"

static const struct dlm_option options[] = {
    {"dry-run", .type = DLM_OPTION_FLAG,
     .offset = offsetof(struct dlm_document_migrate_params, dry_run),
     .help = "say what would be done, write nothing"},
    {"no-backup", .type = DLM_OPTION_FLAG,
     .offset = offsetof(struct dlm_document_migrate_params, no_backup),
     .help = "keep no copy of the old document"},
};

/* "v1 -> v2 -> v3" with the reference's arrows. */
static void chain_text(const struct dlm_document_migration *m, char *text, size_t bytes)
{
    size_t len = 0;

    text[0] = '\0';
    for (int64_t v = m->from_version; v <= m->to_version && len < bytes; v++)
        len += (size_t)snprintf(text + len, bytes - len, "%sv%" PRId64,
                                len ? " \xe2\x86\x92 " : "", v);
}

static void report(struct dlm_cli *cli, const struct dlm_document_migrate_params *params,
                   const struct dlm_document_migration *m)
{
    char chain[512];

    chain_text(m, chain, sizeof(chain));
    if (m->from_version == m->to_version) {
        dlm_cli_say(cli, "migrate: %s already at v%" PRId64 " (no migrations needed).",
                    params->path, m->to_version);
        return;
    }
    if (params->dry_run) {
        dlm_cli_say(cli, "dry-run: %s would migrate %s (re-run without --dry-run to apply).",
                    params->path, chain);
        return;
    }
    if (m->backup)
        dlm_cli_say(cli, "backup:  %s", m->backup);
    dlm_cli_say(cli, "migrated: %s %s", params->path, chain);
}

static int run(struct dlm_cli *cli, const void *args)
{
    const struct dlm_document_migrate_params *params = args;
    struct dlm_document_migration result = {0};

    enum dlm_status st = dlm_document_migrate(cli->ctx, params, &result);
    if (!st)
        report(cli, params, &result);
    dlm_document_migration_finish(&result);
    return dlm_exit_of(st);
}

const struct dlm_command dlm_command_migrate = {
    .table = {.command = "migrate",
              .summary = "Bring a document to today's version.",
              .options = options,
              .num_options = DLM_NUM_OPTIONS(options),
              .operands = {{"DOCUMENT", offsetof(struct dlm_document_migrate_params, path), false,
                            "the .dlm file"}}},
    .subject = "migrate",
    .args_bytes = sizeof(struct dlm_document_migrate_params),
    .run = run,
};
