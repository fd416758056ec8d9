/* One call of dlm_train: what its files share. Private to src/api. */
#ifndef DLM_API_TRAIN_IMPL_H
#define DLM_API_TRAIN_IMPL_H

#include <stdio.h>
#include <time.h>

#include "api/origin.h"
#include "api/session_impl.h"
#include "dlm/train.h"
#include "doc/sources.h"
#include "store/lock_record.h"
#include "store/manifest.h"
#include "store/run.h"
#include "train/loop.h"

struct dlm_train_call {
    struct dlm_ctx *ctx;
    const struct dlm_train_params *params;
    struct dlm_train_result *result;
    struct dlm_doc *doc;
    struct dlm_doc_sources sources;
    struct dlm_rows rows;
    struct dlm_store *store;
    struct dlm_session *s;           /* the caller's, or own_session */
    struct dlm_session *own_session;
    const struct dlm_base *base;     /* the document's: the session's, or named_base */
    struct dlm_base named_base;      /* as the document names what the caller's session has open */
    struct dlm_lora *lora;
    struct dlm_vision vision;
    bool has_vision;
    struct dlm_train_data data;
    struct dlm_trainer *trainer;
    struct dlm_run *run;
    bool is_resumed;        /* run has a saved state */
    bool keeps_run;         /* a failure leaves the run to --resume: resumed, or a step was done */
    char *start_adapter;    /* folder that a begun run starts from; NULL: a new adapter */
    char killed_start[16];  /* to resume: the last run was killed before its first state */
    int64_t seed;
    bool checkpoint;        /* gradient checkpointing */
    bool with_tower;
    /* resolved, from the state when resumed; else 0 */
    int64_t micro_batch, grad_accum, loss_rows, epochs;
    double lr;
    /* what a resumed run must agree with */
    char document_sha[65], rows_sha[65], base_sha[65], options_sha[65];
    json_t *file_shas;        /* of the base's files beside its weights, by name */
    struct dlm_origin origin; /* base, and the form that the document asks for */
    /* tiles of the device that wait while the run has others */
    uint8_t own_tiles[DLM_NUM_TUNED];
    bool has_own_tiles;
    /* progress */
    int64_t first_step;     /* 1, or the one after the saved state */
    double first_loss, last_loss, last_val_loss;
    double step_seconds;    /* about, as foretold; 0: not known */
    time_t started_at;
    char *log_path;
    FILE *log;
};

/* train_session.c: what the document asks for where the caller leaves it open. */
struct dlm_compute dlm_train_choose_compute(const struct dlm_compute *given,
                                            const struct dlm_doc *doc);
/* t->s, if the caller gave none, and t->base. DLM_ERR_INVALID: the caller's has
 * another base open than the document's. */
enum dlm_status dlm_train_take_session(struct dlm_train_call *t) DLM_CHECK_RESULT;

/* train_rows.c: t->rows; whether the base takes them, which are made to fit it; and, once every
 * image has been read, whether those that cannot be are left out, after all have been named. */
enum dlm_status dlm_train_make_rows(struct dlm_train_call *t) DLM_CHECK_RESULT;
enum dlm_status dlm_train_check_rows(struct dlm_train_call *t) DLM_CHECK_RESULT;
enum dlm_status dlm_train_check_row_images(struct dlm_train_call *t) DLM_CHECK_RESULT;

/* train_adapter.c: the adapter that the document asks for, without values. */
enum dlm_status dlm_train_document_lora(struct dlm_model *model, const struct dlm_base *base,
                                        const struct dlm_doc *doc,
                                        struct dlm_lora **lora) DLM_CHECK_RESULT;

/* Makes t->lora and t->origin; *tensors (owned) as of dlm_train_load_state(). */
enum dlm_status dlm_train_make_adapter(struct dlm_train_call *t,
                                       struct dlm_checkpoint **tensors) DLM_CHECK_RESULT;

/* train.c: t->trainer, and t->vision if the run needs it, from data, lora and document. */
enum dlm_status dlm_train_make_trainer(struct dlm_train_call *t) DLM_CHECK_RESULT;

/* train_knobs.c: what would help the run, whose trainer is made and does not fit. */
void dlm_train_say_knobs(struct dlm_train_call *t);

/* train_tiles.c: the device's tiles as the state keeps them (owned; NULL: no memory); those of a
 * state in their place, until they are returned. Call it before anything is planned. */
json_t *dlm_train_tiles_json(const struct dlm_train_call *t);
enum dlm_status dlm_train_take_tiles(struct dlm_train_call *t,
                                     const json_t *state) DLM_CHECK_RESULT;
void dlm_train_return_tiles(struct dlm_train_call *t);

/* train_state.c: hashes, saving and taking up a run's state. */
enum dlm_status dlm_train_hash_base(struct dlm_train_call *t) DLM_CHECK_RESULT;
enum dlm_status dlm_train_hash(struct dlm_train_call *t) DLM_CHECK_RESULT;
enum dlm_status dlm_train_save_state(struct dlm_train_call *t, int64_t step) DLM_CHECK_RESULT;
/* Takes up the run to resume, or begins one, and reports an unfinished one that stays. */
enum dlm_status dlm_train_take_run(struct dlm_train_call *t) DLM_CHECK_RESULT;
/* Makes t->lora from the run's state; *tensors (owned) holds its vectors for later. */
enum dlm_status dlm_train_load_state(struct dlm_train_call *t,
                                     struct dlm_checkpoint **tensors) DLM_CHECK_RESULT;
enum dlm_status dlm_train_restore(struct dlm_train_call *t,
                                  const struct dlm_checkpoint *tensors) DLM_CHECK_RESULT;

/* train_log.c: the JSONL log. */
enum dlm_status dlm_train_log_open(struct dlm_train_call *t) DLM_CHECK_RESULT;
enum dlm_status dlm_train_log_step(struct dlm_train_call *t, const struct dlm_trainer_step *step,
                                   double tokens_per_sec, double val_loss) DLM_CHECK_RESULT;
enum dlm_status dlm_train_log_complete(struct dlm_train_call *t,
                                       int64_t version) DLM_CHECK_RESULT;
/* Ids of the sections that rows come from, in their order; the array is owned, the ids are not. */
const char **dlm_train_section_ids(const struct dlm_train_call *t, size_t *num);
/* Bytes that are safely in the log. */
enum dlm_status dlm_train_log_bytes(struct dlm_train_call *t, uint64_t *bytes) DLM_CHECK_RESULT;
/* Says that the run has come to NaN or infinity ("loss is"): nothing of it is kept but the log.
 * Returns DLM_ERR_INVALID. */
enum dlm_status dlm_train_diverged(struct dlm_train_call *t, const char *what,
                                   int64_t step) DLM_CHECK_RESULT;

/* train_ask.c: fills the result's answers, after the commit. Ends the trainer. */
enum dlm_status dlm_train_ask(struct dlm_train_call *t) DLM_CHECK_RESULT;

/* train_commit.c: the adapter version, the manifest, the lock record. */
enum dlm_status dlm_train_commit(struct dlm_train_call *t) DLM_CHECK_RESULT;
/* Whether what holds now agrees with dlm.lock, as the policy asks. */
enum dlm_status dlm_train_check_lock(struct dlm_train_call *t) DLM_CHECK_RESULT;

#endif
