/* One pass over B examples of at most T tokens: log-probabilities of their labels, and, when asked,
 * the gradients of the adapter. What training and scoring replay. */
#ifndef DLM_MODELS_PASS_H
#define DLM_MODELS_PASS_H

#include "graph/program.h"
#include "models/model.h"
#include "models/tower.h"

struct dlm_pass_params {
    int64_t batch, tokens; /* B, T */
    int64_t labels;        /* most labels of all examples together */
    struct dlm_image_room room; /* for the images of all examples together */
    int64_t logprobs;      /* room for those of several runs; less than `labels`: of one */
    int64_t loss_rows; /* most rows of logits that are held at once; 0: dlm_pass_loss_rows() */
    bool backward;
    bool checkpoint;
    bool with_tower; /* patches instead of features: the tower has adapters */
    bool dropout;
};

struct dlm_pass {
    const struct dlm_model *model;
    const struct dlm_lora *lora; /* may be NULL */
    struct dlm_pass_params params;
    struct dlm_slots slots;
    struct dlm_slot *ids, *cos, *sin, *rows, *keep, *keep_back, *labels, *weights;
    struct dlm_slot *features, *slot_rows, *rng, *adapter_on;
    struct dlm_slot *row_ids, *keep_ids, *slice_ids; /* dropout streams of rows, labels, slices */
    struct dlm_tower tower;                          /* with_tower */
    struct dlm_slot *logprobs, *logprobs_start; /* where runs leave what they found */
    struct dlm_graph *graph; /* these two until it is settled */
    struct dlm_plan *plan;
    struct dlm_program *program;
    int32_t (*positions)[3]; /* [rows] */
};

/* Rows of logits that a pass of the model on its device holds at once: a power of two. The head is
 * read once for as many labels. Follows from the model and what its device has in all, so that a
 * run gives the same bits whatever else is running. */
int64_t dlm_pass_loss_rows(const struct dlm_model *model);

/* Graph and plan only. Borrows model and lora until destroy. */
enum dlm_status dlm_pass_create(struct dlm_ctx *ctx, struct dlm_pass **out,
                                const struct dlm_model *model, const struct dlm_lora *lora,
                                const struct dlm_pass_params *params) DLM_CHECK_RESULT;
void dlm_pass_destroy(struct dlm_pass **pass);

/* Makes the program: weights are loaded, the adapter is uploaded, workspace fits the plan. */
enum dlm_status dlm_pass_prepare(struct dlm_pass *pass,
                                 struct dlm_workspace *workspace) DLM_CHECK_RESULT;

/* The pass is only run from now on: its plan and graph go. */
void dlm_pass_settle(struct dlm_pass *pass);

struct dlm_pass_step {
    const struct dlm_example *examples; /* [num], at most B */
    int64_t num;
    float weight;     /* of each label in the loss */
    uint64_t seed;    /* of dropout */
    uint32_t step;
    bool adapter_off; /* the base alone; not with backward */
    int64_t logprobs_at; /* where the labels' log-probabilities go among those of other runs */
};

/* Writes the inputs and submits one replay. Labels are those of the examples, in their order;
 * gradients of -weight * sum logprob are added to the adapter's. */
enum dlm_status dlm_pass_run(struct dlm_pass *pass,
                             const struct dlm_pass_step *step) DLM_CHECK_RESULT;

/* The first num log-probabilities that runs of passes with the same slots have left. Waits. */
enum dlm_status dlm_pass_logprobs(struct dlm_pass *pass, float *out,
                                  int64_t num) DLM_CHECK_RESULT;

#endif
