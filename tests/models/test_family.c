/* A family that is not PaliGemma (family_grid.c) through everything that is not a family's, against
 * transformers and PEFT, on every backend: a dialogue with two answers and two images of different
 * grids as ids, labels and positions on three axes; log-probabilities; gradients with the tower
 * frozen and trained; training; greedy answers. tools/dev/make_family_goldens.py made what is
 * expected. */
#include "../weights/helpers.h"
#include "family_grid.h"
#include "generate/generator.h"
#include "tests/train/fixture.h"
#include "train/trainer.h"

#define NUM_ROWS 3
#define NUM_IMAGES 2
#define NUM_STEPS 8
#define NUM_TOKENS 12
#define LOGPROB_TOLERANCE 1e-4
#define GRADIENT_TOLERANCE 1e-3 /* norm of the difference over norm */
#define LOSS_TOLERANCE 1e-3
#define NORM_TOLERANCE 1e-2     /* of gradient norms, relative */

/* --- the rows, as make_family_goldens.py has them --- */

#define TEXT(words) {.kind = DLM_PART_TEXT, .text = words, .len = sizeof(words) - 1}
#define IMAGE {.kind = DLM_PART_IMAGE}
#define TURN(role, parts) {DLM_TURN_##role, parts, sizeof(parts) / sizeof(parts[0])}

static const struct dlm_part system_parts[] = {TEXT("the answer is short")};
static const struct dlm_part two_images[] = {IMAGE, TEXT("which is large?"), IMAGE};
static const struct dlm_part answer[] = {TEXT("the red square")};
static const struct dlm_part question[] = {TEXT("how many shapes are there?")};
static const struct dlm_part second_answer[] = {TEXT("three green circles")};
static const struct dlm_part request[] = {IMAGE, {.kind = DLM_PART_CAPTION_REQUEST}};
static const struct dlm_part caption[] = {TEXT("an old house")};
static const struct dlm_part colour[] = {TEXT("which colour has it?")};
static const struct dlm_part blue[] = {TEXT("blue")};

static const struct dlm_turn dialogue[] = {
    TURN(SYSTEM, system_parts), TURN(USER, two_images), TURN(ASSISTANT, answer),
    TURN(USER, question), TURN(ASSISTANT, second_answer)};
static const struct dlm_turn captioning[] = {TURN(USER, request), TURN(ASSISTANT, caption)};
static const struct dlm_turn text_only[] = {TURN(USER, colour), TURN(ASSISTANT, blue)};

static const struct dlm_conversation rows_here[NUM_ROWS] = {
    {dialogue, 5}, {captioning, 2}, {text_only, 2}};

/* What everything below is about: a base on a backend, rows as they are trained on, an adapter. */
struct rig {
    struct dlm_ctx *ctx;
    struct dlm_device *device;
    struct dlm_model *model;
    struct dlm_tokenizer *tok;
    struct dlm_store *store;
    struct dlm_row_image images[3]; /* wide, tall, tall: those of the rows in order */
    struct dlm_row rows[NUM_ROWS];
    struct dlm_train_data data;
    struct dlm_lora *lora; /* may be NULL */
    struct dlm_input prompts[NUM_ROWS];
    const float *pixels[NUM_IMAGES];
    float *features[NUM_IMAGES];
};

static json_t *expected;

static const char *family_path(const char *name)
{
    static char buffers[4][1024];
    static unsigned next;
    char *p = buffers[next++ % 4];

    snprintf(p, sizeof(buffers[0]), "%s/golden/family/%s", check_data_dir(), name);
    return p;
}

static bool make_rows(struct rig *r)
{
    static const char *const files[] = {"images/wide.png", "images/tall.png", "images/tall.png"};
    const struct dlm_rows rows = {.rows = r->rows, .num_rows = NUM_ROWS};

    for (size_t i = 0; i < 3; i++) {
        r->images[i].file = files[i];
        if (!CHECK(!dlm_blob_put(r->ctx, r->store, family_path(files[i]), r->images[i].sha, NULL)))
            return false;
    }
    for (size_t i = 0; i < NUM_ROWS; i++) {
        r->rows[i] = (struct dlm_row){.index = (int64_t)i, .conversation = rows_here[i]};
        memcpy(r->rows[i].section_id, "0123456789abcdef", 17);
    }
    r->rows[0].images = r->images;
    r->rows[0].num_images = 2;
    r->rows[1].images = r->images + 2;
    r->rows[1].num_images = 1;
    return CHECK(!dlm_train_data_init(&r->data, r->ctx, &rows, r->store, r->model, r->tok, 256)) &&
           CHECK_INT(r->data.num_images, NUM_IMAGES) && CHECK_INT(r->data.num_train, NUM_ROWS);
}

