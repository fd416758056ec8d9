/* Prefill and decode programs over one KV cache. */
#include "generate/generator.h"

#include "base/log.h"
#include "graph/rewrite.h"

#define TOKEN_BUCKET 16
#define CACHE_BUCKET 64

/* Inputs and plan of one of the two programs, for T tokens. */
struct half {
    int64_t tokens;
    struct dlm_slots inputs; /* its step buffer */
    struct dlm_slot *ids, *cos, *sin, *rows, *keep, *start, *sampling, *rng, *adapter_on;
    struct dlm_graph *graph;
    struct dlm_plan *plan;
    struct dlm_program *program;
};

struct dlm_generator {
    struct dlm_ctx *ctx;
    const struct dlm_model *model;
    const struct dlm_lora *lora;
    struct dlm_generator_params params;
    struct dlm_slots slots; /* of both halves */
    struct dlm_slot **cache_k, **cache_v; /* [layers] */
    struct dlm_slot *token, *features;
    struct half prefill, decode;
    struct dlm_sampling how;
    int64_t len, bidirectional_len; /* tokens in the cache; of the prompt's, see dlm_example */
    int32_t next;                   /* position of the next token */
    uint32_t step;
    int32_t (*positions)[3]; /* of a run's tokens */
};

/* cols 0: one dimension */
static struct dlm_slot *add_input(struct half *h, const char *name, enum dlm_dtype dtype,
                                  int64_t rows, int64_t cols)
{
    int64_t shape[] = {rows, cols};

    return dlm_slots_add_step(&h->inputs, name, dtype, cols ? 2 : 1, shape);
}

static enum dlm_status add_shared(struct dlm_generator *g)
{
    const struct dlm_decoder_config *c = &g->model->decoder.config;
    const struct dlm_image_room *room = &g->params.room;
    const int64_t need = g->params.prompt_len + g->params.max_tokens;
    int64_t shape[] = {(need + CACHE_BUCKET - 1) / CACHE_BUCKET * CACHE_BUCKET,
                       c->block.kv_heads * c->block.head_dim};

    g->cache_k = dlm_alloc_array(g->ctx, (size_t)c->layers, sizeof(*g->cache_k));
    g->cache_v = dlm_alloc_array(g->ctx, (size_t)c->layers, sizeof(*g->cache_v));
    if (!g->cache_k || !g->cache_v)
        return DLM_ERR_MEMORY;
    for (int64_t i = 0; i < c->layers; i++) {
        g->cache_k[i] =
            dlm_slots_add(&g->slots, DLM_ROLE_STATE, "cache_k", g->model->policy, 2, shape);
        g->cache_v[i] =
            dlm_slots_add(&g->slots, DLM_ROLE_STATE, "cache_v", g->model->policy, 2, shape);
        if (!g->cache_k[i] || !g->cache_v[i])
            return DLM_ERR_MEMORY;
    }
    g->token = dlm_slots_add(&g->slots, DLM_ROLE_STATE, "token", DLM_DTYPE_I32, 1, (int64_t[]){1});
    if (room->slices)
        g->features = dlm_slots_add(
            &g->slots, DLM_ROLE_INPUT, "features", g->model->policy, 2,
            (int64_t[]){room->slices * room->patches, g->model->tower.width});
    return g->token && (!room->slices || g->features) ? DLM_OK : DLM_ERR_MEMORY;
}

static enum dlm_status add_half(struct dlm_generator *g, struct half *h, int64_t tokens)
{
    const int64_t half_dim = g->model->decoder.config.block.head_dim / 2;

    h->tokens = tokens;
    h->inputs = (struct dlm_slots){.ctx = g->ctx, .device = g->model->device};
    h->ids = tokens > 1 ? add_input(h, "ids", DLM_DTYPE_I32, tokens, 0) : g->token;
    h->cos = add_input(h, "cos", DLM_DTYPE_F32, tokens, half_dim);
    h->sin = add_input(h, "sin", DLM_DTYPE_F32, tokens, half_dim);
    h->rows = add_input(h, "rows", DLM_DTYPE_I32, 1, 4);
    h->keep = tokens > 1 ? add_input(h, "keep", DLM_DTYPE_I32, 1, 0) : NULL;
    h->start = add_input(h, "start", DLM_DTYPE_I32, 2, 0);
    h->sampling = add_input(h, "sampling", DLM_DTYPE_F32, 2, 0);
    h->rng = add_input(h, "rng", DLM_DTYPE_U32, 4, 0);
    h->adapter_on = add_input(h, "adapter_on", DLM_DTYPE_F32, 1, 0);
    return h->ids && h->cos && h->sin && h->rows && h->start && h->sampling && h->rng &&
                   h->adapter_on && (h->keep || tokens == 1)
               ? DLM_OK
               : DLM_ERR_MEMORY;
}

static struct dlm_tensor *build_features(struct dlm_generator *g, struct dlm_build *b)
{
    struct dlm_tensor *f = dlm_slot_leaf(b->g, g->features);

