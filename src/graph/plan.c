/* Lowering, lifetimes, offsets. */
#include "graph/plan.h"

#include <stdlib.h>

#include "base/log.h"

void dlm_plan_destroy(struct dlm_plan **plan)
{
    struct dlm_plan *p = plan ? *plan : NULL;

    if (!p)
        return;
    dlm_free(p->calls);
    dlm_free(p->tensors);
    dlm_free(p->temps);
    dlm_free(p);
    *plan = NULL;
}

static void live_at(struct dlm_place *place, int call)
{
    if (place->first < 0)
        place->first = call;
    place->last = call;
}

static struct dlm_desc seen_by(const struct dlm_tensor *t, const struct dlm_device_caps *caps)
{
    struct dlm_desc d = t->desc;

    d.lead = dlm_tensor_lead(t, caps->align_bytes);
    return d;
}

static void fill_lowering(struct dlm_lowering *l, const struct dlm_node *node)
{
    l->op = node->op;
    l->attrs = &node->attrs;
    l->num_inputs = node->num_inputs;
    l->num_outputs = node->num_outputs;
    for (int i = 0; i < DLM_MAX_INPUTS; i++)
        if (i < node->num_inputs && node->inputs[i])
            l->inputs[i] = seen_by(node->inputs[i], l->caps);
        else
            l->inputs[i] = (struct dlm_desc){.dtype = DLM_DTYPE_COUNT, .ndim = 1};
    for (int i = 0; i < node->num_outputs; i++)
        l->outputs[i] = seen_by(node->outputs[i], l->caps);
    l->replaced = 0;
    l->num_calls = 0;
    l->num_temps = 0;
}

static enum dlm_status add_call(struct dlm_plan *plan, const struct dlm_node *node,
                                const struct dlm_kernel_call *call, int first_temp)
{
    if (!dlm_grow(plan->ctx, &plan->calls, &plan->cap_calls, plan->num_calls,
                  sizeof(*plan->calls)))
        return DLM_ERR_MEMORY;
    int index = (int)plan->num_calls;
    plan->calls[plan->num_calls++] =
        (struct dlm_planned_call){.node = node, .call = *call, .first_temp = first_temp};
    for (uint32_t i = 0; i < call->num_args; i++) {
        struct dlm_operand a = call->args[i];
        if (a.kind == DLM_OPERAND_TEMP)
            live_at(&plan->temps[first_temp + a.index], index);
        else if (a.kind == DLM_OPERAND_INPUT)
            live_at(&plan->tensors[node->inputs[a.index]->base->index], index);
        else
            live_at(&plan->tensors[node->outputs[a.index]->base->index], index);
    }
    return DLM_OK;
}

static enum dlm_status plan_node(struct dlm_plan *plan, struct dlm_lowering *l,
                                 const struct dlm_node *node)
{
    fill_lowering(l, node);
    enum dlm_status st = node->op->lower(l);
    int first_temp = (int)plan->num_temps;
    for (int i = 0; !st && i < l->num_temps; i++) {
        if (!dlm_grow(plan->ctx, &plan->temps, &plan->cap_temps, plan->num_temps,
                      sizeof(*plan->temps)))
            return DLM_ERR_MEMORY;
        plan->temps[plan->num_temps++] =
            (struct dlm_place){.arena = -1, .bytes = l->temp_bytes[i], .first = -1};
    }
    for (size_t i = 0; !st && i < l->num_calls; i++)
        st = add_call(plan, node, &l->calls[i], first_temp);
    return st;
}

static int compare_places(const void *a, const void *b)
{
    const struct dlm_place *x = *(struct dlm_place *const *)a, *y = *(struct dlm_place *const *)b;

    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    return x < y ? -1 : x > y;
}

static size_t round_up(size_t n)
{
    return (n + DLM_ALIGN_BYTES - 1) / DLM_ALIGN_BYTES * DLM_ALIGN_BYTES;
}

/* Lowest offset in the arena at which `place` fits beside those already placed (sorted by offset in
 * `fixed`). */
static size_t lowest_gap(const struct dlm_place *place, struct dlm_place *const *fixed, size_t num,
                         int arena)
{
    size_t at = 0;

    for (size_t i = 0; i < num; i++) {
        const struct dlm_place *f = fixed[i];
        if (f->arena != arena || f->last < place->first || f->first > place->last)
            continue;
        if (f->offset >= at + round_up(place->bytes))
            break;
        at = DLM_MAX(at, f->offset + round_up(f->bytes));
    }
    return at;
}