static bool open_rig(struct rig *r, enum dlm_backend_kind backend)
{
    const struct dlm_device_params device = {
        .kind = backend, .index = -1, .cache_dir = getenv("DLM_TEST_KERNEL_CACHE")};
    char tokenizer[1024], home[32];

    snprintf(tokenizer, sizeof(tokenizer), "%s/golden/models/f32_old/base/tokenizer.json",
             check_data_dir());
    snprintf(home, sizeof(home), "home-%s", dlm_backend_name(backend));
    *r = (struct rig){.ctx = dlm_ctx_create(
                          &(struct dlm_ctx_params){.log = fixture_log, .num_threads = 1})};
    return CHECK(r->ctx) && CHECK(!dlm_device_open(r->ctx, &r->device, &device)) &&
           CHECK(!dlm_model_open_as(r->ctx, &r->model, r->device, family_path("base"),
                                    &dlm_family_grid)) &&
           CHECK_INT(r->model->policy, DLM_DTYPE_F32) &&
           CHECK(!dlm_tokenizer_load(r->ctx, &r->tok, tokenizer)) &&
           CHECK(!dlm_model_add_tokens(r->model, r->tok)) &&
           CHECK(!dlm_store_open(r->ctx, &r->store, tmp_path(home),
                                 "01HZ4X7TGZM3J1A2B3C4D5E6F7")) &&
           CHECK(!dlm_store_prepare(r->ctx, r->store)) && make_rows(r) &&
           CHECK(!dlm_weights_load(r->model->weights, DLM_WEIGHT_GROUPS_ALL));
}

static void close_rig(struct rig *r)
{
    for (size_t i = 0; i < NUM_ROWS; i++)
        dlm_input_finish(&r->prompts[i]);
    for (size_t i = 0; i < NUM_IMAGES; i++)
        dlm_free(r->features[i]);
    dlm_train_data_finish(&r->data);
    dlm_lora_destroy(&r->lora);
    dlm_store_close(&r->store);
    dlm_tokenizer_destroy(&r->tok);
    dlm_model_destroy(&r->model);
    dlm_device_destroy(&r->device);
    dlm_ctx_destroy(&r->ctx);
}

/* The adapter of the goldens as it is on disk, on the device; NULL: none. */
static bool take_adapter(struct rig *r, const char *name, enum dlm_lora_use use)
{
    struct dlm_adapter *adapter = NULL;

    dlm_lora_destroy(&r->lora);
    if (!name)
        return true;
    bool ok = CHECK(!dlm_adapter_open(r->ctx, &adapter, family_path(name),
                                      &r->model->family->names)) &&
              CHECK(!dlm_model_read_lora(r->model, &r->lora, adapter)) &&
              CHECK(!dlm_lora_upload(r->lora, r->device, use));
    dlm_adapter_destroy(&adapter);
    return ok;
}

static double number(const json_t *list, size_t i)
{
    return json_number_value(json_array_get(list, i));
}

static void check_near(double got, double want, double tolerance, const char *what)
{
    if (!CHECK(fabs(got - want) <= tolerance))
        printf("     %s: got %.9g, want %.9g, tolerance %.2g\n", what, got, want, tolerance);
}

/* --- inputs --- */

static struct dlm_example example_of(const struct rig *r, size_t row, const struct dlm_input *in)
{
    const struct dlm_train_example *e = &r->data.train[row];
    struct dlm_example out = dlm_input_example(in);

    out.num_images = (int64_t)e->num_images;
    out.plans = r->data.plans + e->first_image;
    return out;
}

static void compare_input(const struct rig *r, const struct dlm_example *e, const json_t *want)
{
    const json_t *ids = json_object_get(want, "ids"), *labels = json_object_get(want, "labels");
    const json_t *positions = json_object_get(want, "positions");
    int32_t at[256][3], next = -1;

    if (!CHECK_INT(e->len, json_array_size(ids)) || !CHECK(e->len <= 256))
        return;
    r->model->family->positions(r->model, e, at, &next);
    CHECK_INT(e->bidirectional_len, 0);
    CHECK_INT(next, json_integer_value(json_object_get(want, "next")));
    for (size_t t = 0; t < (size_t)e->len; t++) {
        CHECK_INT(e->ids[t], number(ids, t));
        CHECK_INT(e->is_label[t], number(labels, t));
        for (size_t axis = 0; axis < 3; axis++)
            CHECK_INT(at[t][axis], number(json_array_get(positions, t), axis));
    }
}

