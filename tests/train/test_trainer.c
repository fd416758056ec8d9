/* The training loop on rows made here: which rows a step takes, gradient accumulation, validation,
 * checkpoints and resuming to the same bits, a batch learnt by heart, one program a shape. */
#include "tests/train/fixture.h"
#include "train/trainer.h"

#define MAX_ROWS 40
#define MAX_STEPS 128

struct run {
    int64_t steps;    /* to run: all of them if 0 */
    int64_t restart;  /* after this step a new trainer goes on with the saved state; 0: no */
    bool validate;    /* after every step */
    double losses[MAX_STEPS], val_losses[MAX_STEPS];
    float norms[MAX_STEPS];
    int64_t num_items[MAX_STEPS], num_programs[MAX_STEPS];
    uint64_t num_waits[MAX_STEPS];
    size_t num_rows[MAX_STEPS], rows[MAX_STEPS][16]; /* indices in data->train */
    int64_t num_steps;
    float *values; /* of the adapter in the end; owned */
};

/* --- rows --- */

static bool add_row(struct fixture *f, struct dlm_train_example *e, const int32_t *ids, int64_t len,
                    int64_t prompt_len, int64_t image, uint32_t row_id)
{
    struct dlm_input *in = &e->input;

    *e = (struct dlm_train_example){.input.bidirectional_len = prompt_len,
                                    .num_labels = len - prompt_len,
                                    .first_image = image >= 0 ? (size_t)image : 0,
                                    .num_images = image >= 0, .row_id = row_id};
    in->ids.ids = dlm_alloc_array(f->ctx, (size_t)len, sizeof(*ids));
    in->is_label = dlm_alloc(f->ctx, (size_t)len);
    if (!CHECK(in->ids.ids && in->is_label))
        return false;
    memcpy(in->ids.ids, ids, (size_t)len * sizeof(*ids));
    memcpy(in->is_label, fixture_labels(prompt_len), (size_t)len);
    in->ids.len = in->ids.cap = (size_t)len;
    return true;
}

/* num_train and num_val rows from the case's scores: text and two images, of several lengths. */
static bool make_data(struct fixture *f, struct dlm_train_data *d, size_t num_train, size_t num_val)
{
    const size_t bytes = dlm_image_plan_features_len(f->model, &f->plans[0]) * sizeof(float);
    bool ok = true;

    *d = (struct dlm_train_data){.ctx = f->ctx, .model = f->model};
    d->train = dlm_alloc_array(f->ctx, MAX_ROWS, sizeof(*d->train));
    d->val = dlm_alloc_array(f->ctx, MAX_ROWS, sizeof(*d->val));
    d->images = dlm_alloc_array(f->ctx, 2, sizeof(*d->images));
    d->shown = dlm_alloc_array(f->ctx, 2, sizeof(*d->shown));
    d->plans = dlm_alloc_array(f->ctx, 2, sizeof(*d->plans));
    if (!CHECK(d->train && d->val && d->images && d->shown && d->plans))
        return false;
    for (d->num_images = 0; ok && d->num_images < 2; d->num_images++) {
        float *features = dlm_alloc(f->ctx, bytes);
        ok = CHECK(features);
        if (ok)
            memcpy(features, f->features[d->num_images], bytes);
        d->images[d->num_images].features = features;
        d->shown[d->num_images] = d->num_images;
        d->plans[d->num_images] = f->plans[d->num_images];
    }
    for (size_t i = 0; ok && i < num_train + num_val; i++) {
        const struct dlm_example e = fixture_example(f, i % 3, 3 + (int64_t)(i * 5 % 8));
        struct dlm_train_example *to =
            i < num_train ? &d->train[d->num_train++] : &d->val[d->num_val++];
        const int64_t image = !e.num_images ? -1 : e.features == &f->features[1] ? 1 : 0;
        ok = add_row(f, to, e.ids, e.len, e.bidirectional_len, image, 77 + (uint32_t)i);
    }
    return ok;
}

