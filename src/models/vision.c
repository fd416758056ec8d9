/* The vision programs. */
#include "models/vision.h"

#include "graph/rewrite.h"

static enum dlm_status plan_program(const struct dlm_vision *v, struct dlm_vision_program *p,
                                    int64_t patches)
{
    const struct dlm_model *m = v->model;
    const struct dlm_image_room room = {.slices = 1, .patches = patches};
    struct dlm_build b = {.policy = m->policy, .lora = v->lora,
                          .max_bytes = dlm_device_max_tensor(m->device)};

    p->slots = (struct dlm_slots){.ctx = m->ctx, .device = m->device};
    enum dlm_status st = dlm_tower_add_slots(&p->tower, m, &room, &p->slots);
    if (!st)
        st = dlm_graph_create(m->ctx, &p->graph);
    if (st)
        return st;
    b.g = p->graph;
    p->features = dlm_tower_build(&b, &p->tower);
    if (p->features)
        p->features->is_output = p->features->base->is_output = true;
    st = dlm_graph_fuse(p->graph);
    return st ? st : dlm_plan_create(m->ctx, &p->plan, p->graph, m->device);
}

static void finish_program(struct dlm_vision_program *p)
{
    dlm_program_destroy(&p->program);
    dlm_plan_destroy(&p->plan);
    dlm_graph_destroy(&p->graph);
    dlm_slots_finish(&p->slots);
    *p = (struct dlm_vision_program){0};
}

enum dlm_status dlm_vision_init(struct dlm_vision *v, const struct dlm_model *model,
                                const struct dlm_lora *lora, int64_t patches)
{
    *v = (struct dlm_vision){.model = model, .lora = lora};
    return plan_program(v, &v->largest, dlm_image_room_bucket(model, patches));
}

void dlm_vision_finish(struct dlm_vision *v)
{
    for (int i = 0; i < DLM_VISION_MAX_PROGRAMS; i++)
        finish_program(&v->others[i]);
    finish_program(&v->largest);
}

static enum dlm_status prepare_program(const struct dlm_vision *v, struct dlm_vision_program *p)
{
    enum dlm_status st = dlm_slots_alloc(&p->slots);

    return st ? st : dlm_program_create(v->model->ctx, &p->program, v->model->device, p->plan,
                                        v->workspace);
}

enum dlm_status dlm_vision_prepare(struct dlm_vision *v, struct dlm_workspace *workspace)
{
    v->workspace = workspace;
    return prepare_program(v, &v->largest);
}

/* The program for slices of so many patches, made if need be in place of the one unused for
 * longest. One whose packing came out larger than the workspace runs as the largest. */
static enum dlm_status find_program(struct dlm_vision *v, int64_t patches,
                                    struct dlm_vision_program **out)
{
    const int64_t bucket = dlm_image_room_bucket(v->model, patches);
    struct dlm_vision_program *oldest = &v->others[0];

    *out = &v->largest;
    if (bucket == v->largest.tower.room.patches)
        return DLM_OK;
    for (int i = 0; i < DLM_VISION_MAX_PROGRAMS; i++) {
        struct dlm_vision_program *p = &v->others[i];
        if (p->program && p->tower.room.patches == bucket) {
            *out = p;
            return DLM_OK;
        }
        if (p->used < oldest->used)
            oldest = p;
    }
    finish_program(oldest);
    enum dlm_status st = plan_program(v, oldest, bucket);
    const bool fits = !st && dlm_workspace_fits(v->workspace, oldest->plan);
    if (fits) {
        dlm_slots_share(&oldest->slots, &v->largest.slots);
        st = prepare_program(v, oldest);
    }
    if (st || !fits)
        finish_program(oldest);
    else
        *out = oldest;
    return st;
}

enum dlm_status dlm_vision_run(struct dlm_vision *v, const struct dlm_image_plan *plan,
                               const float *pixel_values, float *features)
{
    const int64_t patches = dlm_image_plan_slice(plan), len = patches * v->model->tower.width;
    float *rows = dlm_tower_patches(v->model, plan, pixel_values);
    struct dlm_vision_program *p = NULL;
    enum dlm_status st = rows ? find_program(v, patches, &p) : DLM_ERR_MEMORY;

    for (int32_t s = 0; !st && s < plan->grid_t; s++) {
        dlm_tower_lay_out(&p->tower, 0, plan, 1);
        st = dlm_slots_write_step(&p->slots);
        if (!st)
            st = dlm_tower_write(&p->tower, 0, plan, s, 1, rows);
        if (!st)
            st = dlm_program_run(p->program);
        if (!st)
            st = dlm_program_read(p->program, p->features, features + s * len,
                                  (size_t)len * sizeof(float));
    }
    if (!st && !dlm_f32_is_finite(features, dlm_image_plan_features_len(v->model, plan)))
        st = dlm_model_not_finite(v->model, "vision tower's features");
    if (p)
        p->used = ++v->clock;
    dlm_free(rows);
    return st;
}
