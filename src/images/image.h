/* Images in memory: decode (PNG, JPEG, WebP, BMP; GIF and TIFF where their libraries are), orient,
 * convert to RGB, resize.
 * Every step gives the very bytes that transformers' load_image and its Pillow-backed processors
 * give with Pillow 13: exif_transpose, convert("RGB"), resize. */
#ifndef DLM_IMAGES_IMAGE_H
#define DLM_IMAGES_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "dlm/ctx.h"

/* Images of more pixels are refused before any memory is taken for them (Pillow's limit,
 * 2 * MAX_IMAGE_PIXELS). */
#define DLM_IMAGE_MAX_PIXELS INT64_C(178956970)

/* An 8-bit RGB image. All zero is valid and empty. */
struct dlm_image {
    int width, height;
    uint8_t *rgb;   /* [height, width, 3], owned */
    bool has_key;   /* the file names one colour as transparent (alpha channels are dropped) */
    uint8_t key[3]; /* that colour, as it stands in rgb */
    bool is_saturated; /* 16-bit grey above 255 has become white, as in Pillow */
};

/* What messages call an image. */
struct dlm_image_name {
    const char *file;
    int64_t line; /* of the document that shows it; 0: none does */
};

/* " (line 12)", or nothing for 0: stands behind an image's file in messages. */
struct dlm_image_line {
    char text[32];
};
struct dlm_image_line dlm_image_line(int64_t line);

/* An encoded image in memory. Everything is borrowed. */
struct dlm_image_source {
    const void *data;
    size_t bytes;
    const char *name;   /* for messages: the file's path, and the document's line as above */
    int64_t line;
    int64_t max_pixels; /* 0: DLM_IMAGE_MAX_PIXELS */
    bool size_only;     /* the image gets its size and no pixels */
};

/* Values are those of PIL.Image.Resampling, which preprocessor_config.json uses. */
enum dlm_resample {
    DLM_RESAMPLE_NEAREST = 0,
    DLM_RESAMPLE_LANCZOS = 1,
    DLM_RESAMPLE_BILINEAR = 2,
    DLM_RESAMPLE_BICUBIC = 3,
    DLM_RESAMPLE_BOX = 4,
    DLM_RESAMPLE_HAMMING = 5,
    DLM_RESAMPLE_COUNT
};

void dlm_image_finish(struct dlm_image *image);

/* Decodes an image (formats are told apart by content), applies its EXIF orientation and converts
 * it to RGB: an alpha channel is dropped, not composited; the one transparent colour of a PNG
 * without alpha or of a GIF is kept and noted in the image; 16-bit colour keeps its high bytes;
 * 16-bit grey saturates at 255; no colour profile is applied; of frames or pages, the first.
 * *out is owned by the caller (dlm_image_finish), empty on failure. Failures name source->name.
 * DLM_ERR_UNSUPPORTED: another image format; DLM_ERR_PARSE: empty, truncated or damaged;
 * DLM_ERR_INVALID: more pixels than allowed. */
enum dlm_status dlm_image_decode(struct dlm_ctx *ctx, struct dlm_image *out,
                                 const struct dlm_image_source *source) DLM_CHECK_RESULT;

/* Reads and decodes the file `path`. name is what failures of decoding name. dlm_image_load names
 * the path, and warns of an image that has been saturated. */
enum dlm_status dlm_image_load_as(struct dlm_ctx *ctx, struct dlm_image *out, const char *path,
                                  struct dlm_image_name name) DLM_CHECK_RESULT;
enum dlm_status dlm_image_load(struct dlm_ctx *ctx, struct dlm_image *out,
                               const char *path) DLM_CHECK_RESULT;

/* The size of the image file `path`, as dlm_image_load_as() gives it, from its header as far as the
 * format goes: what follows may be damaged. */
enum dlm_status dlm_image_read_size(struct dlm_ctx *ctx, const char *path,
                                    struct dlm_image_name name, int *width,
                                    int *height) DLM_CHECK_RESULT;

/* Resizes `in` (borrowed) to width x height with Pillow's 8-bit fixed-point arithmetic. *out is
 * owned by the caller, empty on failure. Runs on the context's pool; the bytes do not depend on the
 * number of threads. DLM_ERR_INVALID: a size below 1 or beyond DLM_IMAGE_MAX_PIXELS. */
enum dlm_status dlm_image_resize(struct dlm_ctx *ctx, struct dlm_image *out,
                                 const struct dlm_image *in, int width, int height,
                                 enum dlm_resample resample) DLM_CHECK_RESULT;

#endif