/* Rows without image, each in a bucket of its own. */
static bool make_shapes(struct fixture *f, struct dlm_train_data *d, size_t num)
{
    int32_t ids[512];
    bool ok = true;

    *d = (struct dlm_train_data){.ctx = f->ctx, .model = f->model};
    d->train = dlm_alloc_array(f->ctx, MAX_ROWS, sizeof(*d->train));
    for (size_t t = 0; t < 512; t++)
        ids[t] = (int32_t)(100 + t * 7 % 200);
    for (size_t i = 0; ok && i < num; i++)
        ok = CHECK(d->train) &&
             add_row(f, &d->train[d->num_train++], ids, 9 + 8 * (int64_t)i, 1, -1, (uint32_t)i);
    return ok;
}

/* --- runs --- */

static bool save(struct fixture *f, float *state)
{
    const size_t len = (size_t)f->lora->len;

    return CHECK(!dlm_lora_download(f->lora, &f->lora->flat, state)) &&
           CHECK(!dlm_lora_download(f->lora, &f->lora->m, state + len)) &&
           CHECK(!dlm_lora_download(f->lora, &f->lora->v, state + 2 * len));
}

static bool restore(struct fixture *f, const float *state)
{
    const size_t len = (size_t)f->lora->len, bytes = len * sizeof(float);

    return CHECK(!dlm_buffer_write(f->lora->flat.buffer, 0, state, bytes)) &&
           CHECK(!dlm_buffer_write(f->lora->m.buffer, 0, state + len, bytes)) &&
           CHECK(!dlm_buffer_write(f->lora->v.buffer, 0, state + 2 * len, bytes)) &&
           CHECK(!dlm_buffer_fill(f->lora->grads.buffer, 0, bytes, 0));
}

static void note(struct run *r, const struct dlm_train_data *d, const struct dlm_trainer_step *s)
{
    const int64_t i = s->step - 1;

    r->losses[i] = s->loss;
    r->norms[i] = s->grad_norm;
    r->num_items[i] = s->num_items;
    r->num_rows[i] = s->num_rows;
    for (size_t k = 0; k < s->num_rows && k < 16; k++)
        r->rows[i][k] = (size_t)(s->rows[k] - d->train);
}

/* Trains from `start` (parameters and moments) and fills r. */
static bool train(struct fixture *f, struct dlm_train_data *d,
                  const struct dlm_trainer_params *params, const float *start, struct run *r)
{
    struct dlm_trainer *t = NULL;
    float *state = malloc(3 * (size_t)f->lora->len * sizeof(*state));
    bool ok = CHECK(state) && restore(f, start);

    ok = ok && CHECK(!dlm_trainer_create(f->ctx, &t, d, f->lora, NULL, params)) &&
         CHECK(!dlm_trainer_prepare(t));
    r->num_steps = ok ? dlm_trainer_num_steps(t) : 0;
    if (!r->steps)
        r->steps = r->num_steps;
    ok = ok && CHECK(r->steps <= MAX_STEPS);
    for (int64_t step = 1; ok && step <= r->steps; step++) {
        struct dlm_trainer_step done;
        const uint64_t waits = dlm_device_num_waits(f->device);
        ok = CHECK(!dlm_trainer_run(t, step, &done));
        r->num_waits[step - 1] = dlm_device_num_waits(f->device) - waits;
        if (ok) {
            note(r, d, &done);
            r->num_programs[step - 1] = dlm_trainer_num_programs(t);
        }
        if (ok && r->validate)
            ok = CHECK(!dlm_trainer_validate(t, &r->val_losses[step - 1]));
        if (ok && step == r->restart) {
            ok = save(f, state);
            dlm_trainer_destroy(&t);
            ok = ok && restore(f, state) &&
                 CHECK(!dlm_trainer_create(f->ctx, &t, d, f->lora, NULL, params)) &&
                 CHECK(!dlm_trainer_prepare(t));
        }
    }
    if (ok)
        ok = save(f, state);
    dlm_trainer_destroy(&t);
    r->values = ok ? state : NULL;
    if (!ok)
        free(state);
    return ok;
}

