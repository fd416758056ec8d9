/* Norms with their weights: root mean square or layer norm over the last dimension. */
#ifndef DLM_MODELS_NORM_H
#define DLM_MODELS_NORM_H

#include "models/linear.h"

enum dlm_norm_kind {
    DLM_NORM_RMS,
    DLM_NORM_LAYER, /* with a bias */
};

struct dlm_norm_config {
    enum dlm_norm_kind kind;
    bool plus_one; /* DLM_NORM_RMS: times 1 + weight (Gemma) */
    float eps;
};

struct dlm_norm {
    struct dlm_weight *weight, *bias; /* [len] */
};

/* Declares the norm <scope's path>.<name>; config is borrowed until return. */
enum dlm_status dlm_norm_declare(const struct dlm_weight_scope *scope, struct dlm_norm *n,
                                 const struct dlm_norm_config *config, const char *name,
                                 int64_t len) DLM_CHECK_RESULT;

/* x [..., len] -> the same */
struct dlm_tensor *dlm_norm_build(struct dlm_build *b, const struct dlm_norm *n,
                                  const struct dlm_norm_config *config, struct dlm_tensor *x);

#endif
