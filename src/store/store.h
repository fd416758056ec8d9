/* The store of one document, <home>/store/<dlm_id>/: adapter versions, blobs, runs, logs, lock.
 * Whatever moves a pointer is written, fsynced and renamed first, so that a killed process leaves
 * the last adapter usable. The manifest is in manifest.h, unfinished runs in run.h. */
#ifndef DLM_STORE_STORE_H
#define DLM_STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/attr.h"
#include "dlm/ctx.h"

struct dlm_store;

/* Names the store of dlm_id below home (NULL: $DLM_HOME, else ~/.dlm). Touches no file.
 * Borrows both; returns *out owned, NULL on failure. DLM_ERR_INVALID: dlm_id is no ULID. */
enum dlm_status dlm_store_open(struct dlm_ctx *ctx, struct dlm_store **out, const char *home,
                               const char *dlm_id) DLM_CHECK_RESULT;

/* Whether the text is a ULID, as stores are named. */
bool dlm_store_is_id(const char *text);

/* Gives the lock back if it is held, and frees. */
void dlm_store_close(struct dlm_store **store);

/* Absolute if home is. Valid until close. */
const char *dlm_store_path(const struct dlm_store *store);
const char *dlm_store_id(const struct dlm_store *store);

/* A manifest is there. */
bool dlm_store_is_initialized(const struct dlm_store *store);

/* Makes the folders: root, adapter/, adapter/versions/, logs/. */
enum dlm_status dlm_store_prepare(struct dlm_ctx *ctx, struct dlm_store *store) DLM_CHECK_RESULT;

/* <root>/<name>, made if `make`; owned by the caller in *path. */
enum dlm_status dlm_store_subdir(struct dlm_ctx *ctx, const struct dlm_store *store,
                                 const char *name, bool make, char **path) DLM_CHECK_RESULT;

/* --- caches: vl-cache/ (pixels) and vision-cache/ (features) --- */

#define DLM_NUM_CACHES 2
extern const char *const dlm_cache_names[DLM_NUM_CACHES]; /* their folders */

struct dlm_cache_use {
    uint64_t files, bytes;
    time_t first_used, last_used; /* 0: no file */
};

/* What the cache of this index holds. */
enum dlm_status dlm_store_cache_use(struct dlm_ctx *ctx, const struct dlm_store *store,
                                    size_t cache, struct dlm_cache_use *use) DLM_CHECK_RESULT;

struct dlm_cache_limits {
    uint64_t max_bytes; /* of all caches together */
    int64_t max_age;    /* seconds since a file was used last */
    time_t now;
};

/* INT64_MAX where they are more. */
int64_t dlm_seconds_of_days(int64_t days);

/* Removes the cache files that were used last longer than max_age ago, then others, least recently
 * used first, until the rest fits max_bytes. A file's time of change is when it was used. */
enum dlm_status dlm_store_prune_caches(struct dlm_ctx *ctx, const struct dlm_store *store,
                                       const struct dlm_cache_limits *limits) DLM_CHECK_RESULT;

/* Removes the caches. */
enum dlm_status dlm_store_clear_caches(struct dlm_ctx *ctx,
                                       const struct dlm_store *store) DLM_CHECK_RESULT;

/* Notes that a cache file is used now. */
void dlm_cache_touch(const char *path);

/* --- lock --- */

/* Takes <root>/.lock by flock, without waiting. The root must exist. A file that a dead process
 * left is taken over with one line. DLM_ERR_INVALID: `...: already locked by PID n`. */
enum dlm_status dlm_store_lock(struct dlm_ctx *ctx, struct dlm_store *store) DLM_CHECK_RESULT;
void dlm_store_unlock(struct dlm_store *store);

/* --- adapter versions --- */

/* The folder that current.txt points to, owned by the caller, and its number (NULL: not asked).
 * No adapter yet: *dir NULL, *version 0, DLM_OK. DLM_ERR_PARSE: the pointer escapes the store, or
 * names nothing. */
enum dlm_status dlm_store_current(struct dlm_ctx *ctx, const struct dlm_store *store, char **dir,
                                  int64_t *version) DLM_CHECK_RESULT;

/* Numbers of the versions, rising; *numbers is owned (dlm_free), NULL when there are none. */
enum dlm_status dlm_store_versions(struct dlm_ctx *ctx, const struct dlm_store *store,
                                   int64_t **numbers, size_t *num) DLM_CHECK_RESULT;

/* The folder of a version, owned by the caller. DLM_ERR_INVALID: there is none, and which are. */
enum dlm_status dlm_store_version(struct dlm_ctx *ctx, const struct dlm_store *store,
                                  int64_t number, char **dir) DLM_CHECK_RESULT;

/* The version in dir is whole: its adapter can be read, and its files have the hashes that they had
 * when they were written. DLM_ERR_PARSE: it is damaged. */
enum dlm_status dlm_store_verify_version(struct dlm_ctx *ctx, const char *dir,
                                         int64_t number) DLM_CHECK_RESULT;

/* Makes a version the current one, until a run commits the next. Lock held; document is the path of
 * the store's. DLM_ERR_INVALID: no such version, or the store is another document's. */
enum dlm_status dlm_store_use(struct dlm_ctx *ctx, struct dlm_store *store, const char *document,
                              int64_t number) DLM_CHECK_RESULT;

/* What becomes current when a version goes; 0: none is left. */
struct dlm_removal {
    bool is_current; /* the version that goes */
    int64_t next;    /* of those that stay: the current one, or the newest whole one */
};

/* What removing a version would mean. DLM_ERR_INVALID: there is none. */
enum dlm_status dlm_store_plan_removal(struct dlm_ctx *ctx, const struct dlm_store *store,
                                       int64_t number, struct dlm_removal *removal)
    DLM_CHECK_RESULT;

