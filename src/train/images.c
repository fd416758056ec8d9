/* Pixels and vision features of training images: in memory, in the store's caches, or made.
 *
 * Features are kept before the projector, in the precision policy's type. Their key names all that
 * they depend on: processor, the base's files, backend, driver, precision, kernel version. */
#include <stdio.h>

#include "base/file.h"
#include "base/log.h"
#include "base/sha256.h"
#include "images/image.h"
#include "images/vl_cache.h"
#include "train/data.h"

#define HELD_BYTES ((size_t)1 << 30)
#define KERNEL_VERSION 1 /* raise when a kernel of the tower gives other bits */

/* Where pixels come from and go to. */
struct pixel_store {
    struct dlm_ctx *ctx;
    const struct dlm_store *store;
    const struct dlm_processor *processor;
};

static struct pixel_store pixel_store_of(const struct dlm_train_data *d)
{
    return (struct pixel_store){d->ctx, d->store, &d->model->processor};
}

/* "/x/images/a.png (line 12)"; owned. */
static char *image_name(struct dlm_ctx *ctx, const struct dlm_row_image *shown)
{
    char line[40] = "";

    if (shown->line > 0)
        snprintf(line, sizeof(line), " (line %lld)", (long long)shown->line);
    return dlm_strf(ctx, "%s%s", shown->file, line);
}

/* Decodes the image into pixels and writes them to the cache file `path`. */
static enum dlm_status cache_pixels(const struct pixel_store *s,
                                    const struct dlm_row_image *shown, const char *path,
                                    float *pixels, bool *is_saturated)
{
    struct dlm_image image = {0};
    char *blob = NULL, *name = image_name(s->ctx, shown);

    enum dlm_status st = name ? dlm_blob_get(s->ctx, s->store, shown->sha, &blob)
                              : DLM_ERR_MEMORY;
    if (!st)
        st = dlm_image_load_as(s->ctx, &image, blob, name);
    if (!st)
        st = dlm_preprocess(s->ctx, s->processor, &image, pixels);
    *is_saturated = image.is_saturated;
    dlm_image_finish(&image);
    dlm_free(blob);
    dlm_free(name);
    return st ? st : dlm_vl_cache_put(s->ctx, path, s->processor, pixels);
}

static char *pixels_path(const struct pixel_store *s, const char *sha)
{
    return dlm_vl_cache_path(s->ctx, dlm_store_path(s->store), sha, s->processor);
}

/* What checking the images of rows has found. */
struct image_check {
    const struct dlm_row_image *last; /* the one looked at before: rows about one image follow */
    bool is_last_bad;
    size_t num_saturated;
    const char *saturated; /* the first of them */
};