/* The adapter as it was read, moments zero; owned. */
static float *start_of(struct fixture *f)
{
    float *state = calloc(3 * (size_t)f->lora->len, sizeof(*state));

    if (CHECK(state))
        memcpy(state, f->lora->values, (size_t)f->lora->len * sizeof(*state));
    return state;
}

static const struct dlm_trainer_params usual = {
    .epochs = 2, .micro_batch = 2, .grad_accum = 2, .schedule = DLM_SCHEDULE_COSINE, .lr = 1e-3,
    .warmup_ratio = 0.2, .max_grad_norm = 1, .seed = 5,
};

/* --- tests --- */

/* 7 rows, 4 a step, 2 epochs: every row once an epoch in dlm_rows_order(); the rest of an epoch is
 * a smaller step. */
static void check_rows(const struct dlm_train_data *d, const struct run *r)
{
    uint32_t order[7];

    CHECK_INT(r->num_steps, 4);
    for (int64_t step = 0; step < 4; step++) {
        const size_t first = step % 2 ? 4 : 0, num = step % 2 ? 3 : 4;
        int64_t labels = 0;
        dlm_rows_order(usual.seed, (uint32_t)(step / 2), 7, order);
        CHECK_INT(r->num_rows[step], num);
        for (size_t k = 0; k < num; k++) {
            CHECK_INT(r->rows[step][k], order[first + k]);
            labels += d->train[order[first + k]].num_labels;
        }
        CHECK_INT(r->num_items[step], labels);
    }
    CHECK(memcmp(r->rows[0], r->rows[2], sizeof(r->rows[0]))); /* epochs differ */
}

static void compare_runs(struct fixture *f, struct dlm_train_data *d, const float *start,
                         const struct run *base, const char *what,
                         const struct dlm_trainer_params *params, struct run *r, bool exact)
{
    const size_t len = 3 * (size_t)f->lora->len;

    fixture_case(f->params.backend, f->params.name, what);
    if (!train(f, d, params, start, r))
        return;
    for (int64_t i = 0; i < base->steps; i++) {
        CHECK(fabs(r->losses[i] - base->losses[i]) <= (exact ? 0 : 1e-5));
        CHECK(fabs((double)r->norms[i] - base->norms[i]) <= (exact ? 0 : 1e-4 * base->norms[i]));
        CHECK_INT(r->num_items[i], base->num_items[i]);
    }
    if (exact)
        CHECK(!memcmp(r->values, base->values, len * sizeof(float)));
    else
        CHECK(relative_difference(r->values, base->values, (size_t)f->lora->len) <= 1e-5);
    free(r->values);
    r->values = NULL;
}

/* The mean loss over the labels of the validation rows, by single passes, dropout off. */
static double loss_of_rows(struct fixture *f, const struct dlm_train_data *d)
{
    double sum = 0;
    int64_t labels = 0;

    for (size_t i = 0; i < d->num_val; i++) {
        const struct dlm_train_example *v = &d->val[i];
        float got[64];
        struct dlm_example e = dlm_input_example(&v->input);
        e.num_images = (int64_t)v->num_images;
        e.plans = &f->plans[d->num_images];
        e.features = &f->features[v->first_image];
        const struct dlm_pass_params params = fixture_pass_params(f, &e, 1);
        if (!fixture_run(f, &params, &(struct dlm_pass_step){.examples = &e, .num = 1}, false, got,
                         NULL))
            return NAN;
        for (int64_t k = 0; k < params.labels; k++)
            sum -= got[k];
        labels += params.labels;
    }
    return sum / (double)labels;
}

