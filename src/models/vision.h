/* The frozen tower as programs of its own: the patches of a slice in, features before the projector
 * out. The step's graph takes them as an input, from here or from a cache. One program serves every
 * slice of a bucket of lengths; it is made when it is first needed. */
#ifndef DLM_MODELS_VISION_H
#define DLM_MODELS_VISION_H

#include "graph/program.h"
#include "models/tower.h"

#define DLM_VISION_MAX_PROGRAMS 8

struct dlm_vision_program {
    struct dlm_slots slots;
    struct dlm_tower tower; /* with room for one slice */
    struct dlm_graph *graph;
    struct dlm_plan *plan;
    struct dlm_program *program;
    struct dlm_tensor *features; /* f32 [patches, width] */
    uint64_t used;               /* when it last ran */
};

struct dlm_vision {
    const struct dlm_model *model;
    const struct dlm_lora *lora;
    struct dlm_vision_program largest; /* decides the workspace, and has the inputs of all */
    struct dlm_vision_program others[DLM_VISION_MAX_PROGRAMS];
    struct dlm_workspace *workspace;
    uint64_t clock;
};

/* Graph and plan of the longest slices only: `patches` is the most that one has. model and lora
 * (may be NULL; its tower modules count) are borrowed until finish. */
enum dlm_status dlm_vision_init(struct dlm_vision *v, const struct dlm_model *model,
                                const struct dlm_lora *lora, int64_t patches) DLM_CHECK_RESULT;
void dlm_vision_finish(struct dlm_vision *v);

/* Makes the program; the tower's weights must be loaded. workspace fits the largest plan, and is
 * borrowed until finish. */
enum dlm_status dlm_vision_prepare(struct dlm_vision *v,
                                   struct dlm_workspace *workspace) DLM_CHECK_RESULT;

/* pixel_values of plan->pixels -> features f32 [plan->patches, width]. */
enum dlm_status dlm_vision_run(struct dlm_vision *v, const struct dlm_image_plan *plan,
                               const float *pixel_values, float *features) DLM_CHECK_RESULT;

#endif
