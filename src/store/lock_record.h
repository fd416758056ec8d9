/* dlm.lock: under which conditions a store was last trained, and whether they still hold. */
#ifndef DLM_STORE_LOCK_RECORD_H
#define DLM_STORE_LOCK_RECORD_H

#include "base/json.h"
#include "store/store.h"

/* All strings may be NULL (null). */
struct dlm_lock_record {
    const char *dlm_sha256;        /* of the document's bytes */
    const char *base_revision;
    const char *base_sha256;
    const char *hardware_tier;     /* "cpu", ... */
    const char *determinism_class; /* "strong", "best-effort", "advisory" */
    int64_t seed;
    int64_t last_run_id;
    const json_t *license;         /* the manifest's license_acceptance, or NULL */
};

/* Compares dlm.lock, if there is one, with what holds now, and looks at its place as below. Another
 * document is what training is for; another base is an error; another device, seed, program, class
 * or licence is a warning, or with strict an error: DLM_ERR_INVALID, `lock: <path>: lock validation
 * failed (a; b)`. DLM_ERR_PARSE: it is no record. */
enum dlm_status dlm_lock_record_check(struct dlm_ctx *ctx, const struct dlm_store *store,
                                      const struct dlm_lock_record *now,
                                      bool strict) DLM_CHECK_RESULT;

/* dlm.lock is a record, or not there. DLM_ERR_PARSE: it is none. */
enum dlm_status dlm_lock_record_verify(struct dlm_ctx *ctx,
                                       const struct dlm_store *store) DLM_CHECK_RESULT;

/* dlm.lock is a file or not there, so that a record can be written. DLM_ERR_IO: a folder. */
enum dlm_status dlm_lock_record_check_place(struct dlm_ctx *ctx,
                                            const struct dlm_store *store) DLM_CHECK_RESULT;

/* Replaces dlm.lock atomically. */
enum dlm_status dlm_lock_record_write(struct dlm_ctx *ctx, const struct dlm_store *store,
                                      const struct dlm_lock_record *record) DLM_CHECK_RESULT;

#endif
