/* Whether a store is whole, and repairing what can be: no adapter, blob or state is ever removed.
 * Anything else than what a killed process leaves, which the next training tidies up, is wrong. */
#ifndef DLM_STORE_CHECK_H
#define DLM_STORE_CHECK_H

#include "store/store.h"

struct dlm_finding {
    const char *what; /* a constant: "manifest", "pointer", "version", "blob", "log", "run", "lock",
                       * "temporary" */
    char *path;       /* below the store; owned */
    char *text;       /* what is the matter with it; owned */
    bool is_wrong;    /* else a killed process left it so */
    bool can_repair, is_repaired;
};

struct dlm_store_check_params {
    bool repair;
    /* For a manifest that must be made anew; NULL: not known, and taken from the newest version. */
    const char *base_model;
    const char *source_path;
};

/* Owned: give it back with dlm_findings_finish(), also after a failure. All zero is empty. */
struct dlm_findings {
    struct dlm_finding *items;
    size_t len, cap;
    int64_t num_versions, num_blobs, num_unfinished; /* that were looked at */
};

/* Looks at all of the store, which may not exist. Lock held where it does. Failures are those of
 * the check and of repairs; what is wrong with the store is no failure. */
enum dlm_status dlm_store_check(struct dlm_ctx *ctx, struct dlm_store *store,
                                const struct dlm_store_check_params *params,
                                struct dlm_findings *findings) DLM_CHECK_RESULT;

/* Stores in `folder` whose removal was interrupted: each is a finding, a path below the folder that
 * repair removes. */
enum dlm_status dlm_stores_check_removed(struct dlm_ctx *ctx, const char *folder, bool repair,
                                         struct dlm_findings *findings) DLM_CHECK_RESULT;

void dlm_findings_finish(struct dlm_findings *findings);

#endif
