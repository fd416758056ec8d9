/* Micro-batches: the program of a bucket, the rows put into it, what it found. */
#include "train/batch.h"

#include "base/log.h"

void dlm_batcher_init(struct dlm_batcher *b, struct dlm_train_data *data,
                      const struct dlm_lora *lora, struct dlm_vision *vision,
                      const struct dlm_pass_params *how)
{
    *b = (struct dlm_batcher){.data = data, .lora = lora, .vision = vision,
                              .checkpoint = how->checkpoint, .with_tower = how->with_tower,
                              .loss_rows = how->loss_rows};
}

void dlm_batcher_finish(struct dlm_batcher *b)
{
    for (size_t i = 0; i < DLM_MAX_BUCKETS; i++)
        dlm_pass_destroy(&b->passes[i]);
    dlm_pass_destroy(&b->largest);
    dlm_workspace_finish(&b->workspace);
}

/* What some examples need, rounded. */
static struct dlm_pass_params shape_of(const struct dlm_batcher *b,
                                       const struct dlm_train_example *const *rows, size_t num,
                                       bool backward)
{
    struct dlm_pass_params p = {.batch = b->batch, .loss_rows = b->loss_rows,
                                .backward = backward,
                                .checkpoint = backward && b->checkpoint,
                                .with_tower = b->with_tower,
                                .dropout = backward && b->lora->params.dropout > 0};

    for (size_t i = 0; i < num; i++) {
        p.tokens = DLM_MAX(p.tokens, (int64_t)rows[i]->input.ids.len);
        p.labels += rows[i]->num_labels;
        dlm_image_room_add(b->data->model, &p.room, b->data->plans + rows[i]->first_image,
                           (int64_t)rows[i]->num_images);
    }
    p.tokens = dlm_footprint_tokens(p.tokens);
    p.labels = dlm_footprint_labels(p.labels);
    /* any number up to the batch, and up to its multiples, shares a program */
    p.room.slices = (p.room.slices + b->batch - 1) / b->batch * b->batch;
    return p;
}

void dlm_batcher_largest_row(const struct dlm_train_data *data, struct dlm_footprint_row *row)
{
    *row = (struct dlm_footprint_row){.slice = dlm_train_data_patches(data)};
    for (size_t i = 0; i < data->num_train + data->num_val; i++) {
        const struct dlm_train_example *e =
            i < data->num_train ? &data->train[i] : &data->val[i - data->num_train];
        struct dlm_image_room room = {0};
        row->tokens = DLM_MAX(row->tokens, (int64_t)e->input.ids.len);
        row->labels = DLM_MAX(row->labels, e->num_labels);
        dlm_image_room_add(data->model, &room, data->plans + e->first_image,
                           (int64_t)e->num_images);
        row->room.slices = DLM_MAX(row->room.slices, room.slices);
        row->room.patches = DLM_MAX(row->room.patches, room.patches);
    }
}

/* A shape that holds any `batch` examples. */
static struct dlm_pass_params largest_shape(const struct dlm_batcher *b, int64_t batch)
{
    const struct dlm_footprint_params params = {.batch = batch, .loss_rows = b->loss_rows,
                                                .checkpoint = b->checkpoint,
                                                .with_tower = b->with_tower};
    struct dlm_footprint_row row;

    dlm_batcher_largest_row(b->data, &row);
    return dlm_footprint_pass(&row, b->lora, &params);
}

static enum dlm_status create_largest(struct dlm_batcher *b, int64_t batch, int64_t grad_accum,
                                      struct dlm_pass **pass)
{
    struct dlm_pass_params params = largest_shape(b, batch);

    params.logprobs = params.labels * grad_accum;
    return dlm_pass_create(b->data->ctx, pass, b->data->model, b->lora, &params);
}

enum dlm_status dlm_batcher_measure(struct dlm_batcher *b, int64_t batch, size_t *bytes)
{
    struct dlm_pass *pass = NULL;

    enum dlm_status st = create_largest(b, batch, 1, &pass);
    *bytes = st ? 0 : dlm_plan_bytes(pass->plan) + dlm_slots_bytes(&pass->slots);
    dlm_pass_destroy(&pass);
    return st;
}

enum dlm_status dlm_batcher_plan(struct dlm_batcher *b, int64_t batch, int64_t grad_accum,
                                 struct dlm_plan *update_plan)
{
    b->batch = batch;
    b->update_plan = update_plan;
    return create_largest(b, batch, grad_accum, &b->largest);
}