/* The last user's turn of each row as a prompt: all before it, and nothing after. */
static bool make_prompts(struct rig *r)
{
    bool ok = true;

    for (size_t i = 0; ok && i < NUM_ROWS; i++) {
        struct dlm_conversation c = rows_here[i];
        c.num_turns--;
        ok = CHECK(!r->model->family->encode(r->ctx, r->model, r->tok, &c,
                                             r->data.plans + r->data.train[i].first_image,
                                             &r->prompts[i]));
    }
    return ok;
}

static void check_inputs(const struct rig *r)
{
    const json_t *list = json_object_get(expected, "rows");

    check_case("plans");
    CHECK_INT(r->data.images[0].plan.grid_h, 4);
    CHECK_INT(r->data.images[0].plan.grid_w, 6);
    CHECK_INT(r->data.images[1].plan.grid_h, 8);
    CHECK_INT(r->data.images[1].plan.grid_w, 4);
    for (size_t i = 0; i < NUM_ROWS; i++) {
        check_case("ids, labels and positions of a row and of a prompt");
        const struct dlm_example row = example_of(r, i, &r->data.train[i].input);
        compare_input(r, &row, json_array_get(list, i));
        const struct dlm_example prompt = example_of(r, i, &r->prompts[i]);
        compare_input(r, &prompt, json_array_get(list, NUM_ROWS + i));
    }
}

/* A row is cut behind its last image, or not at all. */
static void check_cut(const struct rig *r)
{
    const struct dlm_turn turns[] = {TURN(USER, colour), TURN(ASSISTANT, blue),
                                     TURN(USER, request), TURN(ASSISTANT, caption)};
    struct dlm_row row = {.conversation = {turns, 4}, .images = r->images, .num_images = 1,
                          .section_id = "0123456789abcdef", .line = 7};
    const struct dlm_rows rows = {.rows = &row, .num_rows = 1};
    struct dlm_train_data d = {0};
    int64_t end = 0;

    check_case("a row that is cut keeps its images");
    CHECK(!dlm_train_data_init(&d, r->ctx, &rows, r->store, r->model, r->tok, 256));
    const struct dlm_input *in = &d.train->input;
    const int64_t len = (int64_t)in->ids.len;
    for (int64_t t = 0; t < len; t++)
        if (in->ids.ids[t] == r->model->image_id)
            end = t + 1;
    CHECK(end > 10 && end < len - 10 && dlm_count_labels(in->is_label, end) > 1);
    for (int64_t most = end + 1; most >= end - 1; most--) {
        dlm_train_data_finish(&d);
        CHECK_INT(dlm_train_data_init(&d, r->ctx, &rows, r->store, r->model, r->tok, most),
                  most < end ? DLM_ERR_INVALID : DLM_OK);
        if (most >= end && CHECK_INT(d.num_train, 1)) {
            CHECK_INT(d.train->input.ids.len, most);
            CHECK_INT(d.train->num_labels, dlm_count_labels(d.train->input.is_label, most));
        }
    }
    CHECK(strstr(dlm_ctx_last_error(r->ctx), "(line 7): up to its last image it takes"));
    dlm_train_data_finish(&d);
}

/* --- a pass over all rows, and answers --- */

/* The images through the tower with the adapter. The two are of different lengths: each has its
 * program. */
static bool see(struct rig *r, struct dlm_vision *vision, struct dlm_workspace *workspace)
{
    bool ok = CHECK(!dlm_vision_prepare(vision, workspace));

    for (size_t i = 0; ok && i < NUM_IMAGES; i++) {
        const struct dlm_image_plan *plan = &r->data.images[i].plan;
        dlm_free(r->features[i]);
        r->features[i] = dlm_alloc_array(r->ctx, dlm_image_plan_features_len(r->model, plan),
                                         sizeof(float));
        ok = CHECK(r->features[i]) &&
             CHECK(!dlm_train_data_pixels(&r->data, i, &r->pixels[i])) &&
             CHECK(!dlm_vision_run(vision, plan, r->pixels[i], r->features[i]));
    }
    CHECK(vision->others[0].program && !vision->others[1].program);
    return ok;
}

/* What the row's images are, by image. */
static void point(const struct rig *r, size_t row, const float *const *by_image, const float **list)
{
    const struct dlm_train_example *e = &r->data.train[row];

    for (size_t i = 0; i < e->num_images; i++)
        list[i] = by_image[r->data.shown[e->first_image + i]];
}

