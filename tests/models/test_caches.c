/* The two caches of training images, for every family: pixels and features are made once and are
 * the same bits when they come from memory or from a file; a later epoch runs nothing of the vision
 * tower, which need not even be loaded; another image, processor, size or weight of the tower has
 * entries of its own. The arguments are names of cases under golden/models. */
#include <dirent.h>

#include "api/image_size.h"
#include "images/vl_cache.h"
#include "models/vision.h"
#include "models_test.h"
#include "train/data.h"

static struct dlm_ctx *ctx;

/* A base with one row: the request for a caption of an image, and the caption. */
struct rig {
    struct dlm_device *device;
    struct dlm_model *model;
    struct dlm_tokenizer *tok;
    struct dlm_store *store;
    struct dlm_row_image image;
    struct dlm_row row;
    struct dlm_train_data data;
    struct dlm_vision vision;
    struct dlm_workspace workspace;
    char file[1024]; /* of the image */
};

static const struct dlm_part request[] = {{.kind = DLM_PART_IMAGE},
                                          {.kind = DLM_PART_CAPTION_REQUEST}};
static const struct dlm_part caption[] = {{.kind = DLM_PART_TEXT, .text = "a house", .len = 7}};
static const struct dlm_turn turns[] = {{DLM_TURN_USER, request, 2},
                                        {DLM_TURN_ASSISTANT, caption, 1}};

/* What changes between two rigs; all zero: nothing. */
struct change {
    const char *base;  /* another folder than the case's */
    const char *image; /* another than images/one.png */
    bool processor;    /* another mean */
    int64_t side;      /* of images, in tokens */
};

static bool choose(struct rig *r, const struct change *c)
{
    char key[] = "the base";
    struct dlm_processor *p = &r->model->processor;
    const struct dlm_base base = {.key = key};

    if (c->processor)
        p->mean[0] += 0.25;
    return !c->side || CHECK(!dlm_image_size_choose(r->model, &base,
                                                    c->side * p->patch * p->merge));
}

static bool make_data(struct rig *r, const struct change *c)
{
    const struct dlm_rows rows = {.rows = &r->row, .num_rows = 1};

    snprintf(r->file, sizeof(r->file), "%s", case_path(c->image ? c->image : "images/one.png"));
    r->image.file = r->file;
    r->row = (struct dlm_row){.section_id = "0123456789abcdef", .conversation = {turns, 2},
                              .images = &r->image, .num_images = 1};
    return CHECK(!dlm_blob_put(ctx, r->store, r->file, r->image.sha, NULL)) &&
           CHECK(!dlm_train_data_init(&r->data, ctx, &rows, r->store, r->model, r->tok, 4096));
}

static bool open_rig(struct rig *r, const struct change *c)
{
    const struct dlm_device_params device = {.kind = DLM_BACKEND_CPU, .index = -1};
    const char *dir = c->base ? c->base : case_path("base");

    *r = (struct rig){0};
    return CHECK(!dlm_device_open(ctx, &r->device, &device)) &&
           CHECK(!dlm_model_open(ctx, &r->model, r->device, dir, DLM_DTYPE_F32, NULL)) &&
           choose(r, c) && CHECK(!dlm_tokenizer_load_folder(ctx, &r->tok, dir)) &&
           CHECK(!dlm_model_add_tokens(r->model, r->tok)) &&
           CHECK(!dlm_store_open(ctx, &r->store, tmp_path("home"), "01HZ4X7TGZM3J1A2B3C4D5E6F7")) &&
           CHECK(!dlm_store_prepare(ctx, r->store)) && make_data(r, c);
}

static bool prepare_tower(struct rig *r)
{
    return CHECK(!dlm_weights_load(r->model->weights, DLM_WEIGHT_GROUPS_ALL)) &&
           CHECK(!dlm_vision_init(&r->vision, r->model, NULL, dlm_train_data_patches(&r->data))) &&
           CHECK(!dlm_workspace_init(&r->workspace, r->device, &r->vision.largest.plan, 1)) &&
           CHECK(!dlm_vision_prepare(&r->vision, &r->workspace));
}

