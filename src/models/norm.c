/* Norms of models. */
#include "models/norm.h"

enum dlm_status dlm_norm_declare(const struct dlm_weight_scope *scope, struct dlm_norm *n,
                                 const struct dlm_norm_config *config, const char *name,
                                 int64_t len)
{
    const struct dlm_weight_scope own = dlm_weight_scope_below(scope, "%s", name);

    enum dlm_status st = dlm_weights_add_vector(&own, "weight", len, &n->weight);
    return st || config->kind != DLM_NORM_LAYER
               ? st
               : dlm_weights_add_vector(&own, "bias", len, &n->bias);
}

struct dlm_tensor *dlm_norm_build(struct dlm_build *b, const struct dlm_norm *n,
                                  const struct dlm_norm_config *config, struct dlm_tensor *x)
{
    const struct dlm_norm_attrs attrs = {.eps = config->eps, .plus_one = config->plus_one};
    struct dlm_tensor *weight = dlm_weight_leaf(b->g, n->weight, 0);

    if (config->kind == DLM_NORM_LAYER)
        return dlm_layer_norm(b->g, x, weight, dlm_weight_leaf(b->g, n->bias, 0), &attrs);
    return dlm_rms_norm(b->g, x, weight, &attrs);
}
