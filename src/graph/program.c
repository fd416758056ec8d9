/* From plan to recording: bindings, barriers, test guards. */
#include "graph/program.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

#define GUARD_BYTES 4096
#define GUARD_WORD 0x5aa55aa5u
#define NAN_WORD 0x7fc00001u

struct dlm_program {
    struct dlm_ctx *ctx;
    struct dlm_device *device;
    struct dlm_plan *plan;
    struct dlm_workspace *workspace;
    struct dlm_recording *recording;
    struct dlm_dispatch *list;
    uint32_t *writes;
    size_t num;
    struct dlm_buffer **guarded; /* test mode: by tensor, then by temporary; else NULL */
    size_t num_guarded;
};

static size_t arena_bytes(struct dlm_plan *const *plans, int num, int arena)
{
    size_t bytes = 0;

    for (int i = 0; i < num; i++)
        if (plans[i])
            bytes = DLM_MAX(bytes, plans[i]->arena_bytes[arena]);
    return bytes;
}

size_t dlm_workspace_bytes(struct dlm_plan *const *plans, int num)
{
    size_t bytes = 0;

    for (int a = 0; a < DLM_MAX_ARENAS; a++)
        bytes += arena_bytes(plans, num, a);
    return bytes;
}

uint64_t dlm_workspace_host_bytes(struct dlm_plan *const *plans, int num, size_t host_page_bytes)
{
    uint64_t bytes = 0;

    for (int a = 0; a < DLM_MAX_ARENAS; a++)
        bytes += dlm_host_bytes(host_page_bytes, arena_bytes(plans, num, a));
    return bytes;
}

enum dlm_status dlm_workspace_init(struct dlm_workspace *w, struct dlm_device *device,
                                   struct dlm_plan *const *plans, int num)
{
    *w = (struct dlm_workspace){0};
    for (int a = 0; a < DLM_MAX_ARENAS; a++) {
        const size_t bytes = arena_bytes(plans, num, a);
        enum dlm_status st = bytes ? dlm_buffer_create(device, &w->arenas[a], bytes) : DLM_OK;
        if (st) {
            dlm_workspace_finish(w);
            return st;
        }
    }
    return DLM_OK;
}

void dlm_workspace_finish(struct dlm_workspace *w)
{
    for (int a = 0; a < DLM_MAX_ARENAS; a++)
        dlm_buffer_destroy(&w->arenas[a]);
}

bool dlm_workspace_fits(const struct dlm_workspace *w, const struct dlm_plan *plan)
{
    for (int a = 0; a < plan->num_arenas; a++)
        if (!w->arenas[a] || dlm_buffer_bytes(w->arenas[a]) < plan->arena_bytes[a])
            return false;
    return true;
}

/* Test mode: a buffer of its own for a placed tensor, NaN inside, guards around. */
static enum dlm_status make_guarded(struct dlm_program *p, size_t index, size_t bytes)
{
    size_t body = (bytes + 3) / 4 * 4;
    struct dlm_buffer **b = &p->guarded[index];

    enum dlm_status st = dlm_buffer_create(p->device, b, body + 2 * GUARD_BYTES);
    if (!st)
        st = dlm_buffer_fill(*b, 0, body + 2 * GUARD_BYTES, GUARD_WORD);
    if (!st)
        st = dlm_buffer_fill(*b, GUARD_BYTES, body, NAN_WORD);
    return st;
}

static enum dlm_status make_all_guarded(struct dlm_program *p)
{
    const struct dlm_plan *plan = p->plan;
    size_t num_tensors = plan->graph->num_tensors;

    p->num_guarded = num_tensors + plan->num_temps;
    p->guarded = dlm_alloc_array(p->ctx, p->num_guarded + 1, sizeof(*p->guarded));
    if (!p->guarded)
        return DLM_ERR_MEMORY;
    for (size_t i = 0; i < p->num_guarded; i++) {
        const struct dlm_place *place =
            i < num_tensors ? &plan->tensors[i] : &plan->temps[i - num_tensors];
        enum dlm_status st = place->arena >= 0 ? make_guarded(p, i, place->bytes) : DLM_OK;
        if (st)
            return st;
    }
    return DLM_OK;
}

/* Where a placed tensor or temporary lies. index: in the guarded list. */
static void locate(const struct dlm_program *p, const struct dlm_place *place, size_t index,
                   struct dlm_binding *b)
{
    if (p->guarded) {
        b->buffer = p->guarded[index];
        b->offset = GUARD_BYTES;
    } else {
        b->buffer = p->workspace->arenas[place->arena];
        b->offset = place->offset;
    }
    b->bytes = place->bytes;
}

