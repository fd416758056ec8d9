/* Pixels and vision features of training images: in memory, in the store's caches, or made.
 *
 * Features are kept before the projector, in the precision policy's type. Their key names all that
 * they depend on: processor, the base's files, backend, driver, tiles, precision, and the kernels'
 * version. */
#include <stdio.h>

#include "base/file.h"
#include "base/log.h"
#include "base/sha256.h"
#include "images/image.h"
#include "images/vl_cache.h"
#include "ops/matmul_tiles.h"
#include "train/data.h"

#define KERNEL_VERSION 2 /* raise when a kernel of the tower gives other bits */

/* Where pixels come from and go to. */
struct pixel_store {
    const struct dlm_store *store;
    const struct dlm_model *model;
    bool no_cache;
};

static struct dlm_image_name image_name(const struct dlm_row_image *shown)
{
    return (struct dlm_image_name){shown->file, shown->line};
}

static enum dlm_status plan_image(const struct pixel_store *s, const struct dlm_row_image *shown,
                                  struct dlm_image_plan *plan)
{
    char *blob = NULL;
    enum dlm_status st = DLM_OK;

    if (!s->model->family->has_one_image_size && s->store)
        st = dlm_blob_get(s->model->ctx, s->store, shown->sha, &blob);
    if (!st)
        st = dlm_image_plan_file(s->model, blob ? blob : shown->file, image_name(shown), plan);
    dlm_free(blob);
    return st;
}

enum dlm_status dlm_train_data_plan_image(struct dlm_train_data *d, struct dlm_train_image *x)
{
    return plan_image(&(struct pixel_store){d->store, d->model, d->no_cache}, x->shown,
                      &x->plan);
}

int64_t dlm_train_data_patches(const struct dlm_train_data *d)
{
    int64_t most = 0;

    for (size_t i = 0; i < d->num_images; i++)
        most = DLM_MAX(most, dlm_image_plan_slice(&d->images[i].plan));
    return most;
}

/* Decodes the image into pixels of the shape and writes them to the cache file `path`, if there is
 * a cache. */
static enum dlm_status cache_pixels(const struct pixel_store *s,
                                    const struct dlm_row_image *shown,
                                    const struct dlm_pixel_shape *shape, const char *path,
                                    float *pixels, bool *is_saturated)
{
    struct dlm_ctx *ctx = s->model->ctx;
    struct dlm_image image = {0};
    char *blob = NULL;

    enum dlm_status st = dlm_blob_get(ctx, s->store, shown->sha, &blob);
    if (!st)
        st = dlm_image_load_as(ctx, &image, blob, image_name(shown));
    if (!st)
        st = dlm_preprocess(ctx, &s->model->processor, &image, shape, pixels);
    *is_saturated = image.is_saturated;
    dlm_image_finish(&image);
    dlm_free(blob);
    return st || s->no_cache ? st : dlm_vl_cache_put(ctx, path, shape, pixels);
}

static char *pixels_path(const struct pixel_store *s, const char *sha,
                         const struct dlm_pixel_shape *shape)
{
    return dlm_vl_cache_path(s->model->ctx, dlm_store_path(s->store), sha, &s->model->processor,
                             shape);
}

/* What checking the images of rows has found. */
struct image_check {
    enum { NOT_SEEN, GOOD, BAD } *found; /* by an image's index: many rows show one */
    size_t num_saturated;
    const char *saturated; /* the first of them */
};

/* Sees that the image's pixels are cached, or can be made. */
static enum dlm_status make_pixels(const struct pixel_store *s, const struct dlm_row_image *shown,
                                   bool *is_saturated)
{
    struct dlm_image_plan plan;
    char *path = NULL;

    enum dlm_status st = plan_image(s, shown, &plan);
    if (st)
        return st;
    path = pixels_path(s, shown->sha, &plan.pixels);
    if (path && (s->no_cache || !dlm_path_is_file(path))) {
        float *pixels = dlm_alloc_array(s->model->ctx, dlm_pixels_len(&plan.pixels),
                                        sizeof(*pixels));
        st = pixels ? cache_pixels(s, shown, &plan.pixels, path, pixels, is_saturated)
                    : DLM_ERR_MEMORY;
        dlm_free(pixels);
    }
    if (!path)
        st = DLM_ERR_MEMORY;
    dlm_free(path);
    return st;
}

/* What is wrong with the image itself is logged and noted, not a failure. */
static enum dlm_status check_image(const struct pixel_store *s, const struct dlm_row_image *shown,
                                   struct image_check *c)
{
    bool is_saturated = false;

    enum dlm_status st = make_pixels(s, shown, &is_saturated);
    const bool is_bad =
        st == DLM_ERR_PARSE || st == DLM_ERR_INVALID || st == DLM_ERR_UNSUPPORTED;
    c->found[shown->index] = is_bad ? BAD : GOOD;
    if (is_saturated && !c->num_saturated++)
        c->saturated = shown->file;
    return is_bad ? DLM_OK : st;
}