static void compare_gradients(const struct rig *r, const char *path)
{
    const struct dlm_lora *lora = r->lora;
    struct dlm_checkpoint *want = NULL;
    float *got = calloc((size_t)lora->len, sizeof(*got));

    if (CHECK(got) && CHECK(!dlm_checkpoint_open(r->ctx, &want, path)) &&
        CHECK(!dlm_lora_download(r->lora, &lora->grads, got)) &&
        CHECK_INT(dlm_checkpoint_num_tensors(want), 2 * lora->num))
        for (size_t i = 0; i < 2 * lora->num; i++) {
            const struct dlm_lora_module *m = lora->modules[i / 2];
            char name[256];
            snprintf(name, sizeof(name), "base_model.model.%s.lora_%c.weight", m->path,
                     i % 2 ? 'B' : 'A');
            const struct dlm_tensor_info *t = dlm_checkpoint_find(want, name);
            const size_t len = (size_t)(i % 2 ? m->out * m->r : m->r * m->in);
            if (CHECK(t) && CHECK_INT(t->bytes, len * sizeof(float)))
                check_near(relative_difference(got + (i % 2 ? m->b_at : m->a_at),
                                               (const float *)t->data, len),
                           0, GRADIENT_TOLERANCE, name);
        }
    dlm_checkpoint_destroy(&want);
    free(got);
}

static void run_pass(struct rig *r, struct dlm_pass *pass, const json_t *want)
{
    const float *images[NUM_ROWS][NUM_IMAGES];
    struct dlm_example list[NUM_ROWS];
    float got[64];
    size_t k = 0;
    const struct dlm_pass_step step = {.examples = list, .num = NUM_ROWS,
                                       .weight = 1.0f / (float)pass->params.labels};

    for (size_t i = 0; i < NUM_ROWS; i++) {
        list[i] = example_of(r, i, &r->data.train[i].input);
        list[i].row_id = (uint32_t)i;
        list[i].features = list[i].pixels = images[i];
        point(r, i, pass->params.with_tower ? r->pixels : (const float *const *)r->features,
              images[i]);
    }
    if (!CHECK(pass->params.labels <= 64) || !CHECK(!dlm_pass_run(pass, &step)) ||
        !CHECK(!dlm_pass_logprobs(pass, got, pass->params.labels)))
        return;
    for (size_t i = 0; i < NUM_ROWS; i++) {
        const json_t *row = json_array_get(want, i);
        CHECK(json_array_size(row) > 1);
        for (size_t t = 0; t < json_array_size(row); t++)
            check_near(got[k++], number(row, t), LOGPROB_TOLERANCE, "log-probability");
    }
    CHECK_INT(k, pass->params.labels);
}

static void run_answers(struct rig *r, struct dlm_generator *g, const json_t *want)
{
    for (size_t i = 0; i < NUM_ROWS; i++) {
        struct dlm_example prompt = example_of(r, i, &r->prompts[i]);
        const float *images[NUM_IMAGES];
        int32_t token = -1;
        prompt.features = images;
        point(r, i, (const float *const *)r->features, images);
        bool ok = CHECK(!dlm_generator_prefill(g, &prompt, &(struct dlm_sampling){0}, &token));
        for (size_t t = 0; ok && t < NUM_TOKENS; t++) {
            CHECK_INT(token, number(json_array_get(want, i), t));
            ok = t + 1 == NUM_TOKENS || CHECK(!dlm_generator_next(g, &token));
        }
    }
}

static struct dlm_pass_params whole_batch(const struct rig *r, bool with_tower)
{
    struct dlm_pass_params p = {.batch = NUM_ROWS, .backward = r->lora,
                                .with_tower = with_tower};

    for (size_t i = 0; i < NUM_ROWS; i++) {
        const struct dlm_train_example *e = &r->data.train[i];
        p.tokens = DLM_MAX(p.tokens, (int64_t)e->input.ids.len);
        p.labels += e->num_labels;
        dlm_image_room_add(r->model, &p.room, r->data.plans + e->first_image,
                           (int64_t)e->num_images);
    }
    return p;
}

