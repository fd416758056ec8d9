/* Image processor settings and the arithmetic after the resize. */
#include "images/processor.h"

#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"

#define MAX_CONFIG_BYTES ((size_t)1 << 20)

/* The object being read and the file's name for messages. */
struct config {
    struct dlm_ctx *ctx;
    const json_t *json;
    const char *path;
};

static enum dlm_status fail_member(const struct config *c, const char *key, const char *what)
{
    return dlm_fail(c->ctx, DLM_ERR_PARSE, "cannot read '%s': '%s' %s", c->path, key, what);
}

/* A step that transformers would do and this program does not. */
static enum dlm_status refuse_true(const struct config *c, const char *key)
{
    bool value = false;

    enum dlm_status st = dlm_json_bool(c->ctx, c->json, c->path, key, &value);
    if (!st && value)
        st = dlm_fail(c->ctx, DLM_ERR_UNSUPPORTED, "cannot use '%s': '%s' is not supported",
                      c->path, key);
    return st;
}

static enum dlm_status read_edge(const struct config *c, const json_t *value, int *edge)
{
    const json_int_t v = json_integer_value(value); /* 0 for another type */

    if (v < 1 || v > DLM_PROCESSOR_MAX_SIZE)
        return fail_member(c, "size", "does not hold sizes between 1 and 16384");
    *edge = (int)v;
    return DLM_OK;
}

/* {"height", "width"} or [height, width]. A plain number and {"shortest_edge"} mean a size that
 * follows the image's aspect ratio, which no fixed-size vision tower takes. */
static enum dlm_status read_size(const struct config *c, struct dlm_processor *p)
{
    const json_t *size = json_object_get(c->json, "size");
    const json_t *height = NULL, *width = NULL;

    if (!size || json_is_null(size))
        return DLM_OK;
    if (json_is_object(size)) {
        height = json_object_get(size, "height");
        width = json_object_get(size, "width");
    } else if (json_is_array(size) && json_array_size(size) == 2) {
        height = json_array_get(size, 0);
        width = json_array_get(size, 1);
    } else if (!json_is_integer(size)) {
        return fail_member(c, "size", "is not an object with 'height' and 'width'");
    }
    if (!height || !width)
        return dlm_fail(c->ctx, DLM_ERR_UNSUPPORTED,
                        "cannot use '%s': 'size' does not give 'height' and 'width'", c->path);
    enum dlm_status st = read_edge(c, height, &p->height);
    return st ? st : read_edge(c, width, &p->width);
}

/* One number for all channels, or three. */
static enum dlm_status read_channels(const struct config *c, const char *key, double channels[3])
{
    const json_t *value = json_object_get(c->json, key);

    if (!value || json_is_null(value))
        return DLM_OK;
    if (!json_is_number(value) && !(json_is_array(value) && json_array_size(value) == 3))
        return fail_member(c, key, "is not a number or a list of 3 numbers");
    for (size_t i = 0; i < 3; i++) {
        const json_t *v = json_is_array(value) ? json_array_get(value, i) : value;
        if (!json_is_number(v))
            return fail_member(c, key, "is not a number or a list of 3 numbers");
        channels[i] = json_number_value(v);
        if (!isfinite((float)channels[i]))
            return fail_member(c, key, "holds a number that is too large");
    }
    return DLM_OK;
}

static enum dlm_status read_class_name(const struct config *c, const json_t *root,
                                       struct dlm_processor *p)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    const char *name = p->class_name;

    enum dlm_status st = dlm_json_string(c->ctx, c->json, c->path, "processor_class", &name);
    if (!st && name == p->class_name)
        st = dlm_json_string(c->ctx, root, c->path, "processor_class", &name);
    if (st || name == p->class_name)
        return st;
    const size_t len = strspn(name, allowed);
    if (!len || name[len] || len >= sizeof(p->class_name))
        return fail_member(c, "processor_class", "is not a class name");
    memcpy(p->class_name, name, len + 1);
    return DLM_OK;
}

static enum dlm_status read_steps(const struct config *c, struct dlm_processor *p)
{
    int64_t resample = p->resample, tokens = p->image_seq_length;

    if (json_is_null(json_object_get(c->json, "do_convert_rgb")))
        p->do_convert_rgb = false;
    enum dlm_status st = dlm_json_bool(c->ctx, c->json, c->path, "do_convert_rgb",
                                       &p->do_convert_rgb);
    if (!st)
        st = dlm_json_bool(c->ctx, c->json, c->path, "do_resize", &p->do_resize);
    if (!st)
        st = dlm_json_bool(c->ctx, c->json, c->path, "do_rescale", &p->do_rescale);
    if (!st)
        st = dlm_json_bool(c->ctx, c->json, c->path, "do_normalize", &p->do_normalize);
    if (!st)
        st = dlm_json_number(c->ctx, c->json, c->path, "rescale_factor", &p->rescale_factor);
    if (!st && !isfinite((float)(255.0 * p->rescale_factor)))
        st = fail_member(c, "rescale_factor", "is too large");
    if (!st)
        st = dlm_json_int(c->ctx, c->json, c->path, "resample", 0, DLM_RESAMPLE_COUNT - 1,
                          &resample);
    if (!st)
        st = dlm_json_int(c->ctx, c->json, c->path, "image_seq_length", 0, 1 << 24, &tokens);
    p->resample = (enum dlm_resample)resample;
    p->image_seq_length = (int)tokens; /* at most 2^24 */
    return st;
}

