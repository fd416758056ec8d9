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

/* "images/a.png (section 0123456789abcdef, line 12)"; owned. */
static char *image_name(const struct dlm_train_data *d, const struct dlm_train_image *x)
{
    const struct dlm_row *row = x->row;
    char line[40] = "";

    if (row->line > 0)
        snprintf(line, sizeof(line), ", line %lld", (long long)row->line);
    return dlm_strf(d->ctx, "%s (section %s%s)", x->shown->path, row->section_id, line);
}

static enum dlm_status make_pixels(struct dlm_train_data *d, const struct dlm_train_image *x,
                                   float *pixels)
{
    struct dlm_image image = {0};
    char *path = NULL, *name = image_name(d, x);

    enum dlm_status st = name ? dlm_blob_get(d->ctx, d->store, x->shown->sha, &path)
                              : DLM_ERR_MEMORY;
    if (!st)
        st = dlm_image_load_as(d->ctx, &image, path, name);
    if (!st)
        st = dlm_preprocess(d->ctx, &d->model->processor, &image, pixels);
    dlm_image_finish(&image);
    dlm_free(path);
    dlm_free(name);
    return st;
}

static enum dlm_status cache_pixels(struct dlm_train_data *d, const struct dlm_train_image *x,
                                    const char *path, float *pixels)
{
    enum dlm_status st = make_pixels(d, x, pixels);

    return st ? st : dlm_vl_cache_put(d->ctx, path, &d->model->processor, pixels);
}

static char *pixels_path(const struct dlm_train_data *d, const struct dlm_train_image *x)
{
    return dlm_vl_cache_path(d->ctx, dlm_store_path(d->store), x->shown->sha, &d->model->processor);
}

enum dlm_status dlm_train_data_check_images(struct dlm_train_data *d)
{
    float *pixels = dlm_alloc_array(d->ctx, dlm_vision_pixels_len(d->model), sizeof(*pixels));
    enum dlm_status st = pixels ? DLM_OK : DLM_ERR_MEMORY;

    for (size_t i = 0; !st && i < d->num_images; i++) {
        char *path = pixels_path(d, &d->images[i]);
        st = path ? DLM_OK : DLM_ERR_MEMORY;
        if (!st && !dlm_path_is_file(path))
            st = cache_pixels(d, &d->images[i], path, pixels);
        dlm_free(path);
    }
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
    float *made = dlm_alloc_array(d->ctx, len, sizeof(*made));
    char *path = pixels_path(d, x);
    enum dlm_status st = made && path ? DLM_OK : DLM_ERR_MEMORY;
    if (!st && !dlm_vl_cache_get(d->ctx, path, &d->model->processor, made))
        st = cache_pixels(d, x, path, made);
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
    const bool hit = t && t->dtype == d->model->policy &&
                     t->bytes == dlm_vision_features_len(d->model) * dlm_dtype_elem_bytes(t->dtype);
    if (hit && out)
        dlm_dtype_to_f32(t->dtype, t->data, out, dlm_vision_features_len(d->model));
    dlm_checkpoint_destroy(&file);
    return hit;
}

/* Rounds features to the policy's type, in place, and writes them. */
static enum dlm_status write_features(const struct dlm_train_data *d, const char *path,
                                      float *features)
{
    const size_t len = dlm_vision_features_len(d->model);
    const size_t bytes = len * dlm_dtype_elem_bytes(d->model->policy);
    char *folder = dlm_path_dirname(d->ctx, path);
    void *stored = dlm_alloc(d->ctx, bytes);
    enum dlm_status st = folder && stored ? dlm_dir_make(d->ctx, folder) : DLM_ERR_MEMORY;

    if (!st) {
        dlm_dtype_from_f32(d->model->policy, features, stored, len);
        dlm_dtype_to_f32(d->model->policy, stored, features, len);
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
