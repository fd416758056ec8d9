/* Fields of the store and small helpers, inside src/store only. */
#ifndef DLM_STORE_STORE_IMPL_H
#define DLM_STORE_STORE_IMPL_H

#include "base/str.h"
#include "store/store.h"

/* Run ids go up to what the names of folders and logs can say; records beyond name no run. */
#define DLM_STORE_MAX_RUN_ID 999999999

struct dlm_store {
    char *id;
    char *root;
    int lock_fd_plus_1; /* 0: not held */
};

/* <root>/<printf>, owned by the caller; NULL when out of memory. */
char *dlm_store_pathf(struct dlm_ctx *ctx, const struct dlm_store *store, const char *fmt, ...)
    DLM_PRINTF(3, 4) DLM_CHECK_RESULT;

/* Number behind a prefix: "v0012" with "v" gives 12, "train-000001-2026..." with "train-" gives 1;
 * -1 when name does not start so, or the number is out of range. */
int64_t dlm_name_number(const char *name, const char *prefix);

/* Makes current.txt name a version, which is there. */
enum dlm_status dlm_store_point_to(struct dlm_ctx *ctx, const struct dlm_store *store,
                                   int64_t number) DLM_CHECK_RESULT;

/* What a version says of itself: the run that made it, and hashes of its other files. */
#define DLM_VERSION_RECORD "training_run.json"

/* Run id that the record in a version's folder states, 0 if it states none. */
int64_t dlm_version_run_id(struct dlm_ctx *ctx, const char *dir);

/* Highest run id that any version, run folder or log of the store has used. */
enum dlm_status dlm_store_last_run_id(struct dlm_ctx *ctx, const struct dlm_store *store,
                                      int64_t *id) DLM_CHECK_RESULT;

/* Removes folders of runs that were killed before their first save. */
enum dlm_status dlm_store_sweep_runs(struct dlm_ctx *ctx, const struct dlm_store *store)
    DLM_CHECK_RESULT;

/* The name of a temporary file of an atomic write, "<name>.tmp.<pid>.<nonce>", or of a folder that
 * becomes a version or goes. */
bool dlm_store_is_leftover(const char *name);

/* A folder's names as dlm_dir_list gives them; an absent folder gives none. */
enum dlm_status dlm_store_list(struct dlm_ctx *ctx, const char *path, char ***names)
    DLM_CHECK_RESULT;

#endif
