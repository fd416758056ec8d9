/* Documents: making a new one with its store, describing one, bringing one to today's version. */
#ifndef DLM_DOCUMENT_H
#define DLM_DOCUMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "dlm/ctx.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Borrows everything until return. */
struct dlm_document_init_params {
    const char *path; /* of the new document; its folder must exist */
    const char *home; /* NULL: $DLM_HOME, else ~/.dlm */
    const char *base; /* registry key, "hf:org/name" or "dir:PATH"; NULL: the default base */
    bool multimodal;  /* scaffold with an image; needs a vision-language base */
    bool force;       /* overwrite an existing document (its old store stays) */
    bool accept_license; /* the licence of a gated base is accepted */
    /* Asked when a gated base needs acceptance: shows question to a person and returns the answer.
     * NULL: nobody can be asked, which refuses. */
    bool (*accept)(void *user, const char *question);
    void *user;
};

/* Writes a scaffold document and makes its store with a manifest, in which an accepted licence is
 * recorded. DLM_ERR_USAGE: multimodal with a base that sees no images; DLM_ERR_INVALID: the
 * document exists, the base is unknown, or its licence was refused. */
DLM_API enum dlm_status dlm_document_init(struct dlm_ctx *ctx,
                                          const struct dlm_document_init_params *params)
    DLM_CHECK_RESULT;

struct dlm_document_show_params {
    const char *path;
    const char *home; /* NULL: $DLM_HOME, else ~/.dlm */
    bool json;
};

/* Describes a document and its store as lines or as JSON; *text (ends with a newline) is owned by
 * the caller, NULL on failure. A store that does not exist yet is no error. */
DLM_API enum dlm_status dlm_document_show(struct dlm_ctx *ctx,
                                          const struct dlm_document_show_params *params,
                                          char **text) DLM_CHECK_RESULT;

struct dlm_document_migrate_params {
    const char *path;
    bool dry_run;   /* write nothing */
    bool no_backup; /* do not keep the old text as <path>.bak */
};

struct dlm_document_migration {
    int64_t from_version, to_version; /* equal: nothing was to be done, and nothing was written */
    char *backup;                     /* path of the backup, NULL if none was written */
};

/* Rewrites a document of an older version with today's front matter and its body as it is.
 * *result: give it back with dlm_document_migration_finish(). */
DLM_API enum dlm_status dlm_document_migrate(struct dlm_ctx *ctx,
                                             const struct dlm_document_migrate_params *params,
                                             struct dlm_document_migration *result)
    DLM_CHECK_RESULT;
DLM_API void dlm_document_migration_finish(struct dlm_document_migration *result);

#ifdef __cplusplus
}
#endif

#endif
