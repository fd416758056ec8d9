/* Buckets and programs. */
#include "train/batch.h"

#include "base/log.h"

#define TOKEN_BUCKET 16
#define LABEL_BUCKET 8

static int64_t round_up(int64_t n, int64_t to)
{
    return (n + to - 1) / to * to;
}

void dlm_batcher_init(struct dlm_batcher *b, struct dlm_train_data *data,
                      const struct dlm_lora *lora, struct dlm_vision *vision, bool checkpoint,
                      bool with_tower)
{
    *b = (struct dlm_batcher){.data = data, .lora = lora, .vision = vision,
                              .checkpoint = checkpoint, .with_tower = with_tower};
}

static void drop_passes(struct dlm_batcher *b)
{
    for (int i = 0; i < DLM_BATCHER_MAX_PASSES; i++)
        dlm_pass_destroy(&b->passes[i]);
}

void dlm_batcher_finish(struct dlm_batcher *b)
{
    drop_passes(b);
    dlm_pass_destroy(&b->largest);
    dlm_workspace_finish(&b->workspace);
}

/* The bucket of some examples. */
static struct dlm_pass_params bucket_of(const struct dlm_batcher *b,
                                        const struct dlm_train_example *const *rows, size_t num,
                                        int64_t batch, bool backward)
{
    struct dlm_pass_params p = {.batch = batch, .backward = backward,
                                .checkpoint = backward && b->checkpoint,
                                .with_tower = b->with_tower,
                                .dropout = backward && b->lora->params.dropout > 0};
    int64_t images = 0; /* most of a row */

    for (size_t i = 0; i < num; i++) {
        p.tokens = DLM_MAX(p.tokens, (int64_t)rows[i]->input.ids.len);
        p.labels += rows[i]->num_labels;
        images = DLM_MAX(images, (int64_t)rows[i]->num_images);
    }
    p.tokens = round_up(p.tokens, TOKEN_BUCKET);
    p.labels = round_up(DLM_MAX(p.labels, (int64_t)1), LABEL_BUCKET);
    p.images = images * batch; /* any number up to that shares a program */
    return p;
}

/* A bucket that holds any `batch` examples. */
static struct dlm_pass_params largest_bucket(const struct dlm_batcher *b, int64_t batch)
{
    int64_t labels = 0;
    struct dlm_pass_params p = {.batch = batch, .backward = true, .checkpoint = b->checkpoint,
                                .with_tower = b->with_tower,
                                .dropout = b->lora->params.dropout > 0};

    for (size_t i = 0; i < b->data->num_train + b->data->num_val; i++) {
        const struct dlm_train_example *e = i < b->data->num_train
                                                ? &b->data->train[i]
                                                : &b->data->val[i - b->data->num_train];
        p.tokens = DLM_MAX(p.tokens, (int64_t)e->input.ids.len);
        labels = DLM_MAX(labels, e->num_labels);
        p.images = DLM_MAX(p.images, (int64_t)e->num_images * batch);
    }
    p.tokens = round_up(p.tokens, TOKEN_BUCKET);
    p.labels = round_up(DLM_MAX(labels, (int64_t)1) * batch, LABEL_BUCKET);
    return p;
}

static enum dlm_status create_largest(struct dlm_batcher *b, int64_t batch, struct dlm_pass **pass)
{
    struct dlm_pass_params params = largest_bucket(b, batch);

    return dlm_pass_create(b->data->ctx, pass, b->data->model, b->lora, &params);
}

enum dlm_status dlm_batcher_measure(struct dlm_batcher *b, int64_t batch, size_t *bytes)
{
    struct dlm_pass *pass = NULL;

    enum dlm_status st = create_largest(b, batch, &pass);
    *bytes = st ? 0 : dlm_plan_bytes(pass->plan) + dlm_slots_bytes(&pass->slots);
    dlm_pass_destroy(&pass);
    return st;
}

enum dlm_status dlm_batcher_plan(struct dlm_batcher *b, int64_t batch, struct dlm_plan *update_plan)
{
    b->batch = batch;
    b->update_plan = update_plan;
    return create_largest(b, batch, &b->largest);
}

/* Every plan that shares the workspace; NULL where there is none. */
#define NUM_PLANS 3
static void list_plans(const struct dlm_batcher *b, struct dlm_plan *plans[NUM_PLANS])
{
    plans[0] = b->largest->plan;
    plans[1] = b->update_plan;
    plans[2] = b->vision ? b->vision->plan : NULL;
}

