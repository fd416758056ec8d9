/* The pass: graph, host inputs, replay. */
#include "models/pass.h"

#include "base/log.h"
#include "graph/rewrite.h"

/* Bytes that a tile of logits and their gradient may take. */
#define TILE_BYTES_UNIFIED ((size_t)64 << 20)
#define TILE_BYTES_CARD ((size_t)256 << 20)

/* Host copies of what a step writes. */
struct dlm_host_step {
    int32_t (*positions)[3];
    int32_t *ids, *rows, *keep, *keep_back, *labels, *slot_rows;
    float *cos, *sin, *weights;
    uint32_t *row_ids, *keep_ids, *image_ids;
    uint16_t *half_features; /* one image's, in the policy's type */
};

static struct dlm_slot *input(struct dlm_pass *p, const char *name, enum dlm_dtype dtype, int ndim,
                              const int64_t *shape)
{
    return dlm_slots_add(&p->slots, DLM_ROLE_INPUT, name, dtype, ndim, shape);
}

static int64_t num_rows(const struct dlm_pass *p)
{
    return p->params.batch * p->params.tokens;
}

static enum dlm_status add_slots(struct dlm_pass *p)
{
    const struct dlm_tower_shape *v = &p->model->tower;
    const int64_t rows = num_rows(p), half = p->model->decoder.config.head_dim / 2;
    const int64_t labels = p->params.labels, images = p->params.images;
    const int64_t num_slots = images * p->model->image_tokens;

    p->ids = input(p, "ids", DLM_DTYPE_I32, 1, &rows);
    p->cos = input(p, "cos", DLM_DTYPE_F32, 2, (int64_t[]){rows, half});
    p->sin = input(p, "sin", DLM_DTYPE_F32, 2, (int64_t[]){rows, half});
    p->rows = input(p, "rows", DLM_DTYPE_I32, 2, (int64_t[]){p->params.batch, 4});
    p->keep = input(p, "keep", DLM_DTYPE_I32, 1, &labels);
    p->keep_back = input(p, "keep_back", DLM_DTYPE_I32, 1, &rows);
    p->labels = input(p, "labels", DLM_DTYPE_I32, 1, &labels);
    p->weights = input(p, "weights", DLM_DTYPE_F32, 1, &labels);
    p->rng = input(p, "rng", DLM_DTYPE_U32, 1, (int64_t[]){4});
    p->row_ids = input(p, "row_ids", DLM_DTYPE_U32, 1, &p->params.batch);
    p->keep_ids = input(p, "keep_ids", DLM_DTYPE_U32, 1, &labels);
    p->adapter_on = input(p, "adapter_on", DLM_DTYPE_F32, 1, (int64_t[]){1});
    bool ok = p->ids && p->cos && p->sin && p->rows && p->keep && p->keep_back && p->labels &&
              p->weights && p->rng && p->row_ids && p->keep_ids && p->adapter_on;
    if (images && p->params.with_tower) {
        p->pixels = input(p, "pixels", DLM_DTYPE_F32, 4,
                          (int64_t[]){images, v->channels, v->image, v->image});
        p->image_rows = input(p, "image_rows", DLM_DTYPE_I32, 2, (int64_t[]){images, 4});
        ok = ok && p->pixels && p->image_rows;
    } else if (images) {
        p->features = input(p, "features", p->model->policy, 2,
                            (int64_t[]){images * v->patches, v->width});
        ok = ok && p->features;
    }
    if (images) {
        p->slot_rows = input(p, "slot_rows", DLM_DTYPE_I32, 1, &num_slots);
        p->image_ids = input(p, "image_ids", DLM_DTYPE_U32, 1, &images);
        ok = ok && p->slot_rows && p->image_ids;
    }
    return ok ? DLM_OK : DLM_ERR_MEMORY;
}

static enum dlm_status make_host(struct dlm_pass *p)
{
    const int64_t rows = num_rows(p), half = p->model->decoder.config.head_dim / 2;
    const size_t labels = (size_t)p->params.labels;
    const size_t num_slots = (size_t)(p->params.images * p->model->image_tokens);
    struct dlm_ctx *ctx = p->model->ctx;
    struct dlm_host_step *h = dlm_alloc(ctx, sizeof(*h));

