/* The pass: graph, host inputs, replay. */
#include "models/pass.h"

#include "base/log.h"
#include "graph/rewrite.h"

/* Logits and their gradient may take this part of the memory beside the weights, and at least so
 * much. With more rows than the most, reading the head costs next to nothing beside its product. */
#define LOSS_PART 8
#define LOSS_LEAST_BYTES ((uint64_t)64 << 20)
#define LOSS_MOST_ROWS 1024
#define LOSS_MOST_TILES 4096 /* each is nodes of the graph */
#define MAX_INDEX UINT32_MAX /* with which kernels count a tensor's numbers */

/* An input in the step buffer. */
static struct dlm_slot *small(struct dlm_pass *p, const char *name, enum dlm_dtype dtype, int ndim,
                              const int64_t *shape)
{
    return dlm_slots_add_step(&p->slots, name, dtype, ndim, shape);
}

static int64_t num_rows(const struct dlm_pass *p)
{
    return p->params.batch * p->params.tokens;
}

static enum dlm_status add_slots(struct dlm_pass *p)
{
    const struct dlm_image_room *room = &p->params.room;
    const int64_t rows = num_rows(p), half = p->model->decoder.config.block.head_dim / 2;
    const int64_t labels = p->params.labels;
    const int64_t num_slots = dlm_image_room_tokens(p->model, room);
    enum dlm_status st = DLM_OK;

    p->ids = small(p, "ids", DLM_DTYPE_I32, 1, &rows);
    p->cos = small(p, "cos", DLM_DTYPE_F32, 2, (int64_t[]){rows, half});
    p->sin = small(p, "sin", DLM_DTYPE_F32, 2, (int64_t[]){rows, half});
    p->rows = small(p, "rows", DLM_DTYPE_I32, 2, (int64_t[]){p->params.batch, 4});
    p->keep = small(p, "keep", DLM_DTYPE_I32, 1, &labels);
    p->keep_back = small(p, "keep_back", DLM_DTYPE_I32, 1, &rows);
    p->labels = small(p, "labels", DLM_DTYPE_I32, 1, &labels);
    p->weights = small(p, "weights", DLM_DTYPE_F32, 1, &labels);
    p->rng = small(p, "rng", DLM_DTYPE_U32, 1, (int64_t[]){4});
    p->row_ids = small(p, "row_ids", DLM_DTYPE_U32, 1, &p->params.batch);
    p->keep_ids = small(p, "keep_ids", DLM_DTYPE_U32, 1, &labels);
    p->adapter_on = small(p, "adapter_on", DLM_DTYPE_F32, 1, (int64_t[]){1});
    p->logprobs_start = small(p, "logprobs_start", DLM_DTYPE_I32, 1, (int64_t[]){2});
    p->logprobs = dlm_slots_add(&p->slots, DLM_ROLE_STATE, "logprobs", DLM_DTYPE_F32, 2,
                                (int64_t[]){DLM_MAX(p->params.logprobs, labels), 1});
    bool ok = p->ids && p->cos && p->sin && p->rows && p->keep && p->keep_back && p->labels &&
              p->weights && p->rng && p->row_ids && p->keep_ids && p->adapter_on &&
              p->logprobs_start && p->logprobs;
    if (ok && room->slices && p->params.with_tower)
        st = dlm_tower_add_slots(&p->tower, p->model, room, &p->slots);
    if (ok && room->slices && !p->params.with_tower) {
        p->features = dlm_slots_add(&p->slots, DLM_ROLE_INPUT, "features", p->model->policy, 2,
                                    (int64_t[]){room->slices * room->patches,
                                                p->model->tower.width});
        ok = p->features;
    }
    if (ok && room->slices) {
        p->slot_rows = small(p, "slot_rows", DLM_DTYPE_I32, 1, &num_slots);
        p->slice_ids = small(p, "slice_ids", DLM_DTYPE_U32, 1, &room->slices);
        ok = p->slot_rows && p->slice_ids;
    }
    return ok ? st : DLM_ERR_MEMORY;
}