void dlm_batcher_expect(struct dlm_batcher *b, const struct dlm_train_example *const *rows,
                        size_t num, bool backward, bool is_late)
{
    const struct dlm_pass_params shape = shape_of(b, rows, num, backward);

    if (!is_late && b->buckets.num < DLM_MAX_BUCKETS - 2) /* room for the largest shapes */
        dlm_buckets_add(&b->buckets, &shape);
    else if (dlm_buckets_find(&b->buckets, &shape) < 0)
        b->needs_largest = true;
}

static enum dlm_status plan_pass(struct dlm_batcher *b, size_t bucket)
{
    struct dlm_pass_params params = b->buckets.list[bucket];

    params.logprobs = b->largest->params.logprobs;
    return dlm_pass_create(b->data->ctx, &b->passes[bucket], b->data->model, b->lora, &params);
}

enum dlm_status dlm_batcher_expect_all(struct dlm_batcher *b)
{
    struct dlm_pass_params shape = largest_shape(b, b->batch);
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && !b->needs_largest && i < b->buckets.num; i++)
        if (!dlm_buckets_is_within(&b->buckets, i))
            st = plan_pass(b, i);
    b->num_expected = b->buckets.num;
    dlm_buckets_add(&b->buckets, &shape);
    shape.backward = shape.checkpoint = shape.dropout = false;
    dlm_buckets_add(&b->buckets, &shape);
    return st;
}

/* The plans that share the workspace; NULL where there is none. */
#define NUM_PLANS 3
static void list_plans(const struct dlm_batcher *b, struct dlm_plan *plans[NUM_PLANS])
{
    plans[0] = b->largest->plan;
    plans[1] = b->update_plan;
    plans[2] = b->vision ? b->vision->largest.plan : NULL;
}

/* The process has no more of the workspace in memory than the buckets touch. */
static void trim_workspace(const struct dlm_batcher *b, struct dlm_budget *budget)
{
    struct dlm_plan *all[NUM_PLANS], *used[NUM_PLANS + DLM_MAX_BUCKETS];
    int num = 0;

    list_plans(b, all);
    for (size_t i = 0; i < DLM_MAX_BUCKETS; i++)
        if (b->passes[i])
            used[num++] = b->passes[i]->plan;
    if (b->needs_largest || !num)
        return;
    for (int i = 1; i < NUM_PLANS; i++)
        used[num++] = all[i];
    dlm_budget_trim_workspace(budget, all, NUM_PLANS, used, num);
}

/* A pass that is planned, about as large as that of a bucket will be: of its direction. */
static const struct dlm_pass *find_alike(const struct dlm_batcher *b, size_t bucket)
{
    const bool backward = b->buckets.list[bucket].backward;

    for (size_t i = 0; i < b->buckets.num; i++)
        if (b->passes[i] && b->buckets.list[i].backward == backward)
            return b->passes[i];
    return b->largest;
}

void dlm_batcher_add_to_budget(const struct dlm_batcher *b, struct dlm_budget *budget)
{
    struct dlm_held_images held = {0};
    struct dlm_plan *plans[NUM_PLANS];

    list_plans(b, plans);
    dlm_budget_add_workspace(budget, plans, NUM_PLANS - 1);
    dlm_budget_add_slots(budget, &b->largest->slots);
    if (b->vision)
        dlm_budget_add_vision(budget, b->vision, plans, NUM_PLANS - 1);
    trim_workspace(b, budget);
    for (size_t i = 0; i < b->data->num_images; i++)
        dlm_held_images_add(&held, b->data->model, &b->data->images[i].plan, b->with_tower);
    dlm_budget_add_images(budget, &held, DLM_TRAIN_HELD_BYTES);
    /* where a pass is planned already, its graph makes room for its program */
    for (size_t i = 0; i < b->num_expected + b->needs_largest; i++)
        if (!b->passes[i])
            dlm_budget_add_program(budget, find_alike(b, i)->plan, b->data->model->device);
}

enum dlm_status dlm_batcher_prepare(struct dlm_batcher *b)
{
    struct dlm_plan *plans[NUM_PLANS];

    list_plans(b, plans);
    enum dlm_status st =
        dlm_workspace_init(&b->workspace, b->data->model->device, plans, NUM_PLANS);
    if (!st)
        st = dlm_slots_alloc(&b->largest->slots);
    return st || !b->vision ? st : dlm_vision_prepare(b->vision, &b->workspace);
}

/* Plans the bucket's pass, where that is not done yet, and makes its program. A bucket whose
 * packing came out larger than the workspace runs as the largest one. */
static enum dlm_status make_pass(struct dlm_batcher *b, size_t bucket)
{
    const struct dlm_pass_params *params = &b->buckets.list[bucket];
    struct dlm_pass **pass = &b->passes[bucket];
    struct dlm_ctx *ctx = b->data->ctx;

