/* The optimiser's program: gradient norm, clipping, AdamW over the flat vectors, gradients back to
 * zero. */
#ifndef DLM_TRAIN_UPDATE_H
#define DLM_TRAIN_UPDATE_H

#include "graph/program.h"
#include "models/lora.h"
#include "models/slots.h"

struct dlm_update {
    struct dlm_slots slots;
    struct dlm_slot *hyper;
    struct dlm_graph *graph;
    struct dlm_plan *plan;
    struct dlm_program *program;
    struct dlm_tensor *coef; /* f32 [2]: norm, clipping factor */
};

struct dlm_update_step {
    double lr, weight_decay, beta1, beta2, eps;
    int64_t t; /* counts from 1 */
};

/* Graph and plan. Borrows lora and device until finish. max_norm 0: no clipping. */
enum dlm_status dlm_update_init(struct dlm_update *u, struct dlm_ctx *ctx,
                                struct dlm_device *device, const struct dlm_lora *lora,
                                float max_norm) DLM_CHECK_RESULT;
void dlm_update_finish(struct dlm_update *u);

/* The adapter is on the device for training. */
enum dlm_status dlm_update_prepare(struct dlm_update *u,
                                   struct dlm_workspace *workspace) DLM_CHECK_RESULT;

/* One step; *grad_norm is the norm before clipping. */
enum dlm_status dlm_update_run(struct dlm_update *u, const struct dlm_update_step *step,
                               float *grad_norm) DLM_CHECK_RESULT;

#endif
