/* The programs of training, scoring, vision, prefill and decode, as they are recorded: every op
 * runs on the device that was opened, no two live tensors share memory, every hazard has a barrier,
 * and each barrier that is left out is found. */
#include "backend/backend_impl.h"
#include "tests/train/fixture.h"
#include "train/update.h"

/* Every node of the graph has a kernel call, every call's kernel is one of the device, and every
 * binding is memory of the device, inside its buffer, where kernels may begin. */
static void check_device(const struct fixture *f, const struct dlm_plan *plan,
                         const struct dlm_program *program)
{
    const struct dlm_device_caps *caps = dlm_device_get_caps(f->device);
    size_t num = 0, call = 0;
    const struct dlm_dispatch *list = dlm_program_dispatches(program, &num);
    bool ok = true;

    CHECK(num > 0);
    CHECK_INT(num, plan->num_calls);
    CHECK_INT(caps->info.kind, f->params.backend);
    for (size_t i = 0; i < plan->graph->num_nodes; i++) {
        const size_t first = call;
        while (call < plan->num_calls && plan->calls[call].node == plan->graph->nodes[i])
            call++;
        if (!CHECK(call > first))
            printf("     node %zu, op '%s', has no kernel\n", i,
                   plan->graph->nodes[i]->op->name);
    }
    CHECK_INT(call, plan->num_calls);
    for (size_t i = 0; ok && i < num; i++) {
        const struct dlm_dispatch *d = &list[i];
        ok = CHECK(d->kernel && dlm_device_has_kernel(f->device, d->kernel)) &&
             CHECK(d->num_bindings > 0 && d->num_bindings <= DLM_MAX_BINDINGS);
        for (uint32_t k = 0; ok && k < d->num_bindings; k++) {
            const struct dlm_binding *b = &d->bindings[k];
            ok = CHECK(b->buffer && b->buffer->device == f->device) && CHECK(b->bytes > 0) &&
                 CHECK(b->offset % caps->align_bytes == 0) &&
                 CHECK(b->offset <= dlm_buffer_bytes(b->buffer)) &&
                 CHECK(b->bytes <= caps->max_range_bytes) &&
                 CHECK((b->offset + b->bytes + 3) / 4 <= (dlm_buffer_bytes(b->buffer) + 3) / 4);
        }
        if (!ok)
            printf("     dispatch %zu, kernel '%s'\n", i, d->kernel ? d->kernel : "(none)");
    }
}

/* With all barriers nothing is missing; without any one of them but the first (which waits for the
 * run before) the checker names the dispatch that lacks it. */
static void check_barriers(const struct dlm_program *program)
{
    size_t num = 0, barriers = 0, found = 0;
    const struct dlm_dispatch *list = dlm_program_dispatches(program, &num);
    const uint32_t *writes = dlm_program_writes(program);
    struct dlm_dispatch *copy = malloc((num + 1) * sizeof(*copy));

    if (!CHECK(copy))
        return;
    memcpy(copy, list, num * sizeof(*copy));
    CHECK(copy[0].barrier);
    CHECK_INT(dlm_program_check_hazards(copy, writes, num), -1);
    for (size_t i = 1; i < num; i++) {
        if (!list[i].barrier)
            continue;
        copy[i].barrier = false;
        barriers++;
        found += dlm_program_check_hazards(copy, writes, num) == (int64_t)i;
        copy[i].barrier = true;
    }
    CHECK(barriers > 0);
    CHECK_INT(found, barriers);
    free(copy);
}

static bool is_live_with(const struct dlm_place *a, const struct dlm_place *b)
{
    return a->arena >= 0 && a->arena == b->arena && a->first <= b->last && b->first <= a->last;
}

/* The place of an operand of a call; NULL for leaves. */
static const struct dlm_place *place_of(const struct dlm_plan *plan,
                                        const struct dlm_planned_call *pc, struct dlm_operand a)
{
    if (a.kind == DLM_OPERAND_TEMP)
        return &plan->temps[pc->first_temp + a.index];
    const struct dlm_tensor *t =
        a.kind == DLM_OPERAND_INPUT ? pc->node->inputs[a.index] : pc->node->outputs[a.index];
    return t->base->role == DLM_ROLE_TEMP ? &plan->tensors[t->base->index] : NULL;
}

