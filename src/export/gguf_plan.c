/* Rules applied: each weight is looked up, and what it becomes is put in order. */
#include "export/gguf_plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "models/gguf_names.h"

/* Shape and rows of a tensor; false when its weight's shape does not allow the move. */
static bool set_shape(struct dlm_gguf_planned *t, const struct dlm_gguf_weight *w,
                      const struct dlm_gguf_plan_params *p)
{
    int64_t shape[DLM_GGUF_MAX_WEIGHT_DIMS];
    int ndim = w->ndim;

    if (ndim < 1 || ndim > DLM_GGUF_MAX_WEIGHT_DIMS)
        return false;
    memcpy(shape, w->shape, sizeof(shape));
    t->rows = shape[0];
    t->cols = 1;
    for (int i = 1; i < ndim; i++)
        t->cols *= shape[i]; /* of a tensor that lies in a file */
    switch (t->move) {
    case DLM_GGUF_MOVE_NONE:
        break;
    case DLM_GGUF_MOVE_HEADS:
    case DLM_GGUF_MOVE_KV_HEADS: {
        const int64_t heads = t->move == DLM_GGUF_MOVE_HEADS ? p->heads : p->kv_heads;
        if (heads < 1 || t->rows % (2 * heads))
            return false;
        t->head_len = t->rows / heads;
        break;
    }
    case DLM_GGUF_MOVE_PART:
        if (t->rows % 3)
            return false;
        shape[0] = t->rows /= 3;
        break;
    case DLM_GGUF_MOVE_FRAME:
        if (ndim != 5 || t->part >= shape[2])
            return false;
        t->steps = shape[2];
        t->rows = shape[0] * shape[1];
        t->cols = shape[3] * shape[4];
        shape[2] = shape[3];
        shape[3] = shape[4];
        ndim = 4;
        break;
    case DLM_GGUF_MOVE_ROW:
        if (ndim != 2 || p->row < 0 || p->row >= t->rows)
            return false;
        t->part = p->row;
        t->rows = 1;
        shape[0] = shape[1];
        ndim = 1;
        break;
    case DLM_GGUF_MOVE_AWAY: /* of no weight: nothing is planned by it */
        return false;
    }
    if (ndim > DLM_GGUF_MAX_DIMS)
        return false;
    t->ndim = ndim;
    for (int i = 0; i < DLM_GGUF_MAX_DIMS; i++)
        t->ne[i] = i < ndim ? shape[ndim - 1 - i] : 1;
    return true;
}

/* Where a tensor stands in the file. */
struct entry {
    struct dlm_gguf_planned t;
    long long layer;
    size_t rule;
};

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->layer != y->layer)
        return x->layer < y->layer ? -1 : 1;
    if (x->rule != y->rule)
        return x->rule < y->rule ? -1 : 1;
    return x->t.weight < y->t.weight ? -1 : x->t.weight > y->t.weight; /* a weight, its bias */
}

struct entries {
    struct entry *items;
    size_t num, cap;
};

static enum dlm_status add_weight(struct dlm_ctx *ctx, struct dlm_gguf_plan *plan,
                                  const struct dlm_gguf_plan_params *p, size_t index,
                                  struct entries *all)
{
    const struct dlm_gguf_weight *w = &p->weights[index];
    const struct dlm_gguf_roots roots = {p->language, p->head};
    char name[DLM_GGUF_NAME_BYTES];
    struct dlm_gguf_match m;

    for (size_t r = 0; r < p->rules->num; r++) {
        const struct dlm_gguf_rule *rule = &p->rules->rules[r];
        if (!dlm_gguf_name_matches(&roots, rule->from, w->name, &m) ||
            (p->is_tied && !strcmp(rule->to, "output.weight")))
            continue;
        if (!dlm_grow(ctx, &all->items, &all->cap, all->num, sizeof(*all->items)))
            return DLM_ERR_MEMORY;
        struct entry *e = &all->items[all->num];
        *e = (struct entry){.t = {.weight = index, .move = rule->move, .part = rule->part},
                            .layer = m.layer, .rule = r};
        if (p->keeps_heads &&
            (e->t.move == DLM_GGUF_MOVE_HEADS || e->t.move == DLM_GGUF_MOVE_KV_HEADS))
            e->t.move = DLM_GGUF_MOVE_NONE;
        if (!set_shape(&e->t, w, p))
            return dlm_fail(ctx, DLM_ERR_UNSUPPORTED,
                            "tensor '%.200s' has a shape that GGUF has no form for", w->name);
        dlm_gguf_name_expand(&roots, rule->to, &m, name);
        e->t.name = dlm_arena_strndup(ctx, &plan->arena, name, strlen(name));
        if (!e->t.name)
            return DLM_ERR_MEMORY;
        all->num++;
    }
    return DLM_OK;
}

enum dlm_status dlm_gguf_plan_make(struct dlm_ctx *ctx, struct dlm_gguf_plan *plan,
                                   const struct dlm_gguf_plan_params *params)
{
    struct entries all = {0};
    enum dlm_status st = DLM_OK;

    *plan = (struct dlm_gguf_plan){0};
    for (size_t i = 0; !st && i < params->num_weights; i++)
        st = add_weight(ctx, plan, params, i, &all);
    if (st)
        goto done;
    if (all.num)
        qsort(all.items, all.num, sizeof(*all.items), compare_entries);
    plan->tensors = dlm_arena_alloc(ctx, &plan->arena, all.num * sizeof(*plan->tensors));
    if (!plan->tensors) {
        st = DLM_ERR_MEMORY;
        goto done;
    }
    for (size_t i = 0; i < all.num; i++)
        plan->tensors[i] = all.items[i].t;
    plan->num = all.num;
done:
    dlm_free(all.items);
    if (st)
        dlm_gguf_plan_finish(plan);
    return st;
}

void dlm_gguf_plan_finish(struct dlm_gguf_plan *plan)
{
    dlm_arena_finish(&plan->arena);
    *plan = (struct dlm_gguf_plan){0};
}

int64_t dlm_gguf_source_row(const struct dlm_gguf_planned *t, int64_t row)
{
    switch (t->move) {
    case DLM_GGUF_MOVE_HEADS:
    case DLM_GGUF_MOVE_KV_HEADS: {
        const int64_t in = row % t->head_len;
        return row - in + in / 2 + in % 2 * (t->head_len / 2);
    }
    case DLM_GGUF_MOVE_PART:
        return t->part * t->rows + row;
    case DLM_GGUF_MOVE_FRAME:
        return row * t->steps + t->part;
    case DLM_GGUF_MOVE_ROW:
        return t->part;
    default:
        return row;
    }
}
