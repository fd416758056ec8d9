/* Slots of the tower, and what is written into them. */
#include "models/tower.h"

static struct dlm_slot *add(const struct dlm_tower *t, struct dlm_slots *slots, const char *name,
                            enum dlm_dtype dtype, int64_t cols)
{
    return dlm_slots_add(slots, DLM_ROLE_INPUT, name, dtype, 2,
                         (int64_t[]){t->room.slices * t->room.patches, cols});
}

enum dlm_status dlm_tower_add_slots(struct dlm_tower *t, const struct dlm_model *model,
                                    const struct dlm_image_room *room, struct dlm_slots *slots)
{
    const struct dlm_tower_shape *shape = &model->tower;

    *t = (struct dlm_tower){.model = model, .room = *room};
    t->rows = dlm_slots_add_step(slots, "slice_lengths", DLM_DTYPE_I32, 2,
                                 (int64_t[]){room->slices, 4});
    t->patches = add(t, slots, "patches", DLM_DTYPE_F32, shape->patch_len);
    bool ok = t->rows && t->patches;
    for (int i = 0; ok && i < shape->num_tables; i++) {
        const struct dlm_tower_table *table = &shape->tables[i];
        t->tables[i] = add(t, slots, table->name, table->dtype, table->cols);
        ok = t->tables[i];
    }
    return ok ? DLM_OK : DLM_ERR_MEMORY;
}

struct dlm_tensor *dlm_tower_build(struct dlm_build *b, const struct dlm_tower *t)
{
    struct dlm_tower_inputs in = {
        .slices = t->room.slices,
        .patches = t->room.patches,
        .rows = dlm_slot_leaf(b->g, t->rows),
        .pixels = dlm_slot_leaf(b->g, t->patches),
    };

    for (int i = 0; i < t->model->tower.num_tables; i++)
        in.tables[i] = dlm_slot_leaf(b->g, t->tables[i]);
    return t->model->family->build_tower(b, t->model, &in);
}

/* One table for one slice; all slices of an image have the same. */
static enum dlm_status write_table(const struct dlm_tower *t, int k, int64_t at,
                                   const struct dlm_image_plan *plan, int64_t num)
{
    const struct dlm_tower_table *table = &t->model->tower.tables[k];
    const size_t row_bytes = dlm_dtype_size(table->dtype, table->cols);
    const size_t bytes = (size_t)dlm_image_plan_slice(plan) * row_bytes;
    void *rows = dlm_alloc(t->model->ctx, bytes);
    enum dlm_status st = rows ? DLM_OK : DLM_ERR_MEMORY;

    if (!st)
        t->model->family->fill_table(t->model, plan, k, rows);
    for (int64_t s = at; !st && s < at + num; s++)
        st = dlm_slot_write_at(t->tables[k], (size_t)(s * t->room.patches) * row_bytes, rows,
                               bytes);
    dlm_free(rows);
    return st;
}

void dlm_tower_lay_out(const struct dlm_tower *t, int64_t at, const struct dlm_image_plan *plan,
                       int64_t num)
{
    const int32_t patches = (int32_t)dlm_image_plan_slice(plan); /* at most plan->patches */
    const int32_t rows[4] = {0, patches, 0, patches};

    for (int64_t s = at; s < at + num; s++)
        memcpy((int32_t *)dlm_slot_data(t->rows) + 4 * s, rows, sizeof(rows));
}

enum dlm_status dlm_tower_write(const struct dlm_tower *t, int64_t at,
                                const struct dlm_image_plan *plan, int64_t from, int64_t num,
                                const float *patches)
{
    const int64_t len = dlm_image_plan_slice(plan) * t->model->tower.patch_len;
    const int64_t stride = t->room.patches * t->model->tower.patch_len;
    enum dlm_status st = DLM_OK;

    for (int64_t s = 0; !st && s < num; s++)
        st = dlm_slot_write_at(t->patches, (size_t)((at + s) * stride) * sizeof(float),
                               patches + (from + s) * len, (size_t)len * sizeof(float));
    for (int k = 0; !st && k < t->model->tower.num_tables; k++)
        st = write_table(t, k, at, plan, num);
    return st;
}

float *dlm_tower_patches(const struct dlm_model *m, const struct dlm_image_plan *plan,
                         const float *pixels)
{
    float *rows = dlm_alloc_array(m->ctx, (size_t)(plan->patches * m->tower.patch_len),
                                  sizeof(*rows));

    if (rows)
        m->family->fill_patches(m, plan, pixels, rows);
    return rows;
}
