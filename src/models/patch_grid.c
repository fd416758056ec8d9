/* Patches of grids in the order of their tokens. */
#include "models/patch_grid.h"

#include <math.h>
#include <string.h>

enum dlm_status dlm_patch_grid_plan(struct dlm_ctx *ctx, const struct dlm_processor *processor,
                                    const struct dlm_image_size *size, struct dlm_image_plan *plan)
{
    const int32_t patch = processor->patch, merge = processor->merge;

    *plan = (struct dlm_image_plan){.grid_t = 1};
    enum dlm_status st = dlm_processor_plan(ctx, processor, size, &plan->pixels);
    plan->grid_h = plan->pixels.height / patch;
    plan->grid_w = plan->pixels.width / patch;
    plan->patches = plan->grid_h * plan->grid_w;
    plan->tokens = plan->patches / (merge * merge);
    return st;
}

/* Where patch `row` stands in the grid. */
static void place_of(const struct dlm_image_plan *plan, int64_t merge, int64_t row, int64_t *y,
                     int64_t *x)
{
    const int64_t token = row / (merge * merge), inner = row % (merge * merge);
    const int64_t wide = plan->grid_w / merge;

    *y = token / wide * merge + inner / merge;
    *x = token % wide * merge + inner % merge;
}

void dlm_patch_grid_fill(const struct dlm_image_plan *plan, int64_t patch, int64_t merge,
                         int64_t frames, const float *pixels, float *rows)
{
    const int64_t width = plan->pixels.width, height = plan->pixels.height;
    const int64_t channel_len = frames * patch; /* lines of a patch in a channel */

    for (int64_t row = 0; row < plan->patches; row++) {
        int64_t y, x;
        place_of(plan, merge, row, &y, &x);
        for (int64_t k = 0; k < 3 * channel_len; k++, rows += patch) {
            const int64_t line = k / channel_len * height + y * patch + k % patch;
            memcpy(rows, pixels + line * width + x * patch, (size_t)patch * sizeof(*rows));
        }
    }
}

void dlm_patch_grid_rope(const struct dlm_image_plan *plan, int64_t merge, const float *frequency,
                         int64_t half, bool is_sine, float *rows)
{
    for (int64_t row = 0; row < plan->patches; row++) {
        int64_t place[2];
        place_of(plan, merge, row, &place[0], &place[1]);
        for (int64_t i = 0; i < half; i++) {
            const float angle = (float)place[i >= half / 2] * frequency[i];
            *rows++ = is_sine ? sinf(angle) : cosf(angle);
        }
    }
}