static void locate_base(const struct dlm_program *p, const struct dlm_tensor *base,
                        struct dlm_binding *b)
{
    const struct dlm_place *place = &p->plan->tensors[base->index];

    if (place->arena >= 0) {
        locate(p, place, (size_t)base->index, b);
    } else if (base->storage) {
        b->buffer = base->storage->buffer;
        b->offset = base->storage->offset;
        b->bytes = place->bytes;
    }
}

/* The bytes that a (view of a) tensor covers, from an aligned start. */
static enum dlm_status bind_tensor(const struct dlm_program *p, const struct dlm_tensor *t,
                                   struct dlm_binding *b)
{
    const int64_t lead = dlm_tensor_lead(t, dlm_device_get_caps(p->device)->align_bytes);
    int64_t last = lead;

    locate_base(p, t->base, b);
    if (!b->buffer)
        return dlm_fail(p->ctx, DLM_ERR_INVALID, "tensor '%s' is not bound to memory",
                        t->name ? t->name : "?");
    if (t->base == t)
        return DLM_OK;
    for (int i = 0; i < t->desc.ndim; i++)
        last += (t->desc.shape[i] - 1) * t->desc.stride[i];
    if (t->desc.layout == DLM_LAYOUT_PANEL)
        return DLM_OK;
    b->offset += dlm_dtype_size(t->desc.dtype, t->offset - lead);
    b->bytes = (dlm_dtype_size(t->desc.dtype, last + 1) + 3) / 4 * 4;
    return DLM_OK;
}

static enum dlm_status make_dispatch(struct dlm_program *p, const struct dlm_planned_call *pc,
                                     struct dlm_dispatch *d)
{
    const struct dlm_kernel_call *c = &pc->call;
    const struct dlm_plan *plan = p->plan;

    d->kernel = c->kernel;
    d->num_bindings = c->num_args;
    d->params_bytes = c->params_bytes;
    d->scratch_bytes = c->scratch_bytes;
    memcpy(d->groups, c->groups, sizeof(d->groups));
    d->units = c->units;
    d->work = c->work;
    memcpy(d->params, c->params, sizeof(d->params));
    d->num_specs = c->num_specs;
    d->subgroups = c->subgroups;
    memcpy(d->specs, c->specs, sizeof(d->specs));
    for (uint32_t i = 0; i < c->num_args; i++) {
        struct dlm_operand a = c->args[i];
        enum dlm_status st = DLM_OK;
        if (a.kind == DLM_OPERAND_TEMP) {
            size_t temp = (size_t)(pc->first_temp + a.index);
            locate(p, &plan->temps[temp], plan->graph->num_tensors + temp, &d->bindings[i]);
        } else {
            st = bind_tensor(p,
                             a.kind == DLM_OPERAND_INPUT ? pc->node->inputs[a.index]
                                                         : pc->node->outputs[a.index],
                             &d->bindings[i]);
        }
        if (st)
            return st;
    }
    return DLM_OK;
}

enum dlm_status dlm_program_create(struct dlm_ctx *ctx, struct dlm_program **out,
                                   struct dlm_device *device, struct dlm_plan *plan,
                                   struct dlm_workspace *workspace)
{
    struct dlm_program *p = dlm_alloc(ctx, sizeof(*p));
    enum dlm_status st = DLM_OK;

    *out = NULL;
    if (!p)
        return DLM_ERR_MEMORY;
    p->ctx = ctx;
    p->device = device;
    p->plan = plan;
    p->workspace = workspace;
    p->num = plan->num_calls;
    p->list = dlm_alloc_array(ctx, p->num + 1, sizeof(*p->list));
    p->writes = dlm_alloc_array(ctx, p->num + 1, sizeof(*p->writes));
    if (!p->list || !p->writes)
        st = DLM_ERR_MEMORY;
    if (!st && !workspace)
        st = make_all_guarded(p);
    for (size_t i = 0; !st && i < p->num; i++) {
        st = make_dispatch(p, &plan->calls[i], &p->list[i]);
        p->writes[i] = plan->calls[i].call.writes;
    }
    if (!st) {
        dlm_program_find_hazards(p->list, p->writes, p->num);
        st = dlm_recording_create(device, &p->recording, p->list, p->num);
    }
    if (st) {
        dlm_program_destroy(&p);
        return st;
    }
    *out = p;
    return DLM_OK;
}

void dlm_program_destroy(struct dlm_program **program)
{
    struct dlm_program *p = program ? *program : NULL;

    if (!p)
        return;
    dlm_recording_destroy(&p->recording);
    for (size_t i = 0; p->guarded && i < p->num_guarded; i++)
        dlm_buffer_destroy(&p->guarded[i]);
    dlm_free(p->guarded);
    dlm_free(p->list);
    dlm_free(p->writes);
    dlm_free(p);
    *program = NULL;
}