    p->host = h;
    if (!h)
        return DLM_ERR_MEMORY;
    h->ids = dlm_alloc_array(ctx, (size_t)rows, 4);
    h->positions = dlm_alloc_array(ctx, (size_t)rows, sizeof(*h->positions));
    h->rows = dlm_alloc_array(ctx, (size_t)p->params.batch * 4, 4);
    h->keep = dlm_alloc_array(ctx, labels, 4);
    h->keep_back = dlm_alloc_array(ctx, (size_t)rows, 4);
    h->labels = dlm_alloc_array(ctx, labels, 4);
    h->slot_rows = dlm_alloc_array(ctx, num_slots + 1, 4);
    h->cos = dlm_alloc_array(ctx, (size_t)(rows * half), 4);
    h->sin = dlm_alloc_array(ctx, (size_t)(rows * half), 4);
    h->weights = dlm_alloc_array(ctx, labels, 4);
    h->row_ids = dlm_alloc_array(ctx, (size_t)p->params.batch, 4);
    h->keep_ids = dlm_alloc_array(ctx, labels, 4);
    h->image_ids = dlm_alloc_array(ctx, (size_t)p->params.images + 1, 4);
    h->half_features = dlm_alloc_array(
        ctx, (size_t)(p->model->tower.patches * p->model->tower.width), 4);
    bool ok = h->ids && h->positions && h->rows && h->keep && h->keep_back && h->labels &&
              h->slot_rows && h->cos && h->sin && h->weights && h->row_ids && h->keep_ids &&
              h->image_ids && h->half_features;
    return ok ? DLM_OK : DLM_ERR_MEMORY;
}

static void free_host(struct dlm_host_step *h)
{
    if (!h)
        return;
    void *list[] = {h->ids, h->positions, h->rows, h->keep, h->keep_back, h->labels, h->slot_rows,
                    h->cos, h->sin, h->weights, h->row_ids, h->keep_ids, h->image_ids,
                    h->half_features};
    for (size_t i = 0; i < DLM_ARRAY_LEN(list); i++)
        dlm_free(list[i]);
    dlm_free(h);
}

/* Features of the images in the decoder's width, f32. */
static struct dlm_tensor *build_images(struct dlm_pass *p, struct dlm_build *b)
{
    struct dlm_tensor *features = NULL;

    if (!p->params.images)
        return NULL;
    if (p->params.with_tower)
        features = p->model->family->build_tower(b, p->model, dlm_slot_leaf(b->g, p->pixels),
                                                 dlm_slot_leaf(b->g, p->image_rows));
    else
        features = dlm_slot_leaf(b->g, p->features);
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
        .adapter_on = dlm_slot_leaf(g, p->adapter_on),
        .rng = p->params.dropout ? dlm_slot_leaf(g, p->rng) : NULL,
        .row_ids = p->params.dropout ? dlm_slot_leaf(g, p->row_ids) : NULL,
    };
    struct dlm_build tower = b;
    const struct dlm_device_caps *caps = dlm_device_get_caps(p->model->device);
    const bool unified = caps->info.is_software || caps->info.kind == DLM_BACKEND_CPU;
    /* a tile is two tensors, each no larger than a buffer */
    const size_t budget = 2 * DLM_MIN((unified ? TILE_BYTES_UNIFIED : TILE_BYTES_CARD) / 2,
                                      DLM_MIN(caps->max_alloc_bytes, caps->max_range_bytes));
    struct dlm_tensor *dhidden = NULL;

    /* rows of the tower and the projector are patches: every image is a batch row of its own */
    tower.tokens = (uint32_t)p->model->tower.patches;
    tower.row_ids = p->params.dropout ? dlm_slot_leaf(g, p->image_ids) : NULL;
    b.tokens = (uint32_t)p->params.tokens;
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
    p->logprob = dlm_decoder_loss(&b, &p->model->decoder, hidden, dlm_slot_leaf(g, p->labels),
                                  dlm_slot_leaf(g, p->weights), budget,
                                  p->params.backward ? &dhidden : NULL);
    if (p->logprob)
        p->logprob->is_output = p->logprob->base->is_output = true;
    enum dlm_status st = dlm_graph_fuse(g);
    if (!st && p->params.backward)
        st = dlm_graph_backward(g, &hidden, &dhidden, 1, p->params.checkpoint);
    if (!st && p->params.backward)
        st = dlm_graph_prune(g);
    if (!st)
        st = dlm_graph_fuse(g);
    return st || !p->params.backward ? st : dlm_graph_narrow_saved(g, p->model->policy);
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
    p->slots = (struct dlm_slots){.ctx = ctx, .device = model->device};
    enum dlm_status st = add_slots(p);
    if (!st)
        st = make_host(p);
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
    free_host(p->host);
    dlm_free(p);
    *pass = NULL;
}

