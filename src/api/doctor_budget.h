/* What `dlm doctor` says of a base or document: collected in doctor_budget.c, written in
 * doctor_budget_text.c. Private to src/api. */
#ifndef DLM_API_DOCTOR_BUDGET_H
#define DLM_API_DOCTOR_BUDGET_H

#include "api/estimate.h"
#include "api/may_train.h"
#include "base/str.h"
#include "dlm/doctor.h"
#include "doc/doc.h"
#include "train/footprint.h"

#define DLM_DOCTOR_MAX_LINES 8

/* A use of the base and what it takes. */
struct dlm_doctor_line {
    int64_t batch; /* of training; 0: answers */
    bool checkpoint;
    bool is_document; /* batch and checkpoints are the document's own */
    struct dlm_budget budget;
    double seconds; /* about, of a step or of a token of an answer; 0: not known */
    char misfit[256]; /* why the device cannot run it; then nothing else holds */
};

struct dlm_doctor_budget {
    struct dlm_ctx *ctx;
    const struct dlm_doctor_budget_params *params;
    struct dlm_doc *doc; /* the caller's, or an empty one: what holds without one */
    struct dlm_session *s;
    struct dlm_lora *lora;
    struct dlm_image_plan image; /* all zero: the base is shown none */
    int64_t asked_tokens, answer_tokens; /* of an answer: what comes before, and at most */
    struct dlm_footprint_row usual; /* of one such image; tokens and labels as of row */
    struct dlm_footprint_row row;   /* of training */
    size_t num_rows;                /* of the document, that were counted for it; 0: none were */
    bool trains_tower;
    char untrainable[256]; /* what in the document stands in the way of training; "": nothing */
    struct dlm_doctor_line lines[DLM_DOCTOR_MAX_LINES];
    size_t num_lines;
    struct dlm_speed speed; /* all zero: not known */
    double first_seconds;   /* about, until an answer's first token */
    struct dlm_refusal_facts facts; /* with the smallest plan of training */
};

enum dlm_status dlm_doctor_budget_write(const struct dlm_doctor_budget *b,
                                        struct dlm_str *out) DLM_CHECK_RESULT;

#endif
