/* The tower's inputs in a program, with the images of a room. */
#ifndef DLM_MODELS_TOWER_H
#define DLM_MODELS_TOWER_H

#include "models/image_room.h"

struct dlm_tower {
    const struct dlm_model *model; /* borrowed */
    struct dlm_image_room room;
    struct dlm_slot *rows;    /* i32 [slices, 4], see ops/attention.c; in the step buffer */
    struct dlm_slot *patches; /* f32 [slices * patches, patch_len] */
    struct dlm_slot *tables[DLM_TOWER_MAX_TABLES]; /* [slices * patches, cols] each */
};

enum dlm_status dlm_tower_add_slots(struct dlm_tower *t, const struct dlm_model *model,
                                    const struct dlm_image_room *room,
                                    struct dlm_slots *slots) DLM_CHECK_RESULT;

/* features [slices * patches, width] */
struct dlm_tensor *dlm_tower_build(struct dlm_build *b, const struct dlm_tower *t);

/* Lays `num` slices of an image out at slice `at` of the room: their rows, in the host's copy of
 * the step buffer. A slice that is not laid out is empty. */
void dlm_tower_lay_out(const struct dlm_tower *t, int64_t at, const struct dlm_image_plan *plan,
                       int64_t num);

/* Writes them, from the image's slice `from` on. patches: the whole image's, as the family's
 * fill_patches() gives them. */
enum dlm_status dlm_tower_write(const struct dlm_tower *t, int64_t at,
                                const struct dlm_image_plan *plan, int64_t from, int64_t num,
                                const float *patches) DLM_CHECK_RESULT;

/* The image's patches, [plan->patches, patch_len] f32. Owned; NULL without memory. */
float *dlm_tower_patches(const struct dlm_model *m, const struct dlm_image_plan *plan,
                         const float *pixels) DLM_CHECK_RESULT;

#endif