static void close_rig(struct rig *r)
{
    dlm_vision_finish(&r->vision);
    dlm_workspace_finish(&r->workspace);
    dlm_train_data_finish(&r->data);
    dlm_store_close(&r->store);
    dlm_tokenizer_destroy(&r->tok);
    dlm_model_destroy(&r->model);
    dlm_device_destroy(&r->device);
}

/* True when the image's pixels lie in the cache. */
static bool has_pixels(const struct rig *r)
{
    char *path = dlm_vl_cache_path(ctx, dlm_store_path(r->store), r->image.sha,
                                   &r->model->processor, &r->data.images->plan.pixels);
    const bool there = path && dlm_path_is_file(path);

    dlm_free(path);
    return there;
}

/* Features and pixels of an image, copied. */
struct seen {
    float *features, *pixels;
    size_t features_len, pixels_len;
};

static bool copy_seen(struct rig *r, struct dlm_vision *vision, struct seen *out)
{
    const struct dlm_image_plan *plan = &r->data.images->plan;
    const float *features = NULL, *pixels = NULL;

    *out = (struct seen){.features_len = dlm_image_plan_features_len(r->model, plan),
                         .pixels_len = dlm_pixels_len(&plan->pixels)};
    out->features = malloc(out->features_len * sizeof(float));
    out->pixels = malloc(out->pixels_len * sizeof(float));
    bool ok = CHECK(out->features && out->pixels) &&
              CHECK(!dlm_train_data_features(&r->data, 0, vision, &features)) &&
              CHECK(!dlm_train_data_pixels(&r->data, 0, &pixels));
    if (ok) {
        memcpy(out->features, features, out->features_len * sizeof(float));
        memcpy(out->pixels, pixels, out->pixels_len * sizeof(float));
    }
    return ok;
}

static void finish_seen(struct seen *s)
{
    free(s->features);
    free(s->pixels);
    *s = (struct seen){0};
}

static bool same_floats(const float *a, size_t a_len, const float *b, size_t b_len)
{
    return a && b && a_len == b_len && !memcmp(a, b, a_len * sizeof(*a));
}

static bool same_features(const struct seen *a, const struct seen *b)
{
    return same_floats(a->features, a->features_len, b->features, b->features_len);
}

static bool same_pixels(const struct seen *a, const struct seen *b)
{
    return same_floats(a->pixels, a->pixels_len, b->pixels, b->pixels_len);
}

/* --- epochs --- */

/* Makes the entries of the case's own base and image; *first is what they hold. */
static void check_epochs(struct seen *first)
{
    static const struct change none;
    struct seen again = {0};
    struct rig r;

    check_model_case("nothing is cached yet");
    if (open_rig(&r, &none) && prepare_tower(&r)) {
        const float *kept = NULL;
        CHECK(!dlm_train_data_has_features(&r.data) && !has_pixels(&r));
        CHECK(copy_seen(&r, &r.vision, first));
        CHECK(dlm_train_data_has_features(&r.data) && has_pixels(&r));
        check_model_case("a later epoch takes features from memory");
        CHECK(!dlm_train_data_features(&r.data, 0, NULL, &kept));
        CHECK(kept == r.data.images->features);
        check_model_case("or from the cache, without a tower");
        dlm_train_data_trim(&r.data, 0);
        CHECK(!r.data.images->features && !r.data.images->pixels);
        CHECK(copy_seen(&r, NULL, &again) && same_features(&again, first) &&
              same_pixels(&again, first));
        finish_seen(&again);
    }
    close_rig(&r);
    check_model_case("so does another run");
    if (open_rig(&r, &none)) {
        CHECK(dlm_train_data_has_features(&r.data) && has_pixels(&r));
        CHECK(copy_seen(&r, NULL, &again) && same_features(&again, first) &&
              same_pixels(&again, first));
        finish_seen(&again);
    }
    close_rig(&r);
}

