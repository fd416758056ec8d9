/* The frozen tower as a program of its own: pixels of one image in, features before the projector
 * out. The step's graph takes them as an input, from here or from a cache. */
#ifndef DLM_MODELS_VISION_H
#define DLM_MODELS_VISION_H

#include "graph/program.h"
#include "models/model.h"
#include "models/slots.h"

struct dlm_vision {
    const struct dlm_model *model;
    struct dlm_slots slots;
    struct dlm_slot *pixels, *rows;
    struct dlm_graph *graph;
    struct dlm_plan *plan;
    struct dlm_program *program;
    struct dlm_tensor *features; /* f32 [patches, hidden] */
};

/* Graph and plan only; model and lora (may be NULL; its tower modules count) are borrowed until
 * finish. */
enum dlm_status dlm_vision_init(struct dlm_vision *v, const struct dlm_model *model,
                                const struct dlm_lora *lora) DLM_CHECK_RESULT;
void dlm_vision_finish(struct dlm_vision *v);

/* Makes the program; the tower's weights must be loaded. workspace fits the plan. */
enum dlm_status dlm_vision_prepare(struct dlm_vision *v,
                                   struct dlm_workspace *workspace) DLM_CHECK_RESULT;

/* pixel_values f32 [3, H, W] -> features f32 [patches, hidden]. */
enum dlm_status dlm_vision_run(struct dlm_vision *v, const float *pixel_values,
                               float *features) DLM_CHECK_RESULT;

/* Number of floats of one image's features, and of its pixels. */
size_t dlm_vision_features_len(const struct dlm_model *m);
size_t dlm_vision_pixels_len(const struct dlm_model *m);

#endif