/* Features of the images in the decoder's width, f32. */
static struct dlm_tensor *build_images(struct dlm_pass *p, struct dlm_build *b)
{
    struct dlm_tensor *features = NULL;

    if (!p->params.room.slices)
        return NULL;
    features = p->params.with_tower ? dlm_tower_build(b, &p->tower)
                                    : dlm_slot_leaf(b->g, p->features);
    if (features && features->desc.dtype != DLM_DTYPE_F32)
        features = dlm_copy(b->g, features, DLM_DTYPE_F32);
    return p->model->family->project(b, p->model, features);
}

static enum dlm_status build(struct dlm_pass *p)
{
    struct dlm_graph *g = p->graph;
    struct dlm_build b = {
        .g = g,
        .policy = p->model->policy,
        .lora = p->lora,
        .for_training = p->params.backward,
        .adapter_on = p->params.backward ? NULL : dlm_slot_leaf(g, p->adapter_on),
        .rng = p->params.dropout ? dlm_slot_leaf(g, p->rng) : NULL,
        .row_ids = p->params.dropout ? dlm_slot_leaf(g, p->row_ids) : NULL,
        .max_bytes = dlm_device_max_tensor(p->model->device),
    };
    struct dlm_build tower = b;
    /* logits lie in one buffer each */
    const int64_t fit = (int64_t)(b.max_bytes / sizeof(float)) / p->model->decoder.config.vocab;
    const int64_t tile = DLM_MIN(p->params.loss_rows, DLM_MAX(fit, (int64_t)1));
    struct dlm_tensor *dhidden = NULL;

    /* batch rows of the tower and the projector are slices */
    tower.row_ids = p->params.dropout ? dlm_slot_leaf(g, p->slice_ids) : NULL;
    struct dlm_decoder_inputs in = {
        .batch = p->params.batch,
        .tokens = p->params.tokens,
        .ids = dlm_slot_leaf(g, p->ids),
        .features = build_images(p, &tower),
        .slot_rows = dlm_slot_leaf(g, p->slot_rows),
        .cos = dlm_slot_leaf(g, p->cos),
        .sin = dlm_slot_leaf(g, p->sin),
        .rows = dlm_slot_leaf(g, p->rows),
        .keep = dlm_slot_leaf(g, p->keep),
        .keep_back = dlm_slot_leaf(g, p->keep_back),
        .keep_ids = p->params.dropout ? dlm_slot_leaf(g, p->keep_ids) : NULL,
    };
    struct dlm_tensor *hidden = dlm_decoder_build(&b, &p->model->decoder, &in);
    struct dlm_tensor *logprob =
        dlm_decoder_loss(&b, &p->model->decoder, hidden, dlm_slot_leaf(g, p->labels),
                         dlm_slot_leaf(g, p->weights), tile,
                         p->params.backward ? &dhidden : NULL);
    logprob = dlm_view_reshape(g, logprob, 2, (int64_t[]){p->params.labels, 1});
    (void)dlm_store_rows(g, dlm_slot_leaf(g, p->logprobs), logprob,
                         dlm_slot_leaf(g, p->logprobs_start)); /* the node is what counts */
    enum dlm_status st = dlm_graph_fuse(g);
    if (!st && p->params.backward)
        st = dlm_graph_backward(g, &hidden, &dhidden, 1, p->params.checkpoint);
    if (!st && p->params.backward)
        st = dlm_graph_prune(g);
    if (!st)
        st = dlm_graph_fuse(g);
    return st || !p->params.backward ? st : dlm_graph_narrow_saved(g, p->model->policy);
}

