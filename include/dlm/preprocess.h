/* Images as a base's vision tower gets them. */
#ifndef DLM_PREPROCESS_H
#define DLM_PREPROCESS_H

#include <stdint.h>

#include "dlm/ctx.h"
#include "dlm/image_size.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Borrows everything until return. */
struct dlm_preprocess_params {
    const char *base;  /* registry key, "hf:org/name", "dir:PATH" or "gguf:PATH" */
    const char *mmproj; /* of gguf: the vision tower; NULL: the *mmproj*.gguf beside it */
    const char *image; /* PNG, JPEG, WebP, BMP, GIF or TIFF file; of frames or pages the first */
    const char *out;   /* .npz file to write: pixel_values [1, 3, H, W] f32 */
    int64_t image_size; /* see dlm/image_size.h */
};

/* Decodes, resizes and normalises one image as the base's processor says, bit for bit as
 * transformers does with Pillow, and writes it as a numpy archive, in place of one that is there.
 * DLM_ERR_IO: the base is not on this machine, image cannot be read or out not be written;
 * DLM_ERR_PARSE: the image is damaged; DLM_ERR_UNSUPPORTED: it is of another format. */
DLM_API enum dlm_status dlm_preprocess_image(struct dlm_ctx *ctx,
                                             const struct dlm_preprocess_params *params)
    DLM_CHECK_RESULT;

#ifdef __cplusplus
}
#endif

#endif