/* *keep: every image of the row is good. */
static enum dlm_status check_row(const struct pixel_store *s, struct dlm_rows *rows,
                                 const struct dlm_row *row, struct image_check *c, bool *keep)
{
    *keep = true;
    for (size_t i = 0; i < row->num_images; i++) {
        const struct dlm_row_image *shown = &row->images[i];
        if (c->found[shown->index] == NOT_SEEN) {
            enum dlm_status st = check_image(s, shown, c);
            if (st)
                return st;
            rows->num_bad_images += c->found[shown->index] == BAD;
        }
        *keep = *keep && c->found[shown->index] == GOOD;
    }
    return DLM_OK;
}

static void warn_saturated(struct dlm_ctx *ctx, const struct image_check *c)
{
    if (!c->num_saturated)
        return;
    dlm_log(ctx, DLM_LOG_WARNING,
            "grey levels of 16 bits above 255 are read as white in %zu image%s, first in '%s'",
            c->num_saturated, c->num_saturated == 1 ? "" : "s", c->saturated);
    dlm_log(ctx, DLM_LOG_HINT, "save the images with 8 bits a sample");
}

enum dlm_status dlm_train_check_images(const struct dlm_store *store,
                                       const struct dlm_model *model, bool no_cache,
                                       struct dlm_rows *rows)
{
    const struct pixel_store s = {store, model, no_cache};
    bool *keep = dlm_alloc_array(model->ctx, rows->num_rows + 1, sizeof(*keep));
    struct image_check c = {
        .found = dlm_alloc_array(model->ctx, rows->num_images + 1, sizeof(*c.found))};
    enum dlm_status st = keep && c.found ? DLM_OK : DLM_ERR_MEMORY;

    for (size_t i = 0; !st && i < rows->num_rows; i++)
        st = check_row(&s, rows, &rows->rows[i], &c, &keep[i]);
    if (!st) {
        dlm_rows_keep(rows, keep);
        warn_saturated(model->ctx, &c);
    }
    dlm_free(c.found);
    dlm_free(keep);
    return st;
}

enum dlm_status dlm_train_data_pixels(struct dlm_train_data *d, size_t image,
                                      const float **pixels)
{
    const struct pixel_store s = {d->store, d->model, d->no_cache};
    struct dlm_train_image *x = &d->images[image];
    const struct dlm_pixel_shape *shape = &x->plan.pixels;
    const size_t len = dlm_pixels_len(shape);
    bool is_saturated;

    x->used = ++d->clock;
    *pixels = x->pixels;
    if (x->pixels)
        return DLM_OK;
    float *made = dlm_alloc_array(d->ctx, len, sizeof(*made));
    char *path = pixels_path(&s, x->shown->sha, shape);
    enum dlm_status st = made && path ? DLM_OK : DLM_ERR_MEMORY;
    const bool is_hit = !st && !d->no_cache && dlm_vl_cache_get(d->ctx, path, shape, made);
    if (is_hit)
        dlm_cache_touch(path);
    else if (!st)
        st = cache_pixels(&s, x->shown, shape, path, made, &is_saturated);
    dlm_free(path);
    if (st) {
        dlm_free(made);
        return st;
    }
    d->bytes_held += len * sizeof(*made);
    *pixels = x->pixels = made;
    return DLM_OK;
}

static enum dlm_status make_key(struct dlm_train_data *d)
{
    const struct dlm_device_info *info = &dlm_device_get_caps(d->model->device)->info;
    char processor[65], files[65], tiles[65];

    if (d->features_key[0])
        return DLM_OK;
    enum dlm_status st = dlm_processor_sha256(d->ctx, &d->model->processor, processor);
    if (!st)
        st = dlm_checkpoint_identity(d->ctx, d->model->weights->checkpoint, files);
    if (st)
        return st;
    dlm_matmul_tiles_hash(dlm_device_get_caps(d->model->device), tiles);
    char *text = dlm_strf(d->ctx, "%s\n%s\n%s\n%s\n%s\n%s\n%s\n%d", processor, files,
                          dlm_backend_name(info->kind), info->name, info->driver, tiles,
                          dlm_dtype_name(d->model->policy), KERNEL_VERSION);
    if (!text)
        return DLM_ERR_MEMORY;
    dlm_sha256_of(text, strlen(text), d->features_key);
    dlm_free(text);
    return DLM_OK;
}

/* <store>/vision-cache/<aa>/<blob>.<key>.<grid>.safetensors; owned. */
static char *features_path(const struct dlm_train_data *d, const struct dlm_train_image *x)
{
    const char *sha = x->shown->sha;

    return dlm_strf(d->ctx, "%s/vision-cache/%.2s/%s.%.16s.%dx%dx%d.safetensors",
                    dlm_store_path(d->store), sha, sha, d->features_key, x->plan.grid_t,
                    x->plan.grid_h, x->plan.grid_w);
}

/* Reads a cache file of len numbers (out NULL: looks whether that will do); false is a miss,
 * damaged files included. */