static void test_loop(struct fixture *f, float dropout)
{
    struct dlm_train_data d = {0};
    struct dlm_trainer_params params = usual;
    struct run base = {.validate = false}, other;
    float *start = start_of(f);

    f->lora->params.dropout = dropout;
    fixture_case(f->params.backend, f->params.name, dropout > 0 ? "dropout 0.3" : "no dropout");
    if (start && make_data(f, &d, 7, 3) && train(f, &d, &params, start, &base)) {
        check_rows(&d, &base);
        CHECK(relative_difference(base.values, start, (size_t)f->lora->len) > 1e-4);
        params.micro_batch = 4;
        params.grad_accum = 1;
        other = (struct run){0};
        compare_runs(f, &d, start, &base, "4 x 1 is 2 x 2", &params, &other, false);
        params.micro_batch = 1;
        params.grad_accum = 4;
        other = (struct run){0};
        compare_runs(f, &d, start, &base, "1 x 4 is 2 x 2", &params, &other, false);
        params = usual;
        params.checkpoint = true;
        other = (struct run){.restart = 3};
        compare_runs(f, &d, start, &base, "checkpoints, and a restart", &params, &other, true);
        params = usual;
        other = (struct run){.validate = true, .restart = 1};
        compare_runs(f, &d, start, &base, "validation changes nothing", &params, &other, true);
        CHECK(fabs(other.val_losses[3] - loss_of_rows(f, &d)) <= 1e-5);
        CHECK(fabs(other.val_losses[3] - other.val_losses[0]) > 1e-6);
        d.num_val = 0;
        other = (struct run){.validate = true, .steps = 1};
        if (train(f, &d, &params, start, &other))
            CHECK(isnan(other.val_losses[0]));
        free(other.values);
        d.num_val = 3;
    }
    free(base.values);
    free(start);
    dlm_train_data_finish(&d);
}

/* The frozen norm bounds the head's logits: the loss of this base cannot go below about 0.54. */
static void test_by_heart(struct fixture *f)
{
    const struct dlm_trainer_params params = {.max_steps = 120, .micro_batch = 2, .grad_accum = 1,
                                              .schedule = DLM_SCHEDULE_CONSTANT, .lr = 1e-2,
                                              .max_grad_norm = 1};
    struct dlm_train_data d = {0};
    struct run r = {0};
    float *start = start_of(f);

    f->lora->params.dropout = 0;
    fixture_case(f->params.backend, f->params.name, "two rows by heart");
    if (start && make_data(f, &d, 2, 0) && train(f, &d, &params, start, &r)) {
        printf("# %s: loss %.3g, after 120 steps %.3g\n", dlm_backend_name(f->params.backend),
               r.losses[0], r.losses[119]);
        CHECK(r.losses[119] < 0.1 * r.losses[0]);
    }
    free(r.values);
    free(start);
    dlm_train_data_finish(&d);
}

/* Once its programs are made and timed, a step of two micro-batches, of which one has two images,
 * waits for the device once: for its loss. On a busy machine a backend cuts programs anew and in
 * more pieces than it lets wait, so the least of ten steps counts. */
static void test_waits(struct fixture *f)
{
    const struct dlm_trainer_params params = {.max_steps = 30, .micro_batch = 2, .grad_accum = 2,
                                              .schedule = DLM_SCHEDULE_CONSTANT, .lr = 1e-3,
                                              .max_grad_norm = 1};
    struct dlm_train_data d = {0};
    struct run r = {0};
    float *start = start_of(f);

    f->lora->params.dropout = 0;
    fixture_case(f->params.backend, f->params.name, "one wait a step");
    if (start && make_data(f, &d, 3, 0) && train(f, &d, &params, start, &r)) {
        CHECK_INT(r.num_programs[14], r.num_programs[29]);
        uint64_t least = UINT64_MAX;
        for (int64_t i = 20; i < 30; i++)
            least = DLM_MIN(least, r.num_waits[i]);
        CHECK(least <= 1);
    }
    free(r.values);
    free(start);
    dlm_train_data_finish(&d);
}