static void check_places(const struct fixture *f, const struct dlm_plan *plan)
{
    const size_t num = plan->graph->num_tensors + plan->num_temps;
    const struct dlm_place **list = malloc((num + 1) * sizeof(*list));
    size_t placed = 0, clashes = 0;

    if (!CHECK(list))
        return;
    for (size_t i = 0; i < plan->num_calls; i++)
        for (uint32_t k = 0; k < plan->calls[i].call.num_args; k++) {
            const struct dlm_place *p =
                place_of(plan, &plan->calls[i], plan->calls[i].call.args[k]);
            clashes += p && (p->arena < 0 || p->first > (int)i || p->last < (int)i);
        }
    CHECK_INT(clashes, 0); /* what a call touches is alive then */
    for (size_t i = 0; i < num; i++) {
        const struct dlm_place *p = i < plan->graph->num_tensors
                                        ? &plan->tensors[i]
                                        : &plan->temps[i - plan->graph->num_tensors];
        if (p->arena >= 0)
            list[placed++] = p;
    }
    for (size_t i = 0; i < placed; i++) {
        clashes += list[i]->offset % DLM_ALIGN_BYTES ||
                   list[i]->offset + list[i]->bytes > plan->arena_bytes[list[i]->arena];
        for (size_t k = 0; k < i; k++)
            clashes += is_live_with(list[i], list[k]) &&
                       list[i]->offset < list[k]->offset + list[k]->bytes &&
                       list[k]->offset < list[i]->offset + list[i]->bytes;
    }
    CHECK(placed > 0);
    CHECK_INT(clashes, 0);
    for (int a = 0; a < plan->num_arenas; a++)
        CHECK(plan->arena_bytes[a] <= dlm_device_get_caps(f->device)->max_alloc_bytes);
    free(list);
}

static void check_program(const struct fixture *f, const char *what, const struct dlm_plan *plan,
                          const struct dlm_program *program)
{
    char name[64];

    snprintf(name, sizeof(name), "%s: kernels of the device", what);
    fixture_case(f->params.backend, f->params.name, name);
    check_device(f, plan, program);
    snprintf(name, sizeof(name), "%s: barriers", what);
    fixture_case(f->params.backend, f->params.name, name);
    check_barriers(program);
    snprintf(name, sizeof(name), "%s: memory", what);
    fixture_case(f->params.backend, f->params.name, name);
    check_places(f, plan);
}

/* A pass with gradients keeps activations in the policy's type. */
static size_t count_narrowed(const struct dlm_graph *g)
{
    size_t num = 0;

    for (size_t i = 0; i < g->num_nodes; i++)
        num += g->nodes[i]->op == &dlm_op_copy &&
               g->nodes[i]->outputs[0]->desc.dtype == DLM_DTYPE_BF16;
    return num;
}

/* A pass whose plan and graph are gone gives what it gave with them. */
static void check_settled(struct dlm_pass *pass, const struct dlm_example *list)
{
    const struct dlm_pass_step step = {.examples = list, .num = 2, .weight = 1};
    const int64_t labels = dlm_count_labels(list[0].is_label, list[0].len) +
                           dlm_count_labels(list[1].is_label, list[1].len);
    float *before = calloc((size_t)labels, sizeof(*before));
    float *after = calloc((size_t)labels, sizeof(*after));

    if (CHECK(before && after) && CHECK(!dlm_pass_run(pass, &step)) &&
        CHECK(!dlm_pass_logprobs(pass, before, labels))) {
        dlm_pass_settle(pass);
        CHECK(!pass->plan && !pass->graph && !dlm_program_plan(pass->program));
        CHECK(!dlm_pass_run(pass, &step) && !dlm_pass_logprobs(pass, after, labels));
        CHECK(before[0] < 0 && !memcmp(before, after, (size_t)labels * sizeof(*before)));
    }
    free(before);
    free(after);
}

