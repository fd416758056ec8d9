/* Micro-batches: programs by shape bucket, made at first use in one workspace that is sized for the
 * largest. */
#ifndef DLM_TRAIN_BATCH_H
#define DLM_TRAIN_BATCH_H

#include "models/budget.h"
#include "train/data.h"

#define DLM_BATCHER_MAX_PASSES 24

struct dlm_batcher {
    struct dlm_train_data *data;
    const struct dlm_lora *lora;
    struct dlm_vision *vision; /* may be NULL */
    bool checkpoint, with_tower;
    int64_t batch;
    struct dlm_pass *largest; /* decides the workspace, and has the inputs of all */
    struct dlm_pass *passes[DLM_BATCHER_MAX_PASSES];
    struct dlm_pass_params buckets[DLM_BATCHER_MAX_PASSES]; /* that each pass serves */
    uint64_t used[DLM_BATCHER_MAX_PASSES]; /* when it last ran */
    uint64_t clock;
    struct dlm_plan *update_plan;
    struct dlm_workspace workspace;
};

void dlm_batcher_init(struct dlm_batcher *b, struct dlm_train_data *data,
                      const struct dlm_lora *lora, struct dlm_vision *vision, bool checkpoint,
                      bool with_tower);
void dlm_batcher_finish(struct dlm_batcher *b);

/* Bytes of arenas and inputs that a micro-batch of the largest rows needs. */
enum dlm_status dlm_batcher_measure(struct dlm_batcher *b, int64_t batch,
                                    size_t *bytes) DLM_CHECK_RESULT;

/* Plans the largest pass. update_plan is borrowed: it shares the workspace. */
enum dlm_status dlm_batcher_plan(struct dlm_batcher *b, int64_t batch,
                                 struct dlm_plan *update_plan) DLM_CHECK_RESULT;
void dlm_batcher_add_to_budget(const struct dlm_batcher *b, struct dlm_budget *budget);

/* Allocates the workspace and prepares the vision program. */
enum dlm_status dlm_batcher_prepare(struct dlm_batcher *b) DLM_CHECK_RESULT;

/* Runs one micro-batch; *sum is the sum of its labels' log-probabilities. backward: gradients are
 * added to the adapter's, and its dropout is on. */
enum dlm_status dlm_batcher_run(struct dlm_batcher *b, const struct dlm_train_example *const *rows,
                                size_t num, const struct dlm_pass_step *how, bool backward,
                                double *sum) DLM_CHECK_RESULT;

#endif
