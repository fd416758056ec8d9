/* The vision transformer: pre-norm, learned positions, no class token. No family is named here. */
#ifndef DLM_MODELS_VIT_H
#define DLM_MODELS_VIT_H

#include "models/linear.h"

struct dlm_vit_config {
    int64_t hidden, intermediate, layers, heads, image, patch, channels;
    float norm_eps;
    uint32_t act;
};

struct dlm_vit_layer {
    struct dlm_weight *norm1_w, *norm1_b, *norm2_w, *norm2_b;
    struct dlm_linear q, k, v, out, fc1, fc2;
};

struct dlm_vit {
    struct dlm_vit_config config;
    struct dlm_linear patch;
    struct dlm_weight *position; /* [patches, hidden] */
    struct dlm_weight *post_w, *post_b;
    struct dlm_vit_layer *layers;
};

/* Declares the weights in a scope by SigLIP's names. */
enum dlm_status dlm_vit_declare(const struct dlm_weight_scope *scope,
                                struct dlm_vit *v) DLM_CHECK_RESULT;
void dlm_vit_finish(struct dlm_vit *v);

/* Adds every linear of the layers to the list; the patches' projection is a convolution to PEFT. */
enum dlm_status dlm_vit_list_linears(struct dlm_ctx *ctx, struct dlm_vit *v,
                                     struct dlm_linear_list *list) DLM_CHECK_RESULT;
int64_t dlm_vit_num_patches(const struct dlm_vit_config *c);

/* pixels f32 [N, channels, image, image], rows i32 [N, 4] -> [N * patches, hidden]. */
struct dlm_tensor *dlm_vit_build(struct dlm_build *b, const struct dlm_vit *v,
                                 struct dlm_tensor *pixels, struct dlm_tensor *rows);

#endif