/* What is wrong with the image itself is logged and noted, not a failure. */
static enum dlm_status check_image(const struct pixel_store *s, const struct dlm_row_image *shown,
                                   float *pixels, struct image_check *c)
{
    char *path = pixels_path(s, shown->sha);
    bool is_saturated = false;
    enum dlm_status st = path ? DLM_OK : DLM_ERR_MEMORY;

    if (!st && !dlm_path_is_file(path))
        st = cache_pixels(s, shown, path, pixels, &is_saturated);
    dlm_free(path);
    c->last = shown;
    c->is_last_bad = st == DLM_ERR_PARSE || st == DLM_ERR_INVALID || st == DLM_ERR_UNSUPPORTED;
    if (is_saturated && !c->num_saturated++)
        c->saturated = shown->file;
    return c->is_last_bad ? DLM_OK : st;
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

enum dlm_status dlm_train_check_images(struct dlm_ctx *ctx, const struct dlm_store *store,
                                       const struct dlm_processor *processor,
                                       struct dlm_rows *rows)
{
    const struct pixel_store s = {ctx, store, processor};
    const size_t len = 3 * (size_t)processor->height * (size_t)processor->width;
    float *pixels = dlm_alloc_array(ctx, len, sizeof(*pixels));
    bool *keep = dlm_alloc_array(ctx, rows->num_rows + 1, sizeof(*keep));
    struct image_check c = {0};
    enum dlm_status st = pixels && keep ? DLM_OK : DLM_ERR_MEMORY;

    for (size_t i = 0; !st && i < rows->num_rows; i++) {
        const struct dlm_row *row = &rows->rows[i];
        keep[i] = true;
        for (size_t k = 0; !st && k < row->num_images; k++) {
            const struct dlm_row_image *shown = &row->images[k];
            if (shown != c.last) {
                st = check_image(&s, shown, pixels, &c);
                rows->num_bad_images += c.is_last_bad;
            }
            keep[i] = keep[i] && !c.is_last_bad;
        }
    }
    if (!st) {
        dlm_rows_keep(rows, keep);
        warn_saturated(ctx, &c);
    }
    dlm_free(keep);
    dlm_free(pixels);
    return st;
}

enum dlm_status dlm_train_data_pixels(struct dlm_train_data *d, size_t image,
                                      const float **pixels)
{
    struct dlm_train_image *x = &d->images[image];
    const size_t len = dlm_vision_pixels_len(d->model);

    *pixels = x->pixels;
    if (x->pixels)
        return DLM_OK;
    const struct pixel_store s = pixel_store_of(d);
    bool is_saturated;
    float *made = dlm_alloc_array(d->ctx, len, sizeof(*made));
    char *path = pixels_path(&s, x->shown->sha);
    enum dlm_status st = made && path ? DLM_OK : DLM_ERR_MEMORY;
    if (!st && !dlm_vl_cache_get(d->ctx, path, s.processor, made))
        st = cache_pixels(&s, x->shown, path, made, &is_saturated);
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
    char processor[65], files[65];

    if (d->features_key[0])
        return DLM_OK;
    enum dlm_status st = dlm_processor_sha256(d->ctx, &d->model->processor, processor);
    if (!st)
        st = dlm_checkpoint_identity(d->ctx, d->model->weights->checkpoint, files);
    if (st)
        return st;
    char *text = dlm_strf(d->ctx, "%s\n%s\n%s\n%s\n%s\n%s\n%d", processor, files,
                          dlm_backend_name(info->kind), info->name, info->driver,
                          dlm_dtype_name(d->model->policy), KERNEL_VERSION);
    if (!text)
        return DLM_ERR_MEMORY;
    dlm_sha256_of(text, strlen(text), d->features_key);
    dlm_free(text);
    return DLM_OK;
}

/* <store>/vision-cache/<aa>/<blob>.<key>.safetensors; owned. */
static char *features_path(const struct dlm_train_data *d, const char *sha)
{
    return dlm_strf(d->ctx, "%s/vision-cache/%.2s/%s.%.16s.safetensors", dlm_store_path(d->store),
                    sha, sha, d->features_key);
}

/* Reads a cache file (out NULL: looks whether that will do); false is a miss, damaged files
 * included. */
static bool read_features(const struct dlm_train_data *d, const char *path, float *out)
{
    struct dlm_checkpoint *file = NULL;

    if (!dlm_path_is_file(path) || dlm_checkpoint_open(NULL, &file, path))
        return false;
    const struct dlm_tensor_info *t = dlm_checkpoint_find(file, "features");
    const size_t len = dlm_vision_features_len(d->model);
    const bool hit = t && t->dtype == d->model->policy &&
                     t->bytes == dlm_dtype_size(t->dtype, (int64_t)len) &&
                     (!out || dlm_dtype_to_f32(t->dtype, t->data, out, len));
    dlm_checkpoint_destroy(&file);
    return hit;
}

/* Rounds features to the policy's type, in place, and writes them. */
static enum dlm_status write_features(const struct dlm_train_data *d, const char *path,
                                      float *features)
{
    const size_t len = dlm_vision_features_len(d->model);
    const size_t bytes = dlm_dtype_size(d->model->policy, (int64_t)len);
    char *folder = dlm_path_dirname(d->ctx, path);
    void *stored = dlm_alloc(d->ctx, bytes);
    enum dlm_status st = folder && stored ? dlm_dir_make(d->ctx, folder) : DLM_ERR_MEMORY;

    if (!st && (!dlm_dtype_from_f32(d->model->policy, features, stored, len) ||
                !dlm_dtype_to_f32(d->model->policy, stored, features, len)))
        st = dlm_fail(d->ctx, DLM_ERR_UNSUPPORTED, "features cannot be kept as %s",
                      dlm_dtype_name(d->model->policy));
    if (!st) {
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

    if (make_key(&keyed))
        return false;
    for (size_t i = 0; i < d->num_images; i++) {
        char *path = features_path(&keyed, d->images[i].shown->sha);
        bool there = path && read_features(&keyed, path, NULL);
        dlm_free(path);
        if (!there)
            return false;
    }
    return true;
}

enum dlm_status dlm_train_data_features(struct dlm_train_data *d, size_t image,
                                        struct dlm_vision *vision, const float **features)
{
    struct dlm_train_image *x = &d->images[image];
    const float *pixels = NULL;

    *features = x->features;
    if (x->features)
        return DLM_OK;
    enum dlm_status st = make_key(d);
    if (st)
        return st;
    float *made = dlm_alloc_array(d->ctx, dlm_vision_features_len(d->model), sizeof(*made));
    char *path = features_path(d, x->shown->sha);
    st = made && path ? DLM_OK : DLM_ERR_MEMORY;
    if (!st && !read_features(d, path, made)) {
        if (!vision)
            st = dlm_fail(d->ctx, DLM_ERR_IO, "cannot read '%s': the cache changed during the run",
                          path);
        if (!st)
            st = dlm_train_data_pixels(d, image, &pixels);
        if (!st)
            st = dlm_vision_run(vision, pixels, made);
        if (!st)
            st = write_features(d, path, made);
    }
    dlm_free(path);
    if (st) {
        dlm_free(made);
        return st;
    }
    d->bytes_held += dlm_vision_features_len(d->model) * sizeof(*made);
    *features = x->features = made;
    return DLM_OK;
}

void dlm_train_data_trim(struct dlm_train_data *d)
{
    if (d->bytes_held <= HELD_BYTES)
        return;
    for (size_t i = 0; i < d->num_images; i++) {
        dlm_free(d->images[i].pixels);
        dlm_free(d->images[i].features);
        d->images[i].pixels = d->images[i].features = NULL;
    }
    d->bytes_held = 0;
}