    if (!f)
        return NULL;
    if (f->desc.dtype != DLM_DTYPE_F32)
        f = dlm_copy(b->g, f, DLM_DTYPE_F32);
    return g->model->family->project(b, g->model, f);
}

static enum dlm_status build_half(struct dlm_generator *g, struct half *h)
{
    const int64_t layers = g->model->decoder.config.layers;

    enum dlm_status st = dlm_graph_create(g->ctx, &h->graph);
    if (st)
        return st;
    struct dlm_build b = {.g = h->graph, .policy = g->model->policy, .lora = g->lora,
                          .adapter_on = dlm_slot_leaf(h->graph, h->adapter_on),
                          .max_bytes = dlm_device_max_tensor(g->model->device)};
    struct dlm_tensor **caches = dlm_arena_alloc(g->ctx, &h->graph->arena,
                                                 2 * (size_t)layers * sizeof(*caches));
    if (!caches)
        return DLM_ERR_MEMORY;
    for (int64_t i = 0; i < layers; i++) {
        caches[i] = dlm_slot_leaf(h->graph, g->cache_k[i]);
        caches[layers + i] = dlm_slot_leaf(h->graph, g->cache_v[i]);
    }
    struct dlm_decoder_inputs in = {
        .batch = 1,
        .tokens = h->tokens,
        .ids = dlm_slot_leaf(h->graph, h->ids),
        .features = h->tokens > 1 ? build_features(g, &b) : NULL,
        .cos = dlm_slot_leaf(h->graph, h->cos),
        .sin = dlm_slot_leaf(h->graph, h->sin),
        .rows = dlm_slot_leaf(h->graph, h->rows),
        .keep = dlm_slot_leaf(h->graph, h->keep),
        .cache_k = caches,
        .cache_v = caches + layers,
        .cache_start = dlm_slot_leaf(h->graph, h->start),
    };
    struct dlm_tensor *hidden = dlm_decoder_build(&b, &g->model->decoder, &in);
    struct dlm_tensor *inputs[] = {dlm_decoder_logits(&b, &g->model->decoder, hidden),
                                   dlm_slot_leaf(h->graph, h->sampling),
                                   dlm_slot_leaf(h->graph, h->rng)};
    if (inputs[0])
        dlm_graph_emit_into(h->graph, &dlm_op_select, NULL, inputs, 3,
                            dlm_slot_leaf(h->graph, g->token));
    st = dlm_graph_fuse(h->graph);
    return st ? st : dlm_plan_create(g->ctx, &h->plan, h->graph, g->model->device);
}

enum dlm_status dlm_generator_create(struct dlm_ctx *ctx, struct dlm_generator **out,
                                     const struct dlm_model *model, const struct dlm_lora *lora,
                                     const struct dlm_generator_params *params)
{
    struct dlm_generator *g = dlm_alloc(ctx, sizeof(*g));
    const int64_t bucket =
        (params->prompt_len + TOKEN_BUCKET - 1) / TOKEN_BUCKET * TOKEN_BUCKET;

    *out = NULL;
    if (!g)
        return DLM_ERR_MEMORY;
    g->ctx = ctx;
    g->model = model;
    g->lora = lora;
    g->params = *params;
    g->slots = (struct dlm_slots){.ctx = ctx, .device = model->device};
    g->positions = dlm_alloc_array(ctx, (size_t)bucket, sizeof(*g->positions));
    enum dlm_status st = g->positions ? add_shared(g) : DLM_ERR_MEMORY;
    if (!st)
        st = add_half(g, &g->prefill, bucket);
    if (!st)
        st = add_half(g, &g->decode, 1);
    if (!st)
        st = build_half(g, &g->prefill);
    if (!st)
        st = build_half(g, &g->decode);
    if (st) {
        dlm_generator_destroy(&g);
        return st;
    }
    *out = g;
    return DLM_OK;
}

static void finish_half(struct half *h)
{
    dlm_program_destroy(&h->program);
    dlm_plan_destroy(&h->plan);
    dlm_graph_destroy(&h->graph);
    dlm_slots_finish(&h->inputs);
}

void dlm_generator_destroy(struct dlm_generator **generator)
{
    struct dlm_generator *g = generator ? *generator : NULL;

    if (!g)
        return;
    finish_half(&g->prefill);
    finish_half(&g->decode);
    dlm_slots_finish(&g->slots);
    dlm_free(g->cache_k);
    dlm_free(g->cache_v);
    dlm_free(g->positions);
    dlm_free(g);
    *generator = NULL;
}

void dlm_generator_plans(const struct dlm_generator *g, struct dlm_plan *plans[2])
{
    plans[0] = g->prefill.plan;
    plans[1] = g->decode.plan;
}

void dlm_generator_add_to_budget(const struct dlm_generator *g, struct dlm_budget *budget)
{
    dlm_budget_add_slots(budget, &g->slots);
    dlm_budget_add_slots(budget, &g->prefill.inputs);
    dlm_budget_add_slots(budget, &g->decode.inputs);
}