/* Images leave memory in the order of their last use, and no more of them than need be. */
static void test_trim(struct fixture *f)
{
    static const size_t uses[] = {0, 1, 0};
    const size_t bytes = dlm_image_plan_features_len(f->model, &f->plans[0]) * sizeof(float);
    struct dlm_train_data d = {0};
    const float *features;

    fixture_case(f->params.backend, f->params.name, "images leave memory");
    if (make_data(f, &d, 1, 0)) {
        for (size_t i = 0; i < d.num_images; i++, d.bytes_held += bytes)
            d.images[i].plan = f->plans[i];
        for (size_t i = 0; i < DLM_ARRAY_LEN(uses); i++)
            CHECK(!dlm_train_data_features(&d, uses[i], NULL, &features));
        dlm_train_data_trim(&d, 2 * bytes);
        CHECK(d.images[0].features && d.images[1].features);
        dlm_train_data_trim(&d, 2 * bytes - 1);
        CHECK(d.images[0].features && !d.images[1].features);
        CHECK_INT(d.bytes_held, bytes);
        dlm_train_data_trim(&d, 0);
        CHECK(!d.images[0].features);
        CHECK_INT(d.bytes_held, 0);
    }
    dlm_train_data_finish(&d);
}

/* 28 rows in as many buckets: every program is made once, in the first epoch. The rate is below
 * f32's, so that a row's loss is the same in every epoch. */
static void test_shapes(struct fixture *f)
{
    enum { NUM = 28 };
    const struct dlm_trainer_params params = {.max_steps = 2 * NUM, .micro_batch = 1,
                                              .grad_accum = 1, .schedule = DLM_SCHEDULE_CONSTANT,
                                              .lr = 1e-60};
    struct dlm_train_data d = {0};
    struct run r = {0};
    float *start = start_of(f);
    double first[NUM] = {0};

    fixture_case(f->params.backend, f->params.name, "every row a shape of its own");
    if (start && make_shapes(f, &d, NUM) && train(f, &d, &params, start, &r)) {
        for (int64_t i = 0; i < 2 * NUM; i++) {
            double *seen = &first[r.rows[i][0]];
            if (i < NUM)
                *seen = r.losses[i];
            CHECK(*seen > 0 && r.losses[i] == *seen);
        }
        CHECK(!memcmp(r.values, start, (size_t)f->lora->len * sizeof(float)));
        CHECK(r.num_programs[NUM - 1] > 16 && r.num_programs[NUM - 1] <= NUM);
        CHECK_INT(r.num_programs[2 * NUM - 1], r.num_programs[NUM - 1]);
    }
    free(r.values);
    free(start);
    dlm_train_data_finish(&d);
}

static void run_backend(enum dlm_backend_kind backend)
{
    struct fixture f;

    fixture_case(backend, "f32_old", "opens");
    if (fixture_open(&f, &(struct fixture_params){.backend = backend, .name = "f32_old",
                                                  .adapter = "adapter_wide",
                                                  .for_training = true})) {
        test_loop(&f, 0.3f);
        test_loop(&f, 0);
        test_waits(&f);
        if (backend == DLM_BACKEND_CPU) {
            test_trim(&f);
            test_shapes(&f);
        }
    }
    fixture_close(&f);
    if (backend == DLM_BACKEND_CPU &&
        fixture_open(&f, &(struct fixture_params){.backend = backend, .name = "f16_patch7",
                                                  .adapter = "adapter", .for_training = true}))
        test_by_heart(&f);
    if (backend == DLM_BACKEND_CPU)
        fixture_close(&f);
}

int main(void)
{
    for_each_backend(run_backend);
    return check_summary();
}