enum dlm_status dlm_pass_prepare(struct dlm_pass *pass, struct dlm_workspace *workspace)
{
    enum dlm_status st = dlm_slots_alloc(&pass->slots);

    return st ? st : dlm_program_create(pass->model->ctx, &pass->program, pass->model->device,
                                        pass->plan, workspace);
}

/* Running totals while the examples are laid out. */
struct layout {
    int64_t labels, images;
};

/* Names the dropout stream of part k of an example: wherever the part lies in a batch. */
static uint32_t stream_of(const struct dlm_example *e, int64_t k)
{
    return dlm_philox(e->row_id, (uint32_t)k, 0, 0, 0, 0); /* k is far below 2^32 */
}

static void lay_out(struct dlm_pass *p, const struct dlm_example *e, int64_t b, float weight,
                    struct layout *at)
{
    struct dlm_host_step *h = p->host;
    const int64_t first = b * p->params.tokens;
    int64_t slot = at->images * p->model->image_tokens;

    for (int64_t t = 0; t < e->len; t++) {
        const int64_t row = first + t;
        h->ids[row] = e->ids[t];
        if (e->ids[t] == p->model->image_id && e->num_images) {
            h->slot_rows[slot] = (int32_t)row; /* rows and slots are far below 2^31 */
            h->ids[row] = (int32_t)(-1 - slot++);
        }
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
    p->model->family->positions(p->model, e, h->positions + first, &(int32_t){0});
    h->row_ids[b] = e->row_id;
    for (int64_t i = 0; i < e->num_images; i++)
        h->image_ids[at->images + i] = stream_of(e, i);
    at->images += e->num_images;
}

static enum dlm_status write_images(struct dlm_pass *p, const struct dlm_pass_step *step)
{
    const struct dlm_tower_shape *tower = &p->model->tower;
    const size_t features = (size_t)(tower->patches * tower->width);
    const size_t pixels = (size_t)(tower->channels * tower->image * tower->image);
    struct dlm_buffer *buffer =
        (p->params.with_tower ? p->pixels : p->features)->storage.buffer;
    size_t image = 0;
    enum dlm_status st = DLM_OK;

    for (int64_t i = 0; i < step->num; i++) {
        const struct dlm_example *e = &step->examples[i];
        for (int64_t k = 0; !st && k < e->num_images; k++, image++) {
            const void *data = p->params.with_tower ? e->pixels[k] : e->features[k];
            size_t bytes = (p->params.with_tower ? pixels : features) * sizeof(float);
            if (!p->params.with_tower && p->model->policy != DLM_DTYPE_F32) {
                dlm_dtype_from_f32(p->model->policy, data, p->host->half_features, features);
                data = p->host->half_features;
                bytes = features * sizeof(uint16_t);
            }
            st = dlm_buffer_write(buffer, image * bytes, data, bytes);
        }
    }
    return st;
}

static enum dlm_status write_image_rows(struct dlm_pass *p)
{
    const int32_t patches = (int32_t)p->model->tower.patches;
    enum dlm_status st = DLM_OK;

    for (int64_t i = 0; !st && i < p->params.images; i++) {
        const int32_t rows[4] = {0, patches, 0, patches};
        st = dlm_buffer_write(p->image_rows->storage.buffer, (size_t)i * sizeof(rows), rows,
                              sizeof(rows));
    }
    return st;
}

static enum dlm_status write_inputs(struct dlm_pass *p, const struct dlm_pass_step *step)
{
    const struct dlm_host_step *h = p->host;
    const size_t rows = (size_t)num_rows(p), labels = (size_t)p->params.labels;
    const size_t half = (size_t)p->model->decoder.config.head_dim / 2;
    const uint32_t rng[4] = {(uint32_t)step->seed, (uint32_t)(step->seed >> 32), step->step, 0};
    const float on = step->adapter_off ? 0.0f : 1.0f;
    struct {
        struct dlm_slot *slot;
        const void *data;
        size_t bytes;
    } list[] = {
        {p->ids, h->ids, rows * 4},
        {p->cos, h->cos, rows * half * 4},
        {p->sin, h->sin, rows * half * 4},
        {p->rows, h->rows, (size_t)p->params.batch * 16},
        {p->keep, h->keep, labels * 4},
        {p->keep_back, h->keep_back, rows * 4},
        {p->labels, h->labels, labels * 4},
        {p->weights, h->weights, labels * 4},
        {p->rng, rng, sizeof(rng)},
        {p->row_ids, h->row_ids, (size_t)p->params.batch * 4},
        {p->keep_ids, h->keep_ids, labels * 4},
        {p->image_ids, h->image_ids, (size_t)p->params.images * 4},
        {p->adapter_on, &on, sizeof(on)},
        {p->slot_rows, h->slot_rows, (size_t)(p->params.images * p->model->image_tokens) * 4},
    };
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < DLM_ARRAY_LEN(list); i++)
        if (list[i].slot)
            st = dlm_slot_write(list[i].slot, list[i].data, list[i].bytes);
    if (!st && p->params.images)
        st = write_images(p, step);
    if (!st && p->image_rows)
        st = write_image_rows(p);
    return st;
}