void dlm_program_settle(struct dlm_program *p)
{
    assert(p->workspace && !p->workspace->watch);
    dlm_free(p->list);
    dlm_free(p->writes);
    p->list = NULL;
    p->writes = NULL;
    p->plan = NULL;
}

size_t dlm_program_host_bytes(const struct dlm_plan *plan, const struct dlm_device *device)
{
    return sizeof(struct dlm_program) +
           plan->num_calls * dlm_device_get_caps(device)->recorded_bytes;
}

const struct dlm_plan *dlm_program_plan(const struct dlm_program *program)
{
    return program->plan;
}

/* The dispatches [begin, end), alone. */
static enum dlm_status run_dispatches(struct dlm_program *p, size_t begin, size_t end)
{
    struct dlm_recording *recording = NULL;

    enum dlm_status st =
        dlm_recording_create(p->device, &recording, p->list + begin, end - begin);
    if (!st)
        st = dlm_recording_run(recording);
    if (!st)
        st = dlm_device_wait(p->device);
    dlm_recording_destroy(&recording);
    return st;
}

static enum dlm_status run_nodes(struct dlm_program *p, const struct dlm_program_watch *watch)
{
    const struct dlm_planned_call *calls = p->plan->calls;
    enum dlm_status st = DLM_OK;

    for (size_t i = 0, end = 0; !st && i < p->num; i = end) {
        while (end < p->num && calls[end].node == calls[i].node)
            end++;
        st = watch->before(watch->user, p, calls[i].node);
        if (!st)
            st = run_dispatches(p, i, end);
        if (!st)
            st = watch->after(watch->user, p, calls[i].node);
    }
    return st;
}

enum dlm_status dlm_program_run(struct dlm_program *program)
{
    const struct dlm_program_watch *watch = program->workspace ? program->workspace->watch : NULL;

    if (!watch)
        return dlm_recording_run(program->recording);
    enum dlm_status st = watch->before ? run_nodes(program, watch)
                                       : dlm_recording_run(program->recording);
    return st || !watch->done ? st : watch->done(watch->user, program);
}

const struct dlm_dispatch *dlm_program_dispatches(const struct dlm_program *program, size_t *num)
{
    *num = program->num;
    return program->list;
}

const uint32_t *dlm_program_writes(const struct dlm_program *program)
{
    return program->writes;
}

bool dlm_program_check_guards(struct dlm_program *program, char *what, size_t what_bytes)
{
    uint32_t guard[GUARD_BYTES / 4];

    for (size_t i = 0; program->guarded && i < program->num_guarded; i++) {
        struct dlm_buffer *b = program->guarded[i];
        for (int side = 0; b && side < 2; side++) {
            size_t at = side ? dlm_buffer_bytes(b) - GUARD_BYTES : 0;
            if (dlm_buffer_read(b, at, guard, GUARD_BYTES))
                return false;
            for (size_t w = 0; w < GUARD_BYTES / 4; w++) {
                if (guard[w] == GUARD_WORD)
                    continue;
                snprintf(what, what_bytes, "guard %s tensor %zu, word %zu",
                         side ? "after" : "before", i, w);
                return false;
            }
        }
    }
    return true;
}

enum dlm_status dlm_program_read(struct dlm_program *program, const struct dlm_tensor *t,
                                 void *data, size_t bytes)
{
    struct dlm_binding b = {0};

    locate_base(program, t->base, &b);
    size_t at = b.offset + dlm_dtype_size(t->desc.dtype, t->offset);
    return dlm_buffer_read(b.buffer, at, data, bytes);
}

enum dlm_status dlm_program_write(struct dlm_program *program, const struct dlm_tensor *t,
                                  const void *data, size_t bytes)
{
    struct dlm_binding b = {0};

    locate_base(program, t->base, &b);
    size_t at = b.offset + dlm_dtype_size(t->desc.dtype, t->offset);
    return dlm_buffer_write(b.buffer, at, data, bytes);
}

enum dlm_status dlm_program_profile(struct dlm_program *program, dlm_program_time_fn add,
                                    void *user)
{
    assert(program->plan);
    double *seconds = dlm_alloc_array(program->ctx, program->num + 1, sizeof(*seconds));
    enum dlm_status st = seconds ? DLM_OK : DLM_ERR_MEMORY;

    if (!st)
        st = dlm_recording_profile(program->recording, seconds);
    for (size_t i = 0; !st && i < program->num; i++) {
        const struct dlm_planned_call *c = &program->plan->calls[i];
        st = add(user, c->node, c->call.kernel, seconds[i]);
    }
    dlm_free(seconds);
    return st;
}
