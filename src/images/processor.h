/* What preprocessor_config.json asks for, and doing it: the image processors of transformers 5.23
 * with their Pillow backend, bit for bit. They differ in the size that they give an image; the
 * arithmetic is the same. */
#ifndef DLM_IMAGES_PROCESSOR_H
#define DLM_IMAGES_PROCESSOR_H

#include <jansson.h>

#include "images/image.h"

#define DLM_PROCESSOR_MAX_SIZE 16384

/* Of pixel_values f32 [num, 3, height, width]: pictures that an image is made into. */
struct dlm_pixel_shape {
    int32_t num, height, width;
};

static inline size_t dlm_pixels_len(const struct dlm_pixel_shape *s)
{
    return (size_t)s->num * 3 * (size_t)s->height * (size_t)s->width;
}

/* How the size of pixel_values follows from an image's. It is the processor class's, and says what
 * the file's "size" means. */
enum dlm_size_rule {
    DLM_SIZE_FIXED,    /* height x width, whatever the image's */
    DLM_SIZE_AREA,     /* the image's proportions, of min_pixels to max_pixels: smart_resize() */
    DLM_SIZE_LONGEST,  /* the image's proportions, shrunk to fit into height x width */
};

struct dlm_processor {
    char class_name[64]; /* processor class */
    enum dlm_size_rule size_rule;
    int height, width;   /* 1 .. DLM_PROCESSOR_MAX_SIZE; not of DLM_SIZE_AREA */
    int64_t min_pixels, max_pixels; /* of DLM_SIZE_AREA */
    int patch, merge;    /* but for DLM_SIZE_FIXED, sides are multiples of patch * merge */
    int temporal_patch;  /* frames that a patch spans; 0: there are none */
    int pinned;          /* pixel_values are pinned x pinned, whatever the rule, but for
                          * DLM_SIZE_LONGEST, where they fit into that; 0: they follow the rule.
                          * Files say so by equal bounds of a square's area */
    enum dlm_resample resample;
    bool do_convert_rgb; /* the transparent colour of an image becomes white */
    bool do_resize, do_rescale, do_normalize;
    double rescale_factor;
    double mean[3], std[3];
    int image_seq_length; /* tokens an image takes; 0: the file does not say */
};

/* Reads a preprocessor_config.json, or a processor_config.json that holds an "image_processor"
 * member. What is missing or null there keeps the value of *out: the class's default; but
 * "do_convert_rgb": null is false as in transformers (and in PaliGemma's own file). DLM_ERR_IO,
 * DLM_ERR_PARSE: cannot be read, wrong type or range; DLM_ERR_UNSUPPORTED: asks for a step that is
 * not done here (padding, cropping, another rule of sizes). Messages name path and member. */
enum dlm_status dlm_processor_load(struct dlm_ctx *ctx, struct dlm_processor *out,
                                   const char *path) DLM_CHECK_RESULT;

/* The same from the members of such a file, which messages call `name`. */
enum dlm_status dlm_processor_parse(struct dlm_ctx *ctx, struct dlm_processor *out,
                                    const json_t *json, const char *name) DLM_CHECK_RESULT;

/* Whether the folder has either of the files below. */
bool dlm_processor_is_in(struct dlm_ctx *ctx, const char *folder);

/* The same for a checkpoint's folder, by transformers' order: a nested processor_config.json, else
 * preprocessor_config.json. DLM_ERR_IO if there is neither. */
enum dlm_status dlm_processor_load_folder(struct dlm_ctx *ctx, struct dlm_processor *out,
                                          const char *folder) DLM_CHECK_RESULT;

/* What an image is before any pixel of it is read. */
struct dlm_image_size {
    int width, height;
    struct dlm_image_name name; /* for messages */
};

/* The shape of the pixel_values of such an image. DLM_ERR_INVALID: there are none of it; the
 * message names it. */
enum dlm_status dlm_processor_plan(struct dlm_ctx *ctx, const struct dlm_processor *processor,
                                   const struct dlm_image_size *size,
                                   struct dlm_pixel_shape *shape) DLM_CHECK_RESULT;

/* Patches of the largest pixel_values that a plan can have; not of DLM_SIZE_FIXED. */
int64_t dlm_processor_max_patches(const struct dlm_processor *processor);

/* Rescales and normalises: pixel_values [3, height, width] f32 of the image's own size. */
void dlm_image_normalise(const struct dlm_processor *processor, const struct dlm_image *image,
                         float *pixel_values);

/* Converts, resizes to the shape (of one picture), rescales and normalises.
 * DLM_ERR_INVALID: do_resize is off and the image has another size. */
enum dlm_status dlm_preprocess(struct dlm_ctx *ctx, const struct dlm_processor *processor,
                               const struct dlm_image *image, const struct dlm_pixel_shape *shape,
                               float *pixel_values) DLM_CHECK_RESULT;

#endif
