/* The update program. */
#include "train/update.h"

#include <math.h>

#include "ops/build.h"

static struct dlm_tensor *flat_leaf(struct dlm_graph *g, const char *name, int64_t len,
                                    const struct dlm_storage *storage)
{
    struct dlm_desc desc = dlm_desc_make(DLM_DTYPE_F32, 1, &len);
    struct dlm_tensor *t = dlm_graph_leaf(g, DLM_ROLE_STATE, name, &desc);

    dlm_tensor_bind(t, storage);
    return t;
}

enum dlm_status dlm_update_init(struct dlm_update *u, struct dlm_ctx *ctx,
                                struct dlm_device *device, const struct dlm_lora *lora,
                                float max_norm)
{
    *u = (struct dlm_update){.slots = {.ctx = ctx, .device = device}};
    u->hyper = dlm_slots_add_step(&u->slots, "hyper", DLM_DTYPE_F32, 1, (int64_t[]){8});
    enum dlm_status st = u->hyper ? dlm_graph_create(ctx, &u->graph) : DLM_ERR_MEMORY;
    if (st)
        return st;
    struct dlm_graph *g = u->graph;
    struct dlm_tensor *p = flat_leaf(g, "parameters", lora->len, &lora->flat);
    struct dlm_tensor *grads = flat_leaf(g, "gradients", lora->len, &lora->grads);
    struct dlm_tensor *m = flat_leaf(g, "first moments", lora->len, &lora->m);
    struct dlm_tensor *v = flat_leaf(g, "second moments", lora->len, &lora->v);
    u->coef = dlm_grad_norm(g, grads, max_norm);
    if (u->coef)
        u->coef->is_output = u->coef->base->is_output = true;
    dlm_adamw(g, p, grads, m, v, u->coef, dlm_slot_leaf(g, u->hyper));
    (void)dlm_fill_into(g, grads, 0.0f); /* the node is what counts */
    return dlm_plan_create(ctx, &u->plan, g, device);
}

void dlm_update_finish(struct dlm_update *u)
{
    dlm_program_destroy(&u->program);
    dlm_plan_destroy(&u->plan);
    dlm_graph_destroy(&u->graph);
    dlm_slots_finish(&u->slots);
}

enum dlm_status dlm_update_prepare(struct dlm_update *u, struct dlm_workspace *workspace)
{
    enum dlm_status st = dlm_slots_alloc(&u->slots);

    return st ? st : dlm_program_create(u->slots.ctx, &u->program, u->slots.device, u->plan,
                                        workspace);
}

enum dlm_status dlm_update_run(struct dlm_update *u, const struct dlm_update_step *s,
                               float *grad_norm)
{
    const float hyper[8] = {
        (float)s->lr,
        (float)s->weight_decay,
        (float)s->beta1,
        (float)s->beta2,
        (float)s->eps,
        (float)(1 - pow(s->beta1, (double)s->t)),
        (float)sqrt(1 - pow(s->beta2, (double)s->t)),
    };

    enum dlm_status st = dlm_slot_write(u->hyper, hyper, sizeof(hyper));
    if (!st)
        st = dlm_program_run(u->program);
    return st ? st : dlm_program_read(u->program, u->coef, grad_norm, sizeof(*grad_norm));
}