/* Ids of the vocabulary, as many image tokens as the images have, and no label that is seen before
 * it is told. */
static enum dlm_status check_example(const struct dlm_pass *p, const struct dlm_example *e)
{
    struct dlm_ctx *ctx = p->model->ctx;
    int64_t slots = 0;

    if (e->len < 1 || e->len > p->params.tokens || e->bidirectional_len < 0 ||
        e->bidirectional_len > e->len ||
        dlm_count_labels(e->is_label, DLM_MAX(e->bidirectional_len, (int64_t)1)))
        return dlm_fail(ctx, DLM_ERR_INVALID, "an example does not fit the program");
    for (int64_t t = 0; t < e->len; t++) {
        slots += e->ids[t] == p->model->image_id;
        if (e->ids[t] < 0 || e->ids[t] >= p->model->decoder.config.vocab)
            return dlm_fail(ctx, DLM_ERR_INVALID,
                            "token id %d is beyond the model's vocabulary of %lld", e->ids[t],
                            (long long)p->model->decoder.config.vocab);
    }
    if (e->num_images && slots != e->num_images * p->model->image_tokens)
        return dlm_fail(ctx, DLM_ERR_INVALID, "an example has %lld image tokens for %lld images",
                        (long long)slots, (long long)e->num_images);
    return DLM_OK;
}

static enum dlm_status check_step(const struct dlm_pass *p, const struct dlm_pass_step *step)
{
    int64_t labels = 0, images = 0;
    enum dlm_status st = DLM_OK;

    for (int64_t i = 0; !st && i < step->num; i++) {
        const struct dlm_example *e = &step->examples[i];
        st = check_example(p, e);
        labels += st ? 0 : dlm_count_labels(e->is_label, e->len);
        images += e->num_images;
    }
    if (!st && (step->num > p->params.batch || labels > p->params.labels ||
                images > p->params.images))
        st = dlm_fail(p->model->ctx, DLM_ERR_INVALID, "the examples do not fit the program");
    return st;
}

enum dlm_status dlm_pass_run(struct dlm_pass *pass, const struct dlm_pass_step *step)
{
    struct dlm_host_step *h = pass->host;
    const int64_t rows = num_rows(pass);
    const int64_t num_slots = pass->params.images * pass->model->image_tokens;
    struct layout at = {0};

    enum dlm_status st = check_step(pass, step);
    if (st)
        return st;
    memset(h->ids, 0, (size_t)rows * 4);
    memset(h->rows, 0, (size_t)pass->params.batch * 16);
    memset(h->row_ids, 0, (size_t)pass->params.batch * 4);
    memset(h->keep_ids, 0, (size_t)pass->params.labels * 4);
    memset(h->image_ids, 0, (size_t)pass->params.images * 4);
    memset(h->weights, 0, (size_t)pass->params.labels * 4);
    memset(h->positions, 0, (size_t)rows * sizeof(*h->positions));
    for (int64_t i = 0; i < rows; i++)
        h->keep_back[i] = -1;
    for (int64_t i = 0; i < pass->params.labels; i++)
        h->keep[i] = h->labels[i] = -1;
    for (int64_t i = 0; i < num_slots; i++)
        h->slot_rows[i] = -1;
    for (int64_t i = 0; i < step->num; i++)
        lay_out(pass, &step->examples[i], i, step->weight, &at);
    dlm_decoder_rope_table(&pass->model->decoder.config, h->positions, rows, h->cos, h->sin);
    st = write_inputs(pass, step);
    return st ? st : dlm_program_run(pass->program);
}

enum dlm_status dlm_pass_logprobs(struct dlm_pass *pass, float *out, int64_t num)
{
    return dlm_program_read(pass->program, pass->logprob, out, (size_t)num * sizeof(float));
}
