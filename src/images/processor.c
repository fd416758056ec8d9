/* Image processor settings and the arithmetic after the resize. */
#include "images/processor.h"

#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"

#define MAX_CONFIG_BYTES ((size_t)1 << 20)
#define MAX_AREA ((int64_t)1 << 40) /* a plan refuses what is more than an image can have */

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

/* A member of "size": 1 .. max. */
static enum dlm_status read_edge(const struct config *c, const json_t *value, int64_t max,
                                 int64_t *edge)
{
    const json_int_t v = json_integer_value(value); /* 0 for another type */

    if (v < 1 || v > max)
        return dlm_fail(c->ctx, DLM_ERR_PARSE,
                        "cannot read '%s': 'size' does not hold sizes between 1 and %lld", c->path,
                        (long long)max);
    *edge = v;
    return DLM_OK;
}

static enum dlm_status refuse_size(const struct config *c, const char *wanted)
{
    return dlm_fail(c->ctx, DLM_ERR_UNSUPPORTED, "cannot use '%s': 'size' does not give %s",
                    c->path, wanted);
}

/* {"height", "width"} or [height, width]; for DLM_SIZE_LONGEST also {"longest_edge"} or one number,
 * a square that images fit into. */
static enum dlm_status read_box(const struct config *c, const json_t *size,
                                struct dlm_processor *p)
{
    const bool is_longest = p->size_rule == DLM_SIZE_LONGEST;
    const json_t *height = NULL, *width = NULL;
    int64_t h = 0, w = 0;

    if (json_is_object(size)) {
        height = json_object_get(size, "height");
        width = json_object_get(size, "width");
        if (is_longest && json_object_get(size, "longest_edge"))
            height = width = json_object_get(size, "longest_edge");
    } else if (json_is_array(size) && json_array_size(size) == 2) {
        height = json_array_get(size, 0);
        width = json_array_get(size, 1);
    } else if (!json_is_integer(size)) {
        return fail_member(c, "size", "is not an object with 'height' and 'width'");
    } else if (is_longest) {
        height = width = size;
    }
    if (!height || !width)
        return refuse_size(c, is_longest ? "'longest_edge', or 'height' and 'width'"
                                         : "'height' and 'width'");
    enum dlm_status st = read_edge(c, height, DLM_PROCESSOR_MAX_SIZE, &h);
    if (!st)
        st = read_edge(c, width, DLM_PROCESSOR_MAX_SIZE, &w);
    if (!st) {
        p->height = (int)h;
        p->width = (int)w;
    }
    return st;
}

/* Numbers of pixels, which versions of transformers spell in two ways. */
static enum dlm_status read_bounds(const struct config *c, const json_t *size,
                                   struct dlm_processor *p)
{
    const json_t *min = json_object_get(size, "shortest_edge");
    const json_t *max = json_object_get(size, "longest_edge");

    if (!min && !max) {
        min = json_object_get(size, "min_pixels");
        max = json_object_get(size, "max_pixels");
    }
    if (!min || !max)
        return refuse_size(c, "'shortest_edge' and 'longest_edge'");
    enum dlm_status st = read_edge(c, min, MAX_AREA, &p->min_pixels);
    return st ? st : read_edge(c, max, MAX_AREA, &p->max_pixels);
}

static enum dlm_status read_size(const struct config *c, struct dlm_processor *p)
{
    const json_t *size = json_object_get(c->json, "size");
    enum dlm_status st = DLM_OK;

    if (size && !json_is_null(size))
        st = p->size_rule == DLM_SIZE_AREA ? read_bounds(c, size, p) : read_box(c, size, p);
    if (st || p->size_rule != DLM_SIZE_AREA)
        return st;
    /* members of their own go before "size" */
    st = dlm_json_int(c->ctx, c->json, c->path, "min_pixels", 1, MAX_AREA,
                      &p->min_pixels);
    return st ? st : dlm_json_int(c->ctx, c->json, c->path, "max_pixels", 1, MAX_AREA,
                                  &p->max_pixels);
}

