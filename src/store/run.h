/* Unfinished runs: runs/<id>/state.json and the state-<n>.safetensors that it names.
 * The tensors are written first under a new name, then state.json is replaced, then the old tensors
 * go: at any moment state.json names tensors that are whole. */
#ifndef DLM_STORE_RUN_H
#define DLM_STORE_RUN_H

#include "base/json.h"
#include "store/store.h"
#include "weights/checkpoint.h"

struct dlm_run;

/* Starts a run: the next unused id of this store, folder runs/<id>/. Nothing counts as unfinished
 * until the first save; till then begin.json keeps `from`, the caller's word for how the run starts
 * (below 16 characters). Lock held. Returns *out owned. */
enum dlm_status dlm_run_begin(struct dlm_ctx *ctx, struct dlm_store *store, const char *from,
                              struct dlm_run **out) DLM_CHECK_RESULT;

/* Whether the newest run was killed before its first save: how it started, "" when it was not. Call
 * it before dlm_store_sweep(), which removes such a run. Lock held. */
enum dlm_status dlm_store_killed_start(struct dlm_ctx *ctx, const struct dlm_store *store,
                                       char from[16]) DLM_CHECK_RESULT;

/* Opens an unfinished run by its id. */
enum dlm_status dlm_run_open(struct dlm_ctx *ctx, struct dlm_store *store, int64_t id,
                             struct dlm_run **out) DLM_CHECK_RESULT;

/* Frees; the folder stays. */
void dlm_run_close(struct dlm_run **run);

int64_t dlm_run_id(const struct dlm_run *run);
const char *dlm_run_dir(const struct dlm_run *run);

/* Puts the state down. state is an object of the caller's own keys; "tensors_file",
 * "tensors_bytes", "tensors_sha256" and "run_id" are added to what is written. On failure the state
 * saved before is still whole. Borrows everything. */
enum dlm_status dlm_run_save(struct dlm_ctx *ctx, struct dlm_run *run, const json_t *state,
                             const struct dlm_tensor_out *tensors,
                             size_t num_tensors) DLM_CHECK_RESULT;

/* Reads the state back; *state (json_decref) and *tensors are owned by the caller.
 * DLM_ERR_IO: the run was never saved; DLM_ERR_PARSE: damaged. */
enum dlm_status dlm_run_load(struct dlm_ctx *ctx, const struct dlm_run *run, json_t **state,
                             struct dlm_checkpoint **tensors) DLM_CHECK_RESULT;

/* The run is over (its version is committed, or it is given up): removes its folder, frees. */
enum dlm_status dlm_run_finish(struct dlm_ctx *ctx, struct dlm_run **run) DLM_CHECK_RESULT;

/* Ids of runs with a saved state, rising; *ids owned (dlm_free), NULL when there are none. */
enum dlm_status dlm_store_unfinished_runs(struct dlm_ctx *ctx, const struct dlm_store *store,
                                          int64_t **ids, size_t *num) DLM_CHECK_RESULT;

#endif
