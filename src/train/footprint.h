/* What a training run takes of its device, from the largest rows alone: what the trainer plans, and
 * what `dlm doctor` foretells. */
#ifndef DLM_TRAIN_FOOTPRINT_H
#define DLM_TRAIN_FOOTPRINT_H

#include "models/budget.h"
#include "models/pass.h"

/* No row of the run is larger in any of these. */
struct dlm_footprint_row {
    int64_t tokens, labels;
    struct dlm_image_room room; /* for one row's images */
    int64_t slice;              /* patches of the longest slice; 0: no images */
};

struct dlm_footprint_params {
    int64_t batch, grad_accum;
    int64_t loss_rows; /* 0: dlm_pass_loss_rows() */
    bool checkpoint;
    bool with_tower; /* the tower has adapters: it is part of the step */
};

/* Lengths for which programs are made. */
int64_t dlm_footprint_tokens(int64_t tokens);
int64_t dlm_footprint_labels(int64_t labels);

/* The shape of a pass that holds any `batch` rows. */
struct dlm_pass_params dlm_footprint_pass(const struct dlm_footprint_row *row,
                                          const struct dlm_lora *lora,
                                          const struct dlm_footprint_params *params);

/* Plans such a run, whose frozen tower has every image to see, and adds workspace and inputs: what
 * dlm_trainer_add_to_budget() adds. Allocates nothing on the device. */
enum dlm_status dlm_footprint_add(const struct dlm_model *model, const struct dlm_lora *lora,
                                  const struct dlm_footprint_row *row,
                                  const struct dlm_footprint_params *params,
                                  struct dlm_budget *budget) DLM_CHECK_RESULT;

#endif