void dlm_batcher_add_to_budget(const struct dlm_batcher *b, struct dlm_budget *budget)
{
    struct dlm_plan *plans[NUM_PLANS];

    list_plans(b, plans);
    dlm_budget_add_workspace(budget, plans, NUM_PLANS);
    dlm_budget_add_slots(budget, &b->largest->slots);
    if (b->vision)
        dlm_budget_add_slots(budget, &b->vision->slots);
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

static bool same_bucket(const struct dlm_pass_params *a, const struct dlm_pass_params *b)
{
    return a->batch == b->batch && a->tokens == b->tokens && a->labels == b->labels &&
           a->images == b->images && a->backward == b->backward;
}

/* True when the workspace, made for the largest bucket, holds a smaller one too. */
static bool fits(const struct dlm_batcher *b, const struct dlm_plan *plan)
{
    for (int a = 0; a < plan->num_arenas; a++)
        if (!b->workspace.arenas[a] ||
            dlm_buffer_bytes(b->workspace.arenas[a]) < plan->arena_bytes[a])
            return false;
    return true;
}

/* The program of a bucket, made if need be in place of the one unused for longest. A bucket whose
 * packing came out larger than the workspace runs as the largest one. */
static enum dlm_status get_pass(struct dlm_batcher *b, const struct dlm_pass_params *params,
                                struct dlm_pass **out)
{
    int oldest = 0;

    for (int i = 0; i < DLM_BATCHER_MAX_PASSES; i++) {
        if (b->passes[i] && same_bucket(&b->buckets[i], params)) {
            b->used[i] = ++b->clock;
            *out = b->passes[i];
            return DLM_OK;
        }
        if (!b->passes[i] || (b->passes[oldest] && b->used[i] < b->used[oldest]))
            oldest = i;
    }
    dlm_pass_destroy(&b->passes[oldest]);
    enum dlm_status st = dlm_pass_create(b->data->ctx, &b->passes[oldest], b->data->model, b->lora,
                                         params);
    if (!st && !fits(b, b->passes[oldest]->plan)) {
        struct dlm_pass_params larger = largest_bucket(b, b->batch);
        larger.backward = params->backward;
        larger.dropout = params->dropout;
        dlm_pass_destroy(&b->passes[oldest]);
        st = dlm_pass_create(b->data->ctx, &b->passes[oldest], b->data->model, b->lora, &larger);
    }
    if (!st) {
        dlm_slots_share(&b->passes[oldest]->slots, &b->largest->slots);
        st = dlm_pass_prepare(b->passes[oldest], &b->workspace);
    }
    if (st) {
        dlm_pass_destroy(&b->passes[oldest]);
        return st;
    }
    b->buckets[oldest] = *params;
    b->used[oldest] = ++b->clock;
    *out = b->passes[oldest];
    return DLM_OK;
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

enum dlm_status dlm_batcher_run(struct dlm_batcher *b, const struct dlm_train_example *const *rows,
                                size_t num, const struct dlm_pass_step *how, bool backward,
                                double *sum)
{
    struct dlm_pass_params params = bucket_of(b, rows, num, b->batch, backward);
    struct dlm_ctx *ctx = b->data->ctx;
    struct dlm_pass_step step = *how;
    struct dlm_pass *pass = NULL;
    int64_t labels = 0;
    struct dlm_example *examples = dlm_alloc_array(ctx, num, sizeof(*examples));
    const float **images = dlm_alloc_array(ctx, (size_t)params.images + 1, sizeof(*images));
    float *logprobs = dlm_alloc_array(ctx, (size_t)params.labels, sizeof(*logprobs));
    enum dlm_status st = examples && images && logprobs ? DLM_OK : DLM_ERR_MEMORY;

    *sum = 0;
    for (size_t i = 0, image = 0; !st && i < num; image += rows[i++]->num_images) {
        st = make_example(b, rows[i], images + image, &examples[i]);
        labels += rows[i]->num_labels;
    }
    if (!st)
        st = get_pass(b, &params, &pass);
    step.examples = examples;
    step.num = (int64_t)num;
    if (!st)
        st = dlm_pass_run(pass, &step);
    if (!st)
        st = dlm_pass_logprobs(pass, logprobs, labels);
    for (int64_t i = 0; !st && i < labels; i++)
        *sum += logprobs[i];
    dlm_free(examples);
    dlm_free(images);
    dlm_free(logprobs);
    return st;
}
