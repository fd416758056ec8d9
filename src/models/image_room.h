/* Where images lie in a program. The slices of all its images are batch rows of the tower, padded
 * to equal length; the rows that the projector makes of them are what image tokens stand for.
 * Padding is never seen: attention stops at each slice's length, and no token stands for it. */
#ifndef DLM_MODELS_IMAGE_ROOM_H
#define DLM_MODELS_IMAGE_ROOM_H

#include "models/model.h"
#include "models/slots.h"

/* All zero: no images. */
struct dlm_image_room {
    int64_t slices;
    int64_t patches; /* of each slice; a bucket */
};

/* The least length of a slice's rows that programs are made for: 8 lengths an octave. */
int64_t dlm_image_room_bucket(const struct dlm_model *m, int64_t patches);

/* Widens the room by these images. */
void dlm_image_room_add(const struct dlm_model *m, struct dlm_image_room *room,
                        const struct dlm_image_plan *plans, int64_t num);

/* Rows that the projector gives. */
int64_t dlm_image_room_tokens(const struct dlm_model *m, const struct dlm_image_room *room);

/* DLM_ERR_INVALID: an id is not of the vocabulary, or there are not as many image tokens as the
 * images have. */
enum dlm_status dlm_example_check(const struct dlm_model *m,
                                  const struct dlm_example *e) DLM_CHECK_RESULT;

/* ids[t] is e's id or, for an image token, -1 - the projector's row that it stands for, the first
 * image being at slice `first`. row_of (may be NULL) [tokens]: gets row0 + t at each such row. */
void dlm_image_room_place(const struct dlm_model *m, const struct dlm_image_room *room,
                          const struct dlm_example *e, int64_t first, int32_t *ids,
                          int32_t *row_of, int64_t row0);

/* Writes the features of list[num] at once, one slice behind the other, into a slot
 * [slices * patches, width] of the policy's type. */
enum dlm_status dlm_image_room_write_features(const struct dlm_model *m,
                                              const struct dlm_image_room *room,
                                              const struct dlm_example *list, int64_t num,
                                              struct dlm_slot *slot) DLM_CHECK_RESULT;

#endif