enum dlm_status dlm_plan_pack(struct dlm_ctx *ctx, struct dlm_place **places, size_t num,
                              size_t limit, size_t *arena_bytes, int *num_arenas)
{
    struct dlm_place **fixed = dlm_alloc_array(ctx, num + 1, sizeof(*fixed));

    if (!fixed)
        return DLM_ERR_MEMORY;
    qsort(places, num, sizeof(*places), compare_places);
    for (size_t i = 0; i < num; i++) {
        struct dlm_place *p = places[i];
        size_t need = round_up(p->bytes);
        for (p->arena = 0; p->arena < DLM_MAX_ARENAS; p->arena++) {
            p->offset = lowest_gap(p, fixed, i, p->arena);
            if (p->offset + need <= limit)
                break;
        }
        if (p->arena == DLM_MAX_ARENAS) {
            dlm_free(fixed);
            return dlm_fail(ctx, DLM_ERR_UNSUPPORTED,
                            "a tensor of %zu bytes does not fit the device's largest buffer "
                            "(%zu bytes)", p->bytes, limit);
        }
        arena_bytes[p->arena] = DLM_MAX(arena_bytes[p->arena], p->offset + need);
        *num_arenas = DLM_MAX(*num_arenas, p->arena + 1);
        size_t at = i; /* keep `fixed` sorted by offset */
        for (; at > 0 && fixed[at - 1]->offset > p->offset; at--)
            fixed[at] = fixed[at - 1];
        fixed[at] = p;
    }
    dlm_free(fixed);
    return DLM_OK;
}

static enum dlm_status place_temporaries(struct dlm_plan *plan, const struct dlm_device_caps *caps)
{
    const struct dlm_graph *g = plan->graph;
    size_t max = g->num_tensors + plan->num_temps, num = 0;
    struct dlm_place **places = dlm_alloc_array(plan->ctx, max + 1, sizeof(*places));

    if (!places)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; i < g->num_tensors; i++) {
        const struct dlm_tensor *t = g->tensors[i];
        struct dlm_place *p = &plan->tensors[i];
        if (t->base->is_output && p->first >= 0)
            p->last = (int)plan->num_calls;
        if (t->base == t && t->role == DLM_ROLE_TEMP && p->first >= 0)
            places[num++] = p;
    }
    for (size_t i = 0; i < plan->num_temps; i++)
        if (plan->temps[i].first >= 0)
            places[num++] = &plan->temps[i];
    enum dlm_status st = DLM_OK;
    for (size_t i = 0; !st && i < num; i++)
        if (places[i]->bytes > caps->max_range_bytes)
            st = dlm_fail(plan->ctx, DLM_ERR_UNSUPPORTED,
                          "a tensor of %zu bytes is larger than what a kernel of device '%s' can "
                          "reach (%zu bytes)",
                          places[i]->bytes, caps->info.name, caps->max_range_bytes);
    if (!st)
        st = dlm_plan_pack(plan->ctx, places, num, caps->max_alloc_bytes, plan->arena_bytes,
                           &plan->num_arenas);
    dlm_free(places);
    return st;
}

enum dlm_status dlm_plan_create(struct dlm_ctx *ctx, struct dlm_plan **out,
                                const struct dlm_graph *graph, const struct dlm_device *device)
{
    struct dlm_lowering l = {
        .ctx = ctx, .device = device, .caps = dlm_device_get_caps(device)};

    *out = NULL;
    if (graph->status)
        return graph->status;
    struct dlm_plan *plan = dlm_alloc(ctx, sizeof(*plan));
    if (!plan)
        return DLM_ERR_MEMORY;
    plan->ctx = ctx;
    plan->graph = graph;
    enum dlm_status st = DLM_OK;
    plan->tensors = dlm_alloc_array(ctx, graph->num_tensors + 1, sizeof(*plan->tensors));
    if (!plan->tensors)
        st = DLM_ERR_MEMORY;
    for (size_t i = 0; !st && i < graph->num_tensors; i++)
        plan->tensors[i] = (struct dlm_place){
            .arena = -1, .first = -1, .bytes = dlm_tensor_bytes(graph->tensors[i])};
    for (size_t i = 0; !st && i < graph->num_nodes; i++)
        st = plan_node(plan, &l, graph->nodes[i]);
    if (!st)
        st = place_temporaries(plan, l.caps);
    dlm_free(l.calls);
    if (st) {
        dlm_plan_destroy(&plan);
        return st;
    }
    *out = plan;
    return DLM_OK;
}

size_t dlm_plan_scratch_bytes(const struct dlm_plan *plan)
{
    size_t bytes = 0;

    for (size_t i = 0; i < plan->num_calls; i++)
        bytes = DLM_MAX(bytes, plan->calls[i].call.scratch_bytes);
    return bytes;
}

size_t dlm_plan_bytes(const struct dlm_plan *plan)
{
    size_t bytes = 0;

    for (int i = 0; i < plan->num_arenas; i++)
        bytes += plan->arena_bytes[i];
    return bytes;
}

size_t dlm_graph_role_bytes(const struct dlm_graph *graph, enum dlm_tensor_role role)
{
    size_t bytes = 0;

    for (size_t i = 0; i < graph->num_tensors; i++) {
        const struct dlm_tensor *t = graph->tensors[i];
        if (t->base == t && t->role == role)
            bytes += dlm_tensor_bytes(t);
    }
    return bytes;
}