/* --- what is not found in the cache --- */

static void check_miss(const char *what, const struct change *c, bool with_pixels,
                       const struct seen *first)
{
    struct seen other = {0};
    struct rig r;

    check_model_case(what);
    if (open_rig(&r, c) && prepare_tower(&r)) {
        CHECK(!dlm_train_data_has_features(&r.data));
        CHECK_INT(has_pixels(&r), with_pixels);
        CHECK(copy_seen(&r, &r.vision, &other) && !same_features(&other, first));
        CHECK_INT(same_pixels(&other, first), with_pixels);
        CHECK(dlm_train_data_has_features(&r.data));
        finish_seen(&other);
    }
    close_rig(&r);
}

/* Copies the files of the case's base. */
static void copy_base(const char *to)
{
    DIR *dir = opendir(case_path("base"));
    struct dirent *entry;

    CHECK(dir && !dlm_path_remove(ctx, to) && !dlm_dir_make(ctx, to));
    while (dir && (entry = readdir(dir))) {
        char from[300], path[1400];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(from, sizeof(from), "base/%s", entry->d_name);
        snprintf(path, sizeof(path), "%s/%s", to, entry->d_name);
        copy_file(case_path(from), path);
    }
    if (dir)
        closedir(dir);
}

/* Changes one number of the tower's first weight, which is f32, bf16 or f16, in the base dir. */
static void change_tower(const char *dir)
{
    const struct dlm_tensor_info *t = NULL;
    char path[1400] = "";
    size_t bytes = 0, at = 0;
    struct rig r;

    if (open_rig(&r, &(struct change){.base = dir})) {
        const struct dlm_weights *w = r.model->weights;
        for (size_t i = w->num; i-- > 0;)
            if (w->list[i]->group == DLM_WEIGHT_GROUP_TOWER)
                t = w->list[i]->parts[0].source;
        if (CHECK(t))
            snprintf(path, sizeof(path), "%s", t->file);
        char *data = get_file(path, &bytes);
        const char *found = t && data ? memmem(data, bytes, t->data, t->bytes) : NULL;
        if (CHECK(found)) {
            at = (size_t)(found - data) + dlm_dtype_size(t->dtype, 1) - 1;
            data[at] ^= 1; /* of the upper byte: a quarter more at least, and finite */
            CHECK(put_file(path, data, bytes));
        }
        free(data);
    }
    close_rig(&r);
}

static void run_case(void)
{
    char changed[600];
    struct seen first = {0};
    struct rig r;

    CHECK(!dlm_path_remove(ctx, tmp_path("home")));
    check_epochs(&first);
    check_miss("another image", &(struct change){.image = "images/two.png"}, false, &first);
    check_miss("another processor", &(struct change){.processor = true}, false, &first);
    snprintf(changed, sizeof(changed), "%s", tmp_path("changed"));
    copy_base(changed);
    change_tower(changed);
    check_miss("another weight of the tower", &(struct change){.base = changed}, true, &first);
    check_model_case("another size");
    int64_t side = 0; /* of images in tokens, where they have no one size */
    if (open_rig(&r, &(struct change){0}) && dlm_image_size_of(r.model))
        side = r.data.images->plan.tokens > 1 ? 1 : 2; /* a larger one may change nothing */
    close_rig(&r);
    if (side)
        check_miss("another size", &(struct change){.side = side}, false, &first);
    finish_seen(&first);
}

int main(int argc, char **argv)
{
    check_case("cases are named");
    CHECK(argc > 1);
    tmp_make();
    ctx = make_ctx();
    compute.backend = DLM_BACKEND_CPU;
    for (int i = 1; i < argc; i++) {
        case_name = argv[i];
        run_case();
    }
    dlm_ctx_destroy(&ctx);
    tmp_remove();
    return check_summary();
}
