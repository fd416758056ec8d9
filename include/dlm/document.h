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
    /* Registry key, "hf:org/name", "dir:PATH" or "gguf:PATH"; NULL: "tiny-shapes", for multimodal
     * "paligemma-3b-mix-224". Paths are those of the document, relative to its folder. */
    const char *base;
    const char *mmproj; /* of gguf: the vision tower; NULL: the *mmproj*.gguf beside it */
    bool multimodal;  /* scaffold with an image; needs a vision-language base */
    bool force;       /* overwrite an existing document (its old store stays) */
    /* Give an existing document a new dlm_id, with a store of its own; every other byte, its mode
     * and its owner stay. Excludes base, mmproj, multimodal and force. */
    bool new_id;
    bool accept_license; /* the licence of a gated base is accepted */
    /* Asked when a gated base needs acceptance: shows question to a person and returns the answer.
     * NULL: nobody can be asked, which refuses. */
    bool (*accept)(void *user, const char *question);
    void *user;
};

/* Writes a scaffold document, or a new id into one, and makes its store with a manifest, in which
 * an accepted licence is recorded. Warns of a base that cannot be trained yet. DLM_ERR_USAGE:
 * multimodal with a base that sees no images, mmproj of a base that is not gguf:, or new_id with
 * what it excludes; DLM_ERR_INVALID: the document exists, the base is unknown, or its licence was
 * refused; DLM_ERR_PARSE: the document that is to get an id is not good. */
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

/* A version of a document's adapter. */
struct dlm_document_version {
    int64_t number; /* 1 is v0001 */
    bool is_current;
    int64_t run_id;       /* of the run that made it; 0: not recorded, and neither is the rest */
    char trained_at[20];  /* "2026-05-01T12:00:00", UTC; "" */
    int64_t steps;
    double loss;          /* of the last step; NaN: unknown */
    uint64_t bytes;       /* of its files */
};

struct dlm_document_versions {
    struct dlm_document_version *items; /* by rising number */
    size_t len;
};

/* The versions that the store of the document at path has (home NULL: $DLM_HOME, else ~/.dlm).
 * *versions: give it back with dlm_document_versions_finish(), also after a failure. */
DLM_API enum dlm_status dlm_document_list_versions(struct dlm_ctx *ctx, const char *path,
                                                   const char *home,
                                                   struct dlm_document_versions *versions)
    DLM_CHECK_RESULT;
DLM_API void dlm_document_versions_finish(struct dlm_document_versions *versions);

/* Makes a version the one that answers and that training goes on from. DLM_ERR_INVALID: there is
 * none of this number, or the store is locked by a running training. */
DLM_API enum dlm_status dlm_document_use(struct dlm_ctx *ctx, const char *path, const char *home,
                                         int64_t version) DLM_CHECK_RESULT;

struct dlm_document_migrate_params {
    const char *path;
    bool dry_run;   /* write nothing */
    bool no_backup; /* do not keep the old text as <path>.bak, or .bak.N where that is taken */
};

struct dlm_document_migration {
    int64_t from_version, to_version; /* equal: nothing was to be done, and nothing was written */
    char *backup;                     /* path of the backup, NULL if none was written */
};

/* Rewrites a document of an older version with today's front matter and its body as it is; mode and
 * owner stay. Comments in the front matter stay too where its version is all that changes; else a
 * warning says that they go.
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