    b->num_programs++;
    dlm_log(ctx, DLM_LOG_DEBUG, "program %lld: %lld rows of %lld tokens, %lld labels, %s",
            (long long)b->num_programs, (long long)params->batch, (long long)params->tokens,
            (long long)params->labels, params->backward ? "backward" : "forward");
    enum dlm_status st = *pass ? DLM_OK : plan_pass(b, bucket);
    if (!st && !dlm_workspace_fits(&b->workspace, (*pass)->plan)) {
        struct dlm_pass_params larger = b->largest->params;
        larger.backward = params->backward;
        larger.checkpoint = params->checkpoint;
        larger.dropout = params->dropout;
        dlm_pass_destroy(pass);
        st = dlm_pass_create(ctx, pass, b->data->model, b->lora, &larger);
    }
    if (!st) {
        dlm_slots_share(&(*pass)->slots, &b->largest->slots);
        st = dlm_pass_prepare(*pass, &b->workspace);
    }
    if (st)
        dlm_pass_destroy(pass);
    else
        dlm_pass_settle(*pass);
    return st;
}

/* The program of the bucket for some examples, made at first use. */
static enum dlm_status get_pass(struct dlm_batcher *b, const struct dlm_pass_params *shape,
                                struct dlm_pass **out)
{
    const int i = dlm_buckets_find(&b->buckets, shape);

    *out = NULL;
    if (i < 0)
        return dlm_fail(b->data->ctx, DLM_ERR_INVALID, "a micro-batch fits no program");
    const bool is_made = b->passes[i] && b->passes[i]->program;
    enum dlm_status st = is_made ? DLM_OK : make_pass(b, (size_t)i);
    *out = b->passes[i];
    return st;
}

/* images: room for the pointers of the example's images. */
static enum dlm_status make_example(struct dlm_batcher *b, const struct dlm_train_example *row,
                                    const float **images, struct dlm_example *e)
{
    const size_t *shown = b->data->shown + row->first_image;
    enum dlm_status st = DLM_OK;

    *e = dlm_input_example(&row->input);
    e->row_id = row->row_id;
    e->num_images = (int64_t)row->num_images;
    e->plans = b->data->plans + row->first_image;
    if (b->with_tower)
        e->pixels = images;
    else
        e->features = images;
    for (size_t i = 0; !st && i < row->num_images; i++)
        st = b->with_tower
                 ? dlm_train_data_pixels(b->data, shown[i], &images[i])
                 : dlm_train_data_features(b->data, shown[i], b->vision, &images[i]);
    return st;
}

enum dlm_status dlm_batcher_begin(struct dlm_batcher *b)
{
    const struct dlm_pass_params shape = largest_shape(b, b->batch);
    struct dlm_pass *unused;

    b->num_logprobs = 0;
    if (!b->needs_largest)
        return DLM_OK;
    b->needs_largest = false;
    return get_pass(b, &shape, &unused);
}

enum dlm_status dlm_batcher_run(struct dlm_batcher *b, const struct dlm_train_example *const *rows,
                                size_t num, const struct dlm_pass_step *how, bool backward)
{
    const struct dlm_pass_params shape = shape_of(b, rows, num, backward);
    struct dlm_ctx *ctx = b->data->ctx;
    struct dlm_pass_step step = *how;
    struct dlm_pass *pass = NULL;
    struct dlm_example *examples = dlm_alloc_array(ctx, num, sizeof(*examples));
    const float **images = dlm_alloc_array(ctx, (size_t)shape.room.slices + 1, sizeof(*images));
    enum dlm_status st = examples && images ? DLM_OK : DLM_ERR_MEMORY;

    step.examples = examples;
    step.num = (int64_t)num;
    step.logprobs_at = b->num_logprobs;
    for (size_t i = 0, image = 0; !st && i < num; image += rows[i++]->num_images) {
        st = make_example(b, rows[i], images + image, &examples[i]);
        b->num_logprobs += rows[i]->num_labels;
    }
    if (!st)
        st = get_pass(b, &shape, &pass);
    if (!st)
        st = dlm_pass_run(pass, &step);
    dlm_free(examples);
    dlm_free(images);
    return st;
}

enum dlm_status dlm_batcher_end(struct dlm_batcher *b, double *sum)
{
    float *logprobs = dlm_alloc_array(b->data->ctx, (size_t)b->num_logprobs, sizeof(*logprobs));
    enum dlm_status st = logprobs ? dlm_pass_logprobs(b->largest, logprobs, b->num_logprobs)
                                  : DLM_ERR_MEMORY;

    *sum = 0;
    for (int64_t i = 0; !st && i < b->num_logprobs; i++)
        *sum += logprobs[i];
    dlm_free(logprobs);
    return st;
}