/* Removes a version, after making removal->next the current one. Lock held. */
enum dlm_status dlm_store_remove_version(struct dlm_ctx *ctx, struct dlm_store *store,
                                         int64_t number,
                                         const struct dlm_removal *removal) DLM_CHECK_RESULT;

/* Removes the whole store, under another name first, so that a killed process leaves none of it in
 * its place; what such ones left goes too. Lock held. */
enum dlm_status dlm_store_remove(struct dlm_ctx *ctx, struct dlm_store *store) DLM_CHECK_RESULT;

/* A version in the making. The caller must hold the lock from begin to finish; otherwise begin is
 * DLM_ERR_INVALID. */
struct dlm_version;

/* Starts the version of run `run_id` (> 0). If that run has committed before, the version that
 * exists is given back: dlm_version_exists() is true and nothing is to be written. */
enum dlm_status dlm_version_begin(struct dlm_ctx *ctx, struct dlm_store *store, int64_t run_id,
                                  struct dlm_version **out) DLM_CHECK_RESULT;
/* A version that no run made: it takes the next unused run id. */
enum dlm_status dlm_version_begin_new(struct dlm_ctx *ctx, struct dlm_store *store,
                                      struct dlm_version **out) DLM_CHECK_RESULT;
bool dlm_version_exists(const struct dlm_version *version);
/* Folder to write into (adapter/versions/.tmp-...). Valid until finish or abort. */
const char *dlm_version_dir(const struct dlm_version *version);
/* Its record is to say that the base was quantised. */
void dlm_version_set_qlora(struct dlm_version *version);

/* It names the tiles of products that the version was made with: 64 hex digits. */
void dlm_version_set_tiles(struct dlm_version *version, const char sha256[65]);

/* Writes training_run.json, fsyncs every file and folder, renames to vNNNN, moves current.txt.
 * Frees *version in any case; on failure the temporary folder is removed and current.txt is as
 * before. *number and *path (owned; either may be NULL) name the version. */
enum dlm_status dlm_version_finish(struct dlm_ctx *ctx, struct dlm_version **version,
                                   int64_t *number, char **path) DLM_CHECK_RESULT;

/* Removes the temporary folder. Accepts NULL. */
void dlm_version_abort(struct dlm_version **version);

/* Removes what killed processes left behind: temporary files and folders, folders of runs without a
 * saved state. Lock held; call it before dlm_run_begin(). */
enum dlm_status dlm_store_sweep(struct dlm_ctx *ctx, struct dlm_store *store) DLM_CHECK_RESULT;

/* --- blobs: blobs/<sha[:2]>/<sha><.ext> --- */

/* Copies the file at src into the store unless it is there. sha: hex of its SHA-256. *path (may be
 * NULL) is the blob's file, owned. */
enum dlm_status dlm_blob_put(struct dlm_ctx *ctx, struct dlm_store *store, const char *src,
                             char sha[65], char **path) DLM_CHECK_RESULT;

/* Path of a blob, owned. DLM_ERR_IO: not in the store. */
enum dlm_status dlm_blob_get(struct dlm_ctx *ctx, const struct dlm_store *store, const char *sha,
                             char **path) DLM_CHECK_RESULT;

/* Reads the blob and compares its hash. DLM_ERR_PARSE: damaged. */
enum dlm_status dlm_blob_verify(struct dlm_ctx *ctx, const struct dlm_store *store,
                                const char *sha) DLM_CHECK_RESULT;

/* SHA-256 of a file, by streaming. *bytes may be NULL. */
enum dlm_status dlm_file_sha256(struct dlm_ctx *ctx, const char *path, char sha[65],
                                uint64_t *bytes) DLM_CHECK_RESULT;

/* --- logs --- */

/* logs/train-000001-20260501T120000.jsonl for a run that started at `when` (UTC). Owned. */
enum dlm_status dlm_store_log_path(struct dlm_ctx *ctx, const struct dlm_store *store,
                                   int64_t run_id, time_t when, char **path) DLM_CHECK_RESULT;

/* The newest log of a run, owned; *path NULL: there is none. */
enum dlm_status dlm_store_find_log(struct dlm_ctx *ctx, const struct dlm_store *store,
                                   int64_t run_id, char **path) DLM_CHECK_RESULT;

/* The summary beside a log: same stem, .summary.json. Owned. */
enum dlm_status dlm_store_summary_path(struct dlm_ctx *ctx, const char *log_path,
                                       char **path) DLM_CHECK_RESULT;

/* Cuts a log back to `bytes`, the length a saved state knows. A missing log is made empty if bytes
 * is 0. DLM_ERR_PARSE: it is shorter. */
enum dlm_status dlm_log_cut(struct dlm_ctx *ctx, const char *path, uint64_t bytes) DLM_CHECK_RESULT;

/* "2026-05-01T12:00:00", UTC without a zone, as every time in the store. */
void dlm_time_iso(time_t when, char text[20]);

/* --- what `dlm show` says --- */

struct dlm_store_info {
    bool initialized;
    bool has_current;
    int64_t adapter_version; /* 0: none */
    int64_t num_runs;        /* of the manifest */
    char last_trained_at[32]; /* "" : never */
    uint64_t total_bytes;     /* of all files in the store */
    uint64_t replay_bytes;
    bool orphaned; /* the manifest's source_path does not exist */
    int64_t num_unfinished;
};

/* Collects *info; a store that does not exist is not an error. */
enum dlm_status dlm_store_inspect(struct dlm_ctx *ctx, const struct dlm_store *store,
                                  struct dlm_store_info *info) DLM_CHECK_RESULT;

#endif
