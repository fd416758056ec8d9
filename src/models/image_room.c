/* Slices and tokens in their places. */
#include "models/image_room.h"

#include "base/log.h"

int64_t dlm_image_room_bucket(const struct dlm_model *m, int64_t patches)
{
    int64_t step = m->tower.merge;

    while (step * 16 <= patches)
        step *= 2;
    return DLM_MIN((patches + step - 1) / step * step, m->tower.max_patches);
}

void dlm_image_room_add(const struct dlm_model *m, struct dlm_image_room *room,
                        const struct dlm_image_plan *plans, int64_t num)
{
    for (int64_t i = 0; i < num; i++) {
        room->slices += plans[i].grid_t;
        room->patches = DLM_MAX(room->patches,
                                dlm_image_room_bucket(m, dlm_image_plan_slice(&plans[i])));
    }
}

int64_t dlm_image_room_tokens(const struct dlm_model *m, const struct dlm_image_room *room)
{
    return room->slices * room->patches / m->tower.merge;
}

enum dlm_status dlm_example_check(const struct dlm_model *m, const struct dlm_example *e)
{
    const int64_t vocab = m->decoder.config.vocab;
    int64_t found = 0, wanted = 0;

    for (int64_t t = 0; t < e->len; t++) {
        found += e->ids[t] == m->image_id;
        if (e->ids[t] < 0 || e->ids[t] >= vocab)
            return dlm_fail(m->ctx, DLM_ERR_INVALID,
                            "token id %d is beyond the model's vocabulary of %lld", e->ids[t],
                            (long long)vocab);
    }
    for (int64_t i = 0; i < e->num_images; i++)
        wanted += e->plans[i].tokens;
    if (e->num_images && found != wanted)
        return dlm_fail(m->ctx, DLM_ERR_INVALID,
                        "an input has %lld image tokens, its images have %lld", (long long)found,
                        (long long)wanted);
    return DLM_OK;
}

void dlm_image_room_place(const struct dlm_model *m, const struct dlm_image_room *room,
                          const struct dlm_example *e, int64_t first, int32_t *ids,
                          int32_t *row_of, int64_t row0)
{
    const int64_t stride = room->patches / m->tower.merge;
    int64_t image = 0, slice = 0, token = 0; /* slice in the image, token in the slice */

    for (int64_t t = 0; t < e->len; t++) {
        ids[t] = e->ids[t];
        if (ids[t] != m->image_id || image == e->num_images)
            continue;
        const struct dlm_image_plan *plan = &e->plans[image];
        const int64_t row = (first + slice) * stride + token;
        ids[t] = (int32_t)(-1 - row); /* rows are far below 2^31 */
        if (row_of)
            row_of[row] = (int32_t)(row0 + t);
        if (++token < plan->tokens / plan->grid_t)
            continue;
        token = 0;
        if (++slice == plan->grid_t) {
            first += slice;
            slice = 0;
            image++;
        }
    }
}

/* e's features in the policy's type from slice *at of rows on, which is moved on. False: there is
 * no such type. */
static bool lay_features(const struct dlm_model *m, const struct dlm_image_room *room,
                         const struct dlm_example *e, int64_t *at, uint8_t *rows)
{
    const size_t stride = dlm_dtype_size(m->policy, room->patches * m->tower.width);

    for (int64_t i = 0; i < e->num_images; i++) {
        const struct dlm_image_plan *plan = &e->plans[i];
        const int64_t len = dlm_image_plan_slice(plan) * m->tower.width;
        for (int32_t s = 0; s < plan->grid_t; s++)
            if (!dlm_dtype_from_f32(m->policy, e->features[i] + s * len,
                                    rows + (size_t)(*at)++ * stride, (size_t)len))
                return false;
    }
    return true;
}

enum dlm_status dlm_image_room_write_features(const struct dlm_model *m,
                                              const struct dlm_image_room *room,
                                              const struct dlm_example *list, int64_t num,
                                              struct dlm_slot *slot)
{
    struct dlm_image_room needed = {0};
    int64_t at = 0;
    enum dlm_status st = DLM_OK;

    for (int64_t i = 0; i < num; i++)
        dlm_image_room_add(m, &needed, list[i].plans, list[i].num_images);
    if (!needed.slices)
        return DLM_OK;
    const size_t bytes =
        dlm_dtype_size(m->policy, needed.slices * room->patches * m->tower.width);
    uint8_t *rows = dlm_alloc(m->ctx, bytes);
    if (!rows)
        return DLM_ERR_MEMORY;
    for (int64_t i = 0; !st && i < num; i++)
        if (!lay_features(m, room, &list[i], &at, rows))
            st = dlm_fail(m->ctx, DLM_ERR_UNSUPPORTED, "features cannot be kept as %s",
                          dlm_dtype_name(m->policy));
    if (!st)
        st = dlm_slot_write(slot, rows, bytes);
    dlm_free(rows);
    return st;
}
