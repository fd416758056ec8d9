/* Whose a store is: a document and its copy have one dlm_id, and so one store. */
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/log.h"
#include "store/manifest.h"

/* Larger files are no documents. */
#define MAX_DOCUMENT_BYTES ((size_t)64 << 20)

/* Whether the file's text has the id: enough for a document, also for one that does not parse at
 * the moment. One that cannot be read is taken to have it. */
static bool holds_id(const char *path, const char *id)
{
    struct dlm_str text = {0};
    const bool holds = dlm_file_read(NULL, path, MAX_DOCUMENT_BYTES, &text) ||
                       strstr(dlm_str_text(&text), id);

    dlm_str_finish(&text);
    return holds;
}

const char *dlm_manifest_other_source(const struct dlm_manifest *m, const char *document)
{
    const char *source = dlm_manifest_string(m, "source_path");
    struct stat a, b;

    if (!source || stat(source, &a) || !S_ISREG(a.st_mode))
        return NULL;
    if (!stat(document, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
        return NULL;
    return holds_id(source, dlm_manifest_string(m, "dlm_id")) ? source : NULL;
}

enum dlm_status dlm_manifest_check_source(struct dlm_ctx *ctx, const struct dlm_manifest *m,
                                          const char *document)
{
    const char *other = dlm_manifest_other_source(m, document);

    if (!other)
        return DLM_OK;
    dlm_fail(ctx, DLM_ERR_INVALID, "'%s' has the dlm_id of '%s', whose store this is", document,
             other);
    dlm_log(ctx, DLM_LOG_HINT, "`dlm init --new-id %s` makes a copy a document of its own; "
            "`dlm train --take-over` gives it the other's store", document);
    return DLM_ERR_INVALID;
}

void dlm_manifest_warn_other_source(struct dlm_ctx *ctx, const struct dlm_manifest *m,
                                    const char *document)
{
    const char *other = dlm_manifest_other_source(m, document);

    if (other)
        dlm_log(ctx, DLM_LOG_WARNING, "'%s' has the dlm_id of '%s', whose store and adapter these "
                "are; `dlm init --new-id` makes a copy a document of its own", document, other);
}
