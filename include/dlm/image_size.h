/* How large images are made. Most bases see images of one size; others take any. */
#ifndef DLM_IMAGE_SIZE_H
#define DLM_IMAGE_SIZE_H

#ifdef __cplusplus
extern "C" {
#endif

/* Values of an `image_size` besides the side, in pixels, of a square: images are resized to it
 * whatever their proportions or, for bases that go by the longest edge, shrunk to fit into it. */
enum dlm_image_size_kind {
    DLM_IMAGE_SIZE_NATIVE = -2, /* as the base's processor does: proportions are kept */
    DLM_IMAGE_SIZE_PINNED = -1, /* the base's pinned size */
    DLM_IMAGE_SIZE_BASE = 0,    /* the base's pinned size if it has one, else native */
};

#ifdef __cplusplus
}
#endif

#endif
