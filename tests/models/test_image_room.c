/* Where images lie in a program: buckets of lengths, tokens of slices in their places; and an image
 * of two slices, as tiled ones are, is the same as its two slices as images. */
#include "models/image_room.h"

#include "tests/train/fixture.h"

static void test_buckets(void)
{
    struct dlm_model m = {.tower = {.merge = 4, .max_patches = 3000}};
    int64_t last = 0, num = 0;

    check_case("buckets of lengths");
    CHECK_INT(dlm_image_room_bucket(&m, 4), 4);
    CHECK_INT(dlm_image_room_bucket(&m, 60), 60);
    CHECK_INT(dlm_image_room_bucket(&m, 64), 64);
    CHECK_INT(dlm_image_room_bucket(&m, 68), 72);
    CHECK_INT(dlm_image_room_bucket(&m, 2996), 3000);
    for (int64_t n = 4; n <= 3000; n += 4) {
        const int64_t bucket = dlm_image_room_bucket(&m, n);
        CHECK(bucket >= n && bucket % 4 == 0 && bucket >= last);
        CHECK((double)bucket <= 1.125 * (double)n);
        num += bucket != last;
        last = bucket;
    }
    CHECK(num <= 64); /* of 750 lengths */
    m.tower.merge = 1;
    m.tower.max_patches = 729; /* as all of a fixed size: no padding */
    CHECK_INT(dlm_image_room_bucket(&m, 729), 729);
}

/* Three images in a room: of one slice with 2 tokens, of two with 1 each, of one with 3. */
static void test_places(void)
{
    const struct dlm_model m = {.tower = {.merge = 4, .max_patches = 64}, .image_id = 9};
    const struct dlm_image_plan plans[] = {
        {.grid_t = 1, .grid_h = 2, .grid_w = 4, .patches = 8, .tokens = 2},
        {.grid_t = 2, .grid_h = 2, .grid_w = 2, .patches = 8, .tokens = 2},
        {.grid_t = 1, .grid_h = 2, .grid_w = 6, .patches = 12, .tokens = 3}};
    const int32_t ids[] = {5, 9, 9, 9, 6, 9, 9, 7, 9, 9, 5};
    /* slices of three tokens, the first of the example being the room's second */
    const int32_t want[] = {5, -1 - 3, -1 - 4, -1 - 6, 6, -1 - 9, -1 - 12, 7, -1 - 13, -1 - 14, 5};
    const struct dlm_example e = {.ids = ids, .len = 11, .num_images = 3, .plans = plans};
    struct dlm_image_room room = {0};
    int32_t got[11], row_of[15];

    check_case("tokens of slices");
    dlm_image_room_add(&m, &room, plans, 3);
    CHECK_INT(room.slices, 4);
    CHECK_INT(room.patches, 12);
    room.slices++;
    CHECK_INT(dlm_image_room_tokens(&m, &room), 15);
    for (int i = 0; i < 15; i++)
        row_of[i] = -1;
    dlm_image_room_place(&m, &room, &e, 1, got, row_of, 100);
    for (int t = 0; t < 11; t++) {
        CHECK_INT(got[t], want[t]);
        if (want[t] < 0)
            CHECK_INT(row_of[-1 - want[t]], 100 + t);
    }
    CHECK(row_of[0] == -1 && row_of[5] == -1 && row_of[7] == -1 && row_of[11] == -1);
    check_case("an image's token without images is a token");
    dlm_image_room_place(&m, &room, &(struct dlm_example){.ids = ids, .len = 11}, 0, got, NULL, 0);
    CHECK(!memcmp(got, ids, sizeof(ids)));
}

static void check_same(const float *a, const float *b, size_t len)
{
    CHECK(!memcmp(a, b, len * sizeof(*a)));
}

/* Log-probabilities and gradients of an example with its images. */
static bool score(struct fixture *f, const struct dlm_example *e, bool with_tower, float *logprobs,
                  float **grads)
{
    struct dlm_pass_params params = fixture_pass_params(f, e, 1);
    const struct dlm_pass_step step = {.examples = e, .num = 1, .weight = 1, .seed = 4};

    params.backward = params.dropout = true;
    params.with_tower = with_tower;
    bool ok = fixture_clear_grads(f) && fixture_run(f, &params, &step, false, logprobs, NULL);
    *grads = ok ? fixture_grads(f) : NULL;
    return *grads;
}