int64_t dlm_pass_loss_rows(const struct dlm_model *model)
{
    const uint64_t memory = dlm_device_get_caps(model->device)->plan_bytes;
    const uint64_t weights = dlm_weights_bytes(model->weights, DLM_WEIGHT_GROUPS_ALL);
    const uint64_t room =
        DLM_MAX((memory - DLM_MIN(memory, weights)) / LOSS_PART, LOSS_LEAST_BYTES);
    const uint64_t row_bytes = dlm_decoder_loss_row_bytes(&model->decoder.config);
    int64_t rows = LOSS_MOST_ROWS;

    while (rows > 1 && (uint64_t)rows * row_bytes > room)
        rows /= 2;
    return rows;
}

/* Said before the graph is built, which would be as large as what it stands for. */
static enum dlm_status check_size(const struct dlm_pass *p)
{
    const struct dlm_pass_params *s = &p->params;
    const int64_t hidden = p->model->decoder.config.block.hidden;
    const int64_t most_labels = s->loss_rows * LOSS_MOST_TILES;

    if (s->labels > most_labels)
        return dlm_fail(p->model->ctx, DLM_ERR_UNSUPPORTED,
                        "%lld rows of %lld tokens are too many at once: %lld labels, of which a "
                        "step on this device has at most %lld", (long long)s->batch,
                        (long long)s->tokens, (long long)s->labels, (long long)most_labels);
    if (s->tokens > (int64_t)MAX_INDEX / hidden / s->batch)
        return dlm_fail(p->model->ctx, DLM_ERR_UNSUPPORTED,
                        "%lld rows of %lld tokens are too many at once: with %lld numbers a token "
                        "that is more than 2^32, which is what kernels count", (long long)s->batch,
                        (long long)s->tokens, (long long)hidden);
    return DLM_OK;
}

enum dlm_status dlm_pass_create(struct dlm_ctx *ctx, struct dlm_pass **out,
                                const struct dlm_model *model, const struct dlm_lora *lora,
                                const struct dlm_pass_params *params)
{
    struct dlm_pass *p = dlm_alloc(ctx, sizeof(*p));

    *out = NULL;
    if (!p)
        return DLM_ERR_MEMORY;
    p->model = model;
    p->lora = lora;
    p->params = *params;
    if (!p->params.loss_rows)
        p->params.loss_rows = dlm_pass_loss_rows(model);
    p->slots = (struct dlm_slots){.ctx = ctx, .device = model->device};
    enum dlm_status st = check_size(p);
    if (!st)
        p->positions = dlm_alloc_array(ctx, (size_t)num_rows(p), sizeof(*p->positions));
    if (!st)
        st = p->positions ? add_slots(p) : DLM_ERR_MEMORY;
    if (!st)
        st = dlm_graph_create(ctx, &p->graph);
    if (!st)
        st = build(p);
    if (!st)
        st = dlm_plan_create(ctx, &p->plan, p->graph, model->device);
    if (st) {
        dlm_pass_destroy(&p);
        return st;
    }
    *out = p;
    return DLM_OK;
}

void dlm_pass_destroy(struct dlm_pass **pass)
{
    struct dlm_pass *p = pass ? *pass : NULL;

    if (!p)
        return;
    dlm_program_destroy(&p->program);
    dlm_plan_destroy(&p->plan);
    dlm_graph_destroy(&p->graph);
    dlm_slots_finish(&p->slots);
    dlm_free(p->positions);
    dlm_free(p);
    *pass = NULL;
}

enum dlm_status dlm_pass_prepare(struct dlm_pass *pass, struct dlm_workspace *workspace)
{
    enum dlm_status st = dlm_slots_alloc(&pass->slots);

    return st ? st : dlm_program_create(pass->model->ctx, &pass->program, pass->model->device,
                                        pass->plan, workspace);
}

void dlm_pass_settle(struct dlm_pass *pass)
{
    dlm_program_settle(pass->program);
    dlm_plan_destroy(&pass->plan);
    dlm_graph_destroy(&pass->graph);
}

/* The host's copies of the inputs, and running totals while the examples are laid out. */
struct layout {
    struct views {
        int32_t *ids, *rows, *keep, *keep_back, *labels, *slot_rows;
        uint32_t *row_ids, *keep_ids, *slice_ids;
        float *weights;
    } views;
    int64_t labels, slices;
};

