/* What an image is to a model, known from its size alone: no pixel is needed to count tokens. And
 * the way from a file to the pixels that a plan asks for. */
#ifndef DLM_MODELS_IMAGE_PLAN_H
#define DLM_MODELS_IMAGE_PLAN_H

#include "images/processor.h"

struct dlm_model;

struct dlm_image_plan {
    struct dlm_pixel_shape pixels;  /* of pixel_values: [grid_t, 3, height, width] */
    int32_t grid_t, grid_h, grid_w; /* patches as the tower sees them: grid_t slices, pictures of
                                     * their own that do not see each other */
    int32_t patches;                /* rows into the tower: grid_t * grid_h * grid_w */
    int32_t tokens;                 /* rows out of the projector: placeholders in the input */
};

/* Patches of a slice. */
static inline int64_t dlm_image_plan_slice(const struct dlm_image_plan *plan)
{
    return (int64_t)plan->grid_h * plan->grid_w;
}

/* Number of floats of the features that the tower gives: [patches, width]. */
size_t dlm_image_plan_features_len(const struct dlm_model *m, const struct dlm_image_plan *plan);

/* Plans the image file at path, which messages call `name`: its size is read unless the family
 * does not ask for one. */
enum dlm_status dlm_image_plan_file(const struct dlm_model *m, const char *path,
                                    struct dlm_image_name name,
                                    struct dlm_image_plan *plan) DLM_CHECK_RESULT;

/* Plans an image of the size that a base's memory is told for: the processor's, and where that goes
 * by the image's own, 672 x 672. */
enum dlm_status dlm_image_plan_usual(const struct dlm_model *m,
                                     struct dlm_image_plan *plan) DLM_CHECK_RESULT;

/* The same of an image in memory. */
enum dlm_status dlm_image_plan_source(const struct dlm_model *m,
                                      const struct dlm_image_source *source,
                                      struct dlm_image_plan *plan) DLM_CHECK_RESULT;

#endif