/* "patch_size": a number or {"height", "width"}, which must be equal. */
static enum dlm_status read_patch_side(const struct config *c, int64_t *side)
{
    const json_t *patch = json_object_get(c->json, "patch_size");
    int64_t width;

    if (!json_is_object(patch))
        return dlm_json_int(c->ctx, c->json, c->path, "patch_size", 1, 512, side);
    enum dlm_status st = dlm_json_int(c->ctx, patch, c->path, "height", 1, 512, side);
    width = *side;
    if (!st)
        st = dlm_json_int(c->ctx, patch, c->path, "width", 1, 512, &width);
    if (!st && width != *side)
        st = dlm_fail(c->ctx, DLM_ERR_UNSUPPORTED,
                      "cannot use '%s': 'patch_size' is %lld x %lld, only squares are supported",
                      c->path, (long long)*side, (long long)width);
    return st;
}

static enum dlm_status read_patch(const struct config *c, struct dlm_processor *p)
{
    int64_t patch = p->patch, merge = p->merge, frames = p->temporal_patch;

    if (p->size_rule == DLM_SIZE_FIXED)
        return DLM_OK;
    enum dlm_status st = read_patch_side(c, &patch);
    if (!st)
        st = dlm_json_int(c->ctx, c->json, c->path, "merge_size", 1, 64, &merge);
    if (!st)
        st = dlm_json_int(c->ctx, c->json, c->path, "temporal_patch_size", 1, 64, &frames);
    p->patch = (int)patch; /* at most 512 */
    p->merge = (int)merge;
    p->temporal_patch = (int)frames;
    return st;
}

/* Bounds that meet at the area of a square of whole patches are how a file says that images have
 * this one size, though transformers still keeps an image's proportions by them. */
static void pin_square(struct dlm_processor *p)
{
    const int side = (int)sqrt((double)p->max_pixels); /* at most 2^20 */

    if (p->size_rule == DLM_SIZE_AREA && p->min_pixels == p->max_pixels &&
        (int64_t)side * side == p->max_pixels && side % (p->patch * p->merge) == 0)
        p->pinned = side;
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
    if (!st && p->size_rule == DLM_SIZE_FIXED) /* of others it pads a batch, which models undo */
        st = refuse_true(c, "do_pad");
    if (!st)
        st = read_size(c, p);
    if (!st)
        st = read_patch(c, p);
    if (!st)
        st = read_steps(c, p);
    if (!st)
        st = read_channels(c, "image_mean", p->mean);
    if (!st)
        st = read_channels(c, "image_std", p->std);
    for (int i = 0; !st && i < 3; i++)
        if ((float)p->std[i] == 0.0f)
            st = fail_member(c, "image_std", "holds 0");
    if (!st)
        pin_square(p);
    return st;
}

enum dlm_status dlm_processor_parse(struct dlm_ctx *ctx, struct dlm_processor *out,
                                    const json_t *json, const char *name)
{
    struct config c = {.ctx = ctx, .path = name};

    c.json = json_object_get(json, "image_processor");
    if (!c.json)
        c.json = json;
    return json_is_object(c.json)
               ? read_config(&c, json, out)
               : dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': not a JSON object", name);
}

enum dlm_status dlm_processor_load(struct dlm_ctx *ctx, struct dlm_processor *out,
                                   const char *path)
{
    json_t *root = NULL;

    enum dlm_status st = dlm_json_load(ctx, path, MAX_CONFIG_BYTES, &root);
    if (!st)
        st = dlm_processor_parse(ctx, out, root, path);
    json_decref(root);
    return st;
}

bool dlm_processor_is_in(struct dlm_ctx *ctx, const char *folder)
{
    char *nested = dlm_path_join(ctx, folder, "processor_config.json");
    char *plain = dlm_path_join(ctx, folder, "preprocessor_config.json");
    /* without memory to look, loading says so */
    const bool is = !nested || !plain || dlm_path_is_file(nested) || dlm_path_is_file(plain);

    dlm_free(nested);
    dlm_free(plain);
    return is;
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
    if (st && !root && !dlm_path_is_file(plain))
        dlm_log(ctx, DLM_LOG_HINT, "what a base does to images stands beside its weights, in "
                "preprocessor_config.json");
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