static void *data_of(const struct dlm_slot *slot)
{
    return slot ? dlm_slot_data(slot) : NULL;
}

static void fill(int32_t *list, int64_t len, int32_t value)
{
    for (int64_t i = 0; list && i < len; i++)
        list[i] = value;
}

/* Everything padding: no row, no label, no image. */
static void begin_layout(const struct dlm_pass *p, struct layout *at)
{
    *at = (struct layout){.views = {
        .ids = data_of(p->ids), .rows = data_of(p->rows), .keep = data_of(p->keep),
        .keep_back = data_of(p->keep_back), .labels = data_of(p->labels),
        .slot_rows = data_of(p->slot_rows), .row_ids = data_of(p->row_ids),
        .keep_ids = data_of(p->keep_ids), .slice_ids = data_of(p->slice_ids),
        .weights = data_of(p->weights)}};

    memset(p->slots.step_data, 0, p->slots.step_bytes);
    memset(p->positions, 0, (size_t)num_rows(p) * sizeof(*p->positions));
    fill(at->views.ids, num_rows(p), DLM_NO_ID);
    fill(at->views.keep_back, num_rows(p), -1);
    fill(at->views.keep, p->params.labels, -1);
    fill(at->views.labels, p->params.labels, -1);
    fill(at->views.slot_rows, dlm_image_room_tokens(p->model, &p->params.room), -1);
}

/* Names the dropout stream of part k of an example: wherever the part lies in a batch. */
static uint32_t stream_of(const struct dlm_example *e, int64_t k)
{
    return dlm_philox(e->row_id, (uint32_t)k, 0, 0, 0, 0); /* k is far below 2^32 */
}

/* The example's slices: what their tokens stand for, their lengths, their streams. */
static void lay_out_images(struct dlm_pass *p, const struct dlm_example *e, int64_t first_row,
                           struct layout *at)
{
    uint32_t *ids = at->views.slice_ids;
    int64_t slice = 0; /* of the example */

    dlm_image_room_place(p->model, &p->params.room, e, at->slices, at->views.ids + first_row,
                         at->views.slot_rows, first_row);
    for (int64_t i = 0; i < e->num_images; i++) {
        const struct dlm_image_plan *plan = &e->plans[i];
        if (p->params.with_tower)
            dlm_tower_lay_out(&p->tower, at->slices, plan, plan->grid_t);
        for (int32_t s = 0; s < plan->grid_t; s++)
            ids[at->slices++] = stream_of(e, slice++);
    }
}

static void lay_out(struct dlm_pass *p, const struct dlm_example *e, int64_t b, float weight,
                    struct layout *at)
{
    struct views *h = &at->views;
    const int64_t first = b * p->params.tokens;

    lay_out_images(p, e, first, at);
    for (int64_t t = 0; t < e->len; t++) {
        const int64_t row = first + t; /* far below 2^31 */
        if (!e->is_label || !e->is_label[t])
            continue;
        h->keep[at->labels] = (int32_t)(row - 1);
        h->keep_back[row - 1] = (int32_t)at->labels;
        h->keep_ids[at->labels] = stream_of(e, t);
        h->labels[at->labels] = e->ids[t];
        h->weights[at->labels++] = weight;
    }
    const int32_t rows[4] = {0, (int32_t)e->len, (int32_t)e->bidirectional_len, (int32_t)e->len};
    memcpy(h->rows + 4 * b, rows, sizeof(rows));
    p->model->family->positions(p->model, e, p->positions + first, &(int32_t){0});
    h->row_ids[b] = e->row_id;
}

/* The example's patches from slice *at on, which is moved on. */
static enum dlm_status write_patches(struct dlm_pass *p, const struct dlm_example *e, int64_t *at)
{
    enum dlm_status st = DLM_OK;

