/* Micro-batches: each runs in the program of its bucket (buckets.h), which is made at first use in
 * one workspace that is sized for the largest. */
#ifndef DLM_TRAIN_BATCH_H
#define DLM_TRAIN_BATCH_H

#include "models/budget.h"
#include "train/buckets.h"
#include "train/data.h"
#include "train/footprint.h"

struct dlm_batcher {
    struct dlm_train_data *data;
    const struct dlm_lora *lora;
    struct dlm_vision *vision; /* may be NULL */
    bool checkpoint, with_tower;
    int64_t loss_rows; /* of every pass */
    int64_t batch;
    struct dlm_pass *largest; /* decides the workspace, and has the inputs of all */
    struct dlm_buckets buckets;
    struct dlm_pass *passes[DLM_MAX_BUCKETS]; /* by bucket; NULL, or no program: not yet */
    size_t num_expected;                      /* buckets that some rows run in, but the largest */
    bool needs_largest;                       /* some rows fit no other bucket */
    int64_t num_programs;                     /* made so far */
    int64_t num_logprobs;                     /* since dlm_batcher_begin() */
    struct dlm_plan *update_plan;
    struct dlm_workspace workspace;
};

/* how: checkpoint, with_tower and loss_rows count, for every pass. */
void dlm_batcher_init(struct dlm_batcher *b, struct dlm_train_data *data,
                      const struct dlm_lora *lora, struct dlm_vision *vision,
                      const struct dlm_pass_params *how);
void dlm_batcher_finish(struct dlm_batcher *b);

/* What no row of the data exceeds. */
void dlm_batcher_largest_row(const struct dlm_train_data *data, struct dlm_footprint_row *row);

/* Bytes of arenas and inputs that a micro-batch of the largest rows needs. */
enum dlm_status dlm_batcher_measure(struct dlm_batcher *b, int64_t batch,
                                    size_t *bytes) DLM_CHECK_RESULT;

/* Plans the largest pass, for steps of grad_accum micro-batches. update_plan is borrowed: it shares
 * the workspace. */
enum dlm_status dlm_batcher_plan(struct dlm_batcher *b, int64_t batch, int64_t grad_accum,
                                 struct dlm_plan *update_plan) DLM_CHECK_RESULT;

/* After planning: makes a bucket for some rows, unless they come late and have to run in what
 * buckets there are. In the end, makes those for whatever may come, and plans those that need most
 * of the workspace, which a mixed corpus never touches all of. */
void dlm_batcher_expect(struct dlm_batcher *b, const struct dlm_train_example *const *rows,
                        size_t num, bool backward, bool is_late);
enum dlm_status dlm_batcher_expect_all(struct dlm_batcher *b) DLM_CHECK_RESULT;

/* Before it is prepared. */
void dlm_batcher_add_to_budget(const struct dlm_batcher *b, struct dlm_budget *budget);

/* Allocates the workspace and prepares the vision program. */
enum dlm_status dlm_batcher_prepare(struct dlm_batcher *b) DLM_CHECK_RESULT;

/* Runs micro-batches one after the other, at most grad_accum of them, none of which waits for the
 * one before: dlm_batcher_end() gives the sum of all their labels' log-probabilities. backward:
 * gradients are added to the adapter's, and its dropout is on. */
enum dlm_status dlm_batcher_begin(struct dlm_batcher *b) DLM_CHECK_RESULT;
enum dlm_status dlm_batcher_run(struct dlm_batcher *b, const struct dlm_train_example *const *rows,
                                size_t num, const struct dlm_pass_step *how,
                                bool backward) DLM_CHECK_RESULT;
enum dlm_status dlm_batcher_end(struct dlm_batcher *b, double *sum) DLM_CHECK_RESULT;

#endif