static void check_pass(struct fixture *f, const char *what, bool backward, bool with_tower)
{
    struct dlm_example list[2] = {fixture_example(f, 0, 8), fixture_example(f, 1, 8)};
    struct dlm_pass_params params = fixture_pass_params(f, list, 2);
    struct dlm_workspace workspace = {0};
    struct dlm_pass *pass = NULL;

    params.backward = params.checkpoint = params.dropout = backward;
    params.with_tower = with_tower;
    bool ok = CHECK(!dlm_pass_create(f->ctx, &pass, f->model, f->lora, &params)) &&
              CHECK(!dlm_workspace_init(&workspace, f->device, &pass->plan, 1)) &&
              CHECK(!dlm_slots_alloc(&pass->slots));
    const size_t before = f->allocated;
    if (ok && CHECK(!dlm_pass_prepare(pass, &workspace))) {
        /* on the CPU little else is asked for than what stays and the list of dispatches */
        const size_t bytes = dlm_program_host_bytes(pass->plan, f->device);
        const size_t list_bytes =
            pass->plan->num_calls * (sizeof(struct dlm_dispatch) + sizeof(uint32_t));
        const size_t made = f->allocated - before;
        CHECK(made >= bytes + list_bytes);
        CHECK(f->params.backend != DLM_BACKEND_CPU ||
              made - bytes - list_bytes < bytes / 16 + 1024);
        check_program(f, what, pass->plan, pass->program);
        CHECK((count_narrowed(pass->graph) > 0) == backward);
        check_settled(pass, list);
    }
    dlm_pass_destroy(&pass);
    dlm_workspace_finish(&workspace);
}

static void check_update(struct fixture *f)
{
    struct dlm_workspace workspace = {0};
    struct dlm_update update = {0};

    if (CHECK(!dlm_update_init(&update, f->ctx, f->device, f->lora, 1)) &&
        CHECK(!dlm_workspace_init(&workspace, f->device, &update.plan, 1)) &&
        CHECK(!dlm_update_prepare(&update, &workspace)))
        check_program(f, "update", update.plan, update.program);
    dlm_update_finish(&update);
    dlm_workspace_finish(&workspace);
}

static void check_generator(struct fixture *f)
{
    const struct dlm_generator_params params = {.prompt_len = 40, .max_tokens = 20,
                                                .room = {1, f->model->tower.max_patches}};
    struct dlm_workspace workspace = {0};
    struct dlm_generator *g = NULL;
    struct dlm_plan *plans[3] = {NULL, NULL, f->vision.largest.plan};

    if (!CHECK(!dlm_generator_create(f->ctx, &g, f->model, f->lora, &params)))
        return;
    dlm_generator_plans(g, plans);
    if (CHECK(!dlm_workspace_init(&workspace, f->device, plans, 3)) &&
        CHECK(!dlm_generator_prepare(g, &workspace)) &&
        CHECK(!dlm_vision_prepare(&f->vision, &workspace))) {
        check_program(f, "prefill", plans[0], dlm_generator_program(g, true));
        check_program(f, "decode", plans[1], dlm_generator_program(g, false));
        check_program(f, "vision", plans[2], f->vision.largest.program);
    }
    dlm_program_destroy(&f->vision.largest.program);
    dlm_generator_destroy(&g);
    dlm_workspace_finish(&workspace);
}

static void run_backend(enum dlm_backend_kind backend)
{
    struct fixture f;

    fixture_case(backend, "bf16_new", "opens");
    if (fixture_open(&f, &(struct fixture_params){.backend = backend, .name = "bf16_new",
                                                  .adapter = "adapter_wide",
                                                  .policy = DLM_DTYPE_BF16,
                                                  .for_training = true})) {
        check_pass(&f, "score", false, false);
        check_pass(&f, "train", true, false);
        check_pass(&f, "train with tower", true, true);
        check_update(&f);
        check_generator(&f);
    }
    fixture_close(&f);
}

int main(void)
{
    for_each_backend(run_backend);
    return check_summary();
}