static void compare(struct fixture *f, const struct dlm_example *two,
                    const struct dlm_example *tiled, bool with_tower)
{
    float logprobs[2][64], *grads[2] = {NULL};

    check_case(with_tower ? "two slices, the tower trained" : "two slices, the tower frozen");
    if (score(f, two, with_tower, logprobs[0], &grads[0]) &&
        score(f, tiled, with_tower, logprobs[1], &grads[1])) {
        check_same(logprobs[1], logprobs[0],
                   (size_t)dlm_count_labels(two->is_label, two->len));
        check_same(grads[1], grads[0], (size_t)f->lora->len);
        CHECK(norm_of(grads[0], (size_t)f->lora->len) > 1e-4);
    }
    free(grads[0]);
    free(grads[1]);
}

static void test_slices(struct fixture *f)
{
    struct dlm_example e = fixture_example(f, 0, 10);
    const struct dlm_image_plan *one = &f->plans[0];
    struct dlm_image_plan plan = *one;
    const size_t pixels_len = dlm_pixels_len(&one->pixels);
    const size_t features_len = dlm_image_plan_features_len(f->model, one);
    float *pixels = malloc(2 * pixels_len * sizeof(*pixels));
    float *features = malloc(2 * features_len * sizeof(*features));
    const float *tiled_pixels[] = {pixels}, *tiled_features[] = {features};
    int32_t ids[512];

    plan.grid_t = plan.pixels.num = 2;
    plan.patches *= 2;
    plan.tokens *= 2;
    if (CHECK(pixels && features) && CHECK(e.len + one->tokens <= 512)) {
        for (int i = 0; i < 2; i++) {
            memcpy(pixels + (size_t)i * pixels_len, f->pixels[i], pixels_len * sizeof(*pixels));
            memcpy(features + (size_t)i * features_len, f->features[i],
                   features_len * sizeof(*features));
        }
        for (int64_t t = 0; t < e.len + one->tokens; t++)
            ids[t] = t < one->tokens ? f->model->image_id : e.ids[t - one->tokens];
        e.ids = ids;
        e.len += one->tokens;
        e.bidirectional_len += one->tokens;
        e.is_label = fixture_labels(e.bidirectional_len);
        e.num_images = 2;
        e.plans = f->plans;
        e.pixels = f->pixels;
        e.features = f->features;
        struct dlm_example tiled = e;
        tiled.num_images = 1;
        tiled.plans = &plan;
        tiled.pixels = tiled_pixels;
        tiled.features = tiled_features;
        f->lora->params.dropout = 0.2f;
        compare(f, &e, &tiled, false);
        compare(f, &e, &tiled, true);
    }
    free(pixels);
    free(features);
}

/* The frozen tower sees slice after slice. */
static void test_vision(struct fixture *f)
{
    struct dlm_image_plan plan = f->plans[0];
    const size_t pixels_len = dlm_pixels_len(&plan.pixels);
    const size_t features_len = dlm_image_plan_features_len(f->model, &plan);
    float *pixels = malloc(2 * pixels_len * sizeof(*pixels));
    float *features = malloc(2 * features_len * sizeof(*features));
    struct dlm_workspace workspace = {0};
    struct dlm_vision vision;

    check_case("two slices through the tower");
    plan.grid_t = plan.pixels.num = 2;
    plan.patches *= 2;
    bool ok = CHECK(pixels && features) &&
              CHECK(!dlm_vision_init(&vision, f->model, f->lora, dlm_image_plan_slice(&plan)));
    for (int i = 0; ok && i < 2; i++)
        memcpy(pixels + (size_t)i * pixels_len, f->pixels[i], pixels_len * sizeof(*pixels));
    if (ok && CHECK(!dlm_workspace_init(&workspace, f->device, &vision.largest.plan, 1)) &&
        CHECK(!dlm_vision_prepare(&vision, &workspace)) &&
        CHECK(!dlm_vision_run(&vision, &plan, pixels, features)))
        for (int i = 0; i < 2; i++)
            check_same(features + (size_t)i * features_len, f->features[i], features_len);
    if (ok)
        dlm_vision_finish(&vision);
    dlm_workspace_finish(&workspace);
    free(pixels);
    free(features);
}

int main(void)
{
    struct fixture f;

    test_buckets();
    test_places();
    check_case("opens");
    if (fixture_open(&f, &(struct fixture_params){.name = "bf16_new", .adapter = "adapter_wide",
                                                  .for_training = true})) {
        test_vision(&f);
        test_slices(&f);
    }
    fixture_close(&f);
    return check_summary();
}
