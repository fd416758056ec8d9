/* The size that a call makes images: what the caller asks, else the base's own. */
#ifndef DLM_API_IMAGE_SIZE_H
#define DLM_API_IMAGE_SIZE_H

#include "dlm/image_size.h"
#include "models/model.h"
#include "registry/registry.h"

/* Makes images of the size asked for, as dlm/image_size.h has it. A base's pinned size is what its
 * processor's file says, else its registry row's. Call once, before any image is planned.
 * DLM_ERR_INVALID: the base has no such size. */
enum dlm_status dlm_image_size_choose(struct dlm_model *m, const struct dlm_base *base,
                                      int64_t asked) DLM_CHECK_RESULT;

/* What is chosen, as a caller would ask for it again; 0 with one size, and nothing to choose. */
int64_t dlm_image_size_of(const struct dlm_model *m);

#endif