static enum dlm_status read_config(const struct config *c, const json_t *root,
                                   struct dlm_processor *p)
{
    enum dlm_status st = read_class_name(c, root, p);

    if (!st)
        st = refuse_true(c, "do_center_crop");
    if (!st)
        st = refuse_true(c, "do_pad");
    if (!st)
        st = read_size(c, p);
    if (!st)
        st = read_steps(c, p);
    if (!st)
        st = read_channels(c, "image_mean", p->mean);
    if (!st)
        st = read_channels(c, "image_std", p->std);
    for (int i = 0; !st && i < 3; i++)
        if ((float)p->std[i] == 0.0f)
            st = fail_member(c, "image_std", "holds 0");
    return st;
}

enum dlm_status dlm_processor_load(struct dlm_ctx *ctx, struct dlm_processor *out,
                                   const char *path)
{
    struct config c = {.ctx = ctx, .path = path};
    json_t *root = NULL;

    enum dlm_status st = dlm_json_load(ctx, path, MAX_CONFIG_BYTES, &root);
    if (st)
        goto done;
    c.json = json_object_get(root, "image_processor");
    if (!c.json)
        c.json = root;
    if (!json_is_object(c.json)) {
        st = dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': not a JSON object", path);
        goto done;
    }
    st = read_config(&c, root, out);
done:
    json_decref(root);
    return st;
}

enum dlm_status dlm_processor_load_folder(struct dlm_ctx *ctx, struct dlm_processor *out,
                                          const char *folder)
{
    char *nested = dlm_path_join(ctx, folder, "processor_config.json");
    char *plain = dlm_path_join(ctx, folder, "preprocessor_config.json");
    json_t *root = NULL;
    enum dlm_status st = nested && plain ? DLM_OK : DLM_ERR_MEMORY;

    if (!st && dlm_path_is_file(nested))
        st = dlm_json_load(ctx, nested, MAX_CONFIG_BYTES, &root);
    if (!st)
        st = dlm_processor_load(ctx, out,
                                json_object_get(root, "image_processor") ? nested : plain);
    json_decref(root);
    dlm_free(nested);
    dlm_free(plain);
    return st;
}

void dlm_image_normalise(const struct dlm_processor *processor, const struct dlm_image *image,
                         float *pixel_values)
{
    const size_t num_pixels = (size_t)image->width * (size_t)image->height;
    float table[256];

    for (int c = 0; c < 3; c++) {
        const float mean = (float)processor->mean[c], std = (float)processor->std[c];
        const uint8_t *from = image->rgb + c;
        float *to = pixel_values + (size_t)c * num_pixels;
        for (int v = 0; v < 256; v++) {
            /* NumPy: the product in float64, then float32 for all that follows. */
            float y = (float)(processor->do_rescale ? v * processor->rescale_factor : v);
            table[v] = processor->do_normalize ? (y - mean) / std : y;
        }
        for (size_t i = 0; i < num_pixels; i++)
            to[i] = table[from[3 * i]];
    }
}

/* *out, owned: the image with its transparent colour in white. transformers pastes it on white by
 * its alpha, which is 0 or 255 here. */
static enum dlm_status whiten_key(struct dlm_ctx *ctx, struct dlm_image *out,
                                  const struct dlm_image *image)
{
    const size_t num_pixels = (size_t)image->width * (size_t)image->height;

    *out = *image;
    out->has_key = false;
    out->rgb = dlm_alloc_array(ctx, num_pixels, 3);
    if (!out->rgb)
        return DLM_ERR_MEMORY;
    memcpy(out->rgb, image->rgb, 3 * num_pixels);
    for (size_t i = 0; i < num_pixels; i++)
        if (!memcmp(out->rgb + 3 * i, image->key, 3))
            memset(out->rgb + 3 * i, 255, 3);
    return DLM_OK;
}

/* Everything but the conversion. */
static enum dlm_status preprocess_rgb(struct dlm_ctx *ctx, const struct dlm_processor *processor,
                                      const struct dlm_image *image,
                                      const struct dlm_pixel_shape *shape, float *pixel_values)
{
    const int width = shape->width, height = shape->height;
    struct dlm_image resized = {0};

    if (image->width == width && image->height == height) {
        dlm_image_normalise(processor, image, pixel_values);
        return DLM_OK;
    }
    if (!processor->do_resize)
        return dlm_fail(ctx, DLM_ERR_INVALID,
                        "the image is %d x %d, the processor takes %d x %d and does not resize",
                        image->width, image->height, width, height);
    enum dlm_status st =
        dlm_image_resize(ctx, &resized, image, width, height, processor->resample);
    if (!st)
        dlm_image_normalise(processor, &resized, pixel_values);
    dlm_image_finish(&resized);
    return st;
}

enum dlm_status dlm_preprocess(struct dlm_ctx *ctx, const struct dlm_processor *processor,
                               const struct dlm_image *image, const struct dlm_pixel_shape *shape,
                               float *pixel_values)
{
    struct dlm_image white = {0};

    if (!processor->do_convert_rgb || !image->has_key)
        return preprocess_rgb(ctx, processor, image, shape, pixel_values);
    enum dlm_status st = whiten_key(ctx, &white, image);
    if (!st)
        st = preprocess_rgb(ctx, processor, &white, shape, pixel_values);
    dlm_image_finish(&white);
    return st;
}
