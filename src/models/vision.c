/* The vision program. */
#include "models/vision.h"

#include "graph/rewrite.h"

size_t dlm_vision_features_len(const struct dlm_model *m)
{
    return (size_t)(m->tower.patches * m->tower.width);
}

size_t dlm_vision_pixels_len(const struct dlm_model *m)
{
    return (size_t)(m->tower.channels * m->tower.image * m->tower.image);
}

enum dlm_status dlm_vision_init(struct dlm_vision *v, const struct dlm_model *model,
                                const struct dlm_lora *lora)
{
    const struct dlm_tower_shape *t = &model->tower;
    struct dlm_build b = {.policy = model->policy, .lora = lora};

    *v = (struct dlm_vision){.model = model};
    v->slots = (struct dlm_slots){.ctx = model->ctx, .device = model->device};
    v->pixels = dlm_slots_add(&v->slots, DLM_ROLE_INPUT, "pixels", DLM_DTYPE_F32, 4,
                              (int64_t[]){1, t->channels, t->image, t->image});
    v->rows = dlm_slots_add(&v->slots, DLM_ROLE_INPUT, "rows", DLM_DTYPE_I32, 2,
                            (int64_t[]){1, 4});
    enum dlm_status st = v->pixels && v->rows ? dlm_graph_create(model->ctx, &v->graph)
                                              : DLM_ERR_MEMORY;
    if (st)
        return st;
    b.g = v->graph;
    v->features = model->family->build_tower(&b, model, dlm_slot_leaf(v->graph, v->pixels),
                                             dlm_slot_leaf(v->graph, v->rows));
    if (v->features)
        v->features->is_output = v->features->base->is_output = true;
    st = dlm_graph_fuse(v->graph);
    return st ? st : dlm_plan_create(model->ctx, &v->plan, v->graph, model->device);
}

void dlm_vision_finish(struct dlm_vision *v)
{
    dlm_program_destroy(&v->program);
    dlm_plan_destroy(&v->plan);
    dlm_graph_destroy(&v->graph);
    dlm_slots_finish(&v->slots);
}

enum dlm_status dlm_vision_prepare(struct dlm_vision *v, struct dlm_workspace *workspace)
{
    const int32_t patches = (int32_t)v->model->tower.patches; /* below 2^24 */
    const int32_t rows[4] = {0, patches, 0, patches};

    enum dlm_status st = dlm_slots_alloc(&v->slots);
    if (!st)
        st = dlm_slot_write(v->rows, rows, sizeof(rows));
    return st ? st : dlm_program_create(v->model->ctx, &v->program, v->model->device, v->plan,
                                        workspace);
}

enum dlm_status dlm_vision_run(struct dlm_vision *v, const float *pixel_values, float *features)
{
    const size_t len = dlm_vision_features_len(v->model);
    enum dlm_status st = dlm_slot_write(v->pixels, pixel_values,
                                        dlm_vision_pixels_len(v->model) * sizeof(float));
    if (!st)
        st = dlm_program_run(v->program);
    if (!st)
        st = dlm_program_read(v->program, v->features, features, len * sizeof(float));
    if (!st && !dlm_f32_is_finite(features, len))
        st = dlm_model_not_finite(v->model, "vision tower's features");
    return st;
}
