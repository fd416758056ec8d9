/* `dlm migrate`: a document's front matter brought to today's version. */
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "dlm/document.h"
#include "doc/doc.h"

#define MAX_DOCUMENT_BYTES ((size_t)256 << 20)

/* Keeps the old text beside the document, with its mode and owner, as the first of .bak, .bak.1 and
 * so on that is not there yet. */
static enum dlm_status write_backup(struct dlm_ctx *ctx, const char *path,
                                    const struct dlm_str *old, char **backup)
{
    enum dlm_status st = DLM_OK;
    bool is_taken = true;

    for (int i = 0; !st && is_taken; i++) {
        dlm_free(*backup);
        *backup = i ? dlm_strf(ctx, "%s.bak.%d", path, i) : dlm_strf(ctx, "%s.bak", path);
        st = *backup ? dlm_file_create_like(ctx, *backup, path, dlm_str_text(old), old->len,
                                            &is_taken)
                     : DLM_ERR_MEMORY;
    }
    if (st) {
        dlm_free(*backup);
        *backup = NULL;
    }
    return st;
}

enum dlm_status dlm_document_migrate(struct dlm_ctx *ctx,
                                     const struct dlm_document_migrate_params *params,
                                     struct dlm_document_migration *result)
{
    struct dlm_str old = {0}, new = {0};
    enum dlm_status st;

    *result = (struct dlm_document_migration){.to_version = DLM_DOC_VERSION};
    DLM_REQUIRE(ctx, params->path);
    st = dlm_file_read(ctx, params->path, MAX_DOCUMENT_BYTES, &old);
    if (!st)
        st = dlm_doc_migrate(ctx, params->path, dlm_str_text(&old), old.len, &new,
                             &result->from_version);
    if (st || params->dry_run || result->from_version == DLM_DOC_VERSION)
        goto done;
    if (!params->no_backup)
        st = write_backup(ctx, params->path, &old, &result->backup);
    if (!st)
        st = dlm_file_replace(ctx, params->path, new.data, new.len);
done:
    dlm_str_finish(&new);
    dlm_str_finish(&old);
    return st;
}

void dlm_document_migration_finish(struct dlm_document_migration *result)
{
    dlm_free(result->backup);
    *result = (struct dlm_document_migration){0};
}
