/* What an image is to a model, known from its size alone: no pixel is needed to count tokens. */
#ifndef DLM_MODELS_IMAGE_PLAN_H
#define DLM_MODELS_IMAGE_PLAN_H

#include <stdint.h>

struct dlm_image_plan {
    int32_t height, width;          /* of the pixels, after resizing */
    int32_t grid_t, grid_h, grid_w; /* patches as the tower sees them; those of another t it does
                                     * not see: each of the grid_t slices is a picture of its own */
    int32_t patches;                /* rows into the tower, grid_t * grid_h * grid_w */
    int32_t tokens;                 /* rows out of the projector: placeholders in the input */
};

#endif
