/* Images as grids of patches, merge x merge of which become one token: what towers share whose
 * images may have any size. Those patches follow each other, token by token. */
#ifndef DLM_MODELS_PATCH_GRID_H
#define DLM_MODELS_PATCH_GRID_H

#include "models/image_plan.h"

/* The plan of an image by the processor's sizes, patch and merge. Fails as
 * dlm_processor_plan() does. */
enum dlm_status dlm_patch_grid_plan(struct dlm_ctx *ctx, const struct dlm_processor *processor,
                                    const struct dlm_image_size *size,
                                    struct dlm_image_plan *plan) DLM_CHECK_RESULT;

/* pixels [3, height, width] of the plan's shape -> rows [patches, 3 * frames * patch * patch], each
 * [channel][frame][y][x]; a still image's frames are all the same. */
void dlm_patch_grid_fill(const struct dlm_image_plan *plan, int64_t patch, int64_t merge,
                         int64_t frames, const float *pixels, float *rows);

/* The cosine, or the sine, of the angles that turn a head's pairs: rows [patches, half]. The first
 * half of the pairs is turned by the patch's row, the second by its column, pair i by its
 * place times frequency[i]; in f32, as transformers computes it. */
void dlm_patch_grid_rope(const struct dlm_image_plan *plan, int64_t merge, const float *frequency,
                         int64_t half, bool is_sine, float *rows);

#endif
