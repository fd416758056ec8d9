/* What an export has written, number by number: each weight of a model that was opened from the
 * files, by the names, places and types that it has there, beside base and adapter folded anew. */
#ifndef DLM_EXPORT_COMPARE_H
#define DLM_EXPORT_COMPARE_H

#include "models/weights.h"

/* Borrows everything until return. */
struct dlm_compare_params {
    const char *base;    /* folder */
    const char *adapter; /* folder of the version */
    const struct dlm_name_map *names; /* of the family */
    const struct dlm_weights *written; /* declared; none has to be loaded */
    void (*progress)(void *user, uint64_t bytes); /* so many more of the files; may be NULL */
    void *user;
};

/* Memory is some blocks of rows. *num_tensors: of the files, that were compared. DLM_ERR_INVALID:
 * a number is off by more than its type rounds, naming it. */
enum dlm_status dlm_export_compare(struct dlm_ctx *ctx, const struct dlm_compare_params *params,
                                   size_t *num_tensors) DLM_CHECK_RESULT;

/* How far numbers may be off: by `part` of the largest of their block, and by `least`. */
struct dlm_compare_limit {
    int64_t len; /* of a block */
    float part, least;
};

/* The limit for a tensor of the files, by its type (docs/export.md): of what is not in blocks, none
 * beside rounding. */
struct dlm_compare_limit dlm_compare_limit_of(const struct dlm_tensor_info *t);

/* The first of num numbers, which begin a block, that is off by more; -1: none is. */
int64_t dlm_compare_find(const struct dlm_compare_limit *limit, const float *want,
                         const float *got, int64_t num);

#endif
