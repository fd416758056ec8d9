/* Where a camera's orientation is written, and how it is undone; private to src/images. */
#ifndef DLM_IMAGES_ORIENTATION_H
#define DLM_IMAGES_ORIENTATION_H

#include "images/image.h"

/* Orientation tag (0x0112) of an EXIF block, with or without the leading "Exif\0\0".
 * 0: the block has none or is damaged; otherwise 1..8 (1 for values that mean nothing). */
int dlm_exif_orientation(const uint8_t *data, size_t bytes);

/* Orientation that an XMP packet states as tiff:Orientation; 0 if it has none. */
int dlm_xmp_orientation(const uint8_t *data, size_t bytes);

/* Turns or mirrors *image upright, as ImageOps.exif_transpose does. 0 and 1 change nothing. */
enum dlm_status dlm_image_orient(struct dlm_ctx *ctx, struct dlm_image *image,
                                 int orientation) DLM_CHECK_RESULT;

#endif