static void check_compute(struct rig *r, const char *gradients, bool with_tower, const json_t *want)
{
    struct dlm_pass_params params = whole_batch(r, with_tower);
    const struct dlm_generator_params prompts = {
        .prompt_len = params.tokens, .max_tokens = NUM_TOKENS, .room = params.room};
    struct dlm_workspace workspace = {0};
    struct dlm_vision vision = {0};
    struct dlm_pass *pass = NULL;
    struct dlm_generator *g = NULL;
    struct dlm_plan *plans[4] = {NULL};

    if (CHECK(!dlm_vision_init(&vision, r->model, r->lora, dlm_train_data_patches(&r->data))) &&
        CHECK(!dlm_pass_create(r->ctx, &pass, r->model, r->lora, &params)) &&
        CHECK(!dlm_generator_create(r->ctx, &g, r->model, r->lora, &prompts))) {
        plans[0] = vision.largest.plan;
        plans[1] = pass->plan;
        dlm_generator_plans(g, plans + 2);
        if (CHECK(!dlm_workspace_init(&workspace, r->device, plans, 4)) &&
            see(r, &vision, &workspace) && CHECK(!dlm_pass_prepare(pass, &workspace)) &&
            CHECK(!dlm_generator_prepare(g, &workspace))) {
            run_pass(r, pass, json_object_get(want, "logprobs"));
            if (gradients)
                compare_gradients(r, gradients);
            run_answers(r, g, json_object_get(want, "answers"));
        }
    }
    dlm_vision_finish(&vision);
    dlm_pass_destroy(&pass);
    dlm_generator_destroy(&g);
    dlm_workspace_finish(&workspace);
}

/* --- training --- */

/* Steps over all rows, two and one at a time. */
static void check_training(struct rig *r, bool with_tower, const json_t *want)
{
    const json_t *losses = json_object_get(want, "losses");
    const json_t *norms = json_object_get(want, "grad_norms");
    const struct dlm_trainer_params params = {
        .epochs = NUM_STEPS, .micro_batch = 2, .grad_accum = 2,
        .schedule = DLM_SCHEDULE_CONSTANT, .lr = 4e-3, .max_grad_norm = 1, .seed = 3,
        .with_tower = with_tower};
    struct dlm_vision vision = {0};
    struct dlm_trainer *t = NULL;
    bool ok = with_tower ||
              CHECK(!dlm_vision_init(&vision, r->model, NULL, dlm_train_data_patches(&r->data)));

    ok = ok && CHECK(!dlm_trainer_create(r->ctx, &t, &r->data, r->lora,
                                         with_tower ? NULL : &vision, &params)) &&
         CHECK_INT(dlm_trainer_num_steps(t), NUM_STEPS) && CHECK(!dlm_trainer_prepare(t)) &&
         CHECK_INT(json_array_size(losses), NUM_STEPS);
    for (int64_t step = 1; ok && step <= NUM_STEPS; step++) {
        struct dlm_trainer_step done;
        ok = CHECK(!dlm_trainer_run(t, step, &done));
        if (ok) {
            const double norm = number(norms, (size_t)step - 1);
            check_near(done.loss, number(losses, (size_t)step - 1), LOSS_TOLERANCE, "loss");
            check_near(done.grad_norm, norm, NORM_TOLERANCE * norm, "gradient norm");
            CHECK_INT(done.num_rows, NUM_ROWS);
        }
    }
    dlm_trainer_destroy(&t);
    dlm_vision_finish(&vision);
}

static void run_backend(enum dlm_backend_kind backend)
{
    static const struct {
        const char *name, *gradients;
    } adapters[] = {{NULL, NULL}, {"adapter", "gradients.safetensors"},
                    {"adapter_wide", "gradients_wide.safetensors"}};
    struct rig r;

    fixture_case(backend, "grid", "opens");
    if (open_rig(&r, backend) && make_prompts(&r)) {
        if (backend == DLM_BACKEND_CPU)
            check_inputs(&r);
        if (backend == DLM_BACKEND_CPU)
            check_cut(&r);
        for (size_t i = 0; i < 3; i++) {
            const char *name = adapters[i].name ? adapters[i].name : "none";
            const json_t *want =
                json_object_get(json_object_get(expected, "adapters"), name);
            const bool with_tower = i == 2;
            fixture_case(backend, name, "is trained");
            if (i && take_adapter(&r, name, DLM_LORA_MOMENTS)) {
                CHECK_INT(dlm_model_trains_tower(r.model, r.lora), with_tower);
                check_training(&r, with_tower, json_object_get(want, "trace"));
            }
            fixture_case(backend, name, "log-probabilities, gradients, answers");
            if (take_adapter(&r, adapters[i].name, DLM_LORA_GRADIENTS))
                check_compute(&r, i ? family_path(adapters[i].gradients) : NULL, with_tower,
                              want);
        }
    }
    close_rig(&r);
}

int main(void)
{
    check_case("expectations");
    expected = json_load_file(family_path("expected.json"), 0, NULL);
    tmp_make();
    if (CHECK(expected))
        for_each_backend(run_backend);
    tmp_remove();
    json_decref(expected);
    return check_summary();
}
