/* Generation: a prefill program that fills the KV cache with a prompt, and a decode program that is
 * replayed token by token, the next token chosen on the device. */
#ifndef DLM_GENERATE_GENERATOR_H
#define DLM_GENERATE_GENERATOR_H

#include "graph/program.h"
#include "models/budget.h"
#include "models/model.h"
#include "models/pass.h"

struct dlm_generator_params {
    int64_t prompt_len;   /* tokens of the prompt, images included */
    int64_t max_tokens;   /* most that will be generated */
    struct dlm_image_room room; /* for the prompt's images */
};

struct dlm_generator;

/* Graphs and plans only. Borrows model and lora (may be NULL) until destroy. */
enum dlm_status dlm_generator_create(struct dlm_ctx *ctx, struct dlm_generator **out,
                                     const struct dlm_model *model, const struct dlm_lora *lora,
                                     const struct dlm_generator_params *params) DLM_CHECK_RESULT;
void dlm_generator_destroy(struct dlm_generator **generator);

/* The two plans, for the workspace; and the memory of KV cache and inputs. */
void dlm_generator_plans(const struct dlm_generator *g, struct dlm_plan *plans[2]);
void dlm_generator_add_to_budget(const struct dlm_generator *g, struct dlm_budget *budget);

/* Makes the programs: weights loaded, adapter uploaded, workspace fits both plans. */
enum dlm_status dlm_generator_prepare(struct dlm_generator *g,
                                      struct dlm_workspace *workspace) DLM_CHECK_RESULT;

struct dlm_sampling {
    float temperature; /* <= 0: greedy */
    float top_p;       /* in (0, 1); else off */
    uint64_t seed;
};

/* Takes in the prompt (its labels are not read) and chooses the first token. */
enum dlm_status dlm_generator_prefill(struct dlm_generator *g, const struct dlm_example *prompt,
                                      const struct dlm_sampling *sampling,
                                      int32_t *token) DLM_CHECK_RESULT;

/* Feeds the token chosen last and chooses the next. */
enum dlm_status dlm_generator_next(struct dlm_generator *g, int32_t *token) DLM_CHECK_RESULT;

/* The prefill or the decode program, for tests and profiles: the last run's inputs are there. */
struct dlm_program *dlm_generator_program(struct dlm_generator *g, bool prefill);

#endif
