/* The vision transformer: patches, learned positions, blocks; no class token. No family is named
 * here. */
#ifndef DLM_MODELS_VIT_H
#define DLM_MODELS_VIT_H

#include "images/processor.h"
#include "models/block.h"

/* Module paths below the tower's. NULL: the tower has no such part. */
struct dlm_vit_names {
    const char *patch;    /* the projection of patches */
    const char *position; /* learned positions: the table's whole name */
    const char *pre_norm; /* before the blocks */
    const char *layers;   /* the list of blocks */
    const char *post_norm;
};

struct dlm_vit_config {
    struct dlm_block_config block;
    int64_t layers, image, patch, channels;
    bool patch_bias;
    const struct dlm_vit_names *names; /* borrowed while the tower lives */
};

struct dlm_vit {
    struct dlm_vit_config config;
    struct dlm_linear patch;
    struct dlm_weight *position; /* [patches, hidden] */
    struct dlm_norm pre_norm, post_norm;
    struct dlm_block *blocks; /* [layers] */
};

/* Declares the weights in a scope. */
enum dlm_status dlm_vit_declare(const struct dlm_weight_scope *scope,
                                struct dlm_vit *v) DLM_CHECK_RESULT;
void dlm_vit_finish(struct dlm_vit *v);

/* Adds every linear of the blocks to the list; the patches' projection is a convolution to PEFT. */
enum dlm_status dlm_vit_list_linears(struct dlm_ctx *ctx, struct dlm_vit *v,
                                     struct dlm_linear_list *list) DLM_CHECK_RESULT;
int64_t dlm_vit_num_patches(const struct dlm_vit_config *c);

/* patches f32 [N * T, channels * patch * patch], in->batch the images N, in->tokens the patches T
 * of one -> [N * T, hidden]. */
struct dlm_tensor *dlm_vit_build(struct dlm_build *b, const struct dlm_vit *v,
                                 const struct dlm_block_inputs *in, struct dlm_tensor *patches);

/* The patches of pixels of a shape, row by row of each picture: rows [patches, 3 * patch * patch].
 * A convolution whose stride is its kernel size, and which leaves out what does not fill a patch
 * (torch.nn.Conv2d(kernel_size=p, stride=p)), is then a matmul with its weight. */
void dlm_vit_fill_patches(int64_t patch, const struct dlm_pixel_shape *shape, const float *pixels,
                          float *rows);

#endif