static bool read_features(const struct dlm_train_data *d, const char *path, size_t len, float *out)
{
    struct dlm_checkpoint *file = NULL;

    if (!dlm_path_is_file(path) || dlm_checkpoint_open(NULL, &file, path))
        return false;
    const struct dlm_tensor_info *t = dlm_checkpoint_find(file, "features");
    const bool hit = t && t->dtype == d->model->policy &&
                     t->bytes == dlm_dtype_size(t->dtype, (int64_t)len) &&
                     (!out || dlm_dtype_to_f32(t->dtype, t->data, out, len));
    dlm_checkpoint_destroy(&file);
    if (hit && out)
        dlm_cache_touch(path);
    return hit;
}

/* Rounds features to the policy's type, in place, and writes them if there is a cache. */
static enum dlm_status keep_features(const struct dlm_train_data *d, const char *path, size_t len,
                                     float *features)
{
    const size_t bytes = dlm_dtype_size(d->model->policy, (int64_t)len);
    char *folder = dlm_path_dirname(d->ctx, path);
    void *stored = dlm_alloc(d->ctx, bytes);
    enum dlm_status st = folder && stored ? DLM_OK : DLM_ERR_MEMORY;

    if (!st && (!dlm_dtype_from_f32(d->model->policy, features, stored, len) ||
                !dlm_dtype_to_f32(d->model->policy, stored, features, len)))
        st = dlm_fail(d->ctx, DLM_ERR_UNSUPPORTED, "features cannot be kept as %s",
                      dlm_dtype_name(d->model->policy));
    if (!st && !d->no_cache)
        st = dlm_dir_make(d->ctx, folder);
    if (!st && !d->no_cache) {
        struct dlm_tensor_out t = {.name = "features", .dtype = d->model->policy, .ndim = 1,
                                   .shape = {(int64_t)len}, .data = stored, .bytes = bytes};
        st = dlm_safetensors_write(d->ctx, path, &t, 1, NULL, 0);
    }
    dlm_free(stored);
    dlm_free(folder);
    return st;
}

bool dlm_train_data_has_features(const struct dlm_train_data *d)
{
    struct dlm_train_data keyed = *d;

    if (d->no_cache || make_key(&keyed))
        return false;
    for (size_t i = 0; i < d->num_images; i++) {
        const size_t len = dlm_image_plan_features_len(d->model, &d->images[i].plan);
        char *path = features_path(&keyed, &d->images[i]);
        bool there = path && read_features(&keyed, path, len, NULL);
        dlm_free(path);
        if (!there)
            return false;
    }
    return true;
}

static void drop_pixels(struct dlm_train_data *d, struct dlm_train_image *x)
{
    if (x->pixels)
        d->bytes_held -= dlm_pixels_len(&x->plan.pixels) * sizeof(*x->pixels);
    dlm_free(x->pixels);
    x->pixels = NULL;
}

enum dlm_status dlm_train_data_features(struct dlm_train_data *d, size_t image,
                                        struct dlm_vision *vision, const float **features)
{
    struct dlm_train_image *x = &d->images[image];
    const size_t len = dlm_image_plan_features_len(d->model, &x->plan);
    const float *pixels = NULL;

    x->used = ++d->clock;
    *features = x->features;
    if (x->features)
        return DLM_OK;
    enum dlm_status st = make_key(d);
    if (st)
        return st;
    float *made = dlm_alloc_array(d->ctx, len, sizeof(*made));
    char *path = features_path(d, x);
    st = made && path ? DLM_OK : DLM_ERR_MEMORY;
    if (!st && (d->no_cache || !read_features(d, path, len, made))) {
        if (!vision)
            st = dlm_fail(d->ctx, DLM_ERR_IO, "cannot read '%s': the cache changed during the run",
                          path);
        if (!st)
            st = dlm_train_data_pixels(d, image, &pixels);
        if (!st)
            st = dlm_vision_run(vision, &x->plan, pixels, made);
        if (!st)
            st = keep_features(d, path, len, made);
        drop_pixels(d, x); /* features are all that is read from now on */
    }
    dlm_free(path);
    if (st) {
        dlm_free(made);
        return st;
    }
    d->bytes_held += len * sizeof(*made);
    *features = x->features = made;
    return DLM_OK;
}

static size_t held_bytes(const struct dlm_train_data *d, const struct dlm_train_image *x)
{
    const size_t pixels = x->pixels ? dlm_pixels_len(&x->plan.pixels) : 0;
    const size_t features = x->features ? dlm_image_plan_features_len(d->model, &x->plan) : 0;

    return (pixels + features) * sizeof(float);
}

void dlm_train_data_trim(struct dlm_train_data *d, size_t max_bytes)
{
    while (d->bytes_held > max_bytes) {
        struct dlm_train_image *oldest = NULL;
        for (size_t i = 0; i < d->num_images; i++) {
            struct dlm_train_image *x = &d->images[i];
            if ((x->pixels || x->features) && (!oldest || x->used < oldest->used))
                oldest = x;
        }
        if (!oldest)
            return;
        d->bytes_held -= DLM_MIN(held_bytes(d, oldest), d->bytes_held);
        dlm_free(oldest->pixels);
        dlm_free(oldest->features);
        oldest->pixels = oldest->features = NULL;
    }
}
