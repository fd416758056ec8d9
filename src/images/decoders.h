/* What decode.c and the decoders share; private to src/images. */
#ifndef DLM_IMAGES_DECODERS_H
#define DLM_IMAGES_DECODERS_H

#include "images/image.h"

/* Checks width x height against the source's limit, then gives *image its size and zeroed pixels
 * (none where only the size is wanted: the decoder then reads no rows). */
enum dlm_status dlm_image_allocate(struct dlm_ctx *ctx, struct dlm_image *image,
                                   const struct dlm_image_source *source, int64_t width,
                                   int64_t height) DLM_CHECK_RESULT;

/* `cannot read '<name>': <reason>` as DLM_ERR_PARSE. */
enum dlm_status dlm_image_damaged(struct dlm_ctx *ctx, const struct dlm_image_source *source,
                                  const char *reason);

/* A colour's value from its ink and the light that black leaves (255 - black), as Pillow rounds. */
static inline uint8_t dlm_image_cmyk_channel(int ink, int light)
{
    const int t = ink * light + 128;
    const int v = light - (((t >> 8) + t) >> 8);

    return (uint8_t)(v < 0 ? 0 : v);
}

/* One format each: decode the first frame to RGB as it is stored, and read its orientation
 * (1..8, or 0 if the file says nothing). *image may hold pixels also on failure. */
enum dlm_status dlm_image_decode_png(struct dlm_ctx *ctx, struct dlm_image *image,
                                     int *orientation,
                                     const struct dlm_image_source *source) DLM_CHECK_RESULT;
enum dlm_status dlm_image_decode_jpeg(struct dlm_ctx *ctx, struct dlm_image *image,
                                      int *orientation,
                                      const struct dlm_image_source *source) DLM_CHECK_RESULT;
enum dlm_status dlm_image_decode_webp(struct dlm_ctx *ctx, struct dlm_image *image,
                                      int *orientation,
                                      const struct dlm_image_source *source) DLM_CHECK_RESULT;

enum dlm_status dlm_image_decode_bmp(struct dlm_ctx *ctx, struct dlm_image *image,
                                     int *orientation,
                                     const struct dlm_image_source *source) DLM_CHECK_RESULT;
/* These two are built with giflib and libtiff only. */
enum dlm_status dlm_image_decode_gif(struct dlm_ctx *ctx, struct dlm_image *image,
                                     int *orientation,
                                     const struct dlm_image_source *source) DLM_CHECK_RESULT;
enum dlm_status dlm_image_decode_tiff(struct dlm_ctx *ctx, struct dlm_image *image,
                                      int *orientation,
                                      const struct dlm_image_source *source) DLM_CHECK_RESULT;

#endif
