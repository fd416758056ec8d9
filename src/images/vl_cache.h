/* The pixel cache of a store: preprocessed images as .npz files, by image and processor. */
#ifndef DLM_IMAGES_VL_CACHE_H
#define DLM_IMAGES_VL_CACHE_H

#include "images/processor.h"

/* Identity of a processor: SHA-256, in hex, of its settings as canonical JSON. */
enum dlm_status dlm_processor_sha256(struct dlm_ctx *ctx, const struct dlm_processor *processor,
                                     char hex[65]) DLM_CHECK_RESULT;

/* <root>/vl-cache/<aa>/<blob>.<processor, 12 digits>.<H>x<W>.npz (of several pictures
 * <num>x<H>x<W>) for the image blob with the
 * SHA-256 `blob_sha` (64 lower-case hex digits), in the store `root`. Owned by the caller; NULL
 * after logging. */
char *dlm_vl_cache_path(struct dlm_ctx *ctx, const char *root, const char *blob_sha,
                        const struct dlm_processor *processor,
                        const struct dlm_pixel_shape *shape) DLM_CHECK_RESULT;

/* Fills pixel_values of this shape from the cache file `path` and returns true; false if
 * there is none, or none that can be used: a damaged entry is a miss. */
bool dlm_vl_cache_get(struct dlm_ctx *ctx, const char *path, const struct dlm_pixel_shape *shape,
                      float *pixel_values) DLM_CHECK_RESULT;

/* Writes pixel_values (borrowed) of this shape to the cache file `path`. */
enum dlm_status dlm_vl_cache_put(struct dlm_ctx *ctx, const char *path,
                                 const struct dlm_pixel_shape *shape,
                                 const float *pixel_values) DLM_CHECK_RESULT;

#endif