    for (int64_t i = 0; !st && i < e->num_images; i++) {
        const struct dlm_image_plan *plan = &e->plans[i];
        float *patches = dlm_tower_patches(p->model, plan, e->pixels[i]);
        st = patches ? dlm_tower_write(&p->tower, *at, plan, 0, plan->grid_t, patches)
                     : DLM_ERR_MEMORY;
        dlm_free(patches);
        *at += plan->grid_t;
    }
    return st;
}

static void lay_out_step(struct dlm_pass *p, const struct dlm_pass_step *step)
{
    const uint32_t rng[4] = {(uint32_t)step->seed, (uint32_t)(step->seed >> 32), step->step, 0};
    const float on = step->adapter_off ? 0.0f : 1.0f;
    struct layout at;

    begin_layout(p, &at);
    for (int64_t i = 0; i < step->num; i++)
        lay_out(p, &step->examples[i], i, step->weight, &at);
    const int32_t start[2] = {(int32_t)step->logprobs_at, (int32_t)at.labels}; /* below 2^31 */
    memcpy(dlm_slot_data(p->logprobs_start), start, sizeof(start));
    memcpy(dlm_slot_data(p->rng), rng, sizeof(rng));
    memcpy(dlm_slot_data(p->adapter_on), &on, sizeof(on));
    dlm_decoder_rope_table(&p->model->decoder.config, p->positions, num_rows(p),
                           dlm_slot_data(p->cos), dlm_slot_data(p->sin));
}

/* The example is what the model takes, and no label is seen before it is told. */
static enum dlm_status check_example(const struct dlm_pass *p, const struct dlm_example *e)
{
    if (e->len < 1 || e->len > p->params.tokens || e->bidirectional_len < 0 ||
        e->bidirectional_len > e->len ||
        dlm_count_labels(e->is_label, DLM_MAX(e->bidirectional_len, (int64_t)1)))
        return dlm_fail(p->model->ctx, DLM_ERR_INVALID, "an example does not fit the program");
    return dlm_example_check(p->model, e);
}

static enum dlm_status check_step(const struct dlm_pass *p, const struct dlm_pass_step *step)
{
    const struct dlm_image_room *room = &p->params.room;
    struct dlm_image_room needed = {0};
    int64_t labels = 0;
    enum dlm_status st = DLM_OK;

    for (int64_t i = 0; !st && i < step->num; i++) {
        const struct dlm_example *e = &step->examples[i];
        st = check_example(p, e);
        labels += st ? 0 : dlm_count_labels(e->is_label, e->len);
        dlm_image_room_add(p->model, &needed, e->plans, e->num_images);
    }
    if (!st && (step->num > p->params.batch || labels > p->params.labels ||
                needed.slices > room->slices || needed.patches > room->patches ||
                step->logprobs_at < 0 || (step->adapter_off && p->params.backward) ||
                step->logprobs_at + labels > p->logprobs->desc.shape[0]))
        st = dlm_fail(p->model->ctx, DLM_ERR_INVALID, "the examples do not fit the program");
    return st;
}

enum dlm_status dlm_pass_run(struct dlm_pass *pass, const struct dlm_pass_step *step)
{
    enum dlm_status st = check_step(pass, step);
    int64_t slice = 0;

    if (st)
        return st;
    lay_out_step(pass, step);
    st = dlm_slots_write_step(&pass->slots);
    for (int64_t i = 0; !st && i < step->num && pass->params.with_tower; i++)
        st = write_patches(pass, &step->examples[i], &slice);
    if (!st && !pass->params.with_tower)
        st = dlm_image_room_write_features(pass->model, &pass->params.room, step->examples,
                                           step->num, pass->features);
    return st ? st : dlm_program_run(pass->program);
}

enum dlm_status dlm_pass_logprobs(struct dlm_pass *pass, float *out, int64_t num)
{
    return dlm_slot_read(pass->logprobs, out, (size_t)num * sizeof(float));
}