enum dlm_status dlm_generator_prepare(struct dlm_generator *g, struct dlm_workspace *workspace)
{
    struct half *halves[] = {&g->prefill, &g->decode};

    enum dlm_status st = dlm_slots_alloc(&g->slots);
    for (size_t i = 0; !st && i < DLM_ARRAY_LEN(halves); i++) {
        struct half *h = halves[i];
        st = dlm_slots_alloc(&h->inputs);
        if (!st)
            st = dlm_program_create(g->ctx, &h->program, g->model->device, h->plan, workspace);
    }
    return st;
}

/* Writes the inputs of n tokens from g->len on, at g->positions; runs; reads the token. */
static enum dlm_status run_half(struct dlm_generator *g, struct half *h, int64_t n, int32_t *token)
{
    const int32_t rows[4] = {(int32_t)g->len, (int32_t)(g->len + n), (int32_t)g->bidirectional_len,
                             (int32_t)n}; /* below the cache's capacity */
    const int32_t start[2] = {(int32_t)g->len, (int32_t)n};
    const float how[2] = {g->how.temperature, g->how.top_p}, on = 1.0f;
    const uint32_t rng[4] = {(uint32_t)g->how.seed, (uint32_t)(g->how.seed >> 32), g->step, 0};

    memcpy(dlm_slot_data(h->rows), rows, sizeof(rows));
    memcpy(dlm_slot_data(h->start), start, sizeof(start));
    memcpy(dlm_slot_data(h->sampling), how, sizeof(how));
    memcpy(dlm_slot_data(h->rng), rng, sizeof(rng));
    memcpy(dlm_slot_data(h->adapter_on), &on, sizeof(on));
    dlm_decoder_rope_table(&g->model->decoder.config, (const int32_t(*)[3])g->positions, h->tokens,
                           dlm_slot_data(h->cos), dlm_slot_data(h->sin));
    enum dlm_status st = dlm_slots_write_step(&h->inputs);
    if (!st)
        st = dlm_program_run(h->program);
    if (!st)
        st = dlm_slot_read(g->token, token, sizeof(*token));
    if (!st && *token < 0)
        st = dlm_model_not_finite(g->model, "logits");
    if (st) /* as if it had not been tried: what was written to the cache is written again */
        return st;
    g->len += n;
    g->step++;
    return DLM_OK;
}

static enum dlm_status check_prompt(const struct dlm_generator *g, const struct dlm_example *prompt)
{
    const struct dlm_image_room *room = &g->params.room;
    struct dlm_image_room needed = {0};

    dlm_image_room_add(g->model, &needed, prompt->plans, prompt->num_images);
    if (prompt->len < 1 || prompt->len > g->params.prompt_len || prompt->bidirectional_len < 0 ||
        prompt->bidirectional_len > prompt->len || needed.slices > room->slices ||
        needed.patches > room->patches)
        return dlm_fail(g->ctx, DLM_ERR_INVALID, "the prompt does not fit the program");
    return dlm_example_check(g->model, prompt);
}

enum dlm_status dlm_generator_prefill(struct dlm_generator *g, const struct dlm_example *prompt,
                                      const struct dlm_sampling *sampling, int32_t *token)
{
    const int32_t last = (int32_t)prompt->len - 1; /* below the capacity */

    enum dlm_status st = check_prompt(g, prompt);
    if (st)
        return st;
    g->how = *sampling;
    g->step = 0;
    g->len = 0;
    g->bidirectional_len = prompt->bidirectional_len;
    memset(g->positions, 0, (size_t)g->prefill.tokens * sizeof(*g->positions));
    g->model->family->positions(g->model, prompt, g->positions, &g->next);
    int32_t *ids = dlm_slot_data(g->prefill.ids);
    for (int64_t i = 0; i < g->prefill.tokens; i++)
        ids[i] = DLM_NO_ID;
    dlm_image_room_place(g->model, &g->params.room, prompt, 0, ids, NULL, 0);
    memcpy(dlm_slot_data(g->prefill.keep), &last, sizeof(last));
    st = dlm_image_room_write_features(g->model, &g->params.room, prompt, 1, g->features);
    return st ? st : run_half(g, &g->prefill, prompt->len, token);
}

enum dlm_status dlm_generator_next(struct dlm_generator *g, int32_t *token)
{
    if (g->len >= g->params.prompt_len + g->params.max_tokens)
        return dlm_fail(g->ctx, DLM_ERR_INVALID, "the KV cache is full");
    for (int axis = 0; axis < 3; axis++)
        g->positions[0][axis] = g->next;
    enum dlm_status st = run_half(g, &g->decode, 1, token);
    if (!st)
        g->next++;
    return st;
}

struct dlm_program *dlm_generator_program(struct dlm_generator *g, bool prefill)
{
    return prefill ? g->prefill.program : g->decode.program;
}
